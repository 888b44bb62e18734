"""foretext finetune: a pre-trained model adapted to labels."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foretext.cli import continued
from foretext.cli.options import AllowPickle, Changes, DryRun, Force, Fresh, OnError, Track
from foretext.cli.output import Json, Output, Quiet
from foretext.cli.plan import show_plan, task_plan
from foretext.cli.settings import settings
from foretext.cli.units import columns, metrics
from foretext.core.config import read_toml
from foretext.core.errors import ConfigError

if TYPE_CHECKING:
    from foretext.recipes.task_recipe import TaskRecipe
    from foretext.runs.estimate import TaskEstimate
    from foretext.runs.finetune import FinetuneOptions
    from foretext.runs.grid import GridResult
    from foretext.runs.seeds import FinetuneResult
    from foretext.runs.transfer import Transfer

EXAMPLE = """\
foretext finetune runs/bert classification --train train.tsv --dev dev.tsv --out runs/task
foretext finetune runs/bert classification --train pairs.csv --out runs/pairs --seeds 5 \\
    --text-column premise --text-column hypothesis --label-column gold \\
    --set finetune.epochs=5 --set training.learning_rate=2e-5
foretext finetune runs/electra rte --train train.tsv --dev dev.tsv --out runs/rte \\
    --recipe electra-paper
foretext finetune runs/bert sst2 --train train.tsv --dev dev.tsv --out runs/grid --seeds 3 \\
    --grid training.learning_rate=2e-5,3e-5,5e-5
foretext finetune runs/bert squad2 --train train.json --dev dev.json --out runs/qa \\
    --calibrate tune.json"""


def command(  # noqa: PLR0913, PLR0917  (a verb's options)
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="A model's folder, pre-trained or fine-tuned.")
    ],
    task: Annotated[
        str, typer.Argument(metavar="TASK", help="A task, or a data set, of `foretext tasks`.")
    ],
    train: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="Labelled examples, in a kind of file that `foretext tasks` names for TASK; for "
            "masked and causal, text: a file, folder, glob or `-`.",
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="The result's folder.")],
    dev: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Labelled examples that choose the best weights."),
    ] = None,
    old: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="For masked and causal: text like that of the first training, to see what is "
            "forgotten.  [default: what RUN held out]",
        ),
    ] = None,
    text_column: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A column of text, one or two.  [default: guessed]"),
    ] = None,
    label_column: Annotated[
        str | None, typer.Option(metavar="NAME", help="The column of labels.  [default: label]")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A TOML file of settings.")
    ] = None,
    set_: Changes = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="A paper's settings, which --set still changes: bert-paper, roberta-paper, "
            "albert-paper, electra-paper or gpt1-paper.  [default: the model's own]",
        ),
    ] = None,
    calibrate: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Labelled examples that tune what is set after training, as question answering "
            "does its threshold for no answer.  [default: those of --dev]",
        ),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(metavar="N", help="Updates; in place of finetune.epochs.")
    ] = None,
    seeds: Annotated[
        int,
        typer.Option(metavar="N", help="Train N times with different seeds; median and spread."),
    ] = 1,
    grid: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATH=V,V",
            help="Try each of these values; with several --grid, every combination. The best "
            "median on --dev wins.",
        ),
    ] = None,
    untrained: Annotated[
        bool,
        typer.Option(
            "--untrained",
            help="Train the same model from random weights too, and say what pre-training was "
            "worth.",
        ),
    ] = False,
    fresh: Fresh = False,
    force: Force = False,
    dry_run: DryRun = False,
    on_error: OnError = "stop",
    allow_pickle: AllowPickle = False,
    track: Track = None,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Adapt a pre-trained model to labels, or (masked, causal) to the text of a domain.

    The best weights by the labels of --dev are kept. The same command, given again, goes on where
    the run stopped. With --seeds or --grid each run has a folder in --out, which serves as the
    best one's. --dry-run shows every setting of the recipe and what it costs.
    """
    chosen = settings(config, set_ or [], steps)
    output = Output(json=json, quiet=quiet, track=tuple(track or ()))
    if task in continued.NAMES:
        labelled = {"--recipe": recipe, "--calibrate": calibrate, "--label-column": label_column}
        others = {"--seeds": seeds > 1, "--grid": grid, "--untrained": untrained}
        continued.only_labelled(task, labelled | others)
        how = {"settings": chosen, "old": old, "on_error": on_error, "fresh": fresh, "force": force}
        how |= {"allow_pickle": allow_pickle, "text_field": (text_column or ["text"])[0]}
        files = {"train": train, "dev": dev, "out": out}
        go_on = continued.show_plan if dry_run else continued.go_on
        return go_on(run, task, output, files, how)
    if old is not None:
        raise ConfigError(f"--old is of masked and causal alone, not of {task}; leave it out")
    run_toml = out / "run.toml"
    if run_toml.is_file() and "task" not in read_toml(run_toml):
        raise ConfigError(f"{out} holds a run of pre-training; give another --out")
    from foretext.cli.counted import column_settings
    from foretext.runs.finetune import FinetuneOptions
    from foretext.tasks.datasets import task_of

    named = column_settings(task_of(task)[0], text_column, label_column)
    options = FinetuneOptions(
        settings={f"data.{field}": name for field, name in named.items()} | chosen,
        recipe=recipe,
        seeds=seeds,
        calibrate=calibrate,
        on_error=on_error,
        allow_pickle=allow_pickle,
        fresh=fresh,
        force=force,
    )
    files = {"train": train, "dev": dev, "out": out}
    points = _points(grid or [], dev)
    if points and untrained:
        raise ConfigError("--untrained and --grid exclude each other; leave one out")
    if dry_run:
        return _show_plan(run, task, files, points, options, output)
    return _labelled(run, task, files | {"untrained": untrained}, points, options, output)


def _points(grid: list[str], dev: Path | None) -> dict[str, list[Any]]:
    """The values of --grid by path."""
    from foretext.runs.grid import parse_grid

    points = parse_grid(grid)
    if points and dev is None:
        raise ConfigError("a grid is decided by labels that are not trained on; give --dev")
    return points


def _labelled(
    run: Path,
    task: str,
    files: dict[str, Any],
    points: dict[str, list[Any]],
    options: FinetuneOptions,
    output: Output,
) -> int:
    """A run, or one at each point of a grid."""
    from foretext.runs.grid import finetune_grid
    from foretext.runs.transfer import transfer
    from foretext.tasks import task_module
    from foretext.tasks.datasets import task_of

    with output.training(files["out"]) as reporter:

        def planned(recipe: TaskRecipe, cost: TaskEstimate) -> None:
            if output.json:
                record = {"event": "plan", "recipe": recipe.values(), "estimate": cost.as_dict()}
                output.result("", record)
            else:
                reporter.message(task_plan(recipe, cost, files["out"]))

        options = replace(options, planned=planned)
        if not points:
            result = transfer(run, task, **files, options=options, reporter=reporter)
        else:
            files.pop("untrained")
            found = finetune_grid(
                run, task, **files, grid=points, options=options, reporter=reporter
            )
    labelled = task_module(task_of(task)[0]).GUIDE.labelled
    return _end_grid(found, labelled, output) if points else _end(result, labelled, output)


def _show_plan(
    run: Path,
    task: str,
    files: dict[str, Any],
    points: dict[str, list[Any]],
    options: FinetuneOptions,
    output: Output,
) -> int:
    """The plan of one run: with several seeds the first, at the first point of a grid."""
    from foretext.runs.finetune import dry_run
    from foretext.runs.grid import points_of

    if points:
        first = points_of(points)[0]
        options = replace(options, settings={**options.settings, **first.settings})
        output.note(f"the plan of the grid's first point, {first.name}")
    texts = {name: files[name] for name in ("train", "dev")}
    with output.progress() as reporter:
        recipe, cost = dry_run(run, task, **texts, options=options, reporter=reporter)
    return show_plan(recipe, cost, task_plan(recipe, cost, None), output)


def _end(whole: Transfer, labelled: str, output: Output) -> int:
    from foretext.runs.verdict import blind_advice

    result = whole.result
    if not whole.finished:
        return _stopped(result.folder, output)
    best = result.best
    record: dict[str, Any] = {
        "event": "done",
        "folder": str(best.folder),
        "metric": result.metric,
        "metrics": best.metrics,
        "baseline": best.baseline,
        "best_step": best.best_step,
        "seeds": [{"seed": s.seed, "folder": str(s.folder)} | s.metrics for s in result.seeds],
        "degenerate": list(result.degenerate),
    }
    for line in whole.verdict:
        output.note(line)
    output.result(_summary(result), record | whole.record)
    for seed in result.degenerate:
        output.note(f"warning: seed {seed} {blind_advice(result)}")
    output.note(f"next: foretext evaluate {quote(str(best.folder))} --data {labelled}")
    return 0


def _stopped(folder: Path, output: Output) -> int:
    output.result(str(folder), {"event": "stopped", "folder": str(folder)})
    output.note("saved; the same command goes on")
    return 130


def _end_grid(result: GridResult, labelled: str, output: Output) -> int:
    if not result.finished:
        return _stopped(result.folder, output)
    best = result.best
    record: dict[str, Any] = {
        "event": "done",
        "folder": str(result.folder),
        "metric": result.metric,
        "best": best.name,
        "settings": dict(best.settings),
        "points": [
            {
                "point": point.name,
                "settings": dict(point.settings),
                "problem": point.problem,
                "degenerate": list(point.result.degenerate) if point.result else [],
            }
            | (asdict(point.spread) if point.spread else {})
            for point in result.points
        ],
    }
    output.result(_table(result), record)
    output.note(f"next: foretext evaluate {quote(str(result.folder))} --data {labelled}")
    return 0


def _table(result: GridResult) -> str:
    rows: list[tuple[str, ...]] = []
    for point in result.points:
        spread = point.spread
        if spread is None or point.result is None:
            rows.append((point.name, "", "", "", point.problem or ""))
            continue
        numbers = (f"{v:.4f}" for v in (spread.median, spread.lowest, spread.highest))
        rows.append((point.name, *numbers, ", ".join(map(str, point.result.degenerate)) or "none"))
    header = ("", "median", "lowest", "highest", "degenerate seeds")
    best = f"{result.folder / result.best.name}: the best median of {result.metric}"
    return f"{columns(rows, header=header)}\n{best}"


def _summary(result: FinetuneResult) -> str:
    best = result.best
    if not best.metrics:
        return str(best.folder)
    if len(result.seeds) == 1:
        blind: Any = best.baseline.get(result.metric)
        against = "" if blind is None else f" (blind to the text: {result.metric} {blind:.4g})"
        return f"{best.folder}: {metrics(best.metrics)}{against}"
    rows = [
        (name, f"{s.median:.4f}", f"{s.lowest:.4f}", f"{s.highest:.4f}")
        for name, s in result.summary.items()
    ]
    table = columns(rows, header=("", "median", "lowest", "highest"))
    blind = ", ".join(map(str, result.degenerate)) or "none"
    return f"{table}\ndegenerate seeds: {blind}\n{best.folder}: the best seed by {result.metric}"
