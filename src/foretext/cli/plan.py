"""What a run will cost, said before it starts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from foretext.cli.machine import total_memory
from foretext.cli.output import Output
from foretext.cli.units import columns, duration, short, size

if TYPE_CHECKING:
    from foretext.recipes.recipe import Recipe
    from foretext.recipes.task_recipe import TaskRecipe
    from foretext.runs.estimate import Estimate, TaskEstimate
    from foretext.training.config import TrainingConfig


def show_plan(
    recipe: Recipe | TaskRecipe, cost: Estimate | TaskEstimate, text: str, output: Output
) -> int:
    """What --dry-run prints: the resolved recipe, which is a --config; beside it the plan."""
    import tomli_w

    values = recipe.values()
    record = {"event": "plan", "recipe": values, "estimate": cost.as_dict()}
    output.result(tomli_w.dumps(values).rstrip("\n"), record)
    output.note(text)
    output.note("Nothing was written. The same command without --dry-run starts the run.")
    return 0


def _of(total: int | None) -> str:
    return "" if total is None else f" of {size(total)}"


def plan(recipe: Recipe, cost: Estimate, folder: Path | None) -> str:
    """The plan of a run as lines for a reader.

    Args:
        folder: where the run will lie; None when nothing is written.
    """
    training = recipe.training
    samples = f"{cost.samples_per_epoch:,} samples an epoch"
    rows = [
        ("objective", recipe.objective_name),
        ("parameters", f"{cost.parameters:,}, of them {cost.embedding_parameters:,} in tables"),
        ("steps", f"{training.steps:,} of {_batch(training)} sequences"),
        ("tokens", f"{short(cost.tokens)}, {short(cost.tokens_per_step)} a step"),
        ("epochs", f"{cost.epochs:.3g}, {samples}"),
        ("compute", f"{short(cost.flops)}FLOP, {short(cost.flops_per_token)}FLOP a token"),
        ("memory", f"about {size(cost.memory_bytes)}{_of(total_memory())}"),
        ("disk", f"about {size(cost.disk_bytes)}"),
    ]
    if recipe.long_from is not None:
        short_ones, long_ones = recipe.data.max_length, recipe.data.long_length
        last = f"{long_ones:,} in the last {training.steps - recipe.long_from:,} steps"
        rows.insert(3, ("sequences", f"{short_ones:,} tokens, {last}"))
    if cost.seconds is not None and cost.seconds_per_step is not None:
        step = cost.seconds_per_step
        rate = f"{step:.2f} s" if step >= 1 else f"{step * 1000:.0f} ms"
        rows.append(("time", f"about {duration(cost.seconds)}, {rate} a step, measured here"))
    table = "\n".join(f"  {line}" for line in columns(rows).splitlines())
    title = recipe.preset if folder is None else f"{recipe.preset} -> {folder}"
    return f"{title}\n{table}"


def task_plan(recipe: TaskRecipe, cost: TaskEstimate, folder: Path | None) -> str:
    """The plan of fine-tuning as lines for a reader.

    Args:
        folder: where the result will lie; None when nothing is written.
    """
    training = recipe.training
    every = cost.backbone_parameters + cost.head_parameters
    frozen = every - cost.trained_parameters
    stay = f", of them {frozen:,} stay as they are" if frozen else ""
    parameters = (
        f"{cost.backbone_parameters:,} in the backbone, {cost.head_parameters:,} in the head"
    )
    rates = f"{training.learning_rate:g} at its peak, {training.schedule}"
    rows = [
        ("parameters", parameters + stay),
        ("samples", f"{cost.samples:,}, {short(cost.tokens_per_epoch)} tokens an epoch"),
        ("steps", f"{cost.steps:,} of {_batch(training)} samples, {cost.epochs:.3g} epochs"),
        ("rate", f"{rates}, {training.warmup_steps:,} steps of warm-up"),
        ("memory", f"about {size(cost.memory_bytes)}{_of(total_memory())}"),
    ]
    table = "\n".join(f"  {line}" for line in columns(rows).splitlines())
    named = "" if recipe.paper is None else f" ({recipe.paper})"
    place = "" if folder is None else f" -> {folder}"
    return f"{recipe.task_name}{named}{place}\n{table}"


def _batch(training: TrainingConfig) -> str:
    first, full = training.batch_sizes().size(0), f"{training.batch_size:,}"
    return full if first == training.batch_size else f"{first:,} to {full}"
