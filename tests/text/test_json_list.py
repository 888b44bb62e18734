"""A .json file of one list is read object by object, with lines, whatever its layout."""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path
from typing import Any

import pytest

from foretext.core.errors import DataError
from foretext.text.errors import CorpusStats
from foretext.text.tables import column_names, read_table

RECORDS: list[dict[str, Any]] = [
    {"text": "a } ], { b", "label": 1, "inner": {"real": 2.5, "deep": {"x": 1}}},
    {"text": "ㄱ가\\n나", "label": 2, "inner": {"real": 0.5, "deep": {"x": 2}}},
    {"text": "c\nd", "label": 3, "inner": {"real": 1.0, "deep": {"x": 3}}},
]


def written(path: Path, indent: int | str | None) -> Path:
    path.write_text(json.dumps(RECORDS, indent=indent, ensure_ascii=False), encoding="utf-8")
    return path


@pytest.mark.parametrize("indent", [None, 0, 1, 4, "\t"])
def test_any_indentation_gives_the_same_rows(tmp_path: Path, indent: int | str | None) -> None:
    rows = list(read_table(written(tmp_path / "t.json", indent), ["text", "label"]))
    assert [row.values["text"] for row in rows] == [record["text"] for record in RECORDS]
    assert [row.values["label"] for row in rows] == ["1", "2", "3"]


def test_an_object_a_line_inside_of_the_list_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "t.json.gz"
    lines = ",\n".join(json.dumps(record) for record in RECORDS)
    path.write_bytes(gzip.compress(f"\n[\n{lines}\n]\n".encode()))
    rows = list(read_table(path, ["label"]))
    assert [(row.line, row.values["label"]) for row in rows] == [(3, "1"), (4, "2"), (5, "3")]


def test_rows_know_the_line_where_their_object_begins(tmp_path: Path) -> None:
    path = written(tmp_path / "t.json", 2)
    lines = path.read_text(encoding="utf-8").splitlines()
    begins = [number for number, line in enumerate(lines, 1) if line == "  {"]
    assert [row.line for row in read_table(path, ["label"])] == begins


def test_a_field_of_an_inner_object_is_a_column(tmp_path: Path) -> None:
    path = written(tmp_path / "t.json", 2)
    assert column_names(path) == ["text", "label", "inner.real", "inner.deep"]
    values = [row.values["inner.real"] for row in read_table(path, ["inner.real"])]
    assert values == ["2.5", "0.5", "1.0"]
    with pytest.raises(DataError, match=r"t\.json:2: there is no field 'inner\.rael'"):
        list(read_table(path, ["inner.rael"]))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"text": "a"}', r"t\.json:1: a list of objects is expected, not '\{"),
        ('[\n {"text": "a"},\n "b"\n]', r"t\.json:3: a JSON object is expected, not 'b'"),
        ('[\n {"text": "a"},\n {"text" "b"}\n]\n', r"t\.json:3: broken JSON \(Expecting ':'"),
        ('[\n {"text": "a"},\n {"text": "b"\n', r"t\.json:3: the file ends before its list"),
        ('[\n {"text": "a"},\n', r"t\.json:3: the file ends before its list"),
        ('[\n {"text": "a\n"}\n]', r"t\.json:2: broken JSON \(Invalid control"),
        ("", r"t\.json: there is no row \(the file holds none\)"),
        ("[]", r"t\.json: there is no row"),
        ("[" * 200_000 + "]", "nested too deeply"),
    ],
)
def test_what_is_no_list_of_objects_is_named_with_its_line(
    tmp_path: Path, content: str, message: str
) -> None:
    path = tmp_path / "t.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        list(read_table(path, ["text"]))


@pytest.mark.parametrize("indent", [None, 1])
def test_an_integer_beyond_pythons_limit_spoils_its_own_record(
    tmp_path: Path, indent: int | None
) -> None:
    """More than 4,300 digits are a ValueError of int(), not a JSONDecodeError."""
    path, stats = tmp_path / "t.json", CorpusStats()
    text = json.dumps([{"text": name, "n": -77} for name in "abc"], indent=indent)
    path.write_text(text.replace("-77", "7" * 5000, 2).replace("7" * 5000, "1", 1))
    line = 1 if indent is None else 6
    with pytest.raises(DataError, match=rf"t\.json:{line}: broken JSON \(Exceeds the limit"):
        list(read_table(path, ["text"]))
    rows = list(read_table(path, ["text"], "skip", stats=stats))
    assert [row.values["text"] for row in rows] == ["a", "c"]
    assert dict(stats.skips) == {"broken JSON": 1}


@pytest.mark.parametrize("indent", [None, 1])
def test_bytes_that_are_no_text_cost_the_record_that_holds_them(
    tmp_path: Path, indent: int | None
) -> None:
    """A record is left out, not a line: the list may be one."""
    path = tmp_path / "t.json"
    raw = json.dumps([{"text": text, "n": 1} for text in ("a", "b@", "c~", "d")], indent=indent)
    path.write_bytes(raw.encode().replace(b"@", b"\xff").replace(b"~", b"\0"))
    line = 1 if indent is None else 7
    with pytest.raises(DataError, match=rf"t\.json:{line}: invalid UTF-8 at byte \d+ \(0xff\)"):
        list(read_table(path, ["text"]))
    rows = list(read_table(path, ["text"], "replace"))
    assert [row.values["text"] for row in rows] == ["a", "b\ufffd", "c", "d"]
    stats = CorpusStats(noted=[])
    rows = list(read_table(path, ["text"], "skip", stats=stats))
    assert [row.values["text"] for row in rows] == ["a", "d"]
    assert dict(stats.skips) == {"invalid UTF-8": 1, "NUL": 1}
    assert stats.noted is not None
    assert stats.noted[0] == f"{path}:{line}: invalid UTF-8 (0xff)"


def test_the_rest_after_a_fault_is_skipped_and_counted_once(tmp_path: Path) -> None:
    path, stats = tmp_path / "t.json", CorpusStats()
    path.write_text('[\n{"text": "a"},\n{"text" 1},\n{"text": "c"}\n]', encoding="utf-8")
    rows = list(read_table(path, ["text"], "skip", stats=stats))
    assert [row.values["text"] for row in rows] == ["a"]
    assert dict(stats.skips) == {"broken JSON": 1}
    problem = "broken JSON (Expecting ':' delimiter); what comes after it was not read"
    assert (stats.left_out, stats.unread) == (0, [f"{path}:3: {problem}"])


def test_a_damaged_archive_is_one_fault(tmp_path: Path) -> None:
    path, stats = tmp_path / "t.json.gz", CorpusStats()
    stream = zlib.compressobj(wbits=31)
    text = json.dumps(RECORDS, indent=1)[:-9]
    path.write_bytes(stream.compress(text.encode()) + stream.flush(zlib.Z_SYNC_FLUSH))
    assert len(list(read_table(path, ["label"], "skip", stats=stats))) == 2
    assert [rest.count("cut short") for rest in stats.unread] == [1]


def test_a_long_list_is_not_read_at_once(tmp_path: Path) -> None:
    path, stats = tmp_path / "t.json", CorpusStats()
    path.write_text(json.dumps([{"text": "x" * 1000}] * 5000, indent=1), encoding="utf-8")
    rows = read_table(path, ["text"], stats=stats)
    next(rows)
    assert stats.read_bytes < path.stat().st_size / 2
    assert sum(1 for _ in rows) == 4999
