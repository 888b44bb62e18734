"""foretext's side: finetune and predict, as a user calls them."""

from __future__ import annotations

import tempfile
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
        "training.seed": seed,
        "training.save_every": 1 << 30,
        "finetune.epochs": recipe.epochs,
        "finetune.warmup_rate": recipe.warmup_rate,
        "finetune.eval_every": 1 << 30,
        "data.max_length": recipe.max_length,
        **task_set.settings,
    }


def answers(task_set: TaskSet, files: Files, trunk: Path, seed: int) -> Any:
    """What score.py takes of the test file, after training; the last weights are kept."""
    with tempfile.TemporaryDirectory(prefix="foretext-bench-") as folder:
        options = foretext.FinetuneOptions(
            settings=settings(task_set, seed), calibrate=files.calibrate
        )
        result = foretext.finetune(
            trunk,
            task_set.task,
            train=files.train,
            dev=files.calibrate,
            out=Path(folder, "run"),
            options=options,
        )
        found = foretext.predict(result.folder, files.test)
        return [getattr(prediction, FIELD[task_set.kind]) for prediction in found]


FIELD = {"classification": "label", "similarity": "score", "choice": "choice"}
