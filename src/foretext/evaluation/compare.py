"""Two fine-tuned models on one file: is the difference more than chance?

Papers: Efron 1979, https://doi.org/10.1214/aos/1176344552 (the bootstrap and its percentile
interval); Berg-Kirkpatrick et al. 2012, https://aclanthology.org/D12-1091 (paired, for language
tasks). Examples are drawn with replacement, the same ones for both models, and both are measured
anew on each draw, so the interval is that of the metric itself, F1 and correlations included.
Deviation: scipy.stats.bootstrap, which resamples arrays of one number, would draw anew for every
metric; here one draw serves all of them, and on accuracy the two agree (tests).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretext.core import rng
from foretext.core.errors import ConfigError, DataError
from foretext.evaluation.labelled import examples_of
from foretext.inference.task_run import TaskRun, load_task
from foretext.tasks.base import LOWER_IS_BETTER, Metric
from foretext.text.errors import CorpusStats, listed

RESAMPLES = 10_000
_LEVEL = 0.95
_NO_QUALITIES = ("total", "_thresh")  # ends of the names of numbers that are not better or worse
Measure = Callable[[NDArray[np.float64]], Mapping[str, float]]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One metric of two models, and the 95 % interval of B - A."""

    first: float  # of model A
    second: float  # of model B
    low: float
    high: float

    @property
    def difference(self) -> float:
        return self.second - self.first

    @property
    def significant(self) -> bool:
        """Whether the interval excludes 0."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two models on one file."""

    first: Path  # model A
    second: Path  # model B
    examples: int
    resamples: int
    metrics: Mapping[str, Difference]

    def verdict(self, name: str) -> str:
        """What the interval of one metric says, in words."""
        found = self.metrics[name]
        if not found.significant:
            return "no difference that this file can show"
        better = (found.difference > 0) != (name in LOWER_IS_BETTER)
        return "B is better" if better else "A is better"


def compare(
    first: str | Path | TaskRun,
    second: str | Path | TaskRun,
    data: str | Path,
    *,
    resamples: int = RESAMPLES,
    columns: Mapping[str, Any] | None = None,
    on_error: str = "stop",
    stats: CorpusStats | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Comparison:
    """Two fine-tuned models on the same labelled file.

    Args:
        first, second: their folders, or load_task of them; of one task with the same labels, in
            whatever order.
        data: labelled as the training file was.
        resamples: draws of the bootstrap.
        columns, on_error, stats: as for evaluate; a bad row is counted once for each model.
        progress: takes draws made and draws to make.

    Returns:
        The metrics as the first model's task defines them. Records are held in memory, a
        few numbers an example.

    Raises:
        ConfigError: the two are not of one task, or their labels differ.
        DataError: as evaluate.
    """
    runs = [run if isinstance(run, TaskRun) else load_task(run) for run in (first, second)]
    _check_alike(*runs)
    if resamples < 1:
        raise ConfigError(f"resamples={resamples} must be at least 1; 10000 is usual")
    meter = runs[0].task.meter()
    stats = CorpusStats() if stats is None else stats
    records = [_records(run, meter, Path(data), columns, on_error, stats) for run in runs]
    if len(records[0]) != len(records[1]):
        raise DataError(
            f"{data}: {runs[0].folder} read {len(records[0]):,} examples and {runs[1].folder} "
            f"{len(records[1]):,}; mend the file, so that none is skipped"
        )
    return Comparison(
        first=runs[0].folder,
        second=runs[1].folder,
        examples=len(records[0]),
        resamples=resamples,
        metrics=paired_bootstrap(
            records[0], records[1], meter.measure, resamples=resamples, progress=progress
        ),
    )


def paired_bootstrap(
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    measure: Measure,
    *,
    resamples: int = RESAMPLES,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Difference]:
    """Percentile intervals of the differences of every metric; a function of its arguments alone.

    Args:
        first, second: a record of each example under each model, [n, k].
        measure: the metrics of records [n, k]. One that is undefined on a draw is left out there.
        resamples: draws of n examples with replacement.
        progress: takes draws made and draws to make.
    """
    whole = measure(first), measure(second)
    names = [name for name in whole[0] if not name.endswith(_NO_QUALITIES)]
    draws = np.full((resamples, len(names)), np.nan)
    drawn = np.random.Philox(key=rng.key(0, "bootstrap"))
    for number in range(resamples):
        # 53 of 64 random bits, scaled: the bias is below n / 2**53.
        share = (drawn.random_raw(len(first)) >> np.uint64(11)) * 2.0**-53
        chosen = (share * len(first)).astype(np.int64)
        one, other = measure(first[chosen]), measure(second[chosen])
        draws[number] = [other.get(name, np.nan) - one.get(name, np.nan) for name in names]
        if progress is not None and ((number + 1) % 100 == 0 or number + 1 == resamples):
            progress(number + 1, resamples)
    tails = (1 - _LEVEL) / 2, (1 + _LEVEL) / 2
    found = {}
    for column, name in enumerate(names):
        values = draws[:, column]
        values = values[np.isfinite(values)]
        low, high = np.quantile(values, tails) if len(values) else (np.nan, np.nan)
        found[name] = Difference(
            first=whole[0][name], second=whole[1][name], low=float(low), high=float(high)
        )
    return found


def _check_alike(first: TaskRun, second: TaskRun) -> None:
    names = first.recipe.task_name, second.recipe.task_name
    if names[0] != names[1]:
        raise ConfigError(
            f"{first.folder} is for {names[0]} and {second.folder} for {names[1]}; give two models "
            "of one task"
        )
    labels = [tuple(getattr(run.recipe.task, "labels", ()) or ()) for run in (first, second)]
    if set(labels[0]) != set(labels[1]):
        raise ConfigError(
            f"{first.folder} knows the labels {listed(labels[0])} and {second.folder} "
            f"{listed(labels[1])}; give two models of the same labels"
        )


def _records(
    run: TaskRun,
    meter: Metric,
    data: Path,
    columns: Mapping[str, Any] | None,
    on_error: str,
    stats: CorpusStats,
) -> NDArray[np.float64]:
    """A record of each example, [n, k]."""
    examples = examples_of(run, data, columns=columns, on_error=on_error, stats=stats)
    rows = [
        np.asarray(meter.record(example, prediction), np.float64)
        for example, prediction in run.predictions(examples)
    ]
    return np.stack(rows)
