"""foretext finetune: a pre-trained model adapted to labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foretext.cli.output import Json, Output, Quiet
from foretext.cli.settings import settings
from foretext.cli.units import columns, metrics
from foretext.config import read_toml
from foretext.errors import ConfigError

if TYPE_CHECKING:
    from foretext.training.seeds import FinetuneResult

EXAMPLE = """\
foretext finetune runs/bert classification --train train.tsv --dev dev.tsv --out runs/task
foretext finetune runs/bert classification --train pairs.csv --out runs/pairs --seeds 5 \\
    --text-column premise --text-column hypothesis --label-column gold \\
    --set finetune.epochs=5 --set training.learning_rate=2e-5
foretext finetune runs/electra rte --train train.tsv --dev dev.tsv --out runs/rte \\
    --recipe electra-paper"""


def command(  # noqa: PLR0913, PLR0917  (a verb's options)
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A pre-trained model's folder.")],
    task: Annotated[str, typer.Argument(metavar="TASK", help="A name of `foretext tasks`.")],
    train: Annotated[
        Path, typer.Option(metavar="FILE", help="Labelled rows: .tsv, .csv or .jsonl.")
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="The result's folder.")],
    dev: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Labelled rows that choose the best weights."),
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
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH=VALUE", help="Change one setting of the recipe."),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="A paper's settings, beneath --set: bert-paper, roberta-paper, albert-paper, "
            "electra-paper or gpt1-paper.  [default: the model's own]",
        ),
    ] = None,
    calibrate: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Labelled rows by which a task sets what it sets last, such as the threshold of "
            "no answer.  [default: those of --dev]",
        ),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(metavar="N", help="Updates, in place of finetune.epochs.")
    ] = None,
    seeds: Annotated[
        int, typer.Option(metavar="N", help="Runs with different seeds; median and spread.")
    ] = 1,
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin anew.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="With --fresh: delete the run that is there.")
    ] = False,
    on_error: Annotated[
        str, typer.Option(metavar="stop|replace|skip", help="What to do with bad rows.")
    ] = "stop",
    allow_pickle: Annotated[
        bool,
        typer.Option("--allow-pickle", help="Read pytorch_model.bin where nothing else is there."),
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Adapt a pre-trained model to labels.

    The best weights by the labels of --dev are kept. The same command, given again, goes on where
    the run stopped.
    """
    chosen = settings(config, set_ or [], steps)
    run_toml = out / "run.toml"
    if run_toml.is_file() and "task" not in read_toml(run_toml):
        raise ConfigError(f"{out} holds a run of pre-training; give another --out")
    from foretext.cli.counted import column_settings
    from foretext.training.finetune import FinetuneOptions, finetune

    output = Output(json=json, quiet=quiet)
    named = column_settings(text_column, label_column)
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
    with output.progress() as reporter:
        result = finetune(
            run, task, train=train, dev=dev, out=out, options=options, reporter=reporter
        )
    return _end(result, output)


def _end(result: FinetuneResult, output: Output) -> int:
    if not result.finished:
        stopped = {"event": "stopped", "folder": str(result.folder)}
        output.result(str(result.folder), stopped)
        output.note("saved; the same command goes on")
        return 130
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
    output.result(_summary(result), record)
    for seed in result.degenerate:
        output.note(
            f"warning: seed {seed} is no better than an answer that does not look at the text; "
            "try another seed, more steps or a smaller training.learning_rate"
        )
    output.note(f"next: foretext evaluate {best.folder} --data test.tsv")
    return 0


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
    return f"{table}\n{best.folder}: the best seed by {result.metric}"
