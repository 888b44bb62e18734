"""The mean of a sequence's states in place of its first token's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from foretext.core.errors import ConfigError
from foretext.evaluation.labelled import evaluate
from foretext.inference.task_run import load_task
from foretext.runs.finetune import FinetuneOptions, finetune
from foretext.tasks.base import SampleTable, TaskModel
from foretext.tasks.classification import Classification, ClassificationConfig
from foretext.tasks.columns import TextExample
from foretext.tasks.inputs import input_format_for
from tests.tasks.tiny import backbone_folder, sentence_file, sentences


def tuned(folder: Path) -> Path:
    backbone_folder(folder / "bert", "bert", noise=0.3, num_layers=1)
    train = sentence_file(folder / "train.tsv", 60, 0)
    dev = sentence_file(folder / "dev.tsv", 40, 9)
    settings = {"task.pooling": "mean", "training.steps": 4, "training.threads": 1}
    finetune(
        folder / "bert", "classification", train=train, dev=dev, out=folder / "out",
        options=FinetuneOptions(settings=settings),
    )  # fmt: skip
    return folder / "out"


def test_the_head_reads_the_mean_of_each_sequence(tmp_path: Path) -> None:
    run = load_task(tuned(tmp_path))
    model = run.model
    task = Classification(ClassificationConfig(labels=("bad", "good"), lm_weight=0.0,
                                               pooling="mean"))  # fmt: skip
    texts = [TextExample((text,), label) for text, label in sentences(5, 3)]
    layout = input_format_for(type(model.backbone), run.layout.tokenizer, 40)
    table = SampleTable(sample for one in task.encode(texts, layout) for sample in one)
    batch = table.batch(torch.arange(5).numpy())
    assert isinstance(model, TaskModel)
    hidden = model(batch, task.used(model, batch))
    found = task.scores(model, hidden, batch)
    for number, part in enumerate(hidden.split(batch.offsets.diff().tolist())):
        backbone: Any = model.backbone
        state = backbone.pooler(part.mean(0)).tanh()
        expected = model.head.linear(state)
        torch.testing.assert_close(found[number], expected, atol=1e-5, rtol=1e-4)


def test_a_folder_predicts_as_it_was_trained_and_transformers_refuses_it(tmp_path: Path) -> None:
    """It has no class that averages, and would read the first token with these weights."""
    out = tuned(tmp_path)
    trained = json.loads((out / "result.json").read_text("utf-8"))["metrics"]
    assert evaluate(out, tmp_path / "dev.tsv") == pytest.approx(trained)
    assert load_task(out).recipe.task.pooling == "mean"
    with pytest.raises(ValueError, match="mean-pooled-classifier"):
        AutoModelForSequenceClassification.from_pretrained(out)


def test_an_unknown_pooling_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"task\.pooling='max' must be one of token, mean"):
        ClassificationConfig(pooling="max")
