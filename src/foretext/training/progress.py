"""What a run tells whoever watches it. The command line draws it; a notebook may ignore it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, Protocol


@dataclass(frozen=True, kw_only=True)
class StepReport:
    """One update, or the mean of the updates since the last report."""

    step: int  # updates made
    steps: int  # of the whole run
    loss: float  # nats, all terms
    terms: Mapping[str, float]  # nats, each term
    learning_rate: float
    gradient_norm: float  # before clipping
    tokens: int  # since the run began
    tokens_per_second: float
    utilisation: float | None  # share of the measured matrix-multiply rate
    seconds_left: float

    def as_record(self) -> dict[str, Any]:
        """A line of metrics.jsonl."""
        return {
            "step": self.step,
            "loss": self.loss,
            **{f"loss/{name}": value for name, value in self.terms.items()},
            "learning_rate": self.learning_rate,
            "gradient_norm": self.gradient_norm,
            "tokens": self.tokens,
            "tokens_per_second": self.tokens_per_second,
            "utilisation": self.utilisation,
        }


class Reporter(Protocol):
    """Takes a run's news. Every method may do nothing."""

    def message(self, text: str) -> None:
        """One line for the user."""

    def stage(self, name: str, done: int, total: int | None) -> None:
        """Progress of a stage with a name and a unit, such as "prepare"; done == total ends it."""

    def step(self, report: StepReport) -> None:
        """Training went on."""

    def evaluated(self, step: int, metrics: Mapping[str, float]) -> None:
        """Held-out numbers after a step."""


class Silent:
    """Reports nothing."""

    def message(self, text: str) -> None: ...

    def stage(self, name: str, done: int, total: int | None) -> None: ...

    def step(self, report: StepReport) -> None: ...

    def evaluated(self, step: int, metrics: Mapping[str, float]) -> None: ...


@dataclass
class StopRequest:
    """Set by the first Ctrl-C, SIGTERM or SIGHUP; the loop saves and leaves after its step."""

    signal: int | None = None
    old_handlers: dict[int, Any] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return self.signal is not None


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Turn the first SIGINT, SIGTERM or SIGHUP into a request; the second acts as it always did.

    A SIGHUP that is ignored, as under nohup, stays so. Where it comes, the terminal is gone: what
    would be written to it goes nowhere. Outside the main thread, where Python allows no handlers,
    nothing is caught.
    """
    request = StopRequest()
    on_terminal = [stream for stream in (1, 2) if os.isatty(stream)]

    def ask(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        request.signal = number
        for caught, handler in request.old_handlers.items():
            signal.signal(caught, handler)
        if number == signal.SIGHUP:
            for stream in on_terminal:
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream)

    if threading.current_thread() is threading.main_thread():
        for caught in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if caught != signal.SIGHUP or signal.getsignal(caught) != signal.SIG_IGN:
                request.old_handlers[caught] = signal.signal(caught, ask)
    try:
        yield request
    finally:
        for number, handler in request.old_handlers.items():
            signal.signal(number, handler)
