"""What a pre-training run is built of: the network with its initial weights, and its samples."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from foretext.core import rng
from foretext.models import network_for
from foretext.nn.backbone import Network
from foretext.objectives.base import SomeObjective, Vocabulary
from foretext.recipes.recipe import Recipe
from foretext.runs.options import Start
from foretext.shards.store import DocumentView, Shards
from foretext.training.samples import SamplePlan
from foretext.training.step import compile_feed_forward


def sample_plan(
    folder: Path,
    recipe: Recipe,
    objective: SomeObjective,
    vocabulary: Vocabulary,
    corpus: Shards | DocumentView,
) -> SamplePlan:
    """What the steps read; the last of them longer sequences, if the recipe says so."""
    seed, then = recipe.training.seed, None
    if recipe.long_from is not None:
        long = recipe.build_objective(vocabulary, long=True)
        then = SamplePlan(long, corpus, folder / "long", rng.key(seed, "long"))
    epochs = SamplePlan(objective, corpus, folder, seed, then=then)
    return timed_plan(epochs, recipe)


def timed_plan(epochs: SamplePlan, recipe: Recipe) -> SamplePlan:
    """The same, which serve the steps before Recipe.long_from."""
    if recipe.long_from is None:
        return epochs
    return replace(epochs, until=recipe.training.batch_sizes().before(recipe.long_from))


def build_model(recipe: Recipe, start: Start | None = None) -> Network:
    """The recipe's model with its initial weights: the start's, or a function of the seed."""
    if start is None:
        model = network_for(recipe.model, recipe.use)
        generator = torch.Generator().manual_seed(rng.key(recipe.training.seed, "weights") % 2**63)
        model.initialise(generator)
    else:
        model = start.model
    if recipe.training.compile:
        compile_feed_forward(model)
    return model
