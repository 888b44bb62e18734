"""Where a verb's words go: results to standard output, everything else to standard error.

With --json standard output carries JSON lines and nothing else; with --quiet there are results
alone. Paths and texts are printed as they are, never read as markup.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from foretext.cli.korean import said
from foretext.cli.reporters import CliReporter, JsonReporter, PlainReporter, say

Json = Annotated[
    bool, typer.Option("--json", help="Print JSON lines on standard output and nothing else.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print the result alone.")]


@dataclass(frozen=True, kw_only=True)
class Output:
    """What the user asked to see."""

    json: bool = False
    quiet: bool = False
    track: tuple[str, ...] = ()  # trackers that are told of a run

    def result(self, text: str, record: Mapping[str, Any]) -> None:
        """What the verb was asked for: as text, or as one JSON line."""
        print(as_json(record) if self.json else text)

    def note(self, text: str) -> None:
        """A word beside the result, such as what to do next."""
        if not self.json and not self.quiet:
            print(said(text), file=sys.stderr)

    def progress(self) -> AbstractContextManager[CliReporter]:
        """A reporter for the time of a block."""
        if self.quiet:
            return CliReporter()
        if self.json:
            return JsonReporter(emit=lambda record: say(as_json(record), sys.stdout))
        if sys.stderr.isatty():
            from foretext.cli.terminal import TerminalReporter

            return TerminalReporter()
        return PlainReporter()

    @contextmanager
    def training(self, folder: Path) -> Iterator[CliReporter]:
        """A reporter for the time of a run in a folder, whose trackers are told too."""
        from foretext.runs.tracking import tracking

        with self.progress() as reporter, tracking(self.track, folder, reporter.message):
            yield reporter


def as_json(record: Mapping[str, Any]) -> str:
    """One line of JSON, in which a number that is not finite is null."""
    return json.dumps(_plain(record), ensure_ascii=False, default=str)


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value
