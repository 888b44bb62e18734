"""What fine-tuning showed: the model beside what it must beat, and what pre-training was worth.

The interval is that of the mean difference of two runs of one seed, by Student's t: seeds are few.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from foretext.core.config import to_dict
from foretext.evaluation.baselines import Baseline
from foretext.models.folder import read_config
from foretext.recipes.small import finetune_rate
from foretext.runs.seeds import FinetuneResult
from foretext.tasks.base import LOWER_IS_BETTER

# Student's t at 97.5 %, by degrees of freedom; beyond them the normal's.
_T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179)
_NORMAL = 1.96


@dataclass(frozen=True, kw_only=True)
class Gain:
    """A difference over seeds, better above 0, and its 95 % interval."""

    mean: float
    low: float  # -inf of one seed
    high: float
    seeds: int

    @classmethod
    def of(cls, differences: Sequence[float]) -> Gain:
        """The gain that these differences, one a seed, show."""
        mean, seeds = statistics.fmean(differences), len(differences)
        if seeds < 2:
            return cls(mean=mean, low=-math.inf, high=math.inf, seeds=seeds)
        factor = _T[seeds - 2] if seeds - 2 < len(_T) else _NORMAL
        reach = factor * statistics.stdev(differences) / math.sqrt(seeds)
        return cls(mean=mean, low=mean - reach, high=mean + reach, seeds=seeds)

    @property
    def certain(self) -> bool:
        """Whether the interval excludes 0."""
        return self.low > 0 or self.high < 0


def gain_over(result: FinetuneResult, untrained: FinetuneResult) -> Gain:
    """Of a model over another on dev, seed by seed, by the metric that chose the weights."""
    metric = result.metric
    sign = -1 if metric in LOWER_IS_BETTER else 1
    pairs = zip(result.seeds, untrained.seeds, strict=False)
    return Gain.of([sign * (a.metrics[metric] - b.metrics[metric]) for a, b in pairs])


def verdict(
    result: FinetuneResult, baselines: Sequence[Baseline], untrained: FinetuneResult | None
) -> list[str]:
    """Lines for a reader; none without a development file.

    Args:
        result: finished.
        baselines: on the same file.
        untrained: the same from random weights; None where it was not run.
    """
    if result.metric not in result.summary:
        return []
    lines = [] if untrained is None else [_worth(result.metric, gain_over(result, untrained))]
    return lines + _against(result, baselines)


def _worth(metric: str, gain: Gain) -> str:
    value = f"pre-training was worth {gain.mean:+.4f} {metric}"
    if gain.seeds < 2:
        return f"{value} on this seed; --seeds 3 says whether that is chance"
    reach = f"95 % interval {gain.low:+.4f} to {gain.high:+.4f}, {gain.seeds} seeds"
    if gain.certain:
        return f"{value} ({reach})"
    return f"{value}, which may be chance ({reach})"


def _against(result: FinetuneResult, baselines: Sequence[Baseline]) -> list[str]:
    metric = result.metric
    lower = metric in LOWER_IS_BETTER
    known = [one for one in baselines if metric in one.metrics]
    if not known:
        return []
    best = (min if lower else max)(known, key=lambda one: one.metrics[metric])
    value, mine = best.metrics[metric], result.summary[metric].median
    if (mine < value) if lower else (mine > value):
        return [f"{metric} {mine:.4f} is better than {value:.4f} of the {best.name}"]
    # A first token that pre-training never used gathers little from few labels (tasks/pooling.py).
    first = to_dict(result.recipe.task).get("pooling") == "token"
    tried = "try --set task.pooling=mean, " if first else "try "
    return [
        f"{metric} {mine:.4f} is no better than {value:.4f} of the {best.name}, which takes "
        f"seconds: use that, or {tried}more text, steps or labels (docs/which-objective.md)"
    ]


def blind_advice(result: FinetuneResult) -> str:
    """What to say of a seed whose answers do not depend on the text, and what to try."""
    rate = result.recipe.training.learning_rate
    usual = finetune_rate(read_config(result.best.folder)[1].hidden_size)
    change = "a smaller training.learning_rate"
    if usual is not None and rate < usual:
        change = f"a larger training.learning_rate, such as {usual:g} for so small a model"
    return (
        "is no better than an answer that does not look at the text; try another seed, more "
        f"steps or {change}"
    )
