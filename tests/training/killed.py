"""A run that dies after a step, in this process."""

from __future__ import annotations

from foretext.training.progress import Silent, StepReport


class Killed(BaseException):
    """Stands for kill -9: nothing of the run's own code comes after it."""


class KillAt(Silent):
    """Dies after this step, before it is saved; None: never."""

    def __init__(self, step: int | None) -> None:
        self.at = step

    def step(self, report: StepReport) -> None:
        if report.step == self.at:
            raise Killed
