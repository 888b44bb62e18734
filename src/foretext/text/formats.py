"""How each kind of file holds documents: one function a format, and the table of formats."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foretext.core.errors import ConfigError, DataError
from foretext.text.decompress import unreadable
from foretext.text.errors import Faults, listed, nearest, shown, shown_path
from foretext.text.lines import Lines
from foretext.text.normalise import nfc
from foretext.text.records import clean, parse_object
from foretext.text.tables import read_table

MAX_DOCUMENT = 2**23  # characters of a .txt document without a blank line before it is cut
PARQUET_ROWS = 128  # a batch; a row can be large
_JOIN = 4096  # lines joined at once, so that many short lines do not cost 50 bytes each


@dataclass(frozen=True, slots=True)
class Document:
    """One document in NFC."""

    text: str
    source: str  # the file, as in errors
    line: int  # the first line, from 1; in .parquet the row


def text_documents(path: Path, faults: Faults, text_field: str) -> Iterator[Document]:
    """Documents between blank lines (lines of white space only)."""
    del text_field  # this format has no fields
    lines = Lines(path, faults)
    parts: list[str] = []  # of the document so far, each many lines
    recent: list[str] = []
    size = first = 0
    for number, line in lines:
        blank = not line or line.isspace()
        full = size + len(line) > MAX_DOCUMENT and size > 0
        if (blank or full) and size:
            text = "\n".join([*parts, *recent])
            parts, recent, size = [], [], 0
            faults.stats.cut += not blank
            yield from _counted(text, lines.name, first, faults)
        if blank:
            continue
        first = first if size else number
        recent.append(line)
        size += len(line) + 1
        if len(recent) == _JOIN:
            parts.append("\n".join(recent))
            recent = []
    if size:
        yield from _counted("\n".join([*parts, *recent]), lines.name, first, faults)


def json_documents(path: Path, faults: Faults, text_field: str) -> Iterator[Document]:
    """Documents in a field of JSON objects, one a line; blank lines are passed over."""
    lines = Lines(path, faults)
    for number, line in lines:
        if not line or line.isspace():
            continue
        record = parse_object(line, lines.place(number), faults)
        if record is None:
            continue
        place = lines.place(number)
        if text_field not in record:
            faults.skip(
                "missing field",
                place,
                f"there is no field {shown(text_field)}{nearest(text_field, record)}; "
                f"the record has {listed(record)}",
                "name one of them as text field",
            )
        elif not isinstance(record[text_field], str):
            _not_text(record[text_field], text_field, place, faults)
        else:
            text = clean(record[text_field], place, faults)
            yield from _counted(text, lines.name, number, faults)


def table_documents(path: Path, faults: Faults, text_field: str) -> Iterator[Document]:
    """Documents in a column of a table with a header."""
    name = shown_path(path)
    for row in read_table(path, [text_field], faults.on_error, stats=faults.stats):
        yield from _counted(row.values[text_field], name, row.line, faults)


def parquet_documents(path: Path, faults: Faults, text_field: str) -> Iterator[Document]:
    """Documents in a column of a parquet file, read batch by batch, that column alone."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise ConfigError(
            f"{shown_path(path)}: reading .parquet needs pyarrow; pip install 'foretext[data]'"
        ) from None
    row = 0
    name = shown_path(path)
    try:
        # Buffering ahead, the library's default, keeps every row group until the end.
        with (
            path.open("rb") as opened,
            pyarrow.parquet.ParquetFile(opened, pre_buffer=False) as file,
        ):
            _check_column(file.schema_arrow, text_field, name)
            for batch in file.iter_batches(PARQUET_ROWS, columns=[text_field], use_threads=False):
                for value in _cells(batch.column(0)):
                    row += 1
                    yield from _cell_document(value, f"{name}:{row}", (name, row), faults)
            faults.stats.read_bytes += path.stat().st_size
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise unreadable(path, error) from None
    except (pyarrow.ArrowException, OSError, EOFError, UnicodeDecodeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        faults.skip(
            "damaged parquet",
            f"{name}:{row + 1}",
            f"the parquet file is damaged from this row on ({reason})",
            "get the file again",
        )


def _counted(text: str | None, source: str, line: int, faults: Faults) -> Iterator[Document]:
    """The document in NFC, counted; nothing when it was skipped or holds white space only."""
    stats = faults.stats
    if text is None:
        return
    if not text or text.isspace():
        stats.empty += 1
        return
    normal = nfc(text)
    stats.normalized += normal is not text
    stats.documents += 1
    stats.characters += len(normal)
    stats.bytes += len(normal) if normal.isascii() else len(normal.encode())
    yield Document(normal, source, line)


def _not_text(value: object, field: str, place: str, faults: Faults) -> None:
    what = "null" if value is None else shown(value)
    kind = "null text" if value is None else "not a string"
    faults.skip(kind, place, f"the field {shown(field)} must be a string, but is {what}")


def _check_column(schema: Any, text_field: str, name: str) -> None:
    import pyarrow.types as kinds

    if text_field not in schema.names:
        raise DataError(
            f"{name}: there is no column {shown(text_field)}{nearest(text_field, schema.names)}; "
            f"the file has {listed(schema.names)}; name one of them as text field"
        )
    same = [str(i) for i, column in enumerate(schema.names) if column == text_field]
    if len(same) > 1:
        raise DataError(
            f"{name}: columns {' and '.join(same)} (from 0) are both called {shown(text_field)}; "
            "rename all but one"
        )
    kind = schema.field(text_field).type
    inner = kind.value_type if kinds.is_dictionary(kind) else kind
    if not any(is_text(inner) for is_text in (kinds.is_string, kinds.is_large_string)):
        raise DataError(
            f"{name}: the column {shown(text_field)} must hold strings, but holds "
            f"{shown(str(kind))}; name another as text field"
        )


def _cells(column: Any) -> list[bytes | None]:
    """The strings of a column as bytes: the library would raise at the first that is not UTF-8."""
    import pyarrow

    if pyarrow.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    wide = pyarrow.types.is_large_string(column.type)
    kind = pyarrow.large_binary() if wide else pyarrow.binary()
    cells: list[bytes | None] = column.cast(kind).to_pylist()
    return cells


def _cell_document(
    value: bytes | None, place: str, origin: tuple[str, int], faults: Faults
) -> Iterator[Document]:
    if value is None:
        faults.skip("null text", place, "the text is null")
        return
    try:
        text = value.decode()
    except UnicodeDecodeError as error:
        if not faults.replace("invalid UTF-8", place, f"invalid UTF-8 at its byte {error.start}"):
            return
        text = value.decode(errors="replace")
    yield from _counted(clean(text, place, faults), *origin, faults)


Reader = Callable[[Path, Faults, str], Iterator[Document]]

FORMATS: dict[str, Reader] = {
    ".txt": text_documents,
    ".jsonl": json_documents,
    ".csv": table_documents,
    ".tsv": table_documents,
    ".parquet": parquet_documents,
}
