"""Progress bars on a terminal: one a stage, and for training its numbers in a line below."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Self

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn
from rich.text import Text

from foretext.cli.reporters import (
    CliReporter,
    Clock,
    amount,
    evaluation_line,
    speed,
    step_numbers,
)
from foretext.training.progress import StepReport


class _Bars(Progress):
    """Bars, and a line of numbers under them."""

    numbers = ""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        if self.numbers:
            yield Text(self.numbers, no_wrap=True, overflow="ellipsis")


class TerminalReporter(CliReporter):
    """Draws on standard error."""

    def __init__(self, console: Console | None = None) -> None:
        self._bars = _Bars(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            TaskProgressColumn(),
            TextColumn("{task.fields[detail]}", markup=False),
            console=console or Console(stderr=True),
            expand=True,
            redirect_stdout=False,
        )
        self._tasks: dict[str, TaskID] = {}
        self._clock = Clock()

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def message(self, text: str) -> None:
        self._clock.hear()
        self._bars.console.print(text, markup=False, highlight=False, emoji=False)

    def stage(self, name: str, done: int, total: int | None) -> None:
        done = done if total is None else min(done, total)
        bar = self._task(name, total)
        detail = amount(name, done) + self._clock.told(name, done, total)
        if done == total:
            self._tasks.pop(name)  # a later stage of that name gets a bar of its own
        self._bars.update(bar, completed=done, total=total, detail=detail)

    def step(self, report: StepReport) -> None:
        bar = self._task("training", report.steps)
        self._clock.hear()
        detail = f"{report.step:,}/{report.steps:,}, {speed(report)}"
        self._bars.numbers = f"  {step_numbers(report)}"
        self._bars.update(bar, completed=report.step, detail=detail)

    def evaluated(self, step: int, metrics: Mapping[str, float]) -> None:
        self.message(evaluation_line(step, metrics))

    def _task(self, name: str, total: int | None) -> TaskID:
        if name not in self._tasks:
            fields: dict[str, Any] = {"detail": ""}
            self._tasks[name] = self._bars.add_task(name, total=total, **fields)
        return self._tasks[name]
