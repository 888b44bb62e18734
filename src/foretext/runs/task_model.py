"""A pre-trained backbone with a task's head, ready to be trained.

A model that was fine-tuned before goes on with its head, where task and labels are the same: so a
model of SQuAD 1.1 goes on to 2.0, and a classifier to more of its own data. Otherwise only the
backbone is taken and the head is new, as after MNLI in the papers of RoBERTa and ALBERT.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from foretext.core import rng
from foretext.core.config import read_toml
from foretext.models.folder import load_model
from foretext.nn.backbone import Backbone
from foretext.nn.dropout import Dropout
from foretext.recipes.folder import RECIPE_FILE
from foretext.recipes.hub_task import hub_task
from foretext.recipes.task_recipe import TaskRecipe
from foretext.tasks.base import TaskModel
from foretext.tasks.features import FeatureReader
from foretext.tasks.inputs import fit_to_tokens
from foretext.tokenizers import Tokenizer
from foretext.training.step import compile_feed_forward


def task_model(
    recipe: TaskRecipe,
    backbone_folder: Path,
    before: Tokenizer,
    after: Tokenizer,
    *,
    allow_pickle: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> TaskModel:
    """Backbone and head, a function of the backbone's weights and the seed.

    Args:
        recipe: resolved.
        backbone_folder: the pre-trained model's.
        before, after: its tokenizer, and with the tokens of the task's layout.
        allow_pickle: as in load_model.
        say: hears what became of the head of a model that was fine-tuned before.
    """
    seed = recipe.training.seed

    def generator(purpose: str) -> torch.Generator:
        return torch.Generator().manual_seed(rng.key(seed, purpose) % 2**63)

    loaded = load_model(backbone_folder, allow_pickle=allow_pickle, seed=seed)
    backbone = loaded.model
    if recipe.finetune.random_weights:
        backbone.initialise(generator("weights"))
    if recipe.finetune.dropout is not None:
        _set_dropout(backbone, recipe.finetune.dropout)
    fit_to_tokens(backbone, before, after, generator("task tokens"))
    features = FeatureReader(recipe.finetune.features(), backbone)
    features.initialise(generator("features"))
    model = TaskModel(backbone, recipe.build_task().head(backbone, generator("head")), features)
    former = previous_task(backbone_folder, loaded.raw_config)
    if former and not (recipe.finetune.new_head or recipe.finetune.random_weights):
        say(reuse_head(model, loaded.head, former, recipe.task_name, recipe.task))
    if recipe.finetune.freeze is not None:
        for module in backbone.lower_layers(recipe.finetune.freeze):
            module.requires_grad_(False)
    if recipe.training.compile:
        compile_feed_forward(backbone)
    return model


def _set_dropout(backbone: Backbone, rate: float) -> None:
    """Give every dropout layer, and the config, this probability."""
    names = {"dropout", "attention_dropout"} & {f.name for f in fields(backbone.config)}
    for module in backbone.modules():
        if isinstance(module, Dropout):
            module.set_rate(rate)
    backbone.config = replace(backbone.config, **dict.fromkeys(names, rate))


@dataclass(frozen=True, kw_only=True)
class PreviousTask:
    """What a model was fine-tuned on."""

    task: str
    labels: tuple[str, ...]  # by class id; () where none are named


def previous_task(folder: Path, raw: Mapping[str, Any]) -> PreviousTask | None:
    """The task of a model's folder, ours or of transformers; None if it was only pre-trained.

    Args:
        folder: with config.json.
        raw: its config.json.
    """
    path = folder / RECIPE_FILE
    if path.is_file():
        values = read_toml(path)
        if "task" not in values:
            return None
        labels = values["task"].get("labels", ())
        return PreviousTask(task=str(values.get("name")), labels=tuple(map(str, labels)))
    task = hub_task(raw)
    named = raw.get("id2label")
    known = named if isinstance(named, dict) else {}
    ordered = [str(known.get(str(i))) for i in range(len(known))]
    return None if task is None else PreviousTask(task=task, labels=tuple(ordered))


def reuse_head(
    model: TaskModel, head: Mapping[str, Tensor], former: PreviousTask, task: str, config: Any
) -> str:
    """Copy the head into the model if it is of the same task, labels and parts.

    Args:
        head: as LoadedModel has it.
        task, config: what the model is to be trained for.

    Returns:
        What was done, for people.
    """
    if former.task != task:
        return f"the head is new: the model was fine-tuned on {former.task}, not on {task}"
    labels = tuple(getattr(config, "labels", ()))
    if sorted(labels) != sorted(former.labels if labels else ()):
        old, new = (", ".join(names[:5]) or "none" for names in (former.labels, labels))
        return f"the head is new: the model's labels were {old}, these are {new}"
    wanted = {name: tensor.shape for name, tensor in model.head_tensors().items()}
    if {name: tensor.shape for name, tensor in head.items()} != wanted:
        return "the head is new: the model's has other parts than these settings ask for"
    order = [former.labels.index(label) for label in labels] or slice(None)
    features = {name: tensor for name, tensor in head.items() if name.startswith("features.")}
    model.load_head({name: tensor[order] for name, tensor in head.items()} | features)
    return "the model's own head goes on (finetune.new_head=true begins with a new one)"
