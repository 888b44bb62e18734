"""What fine-tuning reached: each seed, and over several seeds the median and the spread."""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass, field
from pathlib import Path

from foretext.core.atomic import atomic_write_text
from foretext.recipes.best import SUMMARY_FILE
from foretext.recipes.task_recipe import TaskRecipe
from foretext.tasks.base import LOWER_IS_BETTER


@dataclass(frozen=True, kw_only=True)
class SeedResult:
    """One run."""

    folder: Path
    seed: int
    steps: int  # made
    best_step: int = 0  # whose weights are kept
    metrics: dict[str, float] = field(default_factory=dict)  # on dev, of those weights
    baseline: dict[str, float] = field(default_factory=dict)  # best answers blind to the text
    finished: bool = True  # False: stopped by a signal; the same command goes on


@dataclass(frozen=True, kw_only=True)
class Spread:
    """One metric over the seeds."""

    median: float
    lowest: float
    highest: float


@dataclass(frozen=True, kw_only=True)
class FinetuneResult:
    """A run, or one of each seed, finished or stopped."""

    folder: Path
    recipe: TaskRecipe
    seeds: tuple[SeedResult, ...]

    @property
    def metric(self) -> str:
        """The metric that chose the weights."""
        return self.recipe.finetune.metric or self.recipe.build_task().metric

    @property
    def _sign(self) -> int:
        return -1 if self.metric in LOWER_IS_BETTER else 1

    @property
    def finished(self) -> bool:
        return all(seed.finished for seed in self.seeds)

    @property
    def best(self) -> SeedResult:
        """The seed with the best metric on dev; without dev, the first."""
        return max(self.seeds, key=lambda seed: self._sign * seed.metrics.get(self.metric, 0.0))

    @property
    def degenerate(self) -> tuple[int, ...]:
        """Seeds whose metric is no better than that of an answer blind to the text.

        Such runs happen on small training sets (Devlin et al. 2019, section 4.1).
        """
        return tuple(
            seed.seed
            for seed in self.seeds
            if self.metric in seed.baseline
            and self._sign * seed.metrics[self.metric] <= self._sign * seed.baseline[self.metric]
        )

    @property
    def summary(self) -> dict[str, Spread]:
        """Each metric over the finished seeds."""
        done = [seed.metrics for seed in self.seeds if seed.finished]
        spreads = {}
        for name in done[0] if done else ():
            values = [metrics[name] for metrics in done]
            spreads[name] = Spread(
                median=statistics.median(values), lowest=min(values), highest=max(values)
            )
        return spreads


def write_summary(result: FinetuneResult) -> None:
    """summary.json: every seed, the spread of every metric, and the degenerate seeds."""
    content = {
        "metric": result.metric,
        "summary": {name: asdict(spread) for name, spread in result.summary.items()},
        "degenerate": list(result.degenerate),
        "best": result.best.folder.name,
        "seeds": [
            asdict(seed) | {"folder": seed.folder.name, "seed": seed.seed} for seed in result.seeds
        ],
    }
    atomic_write_text(result.folder / SUMMARY_FILE, json.dumps(content, indent=2) + "\n")
