"""Reading a corpus: damage, bombs, giant lines, arbitrary bytes; always in bounded memory."""

from __future__ import annotations

import gzip
import random
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretext.core.errors import DataError
from foretext.text import decompress, formats, lines
from foretext.text.corpus import CorpusStats, read_corpus
from tests.text.files import (
    COMPRESS,
    as_jsonl,
    as_parquet,
    error_of,
    texts_of,
    write,
)


@pytest.mark.parametrize("pack", [".gz", ".xz", ".zst"])
@pytest.mark.parametrize("damage", ["cut", "flip", "garbage"])
def test_a_damaged_archive_is_an_error_with_the_line_reached(
    tmp_path: Path, pack: str, damage: str
) -> None:
    """Contract: DataError with file and line; skip keeps what came before the damage."""
    noise = random.Random(0)
    text = "\n".join(f"line {noise.random()}" for _ in range(20_000)).encode()
    data = COMPRESS[pack](text)
    if damage == "cut":
        data = data[: len(data) * 3 // 4]
    elif damage == "flip":
        data = data[:-6] + bytes([data[-6] ^ 255]) + data[-5:]
        data = data[:1000] + bytes([data[1000] ^ 255]) + data[1001:]
    else:
        data += b"garbage that is no archive"
    file = write(tmp_path / f"a.txt{pack}", data)
    message = error_of(file)
    assert f"a.txt{pack}:" in message
    assert "damaged or cut short" in message
    if damage != "flip":
        stats = CorpusStats()
        assert texts_of(file, on_error="skip", stats=stats)[0].startswith("line 0.84")
        assert dict(stats.skips) == {"damaged archive": 1}
        assert stats.unread[0].endswith("what comes after it was not read")


@pytest.mark.parametrize("pack", COMPRESS)
def test_archives_of_several_members_are_read_through(tmp_path: Path, pack: str) -> None:
    """gzip, xz and zstd files may be concatenated; parallel compressors write such files."""
    data = COMPRESS[pack](b"one\ntw") + COMPRESS[pack](b"o\n\nthree\n")
    assert texts_of(write(tmp_path / f"a.txt{pack}", data)) == ["one\ntwo", "three"]


@pytest.mark.parametrize("pack", [".gz", ".xz", ".zst"])
def test_a_decompression_bomb_is_refused(
    tmp_path: Path, pack: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Contract: a ratio above the cap and a size above the cap; here both are made small."""
    monkeypatch.setattr(decompress, "BOMB_BYTES", 2**22)
    monkeypatch.setattr(decompress, "BOMB_RATIO", 100)
    file = write(tmp_path / f"a.txt{pack}", COMPRESS[pack]((b"a" * 4095 + b"\n") * 2**13))
    tracemalloc.start()
    assert "which text never does" in error_of(file, on_error="skip")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6


def test_a_line_above_the_limit_is_never_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Contract: error when strict, else skipped and counted, without holding it whole."""
    monkeypatch.setattr(lines, "MAX_LINE", 2**21)
    file = tmp_path / "a.txt"
    with file.open("wb") as out:
        out.write(b"before\n")
        for _ in range(64):
            out.write(b"x" * 2**20)
        out.write(b"\nafter\n" + b"y" * 2**21 + b"\n" + b"z" * (2**21 + 1))
    assert "a.txt:2: the line is longer than 2,097,152 bytes" in error_of(file)
    stats = CorpusStats()
    tracemalloc.start()
    documents = list(read_corpus(file, on_error="skip", stats=stats))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [(d.line, d.text) for d in documents] == [(1, "before\nafter\n" + "y" * 2**21)]
    assert dict(stats.skips) == {"line too long": 2}
    assert peak < 24e6


@pytest.mark.parametrize("limit", [10, 100])
@pytest.mark.parametrize("block", [1, 3, 7, 10])
def test_blocks_do_not_change_what_is_read(
    tmp_path: Path, limit: int, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The size of a block is no border: same lines, same numbers, same faults."""
    monkeypatch.setattr(lines, "MAX_LINE", limit)
    monkeypatch.setattr(decompress, "BLOCK", block)
    rows = ["ab", "", "abcdefghij", "가나다라마바사", "x" * limit, "x" * (limit + 1), "", "z"]
    file = write(tmp_path / "a.txt", "\n".join(rows).encode())
    stats = CorpusStats()
    documents = list(read_corpus(file, on_error="skip", stats=stats))
    kept = [row if len(row.encode()) <= limit else None for row in rows]
    expected, first = [], 0
    for number, row in enumerate([*kept, ""], 1):
        if row == "":
            text = [r for r in kept[first : number - 1] if r is not None]
            start = next((i for i in range(first, number - 1) if kept[i] is not None), 0)
            expected += [(start + 1, "\n".join(text))] if text else []
            first = number
    assert [(d.line, d.text) for d in documents] == expected
    assert stats.skipped == kept.count(None)


def test_a_document_without_blank_lines_is_cut_at_line_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Contract: above the limit cut at a line end into several documents, counted."""
    monkeypatch.setattr(formats, "MAX_DOCUMENT", 100)
    rows = [f"line number {i:03}" for i in range(50)]
    file = write(tmp_path / "a.txt", "\n".join(rows).encode())
    stats = CorpusStats()
    documents = list(read_corpus(file, stats=stats))
    assert "\n".join(d.text for d in documents).split("\n") == rows
    assert max(len(d.text) for d in documents) <= 100
    assert stats.cut == len(documents) - 1 == 8
    assert [d.line for d in documents] == list(range(1, 51, 6))


@pytest.mark.parametrize("kind", ["txt", "txt.gz", "jsonl", "parquet"])
def test_memory_does_not_grow_with_the_text(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """design.md: streamed. Five times the text, without any blank line, takes the same memory."""
    monkeypatch.setattr(formats, "MAX_DOCUMENT", 2**14)
    monkeypatch.setattr(decompress, "BLOCK", 2**15)
    peaks = []
    for size in (8_000, 40_000):
        rows = [f"line {i} of a text, 문장 하나." for i in range(size)]
        file = tmp_path / f"{size}.{kind}"
        if kind == "parquet":
            as_parquet(file, {"text": rows}, row_group_size=2000)
        else:
            spell = as_jsonl(rows) if kind == "jsonl" else "\n".join(rows).encode()
            write(file, gzip.compress(spell) if kind.endswith("gz") else spell)
        del rows
        tracemalloc.start()
        assert sum(len(d.text) for d in read_corpus(file)) > 10 * size
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0] + 100_000


@given(
    data=st.one_of(st.binary(max_size=300), st.text(max_size=80).map(str.encode)),
    kind=st.sampled_from(["txt", "jsonl", "csv", "tsv", "txt.gz", "txt.xz", "jsonl.zst"]),
    whole=st.booleans(),
)
def test_arbitrary_bytes_end_in_documents_or_one_line(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, kind: str, whole: bool
) -> None:
    """Contract: nothing but DataError; with replace a file with one good record never fails."""
    good = {"txt": b"\n\ngood\n", "jsonl": b'\n{"text": "good"}\n', "csv": b"", "tsv": b""}
    base, _, pack = kind.partition(".")
    ending = b"text\ngood\n" + data if base in ("csv", "tsv") else data + good[base]
    if pack:
        packed = COMPRESS[f".{pack}"](ending)
        ending = packed if whole else packed[: len(data) * 2] + data
    file = tmp_path_factory.getbasetemp() / f"fuzz.{kind}"
    file.write_bytes(ending)
    for policy in ("stop", "replace", "skip"):
        try:
            documents = list(read_corpus(file, on_error=policy))
        except DataError as error:
            assert "\n" not in str(error)
            assert policy == "stop" or (bool(pack) and not whole)
        else:
            assert all(d.text and "\0" not in d.text for d in documents)
            assert all(d.text.encode() for d in documents)


@given(st.integers(0, 2**31), st.integers(1, 8))
def test_flipped_parquet_bytes_end_in_documents_or_one_line(
    tmp_path_factory: pytest.TempPathFactory, seed: int, flips: int
) -> None:
    """Contract: the reader never raises anything but DataError."""
    folder = tmp_path_factory.getbasetemp()
    source = folder / "good.parquet"
    if not source.exists():
        as_parquet(source, {"text": [f"text {i}" for i in range(50)]})
    data = bytearray(source.read_bytes())
    noise = random.Random(seed)
    for _ in range(flips):
        data[noise.randrange(len(data))] = noise.randrange(256)
    file = write(folder / "bad.parquet", bytes(data))
    try:
        for document in read_corpus(file, on_error="replace"):
            document.text.encode()
    except DataError as error:
        assert "\n" not in str(error)
