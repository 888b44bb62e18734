"""foretext evaluate: a model measured on labels or on held-out text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from foretext.cli.output import Json, Output, Quiet
from foretext.cli.units import columns
from foretext.config import read_toml

EXAMPLE = """\
foretext evaluate runs/task --data test.tsv
foretext evaluate runs/bert --text held-out.txt
foretext evaluate runs/bert"""


def command(  # noqa: PLR0913, PLR0917  (a verb's options)
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A model folder.")],
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
        str | None, typer.Option(metavar="NAME", help="The column of labels.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Samples of text at most.")
    ] = None,
    on_error: Annotated[
        str, typer.Option(metavar="stop|replace|skip", help="What to do with bad input.")
    ] = "stop",
    text_field: Annotated[
        str,
        typer.Option(metavar="NAME", help="The field or column of text in .jsonl, .parquet, .csv."),
    ] = "text",
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure a model.

    A fine-tuned model is measured on a labelled file by its task's metrics, a pre-trained one on
    text by the loss, perplexity and accuracy of its objective, with masks that never change.
    """
    from foretext.training.run import RECIPE_FILE

    output = Output(json=json, quiet=quiet)
    path = folder / RECIPE_FILE
    if path.is_file() and "task" in read_toml(path):
        if data is None or text:
            raise typer.BadParameter(f"{folder} was fine-tuned; give a labelled file as --data")
        from foretext.cli.counted import column_settings

        named = column_settings(text_column, label_column)
        found, note = _on_labels(folder, data, named, on_error, output)
    else:
        if data is not None:
            raise typer.BadParameter(f"{folder} was not fine-tuned; give text as --text")
        from foretext.api import evaluate_text

        with output.progress() as reporter:
            found = evaluate_text(
                folder,
                text or (),
                limit=limit,
                on_error=on_error,
                text_field=text_field,
                reporter=reporter,
            )
        note = "losses are in nats a target"
    rows = [(name, f"{value:.4f}") for name, value in found.items()]
    output.result(columns(rows), {"folder": str(folder)} | found)
    output.note(note)


def _on_labels(
    folder: Path, data: Path, named: dict[str, Any], on_error: str, output: Output
) -> tuple[dict[str, float], str]:
    from foretext.cli.counted import CountedRun
    from foretext.data.faults import CorpusStats
    from foretext.evaluation.labelled import evaluate, load_task

    stats = CorpusStats()
    run = load_task(folder)
    with output.progress() as reporter:
        counted = CountedRun(
            **vars(run), stage="evaluate", file=data, stats=stats, reporter=reporter
        )
        found = evaluate(counted, data, columns=named, on_error=on_error, stats=stats)
    skipped = f"{stats.skipped:,} rows were skipped; " if stats.skipped else ""
    return found, f"{skipped}next: foretext predict {folder} sentences.txt"
