"""Rows of labelled files: .tsv, .csv, .jsonl and .json, plain or as .gz, .xz, .zst, streamed.

    .tsv    tabs and newlines separate, nothing is quoted (as GLUE's files are)
    .csv    RFC 4180: fields in double quotes may hold commas, newlines and doubled quotes
    .jsonl  one object a line; strings, numbers and booleans are values, numbers as JSON writes
            them; a column `a.b` is the field b of the object a
    .json   one list of such objects

The first row of .tsv and .csv names the columns; without one, columns are called "0", "1", "2".
Values are in NFC and keep their outer spaces. Empty lines are passed over, but in a table of a
single column, where one between others is an empty cell.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foretext.core.errors import DataError
from foretext.text import lines as line_reader
from foretext.text.decompress import EXPANDERS
from foretext.text.errors import CorpusStats, Faults, OnError, listed, nearest, shown, shown_path
from foretext.text.json_list import json_lines, json_list
from foretext.text.lines import Lines
from foretext.text.normalise import nfc
from foretext.text.records import clean

KINDS = (".tsv", ".csv", ".jsonl", ".json")
_JSON = (".jsonl", ".json")


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table."""

    line: int  # where it begins, from 1
    values: dict[str, str]  # by column


def read_table(
    path: str | Path,
    columns: Sequence[str] | None = None,
    on_error: str = "stop",
    *,
    header: bool = True,
    kind: str | None = None,
    lists: Collection[str] = (),
    stats: CorpusStats | None = None,
) -> Iterator[Row]:
    """The rows of a table, one after another.

    Args:
        path: a .tsv, .csv, .jsonl or .json file, perhaps compressed.
        columns: which to deliver; None for all. Several columns may be the same.
        on_error: "stop" at the first fault, "replace" bad bytes and skip other bad rows, or "skip"
            every bad row.
        header: the first row names the columns; False: they are "0", "1", "2" (not JSON).
        kind: "tsv", "csv", ...: what a file is whose suffix does not say it.
        lists: columns of JSON that may hold a list of texts, which is delivered as JSON.
        stats: counts what was replaced and skipped; None to do without.

    Raises:
        DataError: not a table, empty, no such column, or a row at fault (file:line).
        ConfigError: no such policy.
    """
    path = Path(path)
    suffix = table_kind(path) or (kind and f".{kind}")
    if suffix not in KINDS:
        raise DataError(
            f"{shown_path(path)}: the suffix {shown(path.suffix)} is not that of a table; can be "
            f"read: {' '.join(KINDS)}, also with {' '.join(EXPANDERS)}; "
            "say with data.format what the file is"
        )
    faults = Faults(OnError.of(on_error), CorpusStats() if stats is None else stats)
    lines = Lines(path, faults, keep_bad=suffix == ".csv", mark_bad=suffix == ".json")
    if suffix in _JSON:
        objects = json_list(lines, faults) if suffix == ".json" else json_lines(lines, faults)
        rows = _json_rows(objects, columns, lists, lines, faults)
    else:
        records = _csv_records(lines, faults) if suffix == ".csv" else _tsv_records(lines)
        rows = _named_rows(records, _Naming(lines, columns, header), faults)
    return _not_empty(rows, lines, faults)


def table_kind(path: Path) -> str | None:
    """The suffix among KINDS that says how the table is read, or None."""
    suffixes = [s.lower() for s in path.suffixes[-2:]]
    if suffixes and suffixes[-1] in EXPANDERS:
        suffixes.pop()
    return suffixes[-1] if suffixes and suffixes[-1] in KINDS else None


def column_names(path: str | Path, *, header: bool = True, kind: str | None = None) -> list[str]:
    """The columns of a table, in the file's order: of its header, or of its first sound row.

    Raises:
        DataError: the header is at fault, or no row is sound; as read_table.
    """
    path = Path(path)
    suffix = table_kind(path) or (kind and f".{kind}")
    named = header and suffix not in _JSON
    # What is wrong with a row is told when it is read, where it may be skipped.
    faults = Faults(OnError.STOP if named else OnError.SKIP, CorpusStats())
    lines = Lines(path, faults, keep_bad=suffix == ".csv", mark_bad=suffix == ".json")
    if suffix in _JSON:
        objects = json_list(lines, faults) if suffix == ".json" else json_lines(lines, faults)
        for _, record in objects:
            return _paths(record)
    elif suffix in KINDS:
        records = _csv_records(lines, faults) if suffix == ".csv" else _tsv_records(lines)
        for _, cells in records:
            if cells:
                return _called(cells, header=header)
    return list(next(iter(read_table(path, header=header, kind=kind))).values)  # says what it is


def _called(first: Sequence[str], *, header: bool) -> list[str]:
    """The columns' names, given the first row."""
    return [nfc(name) for name in first] if header else [str(i) for i in range(len(first))]


def parted_otherwise(names: Sequence[str]) -> str:
    """A hint where a header's only name holds what parts the columns of other tables."""
    sign = next((s for s in (";", "\t", "|") if len(names) == 1 and s in names[0]), None)
    return (
        f" (its columns look parted by {shown(sign)}, not by a comma; save it so)" if sign else ""
    )


def _paths(record: Mapping[str, object]) -> list[str]:
    """The fields of an object, and those of the objects in it as `a.b`."""
    found = []
    for name, value in record.items():
        found += [f"{name}.{inner}" for inner in value] if isinstance(value, dict) else [name]
    return found


@dataclass(frozen=True)
class _Naming:
    """How the cells of a table get their names."""

    lines: Lines
    columns: Sequence[str] | None
    header: bool

    def names(self, first: list[str]) -> list[str]:
        """The column names, given the first row."""
        names = _called(first, header=self.header)
        wanted = names if self.columns is None else self.columns
        for column in wanted:
            if column not in names:
                raise DataError(
                    f"{self.lines.name}: there is no column {shown(column)}"
                    f"{nearest(column, names)}; the file has {listed(names)}"
                    f"{parted_otherwise(names)}; name one of them"
                )
            if names.count(column) > 1:
                raise DataError(
                    f"{self.lines.name}: {names.count(column)} columns are called {shown(column)}; "
                    "rename all but one"
                )
        return names


def _named_rows(
    records: Iterator[tuple[int, list[str]]], naming: _Naming, faults: Faults
) -> Iterator[Row]:
    names: list[str] = []
    picked: list[tuple[str, int]] = []
    blank: list[int] = []  # lines, of which it is not known yet whether others follow
    for line, cells in records:
        if not cells:
            blank += [line] if len(names) == 1 else []
            continue
        for number in blank:
            yield Row(number, {column: "" for column, _ in picked})
        blank.clear()
        if not names:
            names = naming.names(cells)
            wanted = names if naming.columns is None else naming.columns
            picked = [(column, names.index(column)) for column in wanted]
            if naming.header:
                continue
        if len(cells) != len(names):
            whose = "the header names" if naming.header else "the first row has"
            problem = f"the row has {len(cells)} columns, but {whose} {len(names)}"
            faults.skip("ragged row", naming.lines.place(line), problem)
            continue
        yield Row(line, {column: _normal(cells[i], faults) for column, i in picked})


def _tsv_records(lines: Lines) -> Iterator[tuple[int, list[str]]]:
    for number, line in lines:
        yield number, line.split("\t") if line else []


class _Feed:
    """Lines for the csv module, remembering where the record began."""

    def __init__(self, lines: Lines) -> None:
        self.first = 0  # line of the record's beginning; 0: no line was taken yet
        self._lines = iter(lines)

    def __iter__(self) -> Iterator[str]:
        for number, line in self._lines:
            self.first = self.first or number
            yield line + "\n"


def _csv_records(lines: Lines, faults: Faults) -> Iterator[tuple[int, list[str]]]:
    # The csv module's limit of 128 KiB a field is global, and raising it harms nobody.
    csv.field_size_limit(max(csv.field_size_limit(), line_reader.MAX_LINE))
    feed = _Feed(lines)
    records = csv.reader(feed, strict=True)
    while True:
        feed.first, lines.spoilt = 0, False
        try:
            cells = next(records)
        except StopIteration:
            return
        except csv.Error as error:
            problem = f"broken quoting in the row that begins here ({error})"
            faults.skip("broken quoting", lines.place(feed.first), problem)
            continue
        if not lines.spoilt:  # a spoilt one is counted where its line was read
            yield feed.first, cells


def _json_rows(
    objects: Iterator[tuple[int, dict[str, Any]]],
    columns: Sequence[str] | None,
    lists: Collection[str],
    lines: Lines,
    faults: Faults,
) -> Iterator[Row]:
    for number, record in objects:
        place = lines.place(number)
        wanted = list(record) if columns is None else columns
        values = {}
        for column in wanted:
            found = _inner(record, column)
            if column in lists and isinstance(found.get(column), list):
                value = _json_list(found, column, place, faults)
            else:
                value = _json_value(found, column, place, faults)
            if value is None:
                break
            values[column] = value
        else:
            yield Row(number, values)


def _inner(record: dict[str, Any], column: str) -> dict[str, Any]:
    """The record, where need be with the field `a.b` as one of its own."""
    outer, dot, name = column.partition(".")
    if column in record or not dot or not isinstance(record.get(outer), dict):
        return record
    inner = record[outer]
    return record | {column: inner[name]} if name in inner else record


def _json_value(record: dict[str, object], column: str, place: str, faults: Faults) -> str | None:
    """A field as text, or None when it is at fault and was skipped."""
    if column not in record:
        faults.skip(
            "missing field",
            place,
            f"there is no field {shown(column)}{nearest(column, record)}; "
            f"the record has {listed(record)}",
            "name one of them",
        )
        return None
    value = record[column]
    if isinstance(value, str):
        text = clean(value, place, faults)
        return None if text is None else _normal(text, faults)
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    what = "null" if value is None else shown(value)
    faults.skip(
        "not a value", place, f"the field {shown(column)} must be text or a number, but is {what}"
    )
    return None


def _json_list(record: dict[str, Any], column: str, place: str, faults: Faults) -> str | None:
    """A list of texts as JSON, or None when it is at fault and was skipped."""
    texts = []
    for number, item in enumerate(record[column], 1):
        name = f"{column}, item {number}"
        # Objects with a text are what OpenBookQA and CommonsenseQA have.
        value = item["text"] if isinstance(item, dict) and "text" in item else item
        text = _json_value({name: value}, name, place, faults)
        if text is None:
            return None
        texts.append(text)
    return json.dumps(texts, ensure_ascii=False)


def _normal(text: str, faults: Faults) -> str:
    normal = nfc(text)
    faults.stats.normalized += normal is not text
    return normal


def _not_empty(rows: Iterator[Row], lines: Lines, faults: Faults) -> Iterator[Row]:
    before = faults.stats.skipped
    count = 0
    for row in rows:
        count += 1
        yield row
    if not count:
        skipped = faults.stats.skipped - before
        why = f"all {skipped:,} rows were skipped" if skipped else "the file holds none"
        why = faults.stats.unread[-1] if faults.stats.unread else why
        raise DataError(f"{lines.name}: there is no row ({why}); check the file and its header")
