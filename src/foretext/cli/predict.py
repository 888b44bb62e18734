"""foretext predict: new text labelled by a fine-tuned model."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from foretext.cli.options import InUse, OnError
from foretext.cli.output import Json, Output, Quiet, as_json
from foretext.core.config import parse_settings
from foretext.core.errors import ConfigError

if TYPE_CHECKING:
    from foretext.tokenizers import Tokenizer

EXAMPLE = """\
foretext predict runs/task sentences.txt
foretext predict runs/task reviews.tsv --on-error skip --out labels.tsv
foretext predict runs/task reviews.tsv --precision bf16
foretext predict runs/task --text "A fine film." --text "A bore."
foretext predict runs/choice --text "It rained." \\
    --text-pair "We got wet." --text-pair "We ate." """.rstrip()


def command(  # noqa: PLR0913, PLR0917  (a verb's options)
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A fine-tuned model.")],
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE",
            help="A text a line (.txt), or a file like the training file; labels are not needed.",
        ),
    ] = None,
    text: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help="The text itself; several times if need be."),
    ] = None,
    text_pair: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT",
            help="The second text of each --text, such as a question's context; with a single "
            "--text, its candidates.",
        ),
    ] = None,
    text_column: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A column of text.  [default: as in training]"),
    ] = None,
    set_: InUse = None,
    on_error: OnError = "stop",
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write there, whole or not at all, not on the screen."),
    ] = None,
    precision: Annotated[
        str,
        typer.Option(
            metavar="fp32|bf16", help="What to multiply in; `foretext doctor` times both."
        ),
    ] = "fp32",
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Answer new inputs: a line for each, in order, or with --json a record.

    With --on-error skip an input that cannot be used has a line too: a dash, or with --json what
    is wrong with it, so that line n always belongs to input n.
    """
    if (file is None) == (text is None):
        raise typer.BadParameter("give either a file or --text")
    if text_pair is not None and len(text or ()) not in (1, len(text_pair)):
        raise typer.BadParameter("give as many --text-pair as --text, or a single --text")
    _check_out(out, file)
    from foretext.cli.counted import CountedRun, column_settings, say_losses, say_which, skip_note
    from foretext.evaluation.labelled import predict
    from foretext.inference.task_run import load_task
    from foretext.text.errors import CorpusStats

    stats = CorpusStats()
    run = load_task(folder, precision=precision, settings=parse_settings(set_ or []))
    shown = Output(json=json, quiet=quiet)
    say_which(folder, run.folder, shown)
    if text is not None:
        _write(predict(run, _given(text, text_pair or []), on_error=on_error), shown, out)
        say_losses(run, shown)
        _say_unknown(run.layout.tokenizer, [*text, *(text_pair or [])], shown)
        return
    assert file is not None
    # A bar and results on one terminal would mix, and in JSON lines there are results alone.
    hidden = quiet or (out is None and (json or sys.stdout.isatty()))
    with Output(quiet=hidden).progress() as reporter:
        counted = CountedRun(
            **vars(run), stage="predict", file=file, stats=stats, reporter=reporter
        )
        named = column_settings(run.recipe.task_name, text_column, None)
        found = predict(counted, file, columns=named, on_error=on_error, stats=stats)
        _write(found, shown, out)
    say_losses(run, shown)
    if note := skip_note(stats, "inputs were skipped and have a dash for an answer"):
        shown.note(note)


def _say_unknown(tokenizer: Tokenizer, texts: list[str], output: Output) -> None:
    words = [word for text in texts for word in tokenizer.unknown_words(text)]
    if words:
        from foretext.text.errors import listed

        output.note(f"warning: the tokenizer does not know {listed(dict.fromkeys(words))}")


def _check_out(out: Path | None, file: Path | None) -> None:
    """Refuse to write over the input, or to what holds no plain text."""
    from foretext.text.decompress import EXPANDERS

    if out is not None and out.suffix.lower() in EXPANDERS:
        raise ConfigError(
            f"--out {out} is written as it is, not compressed; give {out.with_suffix('')}, or "
            "leave it out and pipe what is printed"
        )
    if out is not None and out.is_dir():
        raise ConfigError(f"--out {out} is a folder; give a file in it, such as {out / 'out.txt'}")
    if out and file and out.exists() and file.exists() and out.samefile(file):
        raise ConfigError(f"--out {out} is the input itself; give another file")


def _given(texts: list[str], others: list[str]) -> list[Any]:
    """Texts, pairs, or one text with all that is compared to it."""
    if not others:
        return list(texts)
    return [(*texts, *others)] if len(texts) == 1 else list(zip(texts, others, strict=True))


@contextmanager
def _opened(out: Path) -> Iterator[TextIO]:
    """The file that a link leads to, whole or not at all; a pipe or a device as it is."""
    from foretext.core.atomic import atomic_file

    with ExitStack() as stack:
        special = out.exists() and not out.is_file()
        path = out if special else stack.enter_context(atomic_file(out.resolve()))
        yield stack.enter_context(path.open("w", encoding="utf-8", newline="\n"))


def _write(predictions: Iterator[Any], output: Output, out: Path | None) -> None:
    """To standard output as they come, or to a file that is there when all are."""
    if out is None:
        for prediction in predictions:
            output.result(prediction.line, asdict(prediction))
        return
    with _opened(out) as file:
        for prediction in predictions:
            line = as_json(asdict(prediction)) if output.json else prediction.line
            file.write(line + "\n")
    output.note(f"next: head {quote(str(out))}")
