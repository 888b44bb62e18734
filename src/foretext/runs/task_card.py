"""The model card of a fine-tuned model: what it is for, how it was made, what it reached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from foretext.recipes.task_recipe import TaskRecipe
from foretext.runs.card import opens
from foretext.tasks import task_module


def task_card(
    folder: Path,
    recipe: TaskRecipe,
    *,
    architecture: str,
    metrics: Mapping[str, float],
    baseline: Mapping[str, float],
    steps: int,
) -> str:
    """README.md of a fine-tuned model, with the metadata block that model hubs read."""
    name, training, guide = folder.name, recipe.training, task_module(recipe.task_name).GUIDE
    rows = "\n".join(_row(key, value, baseline.get(key)) for key, value in metrics.items())
    head = "| development file | value | best answer blind to the text |\n|---|---|---|\n"
    table = head + rows if rows else "There was no development file."
    library, opening = opens({"": architecture})
    source = "" if recipe.paper is None else f"Recipe `{recipe.paper}`: "
    start = "random weights" if recipe.finetune.random_weights else "pre-trained weights"
    return f"""---
library_name: {library}
pipeline_tag: {guide.hub}
tags: [foretext, {recipe.task_name}]
---

# {name}

A model for `{recipe.task_name}`, fine-tuned from {start} with
foretext. {opening}

    foretext evaluate {name} --data {guide.labelled}
    foretext predict {name} {guide.inputs}

It reads {_texts(recipe.data.texts)}, at most {recipe.data.max_length}
tokens{_learned(recipe.data)}.

## Procedure

{source}{steps} of {training.steps} steps of {training.batch_size} examples;
{training.optimizer}, peak learning rate {training.learning_rate:g}, {training.schedule} schedule,
{training.warmup_steps} warm-up steps, seed {training.seed}. `run.toml` repeats the run.

## Results

{table}

## Limits

It judges texts unlike its training file without notice, and repeats the errors of its labels.
"""


def _row(name: str, value: float, blind: float | None) -> str:
    return f"| {name} | {value:.4g} | {'' if blind is None else f'{blind:.4g}'} |"


def _texts(columns: Sequence[str]) -> str:
    names = [f"`{name}`" for name in columns]
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def _learned(columns: Any) -> str:
    """What it learned from, where the file names it."""
    return f", and learned from `{columns.label}`" if columns.label else ""
