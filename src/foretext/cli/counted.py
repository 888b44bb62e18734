"""A fine-tuned model that says how far it has come in a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foretext.cli.output import Output
from foretext.cli.reporters import CliReporter
from foretext.data.faults import CorpusStats
from foretext.evaluation.labelled import TaskRun


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


def column_settings(texts: Sequence[str] | None, label: str | None) -> dict[str, Any]:
    """Fields of InputConfig from the options --text-column and --label-column."""
    names = zip(("text", "text_pair"), texts or (), strict=False)
    return dict(names) | ({"label": label} if label else {})


def say_which(given: Path, used: Path, output: Output) -> None:
    """Of a folder with several runs, tell which one is used."""
    if used != given:
        output.note(f"{given} holds several runs; the best is {used}")
