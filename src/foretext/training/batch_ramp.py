"""How many sequences each step holds: one number, or a number that grows at the start of a run.

Paper: Brown et al. 2020, https://arxiv.org/abs/2005.14165, appendix B: the batch grows linearly
over the first 4 to 12 billion tokens, from 32 thousand tokens to its full size.

What a step holds must be found without replaying the steps before it. The growth is linear in what
was served, by whole sequences, so steps of one size form stages, at most one for each size; a table
of them, in whole numbers alone, finds any step.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from foretext.core.errors import ConfigError


class _Stage(NamedTuple):
    """Consecutive steps of one size."""

    step: int  # its first
    served: int  # sequences before it
    size: int  # sequences of each step


@dataclass(frozen=True, kw_only=True)
class BatchSizes:
    """Sequences of each step."""

    full: int  # sequences of a step after the ramp
    start: int | None = None  # sequences of step 0, at most `full`; None = there is no ramp
    over: int = 0  # sequences served until steps are full

    def __post_init__(self) -> None:
        if self.full < 1 or (self.start is not None and self.start < 1) or self.over < 0:
            raise ConfigError(
                f"a batch ramp from {self.start} to {self.full} sequences over {self.over} cannot "
                "be; give sizes of at least 1 and a length of at least 0"
            )

    @cached_property
    def _stages(self) -> list[_Stage]:
        stages: list[_Stage] = []
        step = served = 0
        growth = self.full - min(self.start or self.full, self.full)
        while growth and served < self.over:
            grown = growth * served // self.over
            size = self.full - growth + grown
            until = -(-(grown + 1) * self.over // growth)  # where the size would be one more
            stages.append(_Stage(step, served, size))
            taken = -(-(until - served) // size)
            step, served = step + taken, served + taken * size
        return [*stages, _Stage(step, served, self.full)]

    def size(self, step: int) -> int:
        """Sequences of a step."""
        return self._stage(step).size

    def before(self, step: int) -> int:
        """Sequences of all steps before this one."""
        stage = self._stage(step)
        return stage.served + (step - stage.step) * stage.size

    def steps(self, sequences: int) -> int:
        """Steps that hold at least this many sequences together."""
        served = [stage.served for stage in self._stages]
        stage = self._stages[max(bisect_left(served, sequences) - 1, 0)]
        return stage.step - (stage.served - sequences) // stage.size

    def _stage(self, step: int) -> _Stage:
        return self._stages[bisect_right(self._stages, step, key=lambda stage: stage.step) - 1]
