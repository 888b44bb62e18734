"""foretext predict: new text labelled by a fine-tuned model."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from foretext.cli.output import Json, Output, Quiet

EXAMPLE = """\
foretext predict runs/task sentences.txt
foretext predict runs/task --text "A fine film." --text "A bore."
foretext predict runs/choice --text "It rained." \\
    --text-pair "We got wet." --text-pair "We ate." """.rstrip()


def command(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A fine-tuned model.")],
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="A text a line, or a .tsv, .csv or .jsonl table."),
    ] = None,
    text: Annotated[
        list[str] | None, typer.Option(metavar="TEXT", help="A text itself; several times.")
    ] = None,
    text_pair: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT", help="The second text of each; of a single --text, its candidates."
        ),
    ] = None,
    text_column: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A column of text.  [default: as in training]"),
    ] = None,
    on_error: Annotated[
        str, typer.Option(metavar="stop|replace|skip", help="What to do with bad input.")
    ] = "stop",
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Answer for new text: for each input a line, in order, or with --json a record."""
    if (file is None) == (text is None):
        raise typer.BadParameter("give either a file or --text")
    if text_pair is not None and len(text or ()) not in (1, len(text_pair)):
        raise typer.BadParameter("give as many --text-pair as --text, or a single --text")
    from foretext.cli.counted import CountedRun, column_settings
    from foretext.data.faults import CorpusStats
    from foretext.evaluation.labelled import load_task, predict

    run, stats = load_task(folder), CorpusStats()
    shown = Output(json=json, quiet=quiet)
    if text is not None:
        _print(predict(run, _given(text, text_pair or []), on_error=on_error), shown)
        return
    assert file is not None
    # A bar and results on one terminal would mix, and in JSON lines there are results alone.
    with Output(quiet=quiet or json or sys.stdout.isatty()).progress() as reporter:
        counted = CountedRun(
            **vars(run), stage="predict", file=file, stats=stats, reporter=reporter
        )
        named = column_settings(text_column, None)
        _print(predict(counted, file, columns=named, on_error=on_error, stats=stats), shown)
    if stats.skipped:
        shown.note(f"{stats.skipped:,} rows were skipped and have no line")


def _given(texts: list[str], others: list[str]) -> list[Any]:
    """Texts, pairs, or one text with all that is compared to it."""
    if not others:
        return list(texts)
    return [(*texts, *others)] if len(texts) == 1 else list(zip(texts, others, strict=True))


def _print(predictions: Iterator[Any], output: Output) -> None:
    for prediction in predictions:
        output.result(prediction.line, asdict(prediction))
