"""foretext check-data: text or labels looked at before training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foretext.cli.output import Json, Output
from foretext.cli.units import columns, size

if TYPE_CHECKING:
    from foretext.data.inspect import CorpusReport
    from foretext.data.labelled import LabelledReport, SplitReport

EXAMPLE = """\
foretext check-data books/ --tokenizer tok/
foretext check-data train.tsv --dev dev.tsv --label-column label"""


def command(
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
    on_error: Annotated[
        str, typer.Option(metavar="stop|replace|skip", help="What to do with bad input.")
    ] = "stop",
    text_field: Annotated[
        str,
        typer.Option(metavar="NAME", help="The field or column of text in .jsonl, .parquet, .csv."),
    ] = "text",
    json: Json = False,
) -> None:
    """Look at text or labels before training on them.

    Text: documents, duplicates, lengths, damage and, with --tokenizer, tokens. Labels: how many of
    each, rows that are in both files, rows that contradict each other.
    """
    output = Output(json=json)
    labelled = label_column is not None or dev is not None or bool(text_column)
    if not labelled and not (text_field == "text" and _has_labels(paths)):
        _check_text(paths, tokenizer, on_error, text_field, output)
        return
    if len(paths) > 1:
        raise typer.BadParameter("labels lie in one file; give the second one as --dev")
    from foretext.data.inspect import inspect_labelled
    from foretext.tasks.columns import InputConfig

    guessed = InputConfig(
        text=text_column[0] if text_column else None,
        text_pair=text_column[1] if text_column and len(text_column) > 1 else None,
        label=label_column,
    ).resolved(Path(paths[0]))
    report = inspect_labelled(
        paths[0],
        dev,
        text_columns=guessed.texts,
        label_column=guessed.label or "label",
        on_error=on_error,
    )
    output.result(_labelled_text(report), report.as_dict())


def _has_labels(paths: list[str]) -> bool:
    """Whether this is one table with a column called label."""
    from foretext.data.tables import column_names, table_kind

    path = Path(paths[0])
    if len(paths) > 1 or table_kind(path) is None or not path.is_file():
        return False
    return "label" in column_names(path)


def _check_text(
    paths: list[str], tokenizer: Path | None, on_error: str, text_field: str, output: Output
) -> None:
    from foretext.data.inspect import inspect_corpus

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
    splits = [("train", report.train)] + ([("dev", report.dev)] if report.dev else [])
    parts = [_split_text(name, split) for name, split in splits]
    if report.dev:
        parts.append(f"in both files: {report.overlap:,} rows ({report.overlap_rate:.1%} of dev)")
    parts.append(f"always answering the commonest label: {report.majority_rate:.1%} right")
    return "\n".join([*parts, _warnings(report.warnings)])


def _split_text(name: str, split: SplitReport) -> str:
    shown = list(split.labels.items())[:20]
    labels = ", ".join(f"{label} {count:,}" for label, count in shown)
    more = len(split.labels) - len(shown)
    rows = [
        (name, f"{split.rows:,} rows, median {split.lengths.median:,} characters"),
        ("  labels", labels + (f" and {more:,} more" if more else "")),
        ("  repeated", f"{split.duplicates:,} rows; {split.conflicting:,} contradict another"),
    ]
    return columns(rows)


def _warnings(warnings: tuple[str, ...]) -> str:
    if not warnings:
        return "nothing to warn of"
    return "\n".join(f"warning: {warning}" for warning in warnings)
