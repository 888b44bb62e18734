"""foretext check-data: text or labels looked at before training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foretext.cli.continued import NAMES
from foretext.cli.options import OnError, TextField
from foretext.cli.output import Json, Output
from foretext.cli.units import columns, size
from foretext.core.errors import ConfigError, DataError

if TYPE_CHECKING:
    from foretext.labelled.inspect import LabelledReport, SplitReport
    from foretext.text.inspect import CorpusReport

EXAMPLE = """\
foretext check-data books/ --tokenizer tok/
foretext check-data train.tsv --dev dev.tsv --label-column label
foretext check-data train.json --dev dev.json --task squad2
foretext check-data train.conll --task tagging --on-error skip"""


_ONE_FILE = "labels lie in one file; give the second one as --dev"
_SUFFIXES = {".json": "question-answering", ".conllu": "tagging", ".conll": "tagging"}


def command(  # noqa: PLR0913, PLR0917  (a verb's options)
    paths: Annotated[list[str], typer.Argument(metavar="PATH", help="Text, or one labelled file.")],
    tokenizer: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Count tokens and unknown ones too.")
    ] = None,
    label_column: Annotated[
        str | None, typer.Option(metavar="NAME", help="The column of labels: PATH is a table.")
    ] = None,
    text_column: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A column of text, one or two.  [default: guessed]"),
    ] = None,
    dev: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A second labelled file, to compare with PATH."),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            metavar="TASK",
            help="Read PATH as a file of this task or data set of `foretext tasks`.",
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH=VALUE", help="With --task: a setting of its files."),
    ] = None,
    on_error: OnError = "stop",
    text_field: TextField = "text",
    json: Json = False,
) -> None:
    """Look at text or labels before training on them.

    Text: documents, duplicates, lengths, damage and, with --tokenizer, tokens. Labels: how many of
    each, examples that are in both files, examples that contradict each other. Tables are known by
    a column called label; files of other tasks by --task, whose own reader finds every fault.
    """
    output = Output(json=json)
    if task is not None:
        _check_task(paths, task, dev, (text_column, label_column, set_), on_error, output)
        return
    if set_:
        raise typer.BadParameter("--set is for the files of a task; name it with --task")
    if name := _task_by_suffix(paths):
        raise DataError(f"{paths[0]} holds no plain text; name its task, such as --task {name}")
    labelled = label_column is not None or dev is not None or bool(text_column)
    if not labelled and not (text_field == "text" and _has_labels(paths)):
        _check_text(paths, tokenizer, on_error, text_field, output)
        return
    if len(paths) > 1:
        raise typer.BadParameter(_ONE_FILE)
    from foretext.labelled.inspect import inspect_labelled
    from foretext.tasks.columns import InputConfig

    named = InputConfig(
        text=text_column[0] if text_column else None,
        text_pair=text_column[1] if text_column and len(text_column) > 1 else None,
        label=label_column,
    )
    try:
        guessed = named.resolved(Path(paths[0]))
    except DataError as error:
        reason = str(error).rpartition("; ")[0]
        raise DataError(
            f"{reason}; name it with --text-column, or the task, such as --task multiple-choice"
        ) from None
    report = inspect_labelled(
        paths[0],
        dev,
        text_columns=guessed.texts,
        label_column=guessed.label or "label",
        on_error=on_error,
    )
    output.result(_labelled_text(report), report.as_dict())


def _check_task(
    paths: list[str],
    task: str,
    dev: Path | None,
    named: tuple[list[str] | None, str | None, list[str] | None],
    on_error: str,
    output: Output,
) -> None:
    """Labelled files of any task; named: --text-column, --label-column and --set."""
    if len(paths) > 1:
        raise typer.BadParameter(_ONE_FILE)
    if task in NAMES:
        raise ConfigError(f"{task} learns from plain text; look at it without --task")
    from foretext.cli.counted import column_settings
    from foretext.core.config import parse_settings
    from foretext.evaluation.task_data import inspect_task
    from foretext.tasks.datasets import task_of

    text_column, label_column, changes = named
    name = task_of(task)[0]
    columns_of = column_settings(name, text_column, label_column)
    chosen = {f"data.{field}": column for field, column in columns_of.items()}
    chosen |= parse_settings(changes or [])
    report = inspect_task(task, paths[0], dev, settings=chosen, on_error=on_error)
    output.result(_labelled_text(report), report.as_dict())


def _task_by_suffix(paths: list[str]) -> str | None:
    """The task whose files alone are called so."""
    path = Path(paths[0])
    task = _SUFFIXES.get(path.suffix.lower())
    if path.suffix.lower() == ".json" and path.is_file():
        with path.open("rb") as file:
            is_table = file.read(64).lstrip().startswith(b"[")
        return None if is_table else task
    return task


def _has_labels(paths: list[str]) -> bool:
    """Whether this is one table with a column called label."""
    from foretext.text.tables import column_names, table_kind

    path = Path(paths[0])
    if len(paths) > 1 or table_kind(path) is None or not path.is_file():
        return False
    return "label" in column_names(path)


def _check_text(
    paths: list[str], tokenizer: Path | None, on_error: str, text_field: str, output: Output
) -> None:
    from foretext.text.inspect import inspect_corpus

    loaded: Any = None
    if tokenizer is not None:
        from foretext.tokenizers import Tokenizer

        loaded = Tokenizer.load(tokenizer)
    with Output(json=False, quiet=output.json).progress() as reporter:
        report = inspect_corpus(
            paths,
            loaded,
            on_error,
            text_field=text_field,
            progress=lambda done, total: reporter.stage("check", done, total),
        )
    output.result(_corpus_text(report), report.as_dict())


def _corpus_text(report: CorpusReport) -> str:
    lengths = report.lengths
    rows = [
        ("files", f"{report.files:,}"),
        ("documents", f"{report.documents:,}"),
        ("size", f"{size(report.bytes)}, {report.characters:,} characters"),
        (
            "a document",
            f"{lengths.min:,} to {lengths.max:,} characters, median {lengths.median:,}",
        ),
        (
            "repeated",
            f"{report.duplicate_documents:,} documents ({report.duplicate_document_rate:.1%}), "
            f"{report.repeated_line_rate:.1%} of {report.lines:,} lines",
        ),
    ]
    if report.most_repeated_line is not None:
        often = f"{report.most_repeated_line!r}, {report.most_repeated_line_count:,} times"
        rows.append(("commonest line", often))
    if report.tokens is not None and report.token_lengths is not None:
        tokens = f"{report.tokens:,}, median {report.token_lengths.median:,} a document"
        rows.append(("tokens", f"{tokens}, {report.tokens_per_byte:.3f} a byte"))
        rows.append(("unknown", f"{report.unknown_rate:.2%} of the tokens"))
    for name, counts in (("replaced", report.replaced), ("skipped", report.skipped)):
        rows += [(name, f"{count:,} {fault}") for fault, count in counts.items()]
    return f"{columns(rows)}\n{_warnings(report.warnings)}"


def _labelled_text(report: LabelledReport) -> str:
    unit = report.unit
    splits = [("train", report.train)] + ([("dev", report.dev)] if report.dev else [])
    parts = [_split_text(name, split, unit) for name, split in splits]
    if report.dev:
        shared = f"{report.overlap:,} {unit} ({report.overlap_rate:.1%} of dev)"
        parts.append(f"in both files: {shared}")
    if report.majority_rate is not None:
        parts.append(f"always answering the commonest label: {report.majority_rate:.1%} right")
    return "\n".join([*parts, _warnings(report.warnings)])


def _split_text(name: str, split: SplitReport, unit: str) -> str:
    shown = list(split.labels.items())[:20]
    labels = ", ".join(f"{label} {count:,}" for label, count in shown)
    more = len(split.labels) - len(shown)
    rows = [
        (name, f"{split.rows:,} {unit}, median {split.lengths.median:,} characters"),
        ("  labels", labels + (f" and {more:,} more" if more else "")),
        ("  repeated", f"{split.duplicates:,} {unit}; {split.conflicting:,} contradict another"),
    ]
    told = (("  mended", split.replaced), ("  skipped", split.skipped), ("  note", split.notes))
    for what, counts in told:
        rows += [(what, f"{count:,} {fault}") for fault, count in counts.items()]
    return columns(rows)


def _warnings(warnings: tuple[str, ...]) -> str:
    if not warnings:
        return "nothing to warn of"
    return "\n".join(f"warning: {warning}" for warning in warnings)
