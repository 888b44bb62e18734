"""What fine-tuning leaves: measured metrics, calibration, and the model folder."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from foretext.core.atomic import atomic_write_text
from foretext.core.config import to_dict
from foretext.core.errors import ConfigError
from foretext.inference.predict import Window, predictions
from foretext.inference.task_run import CALIBRATION_FILE
from foretext.models import family_for
from foretext.models.folder import save_model
from foretext.recipes.task_recipe import TaskRecipe
from foretext.runs.card import task_card
from foretext.tasks.base import TaskModel
from foretext.tokenizers import Tokenizer


def measure(
    recipe: TaskRecipe, dev: Sequence[Window], model: TaskModel, device: torch.device
) -> tuple[dict[str, float], dict[str, float]]:
    """Metrics on dev, and those of the best answer blind to the text."""
    task = recipe.build_task()
    meter = task.meter()
    for example, prediction in predictions(model, task, dev, device):
        meter.add(example, prediction)
    metrics = meter.result()
    check_metric(recipe, metrics)
    return metrics, meter.baseline()


def check_metric(recipe: TaskRecipe, measured: Collection[str] | None = None) -> None:
    """Whether what is to choose the best weights is measured.

    Args:
        recipe: resolved.
        measured: on a file; None = what its task can measure.

    Raises:
        ConfigError: it is not.
    """
    task = recipe.build_task()
    metric, known = recipe.finetune.metric or task.metric, measured or task.measured
    if metric not in known:
        raise ConfigError(
            f"finetune.metric={metric!r} is not measured; choose one of {', '.join(known)}"
        )


def publish(
    folder: Path,
    recipe: TaskRecipe,
    tokenizer: Tokenizer,
    model: TaskModel,
    values: Mapping[str, Any],
) -> None:
    """The model folder that other tools open, and its card."""
    backbone = model.backbone
    architecture = family_for(backbone.config).hub.class_for(
        backbone.config, recipe.build_task().use
    )
    assert architecture is not None, "fine-tuning has seen to it"
    extra = recipe.build_task().hub_config() | {
        f"{role}_token_id": getattr(tokenizer.special, role) for role in ("pad", "bos", "eos")
    }
    tokenizer.limited_to(recipe.data.max_length).save(folder)
    save_model(
        backbone,
        folder,
        architecture=architecture,
        head=model.head_tensors(),
        extra_config=extra,
    )
    card = task_card(
        folder,
        recipe,
        architecture=architecture,
        metrics=values["metrics"],
        baseline=values["baseline"],
        steps=values["steps"],
    )
    atomic_write_text(folder / "README.md", card)


def calibrate(
    folder: Path,
    recipe: TaskRecipe,
    windows: Sequence[Window],
    model: TaskModel,
    device: torch.device,
) -> TaskRecipe:
    """The recipe with what its task sets after training, such as a threshold; kept in the folder.

    Args:
        windows: what it is set by; never the training file.
    """
    task = recipe.build_task()
    if not (windows and hasattr(task, "calibrated")):
        return recipe
    config = task.calibrated(predictions(model, task, windows, device))
    before, after = to_dict(recipe.task), to_dict(config)
    changes = {name: value for name, value in after.items() if value != before[name]}
    atomic_write_text(folder / CALIBRATION_FILE, json.dumps(changes, indent=2) + "\n")
    return replace(recipe, task=config)
