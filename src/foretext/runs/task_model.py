"""A pre-trained backbone with a task's new head, ready to be trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from foretext.core import rng
from foretext.models.folder import load_model
from foretext.nn.backbone import Backbone
from foretext.nn.dropout import Dropout
from foretext.recipes.task_recipe import TaskRecipe
from foretext.runs.reused_head import previous_task, reuse_head
from foretext.tasks.base import TaskModel
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
    model = TaskModel(backbone, recipe.build_task().head(backbone, generator("head")))
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
    for module in backbone.modules():
        if isinstance(module, Dropout):
            module.set_rate(rate)
    backbone.config = replace(backbone.config, dropout=rate, attention_dropout=rate)
