"""Reading a corpus: every format, every source, every fault of a line or record."""

from __future__ import annotations

import io
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretext.core.errors import ConfigError, DataError
from foretext.text.corpus import CorpusStats, Document, corpus_files, read_corpus, read_file
from foretext.text.normalise import nfc
from tests.text.files import (
    COMPRESS,
    TEXTS,
    as_csv,
    as_jsonl,
    as_parquet,
    as_txt,
    error_of,
    texts_of,
    write,
)


@pytest.mark.parametrize("pack", COMPRESS)
@pytest.mark.parametrize(("kind", "spell"), [("txt", as_txt), ("jsonl", as_jsonl), ("csv", as_csv)])
def test_every_format_gives_the_same_documents(
    tmp_path: Path, kind: str, spell: Callable[[list[str]], bytes], pack: str
) -> None:
    """Contract: .txt .jsonl .csv, plain and compressed."""
    file = write(tmp_path / f"a.{kind}{pack}", COMPRESS[pack](spell(TEXTS)))
    stats = CorpusStats()
    assert texts_of([file], stats=stats) == TEXTS
    assert stats.documents == 3
    assert stats.characters == sum(map(len, TEXTS))
    assert stats.bytes == sum(len(t.encode()) for t in TEXTS)
    assert stats.read_bytes == file.stat().st_size
    assert (stats.replaced, stats.skipped, stats.cut) == (0, 0, 0)


@pytest.mark.parametrize("kind", ["string", "large_string", "dictionary"])
def test_parquet_gives_its_text_column(tmp_path: Path, kind: str) -> None:
    """Contract: .parquet, streamed by record batch, text column alone."""
    pyarrow = pytest.importorskip("pyarrow")
    texts = [f"document {i}" for i in range(1000)]
    column = pyarrow.array(texts)
    column = column.dictionary_encode() if kind == "dictionary" else column.cast(kind)
    file = as_parquet(
        tmp_path / "a.parquet", {"text": column, "n": range(1000)}, row_group_size=300
    )
    documents = list(read_corpus(file))
    assert [d.text for d in documents] == texts
    assert [d.line for d in documents] == list(range(1, 1001))


def test_parquet_faults_are_named(tmp_path: Path) -> None:
    """Contract: missing column lists what exists; null, bad UTF-8, a damaged file."""
    pyarrow = pytest.importorskip("pyarrow")
    file = as_parquet(tmp_path / "a.parquet", {"body": ["x"], "n": [1]})
    assert "no column 'text'; the file has 'body', 'n'" in error_of(file)
    assert "must hold strings, but holds 'int64'" in error_of(file, text_field="n")
    bad = pyarrow.array([b"ok", b"\xff\xff", None, b"a\0b"], pyarrow.binary())
    bad = pyarrow.StringArray.from_buffers(4, bad.buffers()[1], bad.buffers()[2], bad.buffers()[0])
    file = as_parquet(tmp_path / "b.parquet", {"text": bad})
    assert "b.parquet:2: invalid UTF-8" in error_of(file)
    stats = CorpusStats()
    assert texts_of(file, on_error="replace", stats=stats) == ["ok", "��", "ab"]
    assert stats.replaced == 2
    assert dict(stats.skips) == {"null text": 1}
    whole = file.read_bytes()
    write(file, whole[:-20])
    assert "b.parquet:1: the parquet file is damaged" in error_of(file)


def test_parquet_without_pyarrow_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Contract: a clear ConfigError with the extra's name."""
    file = write(tmp_path / "a.parquet", b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigError, match=r"pip install 'foretext\[data\]'"):
        list(read_corpus(file))


def test_a_blank_line_ends_a_document_and_places_are_kept(tmp_path: Path) -> None:
    """design.md: a blank line ends a document; BOM and CRLF are not text."""
    data = b"\xef\xbb\xbf\r\none\r\n two \r\n \t\r\n\r\nthree\r\n\r\n"
    file = write(tmp_path / "a.txt", data)
    assert list(read_corpus(file)) == [
        Document("one\n two ", str(file), 2),
        Document("three", str(file), 6),
    ]


def test_standard_input_is_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """Contract: `-` is standard input, read as .txt."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a\n\nb\0\n")))
    assert list(read_corpus("-", on_error="replace")) == [
        Document("a", "standard input", 1),
        Document("b", "standard input", 3),
    ]


def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    """A circle ends; a link that points nowhere is called that."""
    for name in ("d/a.txt", "real/b.txt"):
        (tmp_path / name).parent.mkdir()
        write(tmp_path / name, b"x")
    (tmp_path / "d" / "link").symlink_to(tmp_path / "real")
    (tmp_path / "d" / "circle").symlink_to(tmp_path / "d")
    found = [str(f.path.relative_to(tmp_path)) for f in corpus_files([tmp_path / "d"])]
    assert found == ["d/a.txt", "d/link/b.txt"]
    (tmp_path / "none.txt").symlink_to(tmp_path / "nowhere.txt")
    with pytest.raises(DataError, match="is a link that points nowhere"):
        corpus_files([tmp_path / "none.txt"])


def test_folders_and_globs_are_sorted_and_hidden_files_ignored(tmp_path: Path) -> None:
    """Contract: recursive, sorted by path, hidden files ignored."""
    for name in ["b.txt", "a/z.txt", "a/.hidden.txt", ".git/c.txt", "note.md", "c.jsonl"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write(tmp_path / name, b'{"text": "x"}')
    found = [tmp_path / "a/z.txt", tmp_path / "b.txt", tmp_path / "c.jsonl"]
    assert [f.path for f in corpus_files(tmp_path)] == found
    assert [f.path for f in corpus_files([f"{tmp_path}/**"])] == found
    assert [f.path for f in corpus_files([f"{tmp_path}/*.txt"])] == [tmp_path / "b.txt"]
    assert [f.size for f in corpus_files(tmp_path)] == [13, 13, 13]
    order = [tmp_path / "c.jsonl", tmp_path / "b.txt"]
    assert [f.path for f in corpus_files(order)] == order


def test_sources_that_do_not_exist_are_named(tmp_path: Path) -> None:
    """Contract: missing file, empty glob, unknown suffix, folder without text, nothing named."""
    write(tmp_path / "books.txt", b"x")
    write(tmp_path / "notes.md", b"x")
    (tmp_path / "sub").mkdir()
    write(tmp_path / "sub/a.pdf", b"x")
    assert "did you mean 'books.txt'?" in error_of(tmp_path / "book.txt")
    assert "no file matches" in error_of(f"{tmp_path}/*.zip")
    assert "'.md' is not known; can be read: .txt .jsonl" in error_of(tmp_path / "notes.md")
    assert "holds no text file (found: '.pdf')" in error_of(tmp_path / "sub")
    assert "no text was named" in error_of([])
    assert "NUL" in error_of("a\0b.txt")
    assert "not a regular file" in error_of("/dev/null")
    assert "cannot be read" in error_of("x" * 5000 + ".txt")


def test_a_folder_named_like_a_file_is_no_text(tmp_path: Path) -> None:
    """Contract: a directory named as a file ends in one line, not a traceback."""
    (tmp_path / "a.txt").mkdir()
    assert "holds no text file" in error_of(tmp_path / "a.txt")
    with pytest.raises(DataError, match="cannot be read"):
        list(read_file(tmp_path / "a.txt"))
    (tmp_path / "a.parquet").mkdir()
    with pytest.raises(DataError, match="cannot be read"):
        list(read_file(tmp_path / "a.parquet"))


@pytest.mark.parametrize("kind", ["txt", "csv", "txt.gz", "parquet"])
def test_a_file_without_permission_is_named(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Contract: an unreadable file. Tests may run as root, so the refusal is staged."""
    file = write(tmp_path / f"a.{kind}", b"x")

    def refuse(*_args: object, **_options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert f"a.{kind}: cannot be read (Permission denied)" in error_of(file)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"good\nab\xffcd\n", "a.txt:2: invalid UTF-8 at byte 7 (0xff); mend the file"),
        (b"good\n\na\0b\n", "a.txt:3: NUL at byte 7"),
        (b"\xef\xbb\xbfa\xff", "a.txt:1: invalid UTF-8 at byte 4"),
        ("text\n".encode("utf-16"), "UTF-16; convert it: iconv -f UTF-16 -t UTF-8"),
        ("안녕하세요 여러분".encode("cp949"), "iconv -f CP949 -t UTF-8"),
    ],
)
def test_bad_bytes_are_located_and_a_remedy_is_given(
    tmp_path: Path, data: bytes, problem: str
) -> None:
    """Contract: strict UTF-8 names file:line, byte offset and remedy."""
    assert problem in error_of(write(tmp_path / "a.txt", data))


def test_replace_mends_and_skip_drops_the_line(tmp_path: Path) -> None:
    """Contract: replace = U+FFFD and no NUL; skip = that line; both counted by kind."""
    file = write(tmp_path / "a.txt", b"one\nt\xffwo\nth\0ree\nfour\n")
    stats = CorpusStats()
    assert texts_of(file, on_error="replace", stats=stats) == ["one\nt�wo\nthree\nfour"]
    assert dict(stats.replacements) == {"invalid UTF-8": 1, "NUL": 1}
    stats = CorpusStats()
    assert texts_of(file, on_error="skip", stats=stats) == ["one\nfour"]
    assert dict(stats.skips) == {"invalid UTF-8": 1, "NUL": 1}
    assert (stats.replaced, stats.skipped) == (0, 2)


@pytest.mark.parametrize(
    ("line", "kind", "problem"),
    [
        ('{"text": "x"', "broken JSON", "broken JSON"),
        ("[" * 100_000, "broken JSON", "nested too deeply"),
        ('{"text": ' + "9" * 5000 + "}", "broken JSON", "broken JSON"),
        ('["x"]', "not an object", "a JSON object is expected"),
        ('{"txt": "x", "id": 3}', "missing field", "(did you mean 'txt'?); the record has"),
        ('{"text": 3}', "not a string", "must be a string, but is 3"),
        ('{"text": null}', "null text", "must be a string, but is null"),
        ('{"text": "a\\u0000b"}', "NUL", "NUL character"),
        ('{"text": "a\\ud800b"}', "lone surrogate", "half a surrogate pair"),
    ],
)
def test_a_bad_json_record_is_named_or_skipped(
    tmp_path: Path, line: str, kind: str, problem: str
) -> None:
    """Contract: broken line, missing field (with those that exist), non-string, null."""
    file = write(tmp_path / "a.jsonl", f'{{"text": "one"}}\n\n{line}\n{{"text": "two"}}\n'.encode())
    message = error_of(file)
    assert "a.jsonl:3: " in message
    assert problem in message
    stats = CorpusStats()
    assert texts_of(file, on_error="skip", stats=stats) == ["one", "two"]
    assert dict(stats.skips) == {kind: 1}


def test_json_strings_are_mended_when_asked(tmp_path: Path) -> None:
    """JSON spells NUL and half surrogate pairs with escapes; neither is UTF-8 text."""
    file = write(tmp_path / "a.jsonl", b'{"text": "a\\u0000b\\ud800c \\ud83d\\ude00"}\n')
    stats = CorpusStats()
    assert texts_of(file, on_error="replace", stats=stats) == ["ab�c 😀"]
    assert dict(stats.replacements) == {"NUL": 1, "lone surrogate": 1}


@pytest.mark.parametrize("data", [b"", b"\n\n \n", b"\xef\xbb\xbf", b"\0"])
def test_an_empty_corpus_is_an_error(tmp_path: Path, data: bytes) -> None:
    """Contract: no document at all is a DataError, after reading."""
    assert "the corpus is empty" in error_of(write(tmp_path / "a.txt", data), on_error="replace")


def test_an_empty_file_among_others_is_none(tmp_path: Path) -> None:
    """Only the corpus as a whole must hold text; records without text are counted."""
    write(tmp_path / "a.txt", b"")
    write(tmp_path / "b.jsonl", b'{"text": " "}\n{"text": "x"}\n')
    stats = CorpusStats()
    assert texts_of(tmp_path, stats=stats) == ["x"]
    assert stats.empty == 1


def test_text_comes_out_composed(tmp_path: Path) -> None:
    """design.md: NFC; Korean is never decomposed into jamo, and jamo become syllables."""
    text = "한국어 각 문장, naïve café. ㅋㅋㅋ"
    spelled = unicodedata.normalize("NFD", text)
    assert spelled != text
    for kind, spell in (("txt", as_txt), ("jsonl", as_jsonl), ("csv", as_csv)):
        stats = CorpusStats()
        file = write(tmp_path / f"a.{kind}", spell([spelled, text]))
        assert texts_of(file, stats=stats) == [text, text]
        assert stats.normalized == 1


@given(st.text())
def test_nfc_is_unicode_nfc(text: str) -> None:
    """unicodedata is the reference wherever it is fast."""
    assert nfc(text) == unicodedata.normalize("NFC", text)


def test_nfc_is_linear_on_hostile_marks() -> None:
    """The standard library needs 5 s for 80,000 marks in alternating order, and 16 times as long
    for four times as many."""
    text = "a" + "\u0301\u0323" * 150_000 + "\u1112\u1161\u11ab"
    assert nfc(text).endswith("한")


def test_an_unknown_policy_is_a_config_error(tmp_path: Path) -> None:
    """Errors give the value, the rule and the remedy."""
    with pytest.raises(ConfigError, match="on_error='ignore' is not a policy; choose stop"):
        list(read_corpus(write(tmp_path / "a.txt", b"x"), on_error="ignore"))


def test_stats_of_parts_add_up(tmp_path: Path) -> None:
    """Workers count apart; the sum is what one reader counts."""
    write(tmp_path / "a.txt", b"a\xff\n\nb")
    write(tmp_path / "b.jsonl", b'{"text": "caf\\u0065\\u0301"}\n{}\n')
    whole, parts = CorpusStats(), CorpusStats()
    texts_of(tmp_path, on_error="replace", stats=whole)
    for file in corpus_files(tmp_path):
        part = CorpusStats()
        list(read_file(file.path, on_error="replace", stats=part))
        parts.add(part)
    assert parts == whole
    assert (whole.documents, whole.replaced, whole.skipped, whole.normalized) == (3, 1, 1, 1)


def test_two_columns_of_one_name_are_named(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    column = pyarrow.array(["a", "b"])
    table = pyarrow.Table.from_arrays([column, column, column], names=["text", "x", "text"])
    parquet.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"columns 0 and 2 \(from 0\) are both called 'text'"):
        list(read_corpus([tmp_path / "t.parquet"]))
