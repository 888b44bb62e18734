"""The verbs as Python functions: `import foretext` and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import foretext
from tests.cli.conftest import World

TINY = {
    "data.vocab_size": 90,
    "data.max_length": 32,
    "training.batch_size": 8,
    "training.steps": 2,
    "model.hidden_size": 32,
    "model.num_layers": 1,
}


def test_a_model_is_made_loaded_and_used(world: World, tmp_path: Path) -> None:
    """The example of the package's docstring, on a small text."""
    options = foretext.PretrainOptions(text=[world.text], settings=TINY)
    result = foretext.pretrain("bert-tiny", out=tmp_path / "bert", options=options)
    bert = foretext.load(result.folder)
    ((candidates,),) = foretext.fill(bert, ["The film was [MASK] ."], top_k=2)
    assert len(candidates) == 2
    assert foretext.fill(result.folder, ["The film was [MASK] ."], top_k=2) == [[candidates]]
    assert foretext.evaluate_text(bert, [world.text], limit=8)["mlm"] > 0


def test_a_task_is_fine_tuned_and_used(world: World, bert: Path, tmp_path: Path) -> None:
    """finetune, evaluate and predict."""
    options = foretext.FinetuneOptions(settings={"training.steps": 2})
    result = foretext.finetune(
        bert,
        "classification",
        train=world.train,
        dev=world.dev,
        out=tmp_path / "task",
        options=options,
    )
    metrics = foretext.evaluate(result.best.folder, world.dev)
    assert metrics["accuracy"] == pytest.approx(result.best.metrics["accuracy"])
    (answer,) = foretext.predict(result.best.folder, ["A good film ."])
    assert answer.label in ("pos", "neg")


def test_a_model_that_is_not_fit_is_refused(bert: Path, gpt: Path) -> None:
    """The same one-line errors as on the command line, as exceptions."""
    with pytest.raises(foretext.ForetextError, match="cannot continue a text"):
        foretext.generate(bert, ["a"])
    with pytest.raises(foretext.ForetextError, match="cannot fill masks"):
        foretext.fill(gpt, ["[MASK]"])
    config = foretext.GenerationConfig(max_new_tokens=3)
    ((one,),) = foretext.generate(gpt, ["a"], config=config)
    assert len(one.ids) <= 3


def test_a_copy_without_heads_holds_the_same_encoder(bert: Path, tmp_path: Path) -> None:
    """convert writes BertModel; its numbers are those of the run."""
    copy = foretext.convert(bert, tmp_path / "copy", encoder_only=True)
    assert copy.architecture == "BertModel"
    assert {name.split(".")[0] for name in copy.stored.fresh} == {"mlm_head", "nsp_head"}
    old = dict(foretext.load(bert).model.named_parameters())
    for name, tensor in copy.model.named_parameters():
        assert name in copy.stored.fresh or torch.equal(tensor, old[name])


def test_a_copy_is_evaluated_at_the_length_it_was_trained_on(
    world: World, bert: Path, tmp_path: Path
) -> None:
    """Of its 512 positions those beyond 32 are as they were drawn."""
    copy = foretext.convert(bert, tmp_path / "copy").folder
    here, there = (foretext.evaluate_text(folder, [world.text])["mlm"] for folder in (bert, copy))
    assert here == pytest.approx(there, rel=1e-6)
    assert foretext.load(copy).tokenizer.max_length == 32


def test_a_tokenizer_of_another_model_is_refused(bert: Path, gpt: Path, tmp_path: Path) -> None:
    """More tokens than the model has rows would crash later, so load refuses."""
    foretext.convert(bert, tmp_path / "mixed")
    foretext.Tokenizer.load(gpt).save(tmp_path / "mixed")
    rows = foretext.load(bert).tokenizer.vocab_size
    assert foretext.Tokenizer.load(tmp_path / "mixed").vocab_size > rows
    with pytest.raises(foretext.ForetextError, match="do not belong together"):
        foretext.load(tmp_path / "mixed")
