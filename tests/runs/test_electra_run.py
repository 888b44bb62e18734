"""A run of two networks: the folders it leaves, and what may be done with each."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest
import torch

from foretext import api
from foretext.core.errors import ConfigError
from foretext.models import electra
from foretext.models.folder import load_model
from foretext.recipes.recipe import Recipe
from foretext.runs.finetune import FinetuneOptions, finetune
from foretext.runs.options import PretrainOptions
from foretext.runs.pretrain import PretrainResult, pretrain
from foretext.training.checkpoint import latest_checkpoint
from tests.training.golden import SETTINGS
from tests.training.test_exactness import text

SHORT = SETTINGS | {"training.steps": 3, "training.warmup_steps": 1, "training.eval_every": 3}


@cache
def made(variant: str = "all-tokens") -> PretrainResult:
    options = PretrainOptions(text=[text()], settings=SHORT | {"objective.variant": variant})
    return pretrain("electra-tiny", out=Path(mkdtemp()) / "run", options=options)


def test_the_run_keeps_both_halves() -> None:
    """The issue: in its checkpoints, and as folders; the shared table is written into both."""
    result = made()
    checkpoint = latest_checkpoint(result.folder / "checkpoints", lambda _: None)
    assert checkpoint is not None
    saved = checkpoint.tensors("model")
    halves = {"discriminator": "", "generator": "generator"}
    for half, name in halves.items():
        loaded = load_model(result.folder / name).model
        for parameter, values in loaded.named_parameters():
            if f"{half}.{parameter}" in saved:
                assert torch.equal(values, saved[f"{half}.{parameter}"]), parameter
    tables = [load_model(result.folder / n).model.embeddings for n in halves.values()]
    assert torch.equal(tables[0].token.weight, tables[1].token.weight)  # type: ignore[union-attr, arg-type]
    assert result.estimate.parameters == sum(t.numel() for t in saved.values())


def test_both_folders_are_whole() -> None:
    """design.md: a folder opens in transformers, with its tokenizer."""
    hf = pytest.importorskip("transformers")
    folder = made().folder
    for path, name in ((folder, "ForPreTraining"), (folder / "generator", "ForMaskedLM")):
        assert json.loads((path / "config.json").read_text())["architectures"] == [f"Electra{name}"]
        model = getattr(hf, f"AutoModel{name}").from_pretrained(path, local_files_only=True)
        assert type(model).__name__ == f"Electra{name}"
        ids = hf.AutoTokenizer.from_pretrained(path, local_files_only=True)("The storm").input_ids
        assert ids[1:-1] == api.load(path).tokenizer.encode("The storm")


def test_the_generator_fills_and_the_discriminator_names_it() -> None:
    folder = made().folder
    (candidates,) = api.fill(folder / "generator", ["the [MASK] lost"], top_k=2)[0]
    assert len(candidates) == 2
    with pytest.raises(ConfigError, match=r"ElectraForPreTraining, which cannot fill.*/generator"):
        api.fill(folder, ["the [MASK] lost"])


@pytest.mark.parametrize("variant", ["all-tokens", "masked-only", "replace-mlm"])
def test_evaluate_measures_what_training_did(variant: str) -> None:
    """The pair is put together again from its folders."""
    result = made(variant)
    found = api.evaluate_text(result.folder)
    assert found == pytest.approx(result.progress.last_metrics, rel=1e-5)
    rates = {"rtd_accuracy", "rtd_precision", "rtd_recall"}
    assert (rates <= found.keys()) == (variant != "replace-mlm")
    second = next(found[name] for name in ("rtd", "correction") if name in found)
    whole = found["mlm"] + result.recipe.objective.weight * second
    assert found["loss"] == pytest.approx(whole)


def test_the_discriminator_fine_tunes(tmp_path: Path) -> None:
    """By the paper's rates, into a class that transformers opens."""
    hf = pytest.importorskip("transformers")
    rows = ["text\tlabel", *(f"the {w} walked\t{w == 'king'}" for w in ("king", "storm") * 8)]
    (tmp_path / "train.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    settings = {"training.steps": 2, "data.max_length": 16, "training.threads": 1}
    result = finetune(
        made().folder,
        "classification",
        train=tmp_path / "train.tsv",
        out=tmp_path / "tuned",
        options=FinetuneOptions(settings=settings),
    )
    assert result.recipe.training.layer_decay == 0.8
    assert result.recipe.training.weight_decay == 0.0
    model = hf.AutoModelForSequenceClassification.from_pretrained(tmp_path / "tuned")
    assert type(model).__name__ == "ElectraForSequenceClassification"


def test_presets_have_the_papers_recipes() -> None:
    """papers/electra.md d."""
    for preset, values in {
        "electra-small": (128, 128, 1_000_000, 5e-4, 0.15),
        "electra-base": (512, 256, 766_000, 2e-4, 0.15),
        "electra-large": (512, 2048, 400_000, 2e-4, 0.25),
    }.items():
        recipe = Recipe.of(preset)
        training = recipe.training
        assert values == (
            recipe.data.max_length,
            training.batch_size,
            training.steps,
            training.learning_rate,
            recipe.objective.mask_rate,
        )
        assert (training.warmup_steps, training.optimizer) == (10_000, "bert-adamw")
        assert recipe.objective.weight == 50.0
    generators = {p: c.generator.hidden_size for p, c in electra.PRESETS.items()}
    assert [generators[f"electra-{s}"] for s in ("small", "small++", "base", "large")] == [
        64,
        256,
        256,
        256,
    ]
