"""A new objective is one file and one line: no other code of the package asks for its name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from foretext import api
from foretext.cli import main
from foretext.core.errors import ConfigError
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
from foretext.objectives.masking import (
    MaskedBatch,
    MaskingConfig,
    choose_spans,
    hide,
    rounded_quota,
    where_of,
)
from foretext.objectives.networks import FindsReplaced, PredictsTokens, check_network
from foretext.objectives.packing import blocks, document_lengths
from foretext.objectives.spec import ObjectiveSpec
from foretext.recipes.recipe import Recipe
from foretext.runs.build import build_model
from foretext.runs.options import PretrainOptions
from foretext.runs.pretrain import pretrain
from tests.training.killed import KillAt, Killed
from tests.training.small_run import settings
from tests.training.test_exactness import text

GAPS = Term(name="gaps", title="gaps", unit="nats a hidden token", predicts=Predicts.SOME)


@dataclass(frozen=True, kw_only=True)
class GapsConfig(MaskingConfig):
    longest: int = 3  # tokens of a span


@dataclass(frozen=True, kw_only=True)
class Gaps:
    """Hides spans."""

    config: GapsConfig
    vocabulary: Vocabulary
    max_length: int
    seed: int = 0
    terms = (GAPS,)
    streams = False
    target_rate = 0.15

    def plan(self, corpus: Corpus, epoch: int) -> Iterator[Rows]:  # noqa: ARG002
        for first, starts, lengths in corpus.sentence_lengths():
            yield blocks(first, document_lengths(starts, lengths), self.max_length)

    def warning(self, corpus: Corpus) -> str | None:  # noqa: ARG002
        return None

    def collate(self, corpus: Corpus, picked: SampleBatch) -> MaskedBatch:
        c, v = self.config, self.vocabulary
        texts = [[corpus.tokens(d, s, s + n)] for n, d, s in picked.rows.tolist()]
        laid = assemble(texts, first=None, after=None)
        where, quota = where_of(laid, picked), rounded_quota(laid, c.mask_rate)
        targets = choose_spans(laid, where, quota, longest=c.longest, seed=self.seed)
        return MaskedBatch(**hide(laid, targets, where, config=c, vocabulary=v, seed=self.seed))

    def counts(self, batch: MaskedBatch) -> Counts:
        return {GAPS.name: torch.tensor(len(batch.targets))}

    def loss(self, network: PredictsTokens, batch: MaskedBatch, counts: Counts) -> Losses:
        states = network(batch, batch.targets).index_select(0, batch.targets)
        return {GAPS.name: network.linear_cross_entropy(states, batch.labels) / counts[GAPS.name]}

    def scores(self, network: PredictsTokens, batch: MaskedBatch) -> Scores:
        hidden = network(batch, batch.targets)
        return target_scores(network, hidden, batch.targets, batch.labels, name=GAPS.name)


SPEC = ObjectiveSpec(
    name="gaps",
    about="Gaps: spans of tokens.\n\nPaper: none.",
    config=GapsConfig,
    build=Gaps,
    style="bert",
    needs=(PredictsTokens,),
    variant=lambda _: "masked-lm",  # families save its networks as they save masked LM's
)


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OBJECTIVES, SPEC.name, SPEC)


def run(out: Path, kill_at: int | None = None) -> dict[str, float]:
    chosen = settings("gaps", 0) | {"objective.longest": 2, "data.long_length": None}
    options = PretrainOptions(text=[text()], settings=chosen)
    result = pretrain("bert-tiny", out=out, options=options, reporter=KillAt(kill_at))
    return result.progress.last_metrics


@pytest.mark.usefixtures("listed")
def test_it_trains_resumes_is_saved_opens_and_is_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = run(tmp_path / "whole")
    assert {"loss", "gaps", "gaps_accuracy", "gaps_perplexity", "unigram"} <= found.keys()
    with pytest.raises(Killed):
        run(tmp_path / "cut", kill_at=8)
    run(tmp_path / "cut")
    files = [tmp_path / name / "model.safetensors" for name in ("whole", "cut")]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert api.evaluate_text(tmp_path / "whole") == pytest.approx(found, rel=1e-5)
    assert main(["objectives", "--json"]) == 0
    shown = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {"summary": "Gaps: spans of tokens.", "paper": "none"}.items() <= next(
        record for record in shown if record["objective"] == "gaps"
    ).items()


def test_a_network_that_lacks_what_is_needed_is_refused_in_one_line() -> None:
    network = build_model(Recipe.of("bert-tiny", {"model.num_layers": 1}))
    check_network(network, (PredictsTokens,), "gaps")
    with pytest.raises(ConfigError) as told:
        check_network(network, (FindsReplaced,), "replaced-token")
    assert str(told.value) == (
        "objective.name='replaced-token' needs a network that holds two networks: a generator "
        "fills gaps, a discriminator says which tokens it filled, and Bert is none; choose another "
        "objective or preset"
    )
