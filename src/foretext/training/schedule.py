"""The learning rate over a run, as a share of its peak: a pure function of where the run stands.

Papers: BERT (Devlin et al. 2019, https://arxiv.org/abs/1810.04805, and Google's optimization.py),
GPT-1 (opt.py), GPT-3 (Brown et al. 2020, https://arxiv.org/abs/2005.14165, appendix B), the
Transformer (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, section 5.3).

The decay of linear and cosine counts from the run's start and warm-up overrides it, as in the code
of BERT and of GPT-1: the rate rises to its peak and goes on from where the decay then stands. GPT-1
fine-tunes with gpt1-linear, where warm-up multiplies the decay instead. RoBERTa's linear-from-peak
counts the decay from the end of the warm-up (fairseq, polynomial_decay). T5's is absolute:
1 / sqrt(max(n, warmup)) of update n, times a learning rate of 1 (Raffel et al. 2020,
https://arxiv.org/abs/1910.10683, section 3.1.2).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from foretext.core.errors import ConfigError

# The share of the way from the peak down to the floor that is left at x, a share of the run.
_DECAYS: dict[str, Callable[[float], float]] = {
    "linear": lambda x: 1 - x,
    "gpt1-linear": lambda x: 1 - x,
    "linear-from-peak": lambda x: 1 - x,
    "cosine": lambda x: (1 + math.cos(math.pi * x)) / 2,
}
LEVEL = "t5"  # it stays at its highest where others rise
SCHEDULES = (*_DECAYS, "inverse-sqrt", LEVEL, "constant")
UNITS = ("steps", "tokens")
_SETTINGS = {  # what a user calls the fields
    "name": "training.schedule",
    "unit": "unit",
    "total": "the schedule's end",
    "floor": "training.final_rate",
}


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Warm-up from 0 to the peak, then decay."""

    total: int  # where linear and cosine reach the floor, in units
    name: str = "linear"  # one of SCHEDULES
    warmup: int = 0  # units of linear rise from 0
    floor: float = 0.0  # last share of the peak, of linear and cosine; GPT-3 has 0.1
    unit: str = "steps"  # or "tokens": what total and warmup count

    def __post_init__(self) -> None:
        decays = self.name in _DECAYS
        rules = {
            "name": (self.name in SCHEDULES, f"one of {', '.join(SCHEDULES)}"),
            "unit": (self.unit in UNITS, f"one of {', '.join(UNITS)}"),
            "total": (self.total >= 1, "at least 1"),
            "warmup": (
                self.warmup >= 0 and (self.warmup <= self.total or not self.rises),
                f"from 0 to {self.total}, the end" if self.rises else "not negative",
            ),
            "floor": (
                0 <= self.floor <= 1 and (decays or self.floor == 0),
                "from 0 to 1" if decays else f"0, as {self.name} ends on no floor",
            ),
        }
        for name, (holds, rule) in rules.items():
            if not holds:
                path = _SETTINGS.get(name, f"training.{name}_{self.unit}")
                raise ConfigError(f"{path}={getattr(self, name)!r} must be {rule}")

    @property
    def rises(self) -> bool:
        """Whether the rate rises from 0 in the warm-up."""
        return self.name != LEVEL

    def factor(self, done: int) -> float:
        """The share of the peak rate, in [0, 1], for the next update.

        Args:
            done: updates made before it, or tokens seen before it, as `unit` says. The first has 0,
                and with warm-up a rate of 0, as in BERT's code.
        """
        if not self.rises:
            return 1 / math.sqrt(max(done + 1, self.warmup))
        rise = done / self.warmup if done < self.warmup else 1.0
        if self.name == "gpt1-linear":
            return rise * self._decayed(done)
        return rise if done < self.warmup else self._decayed(done)

    def _decayed(self, done: int) -> float:
        if self.name in _DECAYS:
            start = self.warmup if self.name == "linear-from-peak" else 0
            share = (done - start) / max(self.total - start, 1)
            left = _DECAYS[self.name](min(share, 1.0))
            return self.floor + (1 - self.floor) * left
        if self.name == "inverse-sqrt":
            peak = max(self.warmup, 1)  # where it is reached
            return math.sqrt(peak / max(done, peak))
        return 1.0
