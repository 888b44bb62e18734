"""Fine-tuning over a grid of settings, such as the learning rates of a paper, decided on dev.

Paper: Devlin et al. 2019, appendix A.3: "we ran an exhaustive search over these parameters and
chose the model that performed best on the development set".
Deviation: the points are ranked by the median over seeds, not by the luckiest run.
"""

from __future__ import annotations

import itertools
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from foretext.core.atomic import atomic_write_text
from foretext.core.config import parse_settings
from foretext.core.errors import ConfigError, TrainingError
from foretext.recipes.best import GRID_FILE
from foretext.runs.finetune import (
    FinetuneOptions,
    FinetunePlan,
    begun,
    encode,
    make_plan,
    run_seeds,
)
from foretext.runs.labelled_data import Labelled, LabelledFiles
from foretext.runs.seeds import FinetuneResult, Spread
from foretext.tasks.base import LOWER_IS_BETTER
from foretext.training.progress import Reporter, Silent

# What points of a grid have of their own even where the grid does not name it.
_DERIVED = ("steps", "warmup_steps", "save_every", "eval_every")
_FIXED = {
    "finetune.metric": "points are compared by one metric",
    "training.seed": "seeds are not chosen, give --seeds",
}
Grid = Mapping[str, Sequence[Any]]


@dataclass(frozen=True, kw_only=True)
class GridPoint:
    """One choice of the settings, and what it reached."""

    name: str  # its folder's
    settings: Mapping[str, Any]  # path -> value
    result: FinetuneResult | None = None  # None: it has not run
    problem: str | None = None  # why it ended without a result

    @property
    def spread(self) -> Spread | None:
        """Of the metric over the seeds; None where there is none."""
        return None if self.result is None else self.result.summary.get(self.result.metric)


@dataclass(frozen=True, kw_only=True)
class GridResult:
    """Every point of a grid, run or stopped."""

    folder: Path
    metric: str
    points: tuple[GridPoint, ...]

    @property
    def finished(self) -> bool:
        return all(p.problem or (p.result and p.result.finished) for p in self.points)

    @property
    def best(self) -> GridPoint:
        """The point with the best median, of equals the first.

        Raises:
            TrainingError: no point has a result.
        """
        ranked = [(point, spread.median) for point in self.points if (spread := point.spread)]
        if not ranked:
            problem = next((p.problem for p in self.points if p.problem), "none was run")
            raise TrainingError(f"no point of the grid has a result: {problem}")
        sign = -1 if self.metric in LOWER_IS_BETTER else 1
        return max(ranked, key=lambda pair: sign * pair[1])[0]


def parse_grid(options: Sequence[str]) -> dict[str, list[Any]]:
    """The values of each path from `path=value,value,...` strings; a list is written [a, b].

    Raises:
        ConfigError: one is not of that form, or names a path twice.
    """
    grid: dict[str, list[Any]] = {}
    for option in options:
        path, equals, text = option.partition("=")
        path = path.strip()
        if not path or not equals or not text.strip():
            raise ConfigError(
                f"--grid {option!r} must be path=value,value, "
                "e.g. training.learning_rate=2e-5,3e-5,5e-5"
            )
        if path in grid:
            raise ConfigError(f"--grid names {path} twice; give all of its values in one")
        try:
            grid[path] = tomllib.loads(f"values = [{text}]")["values"]
        except tomllib.TOMLDecodeError:  # bare words
            grid[path] = [parse_settings([f"x={part}"])["x"] for part in text.split(",")]
    return grid


def points_of(grid: Grid) -> list[GridPoint]:
    """The product of the grid's values, the last path's running fastest.

    Raises:
        ConfigError: there is nothing to choose, a value comes twice, or a path is not for grids.
    """
    if not grid:
        raise ConfigError("the grid is empty; give settings and their values")
    for path, values in grid.items():
        if path in _FIXED:
            raise ConfigError(f"a grid cannot hold {path}: {_FIXED[path]}; leave it out")
        if not values or len({_shown(value) for value in values}) < len(values):
            raise ConfigError(
                f"the grid of {path} is {', '.join(map(_shown, values)) or 'empty'}; give "
                "different values, each once"
            )
    short = [path.rpartition(".")[2] for path in grid]
    labels = grid if len(set(short)) < len(short) else short
    found = []
    for values in itertools.product(*grid.values()):
        parts = [f"{n}={_shown(value)}" for n, value in zip(labels, values, strict=True)]
        name = re.sub(r"[^\w.,=+-]", "_", ",".join(parts))
        found.append(GridPoint(name=name, settings=dict(zip(grid, values, strict=True))))
    return found


def _shown(value: Any) -> str:
    """A value as a part of a folder's name: 2e-05 for 0.00002."""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return "+".join(map(_shown, value))
    return str(value).lower() if isinstance(value, bool | None) else str(value)


def finetune_grid(
    run: str | Path,
    task: str,
    *,
    train: str | Path,
    dev: str | Path,
    out: str | Path,
    grid: Grid,
    options: FinetuneOptions | None = None,
    reporter: Reporter | None = None,
) -> GridResult:
    """Fine-tune at every point of a grid, or go on with doing so.

    Args:
        run, task, train, dev, options, reporter: as for finetune; dev decides.
        out: holds a folder for each point and grid.json, and serves as the best point's model.
        grid: path -> values; points are their product. A point that is added later is run, the
            others are kept.

    Raises:
        ConfigError, DataError, TokenizerError, CheckpointError: the input is at fault; nothing was
            trained.
        TrainingError: the loss is not finite at any point. Where others are left, the point is
            marked and the grid goes on.
    """
    options, reporter, out = options or FinetuneOptions(), reporter or Silent(), Path(out)
    files = LabelledFiles.of(train, dev, options.calibrate)
    points = points_of(grid)
    inner = replace(options, fresh=False)  # begun() throws away the whole
    plans = [
        make_plan(
            Path(run),
            task,
            files,
            replace(inner, settings={**options.settings, **point.settings}),
            reporter,
        )
        for point in points
    ]
    left_out = [*grid, *(f"training.{name}" for name in _DERIVED), "finetune.eval_every"]
    first = plans[0]
    with begun(out, first.recipe, first, holds="points", fresh=options.fresh, left_out=left_out):
        return _each(out, points, plans, files)


def _each(
    out: Path, points: list[GridPoint], plans: Sequence[FinetunePlan], files: LabelledFiles
) -> GridResult:
    """Every point in turn, from its start or from where it stopped."""
    recipe = plans[0].recipe
    metric = recipe.finetune.metric or recipe.build_task().metric
    encoded: list[tuple[FinetunePlan, Labelled]] = []
    for number, (point, plan) in enumerate(zip(points, plans, strict=True)):
        plan.reporter.message(f"point {number + 1} of {len(points)}: {point.name}")
        data = _encoded(plan, files, encoded)
        points[number] = _run(out, point, plan if not number else plan.unsaid(), data)
        result = GridResult(folder=out, metric=metric, points=tuple(points))
        ran = points[number].result
        if ran is not None and not ran.finished:
            return result
        _write(result)
    return result


def _encoded(
    plan: FinetunePlan, files: LabelledFiles, before: list[tuple[FinetunePlan, Labelled]]
) -> Labelled:
    """The files as the plan's samples, those of an earlier plan where they are the same."""
    for other, data in before:
        if (other.recipe.data, other.recipe.task) == (plan.recipe.data, plan.recipe.task):
            return data
    before.append((plan, encode(plan, files)))
    return before[-1][1]


def _run(out: Path, point: GridPoint, plan: FinetunePlan, data: Labelled) -> GridPoint:
    try:
        return replace(point, result=run_seeds(out / point.name, plan, data))
    except TrainingError as error:
        plan.reporter.message(f"{point.name}: {error}")
        return replace(point, problem=str(error))


def _write(result: GridResult) -> None:
    """grid.json: every point's settings, spread and degenerate seeds, and the best one."""
    ran = [point for point in result.points if point.spread]
    content = {
        "metric": result.metric,
        "best": result.best.name if ran else None,
        "points": [_record(point) for point in result.points],
    }
    atomic_write_text(result.folder / GRID_FILE, json.dumps(content, indent=2) + "\n")


def _record(point: GridPoint) -> dict[str, Any]:
    found = point.result
    return {
        "folder": point.name,
        "settings": dict(point.settings),
        "spread": asdict(point.spread) if point.spread else None,
        "degenerate": list(found.degenerate) if found else [],
        "best_seed": found.best.seed if found else None,
        "problem": point.problem,
    }
