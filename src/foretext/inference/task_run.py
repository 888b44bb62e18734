"""A fine-tuned model's folder, opened for use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from foretext.core.config import flatten, read_toml, unflatten, unknown_path
from foretext.core.errors import ConfigError
from foretext.hub.folder import check_is_folder
from foretext.hub.weight_files import read_json
from foretext.inference.predict import encode_windows, predictions
from foretext.inference.tally import Tally
from foretext.models.folder import load_model
from foretext.recipes.best import best_folder
from foretext.recipes.folder import RECIPE_FILE, in_progress
from foretext.recipes.hub_task import hub_recipe, hub_task
from foretext.recipes.task_recipe import TaskRecipe
from foretext.tasks import task_module
from foretext.tasks.base import Task, TaskModel
from foretext.tasks.features import FeatureReader
from foretext.tasks.inputs import InputFormat
from foretext.text.errors import listed
from foretext.tokenizers import Tokenizer
from foretext.training.precision import check_precision, chosen_device

CALIBRATION_FILE = "calibration.json"  # what a task set after training, beneath run.toml's [task]


@dataclass(frozen=True, kw_only=True)
class TaskRun:
    """A fine-tuned model, ready to be used."""

    folder: Path
    recipe: TaskRecipe
    task: Task
    layout: InputFormat
    model: TaskModel  # in eval mode
    device: torch.device
    precision: str = "fp32"  # of the backbone's products, see training/precision.py
    changed: frozenset[str] = frozenset()  # paths of settings that differ from training's by wish
    tally: Tally = field(default_factory=Tally)  # what was not read of the examples so far

    def predictions(self, examples: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        """Every example with its prediction, in order."""
        windows = encode_windows(examples, self.task, self.layout, self.tally)
        return predictions(self.model, self.task, windows, self.device, self.precision)


def load_task(
    folder: str | Path, *, precision: str = "fp32", settings: Mapping[str, Any] | None = None
) -> TaskRun:
    """Open what `foretext finetune` made; of several seeds or points of a grid the best one.

    Or an encoder that `transformers` fine-tuned, see recipes/hub_task.py.

    Args:
        folder: of the run.
        precision: "fp32", or "bf16" where that is faster; the head stays fp32.
        settings: path -> value, where files are read or answers chosen otherwise than in training:
            data.*, and of task.* what the task's module names in IN_USE.

    Raises:
        ConfigError: it was not fine-tuned, or not to its end; the precision is unknown, or a
            setting is, or training has fixed it.
        CheckpointError, TokenizerError: it is no folder, or its files are damaged.
    """
    check_precision("precision", precision)
    check_is_folder(Path(folder))
    folder = best_folder(Path(folder))
    if task_of_class(folder) is not None:
        loaded = load_model(folder)
        recipe = hub_recipe(folder, loaded)
    else:
        recipe = _recipe(folder)
        loaded = load_model(folder)
    recipe = _changed(recipe, settings or {})
    task = recipe.build_task()
    layout = recipe.layout(loaded.model, Tokenizer.load(folder))
    features = FeatureReader(recipe.finetune.features(), loaded.model)
    model = TaskModel(loaded.model, task.head(loaded.model, torch.Generator()), features)
    model.load_head(loaded.head)
    device = chosen_device()
    return TaskRun(
        folder=folder,
        recipe=recipe,
        task=task,
        layout=layout,
        model=model.to(device).eval(),
        device=device,
        precision=precision,
        changed=frozenset(settings or ()),
    )


def _changed(recipe: TaskRecipe, settings: Mapping[str, Any]) -> TaskRecipe:
    """The recipe with settings of its use."""
    if not settings:
        return recipe
    module = task_module(recipe.task_name)
    open_ = [f"data.{name}" for name in module.Input.__dataclass_fields__]
    open_ += [f"task.{name}" for name in getattr(module, "IN_USE", ())]
    values = flatten(recipe.values())
    for path in settings:
        if path not in open_ and path in values:
            raise ConfigError(f"{path} was fixed by training; what can be set is {listed(open_)}")
        if path not in open_:
            raise unknown_path(path, open_)
    return TaskRecipe.from_values(unflatten(values | dict(settings)))


def task_of_class(folder: Path) -> str | None:
    """The task of a folder that has no run.toml, if the class in its config.json is a task's."""
    if (folder / RECIPE_FILE).is_file() or not (folder / "config.json").is_file():
        return None
    return hub_task(read_json(folder / "config.json"))


def _recipe(folder: Path) -> TaskRecipe:
    path = folder / RECIPE_FILE
    values = read_toml(path) if path.is_file() else {}
    if "task" not in values:
        raise ConfigError(
            f"{folder} was not fine-tuned: its {RECIPE_FILE} names no task; give a folder that "
            "`foretext finetune` made, or whose config.json names a task's class"
        )
    if not (folder / "config.json").is_file():
        if in_progress(folder):
            raise ConfigError(
                f"{folder} is a run in progress: another process trains it; wait until it ends"
            )
        raise ConfigError(
            f"{folder} holds no model yet: its fine-tuning was stopped; go on with the same command"
        )
    values.pop("source", None)
    if (calibration := folder / CALIBRATION_FILE).is_file():
        values["task"] |= read_json(calibration)
    return TaskRecipe.from_values(values)
