"""foretext evaluate: a model measured on labels or on held-out text."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foretext.cli.options import InUse, OnError, TextField
from foretext.cli.output import Json, Output, Quiet
from foretext.cli.prompting import on_suite
from foretext.cli.units import columns, metrics
from foretext.core.config import parse_settings, read_toml

if TYPE_CHECKING:
    from foretext.evaluation.baselines import Baseline
    from foretext.evaluation.compare import Comparison
    from foretext.inference.task_run import TaskRun
    from foretext.training.progress import Reporter

EXAMPLE = """\
foretext evaluate runs/task --data test.tsv
foretext evaluate runs/task runs/other --data test.tsv
foretext evaluate runs/bert --text held-out.txt
foretext evaluate runs/bert
foretext evaluate runs/gpt --suite sst2 --data dev.tsv --exemplars train.tsv --shots 0,1,8"""


def command(  # noqa: PLR0913, PLR0917  (a verb's options)
    folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="FOLDER", help="A model's folder; two fine-tuned ones are compared."
        ),
    ],
    data: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A labelled file, for a fine-tuned model.")
    ] = None,
    text: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATH",
            help="Text, for a pre-trained model; several times if need be.  [default: the text "
            "that the run held out]",
        ),
    ] = None,
    text_column: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A column of text.  [default: as in training]"),
    ] = None,
    label_column: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The column of labels.  [default: as in training]"),
    ] = None,
    set_: InUse = None,
    resamples: Annotated[
        int,
        typer.Option(metavar="N", min=100, help="Draws of the bootstrap that compares two models."),
    ] = 10_000,
    suite: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Ask a pre-trained model by prompts, without training: blimp, sst2, rte, "
            "storycloze, nsmc, or a .toml file of your own; the questions are --data.",
        ),
    ] = None,
    shots: Annotated[
        str, typer.Option(metavar="N,N", help="Examples before each question of --suite.")
    ] = "0",
    exemplars: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What the examples are drawn from.")
    ] = None,
    orders: Annotated[
        int, typer.Option(metavar="N", min=1, help="Orders of the examples that are tried.")
    ] = 1,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Every prompt, answer and score of --suite, as JSONL."),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Measure on this many samples or questions at most."),
    ] = None,
    no_baselines: Annotated[
        bool,
        typer.Option(
            "--no-baselines",
            help="Leave out the bag of words, which is fitted to the training file anew.",
        ),
    ] = False,
    on_error: OnError = "stop",
    text_field: TextField = "text",
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure a model, or compare two.

    A fine-tuned model is measured on a labelled file by the metrics of its task; a pre-trained one
    on text, by the loss, perplexity and accuracy of its objective, with masks that never change.
    With --suite a pre-trained model is asked by prompts, zero-, one- and few-shot: the likeliest
    option is its answer. Two fine-tuned models are compared on the same examples: each metric of
    both, the difference, and its 95 % interval by a paired bootstrap.
    """
    output = Output(json=json, quiet=quiet)
    if suite is not None:
        if data is None or len(folders) > 1:
            raise typer.BadParameter("--suite asks one model; give its questions as --data")
        on_suite(
            folders[0],
            suite,
            data,
            output,
            shots=shots,
            exemplars=exemplars,
            orders=orders,
            limit=limit,
            out=out,
            on_error=on_error,
        )
        return
    _check(folders, data, text)
    if data is None:
        settings = parse_settings(set_ or [])
        _on_text(folders[0], text or [], settings, limit, on_error, text_field, output)
        return
    from foretext.cli.counted import column_settings, say_which
    from foretext.inference.task_run import load_task

    runs = [load_task(folder, settings=parse_settings(set_ or [])) for folder in folders]
    named = column_settings(runs[0].recipe.task_name, text_column, label_column)
    for folder, run in zip(folders, runs, strict=True):
        say_which(folder, run.folder, output)
    if len(runs) == 2:
        _compare(runs, data, named, on_error, resamples, output)
    else:
        _on_labels(folders[0], runs[0], data, named, on_error, not no_baselines, output)


def _check(folders: list[Path], data: Path | None, text: list[str] | None) -> None:
    """See that the folders and what they are measured on go together."""
    tuned = [_is_tuned(folder) for folder in folders]
    if len(folders) > 2:
        raise typer.BadParameter(f"{len(folders)} folders were given; two are compared at most")
    for folder, is_tuned in zip(folders, tuned, strict=True):
        if is_tuned and (data is None or text):
            raise typer.BadParameter(f"{folder} was fine-tuned; give a labelled file as --data")
        if not is_tuned and (data is not None or len(folders) > 1):
            raise typer.BadParameter(f"{folder} was not fine-tuned; give it alone, with --text")


def _is_tuned(folder: Path) -> bool:
    from foretext.hub.folder import check_is_folder
    from foretext.recipes.folder import RECIPE_FILE

    check_is_folder(folder)
    path = folder / RECIPE_FILE
    if path.is_file():
        return "task" in read_toml(path)
    if not (folder / "config.json").is_file():
        return False
    from foretext.inference.task_run import task_of_class

    return task_of_class(folder) is not None


def _on_text(
    folder: Path,
    text: list[str],
    settings: dict[str, Any],
    limit: int | None,
    on_error: str,
    text_field: str,
    output: Output,
) -> None:
    from foretext.api import evaluate_text

    with output.progress() as reporter:
        found = evaluate_text(
            folder,
            text,
            settings=settings,
            limit=limit,
            on_error=on_error,
            text_field=text_field,
            reporter=reporter,
        )
    _show(folder, found, output)
    output.note("losses are in nats a target")


def _show(folder: Path, found: dict[str, float], output: Output, **beside: Any) -> None:
    rows = [(name, f"{value:.4f}") for name, value in found.items()]
    output.result(columns(rows), {"folder": str(folder)} | found | beside)


def _on_labels(
    folder: Path,
    run: TaskRun,
    data: Path,
    named: dict[str, Any],
    on_error: str,
    baselines: bool,
    output: Output,
) -> None:
    from foretext.cli.counted import CountedRun, say_losses, skip_note
    from foretext.evaluation.labelled import evaluate
    from foretext.tasks import task_module
    from foretext.text.errors import CorpusStats

    stats = CorpusStats()
    with output.progress() as reporter:
        counted = CountedRun(
            **vars(run), stage="evaluate", file=data, stats=stats, reporter=reporter
        )
        found = evaluate(counted, data, columns=named, on_error=on_error, stats=stats)
        others = _baselines(run, data, named, on_error, reporter) if baselines else ()
    record = {one.name: one.metrics for one in others}
    for one in others:
        output.note(f"{one.name}: {metrics(one.metrics)}")
    _show(folder, found, output, skipped=stats.left_out, unread=stats.unread, baselines=record)
    say_losses(run, output)
    _say_what_is_not_answered(run, found, output)
    skipped = f"{note}; " if (note := skip_note(stats, "examples were skipped")) else ""
    inputs = task_module(run.recipe.task_name).GUIDE.inputs
    output.note(f"{skipped}next: foretext predict {quote(str(folder))} {inputs}")


def _baselines(
    run: TaskRun, data: Path, named: dict[str, Any], on_error: str, reporter: Reporter
) -> tuple[Baseline, ...]:
    """What costs seconds, on the same examples; found where fine-tuning had a --dev."""
    from foretext.evaluation.labelled import examples_of
    from foretext.runs.baselines import baselines_on, read_baselines

    if not (read_baselines(run.folder) or read_baselines(run.folder.parent)):
        return ()
    examples = list(examples_of(run, data, columns=named, on_error=on_error))
    return baselines_on(run.folder, run.recipe, examples, reporter)


def _say_what_is_not_answered(run: TaskRun, found: dict[str, float], output: Output) -> None:
    if "NoAns_f1" in found and not getattr(run.recipe.task, "allow_impossible", True):
        output.note(
            "the model is taken to answer every question; if it learned not to, "
            "--set task.allow_impossible=true, and task.null_threshold=N"
        )


def _compare(
    runs: list[TaskRun],
    data: Path,
    named: dict[str, Any],
    on_error: str,
    resamples: int,
    output: Output,
) -> None:
    from foretext.cli.counted import skip_note
    from foretext.evaluation.compare import compare
    from foretext.text.errors import CorpusStats

    stats = CorpusStats()
    with output.progress() as reporter:
        found = compare(
            runs[0],
            runs[1],
            data,
            resamples=resamples,
            columns=named,
            on_error=on_error,
            stats=stats,
            progress=lambda done, total: reporter.stage("resample", done, total),
        )
    rows = [
        (
            name,
            *(f"{v:.4f}" for v in (one.first, one.second)),
            *(f"{v:+.4f}" for v in (one.difference, one.low, one.high)),
            found.verdict(name),
        )
        for name, one in found.metrics.items()
    ]
    header = ("", "A", "B", "B - A", "from", "to", "")
    title = f"A = {found.first}, B = {found.second}"
    draws = f"{resamples:,} paired draws of the {found.examples:,} examples"
    below = f"from, to: between them lies B - A in 95 % of {draws}"
    unread = list(dict.fromkeys(stats.unread))  # each model read the file
    record = _record(found) | {"skipped": stats.left_out // 2, "unread": unread}
    output.result(f"{title}\n{columns(rows, header=header)}\n{below}", record)
    if note := skip_note(stats, "examples were skipped", readings=2):
        output.note(note)


def _record(found: Comparison) -> dict[str, Any]:
    return {
        "a": str(found.first),
        "b": str(found.second),
        "examples": found.examples,
        "resamples": found.resamples,
        "metrics": {
            name: {
                "a": one.first,
                "b": one.second,
                "difference": one.difference,
                "low": one.low,
                "high": one.high,
                "significant": one.significant,
                "verdict": found.verdict(name),
            }
            for name, one in found.metrics.items()
        },
    }
