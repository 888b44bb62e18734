"""export --format onnx: graphs that onnxruntime runs, what 8 bits lose, and refusals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from foretext.core.batch import Batch
from foretext.core.errors import ConfigError
from foretext.evaluation.labelled import evaluate
from foretext.inference.onnx import of_task
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


def test_a_mix_of_layers_is_what_the_head_reads(
    cli: Cli, world: World, bert: Path, tmp_path: Path
) -> None:
    """And LSTMs between backbone and head are refused; the twin is compared, no graph traced."""
    files = ["--train", world.train, "--out", tmp_path / "mix", "--steps", "1", "-q"]
    assert cli("finetune", bert, "classification", *files, "--set", "finetune.layers=mix").code == 0
    graph = of_task(load_task(tmp_path / "mix"))
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        (found,) = graph.twin(ids, torch.ones_like(ids))
        model, batch = load_task(tmp_path / "mix").model, Batch.of(ids.tolist())
        states = model.backbone.pooled_output(model(batch), batch)
        wanted = model.head(states, model.sentence_tokens(batch))
    assert (found - wanted).abs().max() < 1e-5
    files[3] = tmp_path / "lstm"
    wide = ["--set", "finetune.reader_cells=8"]
    assert cli("finetune", bert, "classification", *files, *wide).code == 0
    with pytest.raises(ConfigError, match=r"finetune\.reader_cells has no ONNX graph"):
        of_task(load_task(tmp_path / "lstm"))


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
