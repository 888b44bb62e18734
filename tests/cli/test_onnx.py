"""export --format onnx: graphs that onnxruntime runs, what 8 bits lose, and refusals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from foretext.evaluation.labelled import evaluate
from foretext.inference.task_run import load_task
from tests.cli.conftest import Cli, World


def test_a_graph_answers_as_the_model_does(cli: Cli, world: World, task: Path) -> None:
    """In fp32 and in 8 bits, measured on labels; the folder holds what other tools look for."""
    out = world.folder / "onnx"
    said = cli(*("export", task, out, "--format", "onnx", "--int8", "--data", world.dev, "--json"))
    assert said.code == 0
    record = json.loads(said.out)
    assert record["outputs"] == ["logits"] and record["difference"] < 1e-4
    measured = record["measured"]
    own = evaluate(load_task(task), world.dev)
    assert measured["pytorch"]["metrics"] == own
    assert measured["model.onnx"]["metrics"] == pytest.approx(own, abs=1e-5)
    assert abs(measured["model_quantized.onnx"]["metrics"]["loss"] - own["loss"]) < 0.05
    assert measured["model_quantized.onnx"]["bytes"] < measured["model.onnx"]["bytes"]
    names = {path.name for path in out.iterdir()}
    assert {"model.onnx", "model_quantized.onnx", "config.json", "tokenizer.json"} <= names


def test_what_has_no_graph_is_refused_and_leaves_nothing(
    cli: Cli, world: World, bert: Path, task: Path, tmp_path: Path
) -> None:
    """In one line, before anything is traced."""
    faults = {
        (bert, "--format", "onnx", "--data", world.dev): "--data needs a fine-tuned model",
        (bert, "--format", "tflite"): "--format 'tflite' is not known; give hf or onnx",
        (task, "--int8"): "--int8 and --data are of --format onnx alone",
    }
    for (folder, *more), says in faults.items():
        said = cli("export", folder, tmp_path / "out", *more)
        assert (said.code, says in said.err) == (1, True), said.err
        assert not (tmp_path / "out").exists()
