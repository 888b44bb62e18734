"""foretext finetune RUN masked|causal: pre-training that goes on with the text of a domain."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from foretext.cli import plan
from foretext.cli.output import Output
from foretext.cli.units import columns
from foretext.core.errors import ConfigError

if TYPE_CHECKING:
    from foretext.runs.continued import ContinuedResult

NAMES = ("masked", "causal")  # training.continued_plan.CONTINUED, which imports torch


def only_labelled(task: str, options: Mapping[str, Any]) -> None:
    """Refuse options that mean something with labels alone.

    Args:
        task: one of NAMES.
        options: their values by name; those not given are None or False.

    Raises:
        ConfigError: one was given.
    """
    if given := [name for name, value in options.items() if value]:
        raise ConfigError(f"{task} learns from text without labels; leave out {given[0]}")


def show_plan(
    run: Path, task: str, output: Output, files: Mapping[str, Any], how: Mapping[str, Any]
) -> int:
    """Print recipe and cost of what `go_on` would do; arguments as there."""
    from foretext.runs.continued import dry_run
    from foretext.runs.continued_plan import ContinuedOptions

    options = ContinuedOptions(**how)
    with output.progress() as reporter:
        recipe, cost = dry_run(run, task, **files, options=options, reporter=reporter)
    return plan.show_plan(recipe, cost, plan.plan(recipe, cost, None), output)


def go_on(
    run: Path, task: str, output: Output, files: Mapping[str, Any], how: Mapping[str, Any]
) -> int:
    """Continue a model's pre-training; print what was gained and forgotten.

    Args:
        files: train, dev and out.
        how: fields of ContinuedOptions.
    """
    from foretext.runs.continued import continue_pretraining
    from foretext.runs.continued_plan import ContinuedOptions

    options = ContinuedOptions(**how)
    with output.training(files["out"]) as reporter:
        result = continue_pretraining(run, task, **files, options=options, reporter=reporter)
    progress = result.progress
    record = {
        "event": "done" if result.finished else "stopped",
        "folder": str(result.folder),
        "step": progress.step,
        "tokens": progress.tokens,
        "metrics": progress.last_metrics,
        "new_tokens": result.new_tokens,
        "texts": [text.record() for text in result.texts],
    }
    output.result(_summary(result), record)
    if not result.finished:
        output.note("saved; the same command goes on")
        return 130
    if result.new_parts:
        level = result.unigram
        against = (
            "" if level is None else f"; token frequencies alone have {level:.3f} nats a token"
        )
        output.note(
            f"warning: {', '.join(result.new_parts)} was new, so the loss before is that of random "
            f"weights and no measure of the model{against}"
        )
    output.note(
        f"next: foretext finetune {quote(str(result.folder))} TASK --train train.tsv --dev dev.tsv"
    )
    return 0


def _summary(result: ContinuedResult) -> str:
    """The table of losses, and in a line what it says."""
    if not result.texts:
        return str(result.folder)
    rows = [
        (text, measure, f"{before:.3f}", f"{after:.3f}", f"{_change(before, after):+.1f} %")
        for compared in result.texts
        for text, measure, before, after in compared.rows()
    ]
    table = columns(rows, header=("text", "measure", "before", "after", "change"))
    changes = [f"{text.text} text {100 * text.change:+.1f} %" for text in result.texts]
    new = f"{result.new_tokens} new tokens; " if result.new_tokens else ""
    return f"{table}\n{result.folder}: {new}loss a word: {', '.join(changes)}"


def _change(before: float, after: float) -> float:
    """In percent; 0 where there was nothing."""
    return 100 * (after / before - 1) if before else 0.0
