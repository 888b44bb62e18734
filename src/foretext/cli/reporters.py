"""Progress as plain lines or as JSON lines; terminal.py draws it.

A reporter is a context manager, so that a live display is taken away whatever happens.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self, TextIO

from foretext.cli.units import duration, metrics, short, size
from foretext.training.progress import StepReport

# The others count items.
_BYTE_STAGES = ("tokenizer", "prepare", "check", "evaluate", "predict", "embed")
_EVERY = 10.0  # seconds between two plain lines of one stage


class CliReporter:
    """Says nothing; the others say what they must."""

    def message(self, text: str) -> None: ...

    def stage(self, name: str, done: int, total: int | None) -> None: ...

    def step(self, report: StepReport) -> None: ...

    def evaluated(self, step: int, metrics: Mapping[str, float]) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def amount(name: str, value: float) -> str:
    """How far a stage has come, in its unit."""
    return size(value) if name in _BYTE_STAGES else short(value)


def step_numbers(report: StepReport) -> str:
    """The numbers of an update in one line."""
    terms = ", ".join(f"{name} {value:.3f}" for name, value in report.terms.items())
    inner = f" ({terms})" if len(report.terms) > 1 else ""
    parts = [
        f"loss {report.loss:.3f}{inner}",
        f"lr {report.learning_rate:.2e}",
        f"grad {report.gradient_norm:.2f}",
    ]
    if report.utilisation is not None:
        parts.append(f"{report.utilisation:.0%} of peak")  # of a matrix multiply measured here
    return "  ".join(parts)


def speed(report: StepReport) -> str:
    """Tokens a second and the time that is left."""
    return f"{short(report.tokens_per_second)} tok/s, {duration(report.seconds_left)} left"


_SHORTEST = 0.5  # seconds after which a rate means something


class Clock:
    """Times the stages of a command."""

    def __init__(self) -> None:
        self._heard = time.monotonic()  # of anything
        self._stages: dict[str, tuple[float, float, int]] = {}  # begun, first news, done by then

    def hear(self) -> float:
        """Take note of news; the time."""
        self._heard = time.monotonic()
        return self._heard

    def told(self, name: str, done: int, total: int | None) -> str:
        """A stage's rate and the time it has left, or the time it took.

        A rate is of what was done since the first news: what was there already took no time. A
        stage that says nothing before its end began with the news before that.
        """
        heard, now = self._heard, self.hear()
        begun, first, had = self._stages.setdefault(name, (heard, now, done))
        if done == total:
            self._stages.pop(name)
            return f", done in {duration(now - begun)}"
        if now - first < _SHORTEST or done <= had:
            return ""
        rate = (done - had) / (now - first)
        left = "" if total is None else f", {duration((total - done) / rate)} left"
        return f", {amount(name, rate)}/s{left}"


class PlainReporter(CliReporter):
    """A line on standard error for each piece of news."""

    def __init__(self) -> None:
        self._clock = Clock()
        self._said: dict[str, float] = {}  # stage -> the time of its last line
        self._stepped = -_EVERY  # the time of the last line on steps

    def message(self, text: str) -> None:
        self._clock.hear()
        say(text, sys.stderr)

    def stage(self, name: str, done: int, total: int | None) -> None:
        done = done if total is None else min(done, total)
        told, now = self._clock.told(name, done, total), time.monotonic()
        if done != total and now - self._said.setdefault(name, now) < _EVERY:
            return
        self._said[name] = now
        line = f"{name}: {amount(name, done)}"
        if done == total:
            self._said.pop(name)
        elif total is not None:
            line += f" of {amount(name, total)}"
        say(line + told, sys.stderr)

    def step(self, report: StepReport) -> None:
        """The first, the last, and one every ten seconds between."""
        now = self._clock.hear()
        if report.step != report.steps and now - self._stepped < _EVERY:
            return
        self._stepped = now
        numbers = f"{step_numbers(report)}  {speed(report)}"
        say(f"step {report.step:,}/{report.steps:,}  {numbers}", sys.stderr)

    def evaluated(self, step: int, metrics: Mapping[str, float]) -> None:
        say(evaluation_line(step, metrics), sys.stderr)


class JsonReporter(CliReporter):
    """A JSON line for each piece of news; a stage speaks at most once a second."""

    def __init__(self, *, emit: Callable[[Mapping[str, Any]], None]) -> None:
        self._emit = emit
        self._last = 0.0

    def message(self, text: str) -> None:
        self._emit({"event": "message", "text": text})

    def stage(self, name: str, done: int, total: int | None) -> None:
        now = time.monotonic()
        done = done if total is None else min(done, total)
        if done == total or now - self._last > 1.0:
            self._last = now
            self._emit({"event": "stage", "name": name, "done": done, "total": total})

    def step(self, report: StepReport) -> None:
        record = report.as_record()
        self._emit({"event": "step"} | record | {"seconds_left": report.seconds_left})

    def evaluated(self, step: int, metrics: Mapping[str, float]) -> None:
        self._emit({"event": "evaluated", "step": step} | dict(metrics))


def evaluation_line(step: int, values: Mapping[str, float]) -> str:
    """Held-out numbers in one line."""
    return f"held-out at step {step:,}: {metrics(values)}"


def say(line: str, stream: TextIO) -> None:
    """Print a line of news; if its reader has left, as `tee` does on Ctrl-C, the run goes on."""
    try:
        print(line, file=stream, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
