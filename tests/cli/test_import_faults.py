"""Folders from elsewhere whose parts disagree: what is written opens, what is wrong is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from foretext.api import convert
from foretext.cli import main
from foretext.core.errors import CheckpointError
from foretext.evaluation.labelled import predict
from foretext.models.folder import save_model
from tests.tasks.tiny import model_of, tokenizer_of


def classifier(folder: Path, rows: int, names: dict[str, str]) -> Path:
    """A BERT for sequences whose config.json names these labels."""
    tokenizer = tokenizer_of("bert")
    model = model_of("bert", tokenizer.vocab_size)
    head = {"weight": torch.randn(rows, model.config.hidden_size), "bias": torch.zeros(rows)}
    save_model(model, folder, architecture="BertForSequenceClassification", head=head)
    tokenizer.save(folder)
    path = folder / "config.json"
    raw = json.loads(path.read_text())
    raw |= {"id2label": names, "label2id": {name: int(i) for i, name in names.items()}}
    raw["num_labels"] = rows
    path.write_text(json.dumps(raw))
    return folder


def config(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "config.json").read_text())
    return found


@pytest.mark.parametrize(
    ("rows", "names"),
    [(50, {"0": "no", "1": "yes"}), (2, {"0": "no", "1": "yes", "2": "maybe"}), (3, {"1": "b"})],
)
def test_the_rows_of_the_head_decide_how_many_labels_there_are(
    rows: int, names: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = classifier(tmp_path / "source", rows, names)
    assert main(["import", str(source), str(tmp_path / "copy")]) == 0
    said = capsys.readouterr().err
    assert f"names {len(names)} labels, but the head has {rows} rows, which decide" in said
    raw = config(tmp_path / "copy")
    assert raw["id2label"] == {str(i): names.get(str(i), f"LABEL_{i}") for i in range(rows)}
    assert raw["label2id"] == {name: int(i) for i, name in raw["id2label"].items()}
    (found,) = predict(tmp_path / "copy", ["the film"])
    assert set(found.probabilities) == set(raw["label2id"])
    transformers = pytest.importorskip("transformers")
    kind = transformers.AutoModelForSequenceClassification
    assert kind.from_pretrained(tmp_path / "copy").classifier.out_features == rows


def test_labels_that_fit_are_copied_without_a_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = classifier(tmp_path / "source", 2, {"0": "no", "1": "yes"})
    assert main(["import", str(source), str(tmp_path / "copy")]) == 0
    assert "warning" not in capsys.readouterr().err
    assert config(tmp_path / "copy")["id2label"] == {"0": "no", "1": "yes"}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_named(value: float, tmp_path: Path) -> None:
    source = classifier(tmp_path / "source", 2, {"0": "no", "1": "yes"})
    tensors = load_file(source / "model.safetensors")
    tensors["classifier.weight"][0, :3] = value
    save_file(tensors, source / "model.safetensors")
    with pytest.raises(CheckpointError, match="3 numbers of weight are NaN or infinite; its train"):
        convert(source, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_extra_tensors_can_be_left_aside_by_a_pattern(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = classifier(tmp_path / "source", 2, {"0": "no", "1": "yes"})
    tensors = load_file(source / "model.safetensors")
    tensors |= {f"ema.{i}.weight": torch.ones(2) for i in range(3)}
    save_file(tensors, source / "model.safetensors")
    arguments = ["import", str(source), str(tmp_path / "copy")]
    assert main(arguments) == 1
    said = capsys.readouterr().err
    assert "--ignore-tensors 'ema.*'" in said
    assert main([*arguments, "--ignore-tensors", "emma.*"]) == 1
    assert "no tensor's name is like 'emma.*'" in capsys.readouterr().err
    assert main([*arguments, "--ignore-tensors", "ema.*"]) == 0
    assert "ema.0.weight" not in load_file(tmp_path / "copy" / "model.safetensors")
