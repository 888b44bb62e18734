"""Reading labelled tables: formats, quoting, faults, places."""

from __future__ import annotations

import csv
import gzip
import io
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretext.core.errors import ConfigError, DataError
from foretext.text.errors import CorpusStats
from foretext.text.tables import Row, column_names, read_table

ROWS = [{"text": "good film", "label": "1"}, {"text": "나쁜 영화", "label": "0"}]


def write(path: Path, data: str | bytes) -> Path:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def values(path: Path, *args: Any, **options: Any) -> list[dict[str, str]]:
    return [row.values for row in read_table(path, *args, **options)]


def error_of(path: Path, *args: Any, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        values(path, *args, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.tsv", "text\tlabel\ngood film\t1\n나쁜 영화\t0\n"),
        ("a.tsv", "\ufefftext\tlabel\r\ngood film\t1\r\n\r\n나쁜 영화\t0"),
        ("a.csv", "text,label\ngood film,1\n나쁜 영화,0\n"),
        ("a.CSV", '\ufeff"text","label"\r\n"good film","1"\r\n\r\n나쁜 영화,0'),
        ("a.jsonl", '{"text": "good film", "label": 1}\n\n{"text": "나쁜 영화", "label": "0"}\n'),
    ],
)
def test_every_format_gives_the_same_rows(tmp_path: Path, name: str, data: str) -> None:
    """Contract: .tsv, .csv, .jsonl, also compressed; BOM, CRLF and empty lines are not data."""
    assert values(write(tmp_path / name, data)) == ROWS
    packed = write(tmp_path / f"{name}.gz", gzip.compress(data.encode()))
    assert values(packed, ["label"]) == [{"label": "1"}, {"label": "0"}]
    assert column_names(packed) == ["text", "label"]


def test_an_empty_line_is_an_empty_cell_of_a_single_column(tmp_path: Path) -> None:
    """So that what is predicted of line n is its own; after the last row there is none."""
    for name in ("a.tsv", "a.csv"):
        rows = list(read_table(write(tmp_path / name, b"text\n\ngood\n\nbad\n\n\n")))
        places = [(row.line, row.values["text"]) for row in rows]
        assert places == [(2, ""), (3, "good"), (4, ""), (5, "bad")]


def test_quotes_are_text_in_tsv_and_syntax_in_csv(tmp_path: Path) -> None:
    """GLUE's TSV files hold single quotation marks; CSV follows RFC 4180."""
    tsv = write(tmp_path / "a.tsv", 'text\tlabel\n"a, said he\t1\nb"" c\t0\n')
    assert [row["text"] for row in values(tsv)] == ['"a, said he', 'b"" c']
    data = 'text,label\n"a, ""b""\nsecond line",1\nlast,0\n'
    assert list(read_table(write(tmp_path / "a.csv", data))) == [
        Row(2, {"text": 'a, "b"\nsecond line', "label": "1"}),
        Row(4, {"text": "last", "label": "0"}),
    ]


def test_without_a_header_columns_are_numbers(tmp_path: Path) -> None:
    """Contract: header=False names the columns 0, 1, 2 (CoLA and STS-B files have no header)."""
    file = write(tmp_path / "a.tsv", "gj04\t1\t\tA sentence.\ngj04\t0\t*\tSentence a.\n")
    assert values(file, ["1", "3"], header=False) == [
        {"1": "1", "3": "A sentence."},
        {"1": "0", "3": "Sentence a."},
    ]
    assert column_names(file, header=False) == ["0", "1", "2", "3"]


def test_a_missing_column_is_named_with_those_that_exist(tmp_path: Path) -> None:
    """Contract: missing column lists the columns and the nearest."""
    file = write(tmp_path / "a.tsv", "sentence\tlabel\nx\t1\n")
    message = error_of(file, ["sentences"])
    assert "no column 'sentences' (did you mean 'sentence'?); the file has" in message
    assert "'sentence', 'label'" in message
    file = write(tmp_path / "a.jsonl", '{"sentence": "x"}\n')
    assert "a.jsonl:1: there is no field 'sentences' (did you mean" in error_of(file, ["sentences"])
    twice = write(tmp_path / "b.tsv", "a\ta\tb\n1\t2\t3\n")
    assert "2 columns are called 'a'" in error_of(twice)
    assert values(twice, ["b"]) == [{"b": "3"}]


@pytest.mark.parametrize(
    ("name", "data", "kind", "problem"),
    [
        ("a.tsv", "a\tb\n1\t2\n3\n5\t6\n", "ragged row", "a.tsv:3: the row has 1 columns, but the"),
        (
            "a.csv",
            "a,b\n1,2\n3,4,5\n5,6\n",
            "ragged row",
            "a.csv:3: the row has 3 columns, but the",
        ),
        ("a.csv", 'a,b\n1,2\n"3"x,4\n5,6\n', "broken quoting", "a.csv:3: broken quoting"),
        ("a.csv", 'a,b\n1,2\n5,6\n"3,4\n9,9\n', "broken quoting", "a.csv:4: broken quoting"),
        ("a.tsv", b"a\tb\n1\t2\n3\xff\t4\n5\t6\n", "invalid UTF-8", "a.tsv:3: invalid UTF-8"),
        ("a.csv", b'a,b\n1,2\n"3\n\xff",4\n5,6\n', "invalid UTF-8", "a.csv:4: invalid UTF-8"),
        ("a.csv", b"a,b\n1,2\n3\0,4\n5,6\n", "NUL", "a.csv:3: NUL at byte 9"),
        ("a.jsonl", '{"a":1,"b":2}\n{"a"\n{"a":5,"b":6}', "broken JSON", "a.jsonl:2: broken JSON"),
        ("a.jsonl", '{"a":1,"b":2}\n{"a":1,"b":[]}\n{"a":5,"b":6}', "not a value", "but is []"),
        ("a.jsonl", '{"a":1,"b":2}\n{"a":1,"b":null}\n{"a":5,"b":6}', "not a value", "is null"),
        ("a.jsonl", '{"a":1,"b":2}\n{"a":1}\n{"a":5,"b":6}', "missing field", "has 'a'"),
    ],
)
def test_a_bad_row_is_named_or_skipped_whole(
    tmp_path: Path, name: str, data: str | bytes, kind: str, problem: str
) -> None:
    """Contract: ragged row (file:line, counts), bad UTF-8; skip drops that record alone."""
    file = write(tmp_path / name, data)
    assert problem in error_of(file, ["a", "b"])
    stats = CorpusStats()
    assert values(file, ["a", "b"], "skip", stats=stats) == [
        {"a": "1", "b": "2"},
        {"a": "5", "b": "6"},
    ]
    assert dict(stats.skips) == {kind: 1}


def test_replace_mends_bytes_and_keeps_the_row(tmp_path: Path) -> None:
    """Contract: replace = U+FFFD, NUL removed."""
    file = write(tmp_path / "a.csv", b'a,b\n"3\n\xff",4\0\n')
    assert values(file, None, "replace") == [{"a": "3\n�", "b": "4"}]


@pytest.mark.parametrize("data", ["", "\n\n", "a\tb\n", "\ufeff"])
def test_a_table_without_rows_is_an_error(tmp_path: Path, data: str) -> None:
    """Contract: empty file, or nothing below the header."""
    assert "there is no row (the file holds none)" in error_of(write(tmp_path / "a.tsv", data))


def test_a_table_of_which_all_rows_were_skipped_says_so(tmp_path: Path) -> None:
    """The count tells that the format, not the file's size, is at fault."""
    file = write(tmp_path / "a.tsv", "a\tb\n1\n2\n")
    assert "there is no row (all 2 rows were skipped)" in error_of(file, None, "skip")


def test_json_numbers_and_booleans_are_values(tmp_path: Path) -> None:
    """Labels are often numbers; they read as JSON writes them."""
    file = write(tmp_path / "a.jsonl", '{"a": 1, "b": 2.50, "c": true, "d": "é"}')
    assert values(file) == [{"a": "1", "b": "2.5", "c": "true", "d": "é"}]


def test_values_are_composed(tmp_path: Path) -> None:
    """design.md: text is NFC, in fine-tuning as in pre-training; column names too."""
    file = write(tmp_path / "a.tsv", "e\u0301\tb\n\u1112\u1161\u11ab\t1\n")
    stats = CorpusStats()
    assert values(file, ["é"], stats=stats) == [{"é": "한"}]
    assert stats.normalized == 1


def test_files_that_are_no_table_are_named(tmp_path: Path) -> None:
    """Contract: unsupported suffix, missing file, unknown policy."""
    assert "'.txt' is not that of a table; can be read: .tsv .csv .jsonl" in error_of(
        write(tmp_path / "a.txt", "x")
    )
    assert "cannot be read (No such file" in error_of(tmp_path / "none.tsv")
    with pytest.raises(ConfigError, match="is not a policy"):
        read_table(tmp_path / "a.tsv", on_error="x")


def test_fields_longer_than_the_csv_modules_limit_are_read(tmp_path: Path) -> None:
    """The standard library refuses fields above 131,072 characters until it is told otherwise."""
    file = write(tmp_path / "a.csv", "text,label\n" + "x" * 300_000 + ",1\n")
    assert len(values(file)[0]["text"]) == 300_000


def test_memory_does_not_grow_with_the_table(tmp_path: Path) -> None:
    """Contract: streamed."""
    peaks = []
    for rows in (10_000, 50_000):
        file = write(tmp_path / "a.tsv", "text\tlabel\n" + "some words of text\t1\n" * rows)
        tracemalloc.start()
        assert sum(1 for _ in read_table(file)) == rows
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 8e6


cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=12)


@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=8))
def test_csv_round_trip(tmp_path_factory: pytest.TempPathFactory, rows: list[Any]) -> None:
    """What Python's csv module writes is read back, but for NFC."""
    import unicodedata

    spelled = io.StringIO()
    writer = csv.writer(spelled, quoting=csv.QUOTE_ALL)
    writer.writerows([("a", "b"), *rows])
    file = write(tmp_path_factory.getbasetemp() / "trip.csv", spelled.getvalue())
    assert [tuple(v.values()) for v in values(file)] == [
        tuple(unicodedata.normalize("NFC", cell) for cell in row) for row in rows
    ]


@given(st.binary(max_size=200), st.sampled_from(["tsv", "csv", "jsonl", "tsv.gz"]), st.booleans())
def test_arbitrary_bytes_end_in_rows_or_one_line(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, kind: str, header: bool
) -> None:
    """Contract: nothing but DataError leaves the reader."""
    file = write(tmp_path_factory.getbasetemp() / f"fuzz.{kind}", data)
    for policy in ("stop", "replace", "skip"):
        try:
            for row in values(file, None, policy, header=header):
                "".join(row.values()).encode()
        except DataError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.tsv", b"text\tlabel\na\tb\tc\nd\te\n"),
        ("t.tsv", b"text\tlabel\n\xff\tb\nd\te\n"),
        ("t.csv", b'text,label\n"a"b,c\nd,e\n'),
        ("t.jsonl", b'{"text": \n{"text": "d", "label": "e"}\n'),
    ],
)
def test_a_first_row_at_fault_hides_no_columns(tmp_path: Path, name: str, content: bytes) -> None:
    """It is told, or skipped, where rows are read."""
    path = tmp_path / name
    path.write_bytes(content)
    assert column_names(path) == ["text", "label"]
    assert [row.values["text"] for row in read_table(path, on_error="skip")] == ["d"]


def test_a_header_that_another_sign_parts_is_told(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("sentence;label\na;b\n", encoding="utf-8")
    with pytest.raises(DataError, match="columns look parted by ';', not by a comma"):
        list(read_table(path, ["sentence"]))
