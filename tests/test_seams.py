"""A family and an objective made here train, resume, are saved, opened and listed as they are."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from foretext import api, models
from foretext.cli import main
from foretext.core.batch import Batch
from foretext.hub.architecture import Architecture
from foretext.hub.layout import HubLayout, by_name
from foretext.hub.weight_map import WeightMap
from foretext.models import folder
from foretext.models.family import Family
from foretext.nn.backbone import Backbone, Reads
from foretext.nn.cost import TokenCost
from foretext.nn.embeddings import TokenEmbeddings
from foretext.nn.heads import linear_cross_entropy
from foretext.nn.initialise import normal
from foretext.objectives import OBJECTIVES
from foretext.objectives.base import (
    Corpus,
    Counts,
    Losses,
    Predicts,
    Rows,
    SampleBatch,
    Scores,
    Term,
    Vocabulary,
    assemble,
    target_scores,
)
from foretext.objectives.networks import PredictsTokens
from foretext.objectives.packing import blocks, document_lengths
from foretext.objectives.spec import ObjectiveSpec
from foretext.runs.options import PretrainOptions
from foretext.runs.pretrain import pretrain
from tests.inference.tiny import TEXT

ECHO = Term(name="echo", title="echo", unit="nats a token", predicts=Predicts.EVERY)


@dataclass(frozen=True, kw_only=True)
class EchoConfig:
    vocab_size: int = 60
    hidden_size: int = 8
    num_layers: int = 1


class Echo(Backbone):
    """A token's state is its vector, mixed."""

    reads = Reads.BOTH_WAYS
    config: EchoConfig

    def __init__(self, config: EchoConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = TokenEmbeddings(config.vocab_size, config.hidden_size, dropout=0.1)
        self.mix = nn.Linear(config.hidden_size, config.hidden_size)

    def initialise(self, generator: torch.Generator) -> None:
        normal(self, 0.1, generator)

    def forward(self, batch: Batch, used: Tensor | None = None) -> Tensor:  # noqa: ARG002
        return self.mix(self.embeddings(batch))

    def token_cost(self, attended: float, target_rate: float) -> TokenCost:  # noqa: ARG002
        weights = self.mix.weight.numel() + self.embeddings.token.weight.numel()
        return TokenCost(weights=float(weights), attention=0.0, kept=64.0)

    def logits(self, hidden: Tensor) -> Tensor:
        return hidden @ self.embeddings.token.weight.T

    def linear_cross_entropy(
        self, hidden: Tensor, labels: Tensor, weights: Tensor | None = None
    ) -> Tensor:
        return linear_cross_entropy(hidden, self.embeddings.token.weight, None, labels, weights)


def to_hf(config: EchoConfig, architecture: str) -> dict[str, Any]:
    return {"model_type": "echo", "architectures": [architecture], **vars(config)}


FAMILY = Family(
    name="echo",
    title="Echo",
    summary="says what it hears",
    paper="this test",
    config=EchoConfig,
    presets={"echo-tiny": EchoConfig()},
    model=Echo,
    max_positions=lambda _: None,
    recipe=lambda _: {"objective.name": "echo-lm", "data.tokenizer": "wordpiece"},
    hub=HubLayout(
        model_types=("echo",),
        architectures=by_name(Architecture(name="EchoModel", parts=("embeddings", "mix"))),
        class_for=lambda _, use: "EchoModel" if use == "echo-lm" else None,
        bare_for=lambda _: "EchoModel",
        make=Echo,
        num_parameters=lambda c: c.vocab_size * c.hidden_size + c.hidden_size * (c.hidden_size + 1),
        weight_map=lambda _: WeightMap(
            modules={"mix": "mix"}, tensors={"table": "embeddings.token.weight"}
        ),
        from_hf=lambda raw: EchoConfig(
            vocab_size=raw.get("vocab_size", 60), hidden_size=raw.get("hidden_size", 8)
        ),
        to_hf=to_hf,
    ),
)


@dataclass(frozen=True, kw_only=True)
class EchoLMConfig:
    """No settings."""


@dataclass(frozen=True, kw_only=True)
class EchoLM:
    """Every token is to be said again."""

    config: EchoLMConfig
    vocabulary: Vocabulary
    max_length: int
    seed: int = 0
    terms = (ECHO,)
    target_rate = 1.0
    streams = False

    def plan(self, corpus: Corpus, epoch: int) -> Iterator[Rows]:  # noqa: ARG002
        for first, starts, lengths in corpus.sentence_lengths():
            yield blocks(first, document_lengths(starts, lengths), self.max_length)

    def warning(self, corpus: Corpus) -> str | None:  # noqa: ARG002
        return None

    def collate(self, corpus: Corpus, picked: SampleBatch) -> Batch:
        texts = [[corpus.tokens(d, s, s + n)] for n, d, s in picked.rows.tolist()]
        return Batch(**assemble(texts, first=None, after=None).batch_fields())

    def counts(self, batch: Batch) -> Counts:
        return {"echo": torch.tensor(batch.num_tokens)}

    def loss(self, network: PredictsTokens, batch: Batch, counts: Counts) -> Losses:
        total = network.linear_cross_entropy(network(batch), batch.input_ids)
        return {"echo": total / counts["echo"]}

    def scores(self, network: PredictsTokens, batch: Batch) -> Scores:
        every = torch.from_numpy(np.arange(batch.num_tokens))
        return target_scores(network, network(batch), every, batch.input_ids, name="echo")


SPEC = ObjectiveSpec(
    name="echo-lm",
    about="Echo. Paper: this test.",
    config=EchoLMConfig,
    build=EchoLM,
    style="bert",
    needs=(PredictsTokens,),
)


@pytest.fixture(autouse=True)
def listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line in each name table."""
    monkeypatch.setitem(cast(MutableMapping[str, Any], models.FAMILIES), "echo", FAMILY)
    monkeypatch.setitem(folder._LAYOUTS, "echo", FAMILY.hub)
    monkeypatch.setitem(OBJECTIVES, "echo-lm", SPEC)


def options(text: Path, steps: int) -> PretrainOptions:
    settings = {
        "training.steps": steps, "training.batch_size": 4, "data.vocab_size": 60,
        "training.learning_rate": 0.05, "data.held_out": 0.2, "data.max_length": 16,
        "training.save_every": 5, "training.eval_every": 50,
    }  # fmt: skip
    return PretrainOptions(text=[text], settings=settings)


def test_a_new_family_and_objective_need_no_other_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "text.txt"
    text.write_text("\n\n".join(TEXT * 10), encoding="utf-8")
    run = tmp_path / "run"
    done = pretrain("echo-tiny", out=run, options=options(text, 30))
    assert done.progress.last_metrics["echo"] < 3.5
    again = pretrain(str(run), options=PretrainOptions())
    assert again.progress.step == 30
    loaded = api.load(run)
    assert loaded.stored.family.name == "echo"
    assert isinstance(loaded.model, Echo)
    assert api.evaluate_text(run)["echo"] == pytest.approx(done.progress.last_metrics["echo"], 1e-4)
    capsys.readouterr()
    assert main(["models", "echo"]) == 0
    assert main(["objectives"]) == 0
    shown = capsys.readouterr().out
    assert "echo-tiny" in shown
    assert "echo-lm" in shown


def test_what_a_family_does_not_train_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "text.txt"
    text.write_text(TEXT[0], encoding="utf-8")
    asked = ["pretrain", "echo-tiny", "--text", str(text), "--out", str(tmp_path / "x")]
    assert main([*asked, "--set", "objective.name=masked-lm"]) == 1
    assert "does not train a echo model" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
