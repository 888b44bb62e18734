"""The tour's stages, numbered, and the news of the verbs it calls in one line each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from foretext.training.progress import Reporter, StepReport


@dataclass
class Stages:
    """Names each stage and its number; passes on how far it has come, and warnings alone.

    Args:
        reporter: takes the news.
        total: stages of the tour.
    """

    reporter: Reporter
    total: int
    number: int = 0
    name: str = ""
    part: tuple[int, int] = (0, 1)  # runs of the stage that are over, and all of them
    ended: set[str] = field(default_factory=set)

    def begin(self, name: str, about: str) -> None:
        """The next stage."""
        self.number, self.name, self.part = self.number + 1, name, (0, 1)
        self.reporter.message(f"{self.number} of {self.total}  {name}: {about}")

    def message(self, text: str) -> None:
        if text.startswith("warning"):
            self.reporter.message(text)

    def stage(self, name: str, done: int, total: int | None) -> None:
        if name in self.ended or name not in ("tokenizer", "prepare"):  # others take a moment
            return
        if done == total:
            self.ended.add(name)
        self.reporter.stage(name, done, total)

    def step(self, report: StepReport) -> None:
        done, runs = self.part
        self.reporter.stage(self.name, done * report.steps + report.step, runs * report.steps)

    def evaluated(self, step: int, metrics: Mapping[str, float]) -> None: ...
