"""A fine-tuned model that says how far it has come in a file."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foretext.cli.output import Output
from foretext.cli.reporters import CliReporter
from foretext.core.errors import ConfigError
from foretext.inference.task_run import TaskRun
from foretext.tasks import task_module
from foretext.text.errors import CorpusStats


@dataclass(frozen=True, kw_only=True)
class CountedRun(TaskRun):
    """A TaskRun that reports the bytes of its file that were read."""

    stage: str
    file: Path
    stats: CorpusStats
    reporter: CliReporter

    def predictions(self, examples: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        total = self.file.stat().st_size if self.file.is_file() else None
        last = -1
        for pair in super().predictions(examples):
            if self.stats.read_bytes != last:
                last = self.stats.read_bytes
                self.reporter.stage(self.stage, last if total is None else min(last, total), total)
            yield pair


def skip_note(stats: CorpusStats, what: str, *, readings: int = 1) -> str:
    """How many records are `what`, and where the rest of a file was not read; "" if neither.

    Args:
        readings: of the file, all in the stats.
    """
    count = stats.left_out // readings
    words = stats.skipped_words // readings
    lost = f" ({words:,} words)" if words else ""
    counted = [f"{count:,} {what}{lost}"] if count else []
    noted = [f"{number // readings:,} {note}" for note, number in stats.notes.items()]
    return "; ".join([*counted, *dict.fromkeys(stats.unread), *noted])


def say_losses(run: TaskRun, output: Output) -> None:
    """Warn of what the model did not get of the examples that it read."""
    unit = task_module(run.recipe.task_name).GUIDE.unit
    for line in run.tally.said(unit, run.layout):
        output.note(f"warning: {line}")


def column_settings(task: str, texts: Sequence[str] | None, label: str | None) -> dict[str, Any]:
    """Fields of a task's Input from the options --text-column and --label-column.

    Raises:
        ConfigError: the task's files have no such column.
    """
    fields = {field.name for field in dataclasses.fields(task_module(task).Input)}
    kept = [name for name in ("text", "text_pair") if name in fields]
    if texts and not kept:
        raise ConfigError(f"--text-column is not for {task}; {_instead(fields)}")
    if texts and len(texts) > len(kept):
        raise ConfigError(
            f"--text-column was given {len(texts)} times, but {task} reads {len(kept)} at most"
        )
    if label and "label" not in fields:
        raise ConfigError(f"--label-column is not for {task}; {_instead(fields)}")
    return dict(zip(kept, texts or (), strict=False)) | ({"label": label} if label else {})


def _instead(fields: set[str]) -> str:
    """How a file's columns are named where there is no option for it."""
    if {"context", "candidates"} <= fields:
        return (
            """name the columns by --set 'data.context=["..."]' and """
            """--set 'data.candidates=["...", "..."]'"""
        )
    return "its files' fields have fixed names, so leave it out"


def say_which(given: Path, used: Path, output: Output) -> None:
    """Of a folder with several runs, tell which one is used."""
    if used != given:
        output.note(f"{given} holds several runs; the best is {used}")
