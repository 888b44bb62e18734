"""foretext's side: finetune and predict, as a user calls them."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import foretext
from bench.tasks.files import Files
from bench.tasks.sets import TaskSet


def settings(task_set: TaskSet, seed: int) -> dict[str, Any]:
    """The recipe in foretext's words."""
    recipe = task_set.recipe
    return {
        "training.optimizer": "adamw",
        "training.eps": 1e-8,
        "training.schedule": "linear-from-peak",  # transformers' linear
        "training.batch_size": recipe.batch_size,
        "training.learning_rate": recipe.learning_rate,
        "training.weight_decay": recipe.weight_decay,
        "training.clip_norm": recipe.clip_norm,
        "training.precision": recipe.precision,
        "training.seed": seed,
        "training.save_every": 1 << 30,
        "finetune.epochs": recipe.epochs,
        "finetune.warmup_rate": recipe.warmup_rate,
        "finetune.eval_every": 1 << 30,
        "data.max_length": recipe.max_length,
        **task_set.settings,
    }


def answers(task_set: TaskSet, files: Files, backbone: Path, seed: int) -> Any:
    """What score.py takes of the test file, after training; the last weights are kept."""
    with tempfile.TemporaryDirectory(prefix="foretext-bench-") as folder:
        run = Path(folder, "run")
        train(task_set, files, backbone, run, settings(task_set, seed))
        return tested(task_set, files, run)


def train(
    task_set: TaskSet, files: Files, backbone: Path, out: Path, changes: Mapping[str, Any]
) -> None:
    """Fine-tune into a folder."""
    options = foretext.FinetuneOptions(settings=changes, calibrate=files.calibrate)
    foretext.finetune(
        backbone,
        task_set.task,
        train=files.train,
        dev=files.calibrate,
        out=out,
        options=options,
    )


def logged(run: Path) -> list[dict[str, Any]]:
    """What a run wrote of its steps."""
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [step for line in lines if "loss" in (step := json.loads(line))]


def tested(task_set: TaskSet, files: Files, run: Path) -> Any:
    """The answers of a fine-tuned folder to the test file."""
    found = foretext.predict(run, files.test)
    if task_set.kind == "questions":
        return {prediction.id: prediction.text for prediction in found}
    return [getattr(prediction, _FIELDS[task_set.kind]) for prediction in found]


_FIELDS = {
    "classification": "label",
    "similarity": "score",
    "choice": "index",
    "gpt-choice": "index",
    "tagging": "tags",
}
