"""prepare: the same bytes for any number of workers, whole or not at all, in flat memory."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretext.core.errors import ConfigError, DataError, TokenizerError
from foretext.shards.prepare import prepare
from foretext.shards.workers import encode
from foretext.text.corpus import CorpusStats, Document
from foretext.text.sentences import sentence_starts
from foretext.tokenizers import KINDS, train
from tests.shards.toy import ToyTokenizer, sentences, tree, write_books, write_jsonl

module = sys.modules[prepare.__module__]
ROOT = Path(__file__).parents[2]


# The same bytes


def test_the_bytes_do_not_depend_on_the_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Design: written by parallel workers, reproducibly; here 30 jobs in several shards."""
    monkeypatch.setattr(module, "JOB_CHARS", 2_000)
    text = write_books(tmp_path / "books.txt", documents=60)
    trees = []
    for workers in (0, 1, 2):
        out = tmp_path / f"shards{workers}"
        prepare(text, tokenizer=ToyTokenizer(), out=out, workers=workers, shard_tokens=20_000)
        trees.append(tree(out))
    assert len([name for name in trees[0] if name.startswith("tokens-")]) > 1
    assert trees[0] == trees[1] == trees[2]


def test_real_tokenizers_work_in_workers(tmp_path: Path) -> None:
    """A worker loads the tokenizer that was saved beside the shards: same ids, same fingerprint."""
    text = write_books(tmp_path / "books.txt", documents=8)
    tokenizer = train([text.read_text()], kind="wordpiece", vocab_size=100)
    shards = prepare(text, tokenizer=tokenizer, out=tmp_path / "shards", workers=2)
    documents = text.read_text().split("\n\n")
    assert shards.num_documents == len(documents)
    for index, document in enumerate(documents):
        assert shards.document(index).tolist() == tokenizer.encode(document)
    assert type(tokenizer).load(shards.tokenizer_folder).fingerprint == shards.fingerprint


@pytest.mark.parametrize("kind", KINDS)
def test_sentences_do_not_change_the_tokens(kind: str) -> None:
    """A document is tokenised whole, and each sentence's tokens spell that sentence."""
    text = "So was night. The old man said so.\nThe ship? A storm of the sea."
    tokenizer = train(sentences(200), kind=kind, vocab_size=300, lowercase=True)
    encoded = encode(tokenizer, [text])
    assert encoded.ids.tolist() == tokenizer.encode(text)
    offsets = np.cumsum([0, *encoded.sentence_lengths])
    starts = [*sentence_starts(text), len(text)]
    wanted = [text[a:b] for a, b in pairwise(starts)]
    found = [tokenizer.decode(encoded.ids[a:b]) for a, b in pairwise(offsets)]
    letters = [["".join(filter(str.isalpha, s.lower())) for s in part] for part in (found, wanted)]
    if "words" not in kind:  # "night." is no word of such a vocabulary
        assert letters[0] == letters[1]
    assert len(found) == len(wanted) == 4


def test_an_id_outside_the_vocabulary_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cast to one byte it would be another token, silently."""
    outside = (np.array([3, 256]), np.array([0, 1]))
    monkeypatch.setattr(ToyTokenizer, "encode_one", lambda *_: outside)
    with pytest.raises(TokenizerError, match="gave id 256, but its vocabulary has 256"):
        encode(ToyTokenizer(256), ["ab"])


def test_what_has_no_tokens_is_not_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CONTRACT: an empty document is not stored, nor an empty sentence, nor an empty piece."""
    monkeypatch.setattr(ToyTokenizer, "encode_one", _only_letters)
    monkeypatch.setattr(module, "JOB_CHARS", 8)
    texts = ["a\n!\nb", "!!", "!!!!!!!!!\n!!!!\nc\nd", "!!!!!!!!!!!!!!!!!!!!!", "e"]
    text = write_jsonl(tmp_path / "corpus.jsonl", texts)
    shards = prepare(text, tokenizer=ToyTokenizer(), out=tmp_path / "shards", workers=0)
    assert [bytes(shards.document(i)) for i in range(shards.num_documents)] == [b"ab", b"cd", b"e"]
    assert [shards.sentence_offsets(i).tolist() for i in range(2)] == [[0, 1, 2], [0, 1, 2]]


def _only_letters(_: ToyTokenizer, text: str) -> Any:
    starts = [i for i, c in enumerate(text) if c.isalpha()]
    return np.array([ord(text[i]) for i in starts], np.int64), np.array(starts, np.int64)


@settings(max_examples=40)
@given(st.lists(st.text("ab .\n", min_size=1, max_size=60), min_size=1, max_size=6))
def test_pieces_of_long_documents_are_short_and_lose_nothing(texts: list[str]) -> None:
    """What the tokenizer gets at once is bounded, whatever the text."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "JOB_CHARS", 10)
        documents = [Document(text, "source", 1) for text in texts]
        jobs = list(module._jobs(documents, CorpusStats()))
    joined: list[str] = []
    for job in jobs:
        assert max(map(len, job.texts)) <= 10
        if job.continues:
            joined[-1] += job.texts[0]
        else:
            joined += job.texts
    assert joined == texts


def test_a_long_document_is_stored_as_if_tokenised_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pieces start where sentences start, so neither ids nor borders show them."""
    text = write_books(tmp_path / "books.txt", documents=20)
    prepare(text, tokenizer=ToyTokenizer(), out=tmp_path / "whole", workers=0)
    monkeypatch.setattr(module, "JOB_CHARS", 300)
    prepare(text, tokenizer=ToyTokenizer(), out=tmp_path / "pieces", workers=0)
    assert tree(tmp_path / "pieces") == tree(tmp_path / "whole")


# What is there already


def test_the_same_call_again_writes_nothing(tmp_path: Path) -> None:
    """Running the same command again continues: what is done is not done twice."""
    text = write_books(tmp_path / "books.txt", documents=3)
    first = prepare(text, tokenizer=ToyTokenizer(), out=tmp_path / "shards", workers=0)
    before = first.folder.stat().st_ino
    again = prepare([text], tokenizer=ToyTokenizer(), out=tmp_path / "shards", workers=1)
    assert again.folder.stat().st_ino == before
    assert again.content == first.content


@pytest.mark.parametrize("change", ["touched", "moved"])
def test_the_same_text_elsewhere_or_copied_again_is_the_same(tmp_path: Path, change: str) -> None:
    """A new checkout, a copied disk: the bytes decide, not their time and place."""
    text = write_books(tmp_path / "books.txt", documents=3)
    prepare(text, tokenizer=ToyTokenizer(), out=tmp_path / "shards", workers=0)
    before = tree(tmp_path / "shards")
    if change == "touched":
        os.utime(text, (1, 1))
    else:
        text = text.rename(tmp_path / "moved.txt")
    prepare(text, tokenizer=ToyTokenizer(), out=tmp_path / "shards", workers=0)
    assert tree(tmp_path / "shards") == before


def test_text_that_changes_while_it_is_read_is_not_taken_for_what_was_read(tmp_path: Path) -> None:
    text = write_books(tmp_path / "books.txt", documents=3)
    out = tmp_path / "shards"
    prepare(
        text,
        tokenizer=ToyTokenizer(),
        out=out,
        workers=0,
        progress=lambda *_: os.utime(text, (2, 2)),
    )
    with pytest.raises(DataError, match="another text"):
        prepare(text, tokenizer=ToyTokenizer(), out=out, workers=0)


@pytest.mark.parametrize("change", ["text", "tokenizer", "option", "format"])
def test_other_shards_are_not_overwritten(tmp_path: Path, change: str) -> None:
    """Hours of work are never replaced silently, nor silently taken for something else."""
    text = write_books(tmp_path / "books.txt", documents=3)
    prepare(text, tokenizer=ToyTokenizer(), out=tmp_path / "shards", workers=0)
    before = tree(tmp_path / "shards")
    if change == "text":
        text.write_text(text.read_text()[:-1] + "x")  # as long as before
    elif change == "format":
        text = text.rename(tmp_path / "books.csv")
    tokenizer = ToyTokenizer(300 if change == "tokenizer" else 256)
    on_error = "skip" if change == "option" else "stop"
    with pytest.raises(DataError, match="holds shards of another text, tokenizer or option"):
        prepare(text, tokenizer=tokenizer, out=tmp_path / "shards", on_error=on_error)
    assert tree(tmp_path / "shards") == before


def test_other_folders_are_not_overwritten(tmp_path: Path) -> None:
    """A folder of something else stays; an empty one, made beforehand, is taken."""
    text = write_books(tmp_path / "books.txt", documents=3)
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.tex").touch()
    with pytest.raises(DataError, match="out exists and is no shards folder"):
        prepare(text, tokenizer=ToyTokenizer(), out=out, workers=0)
    (out / "thesis.tex").unlink()
    assert prepare(text, tokenizer=ToyTokenizer(), out=out, workers=0).num_documents == 3


def test_damaged_shards_are_not_taken_for_done(tmp_path: Path) -> None:
    """The same call names the damaged file and the remedy."""
    text = write_books(tmp_path / "books.txt", documents=3)
    shards = prepare(text, tokenizer=ToyTokenizer(), out=tmp_path / "shards", workers=0)
    (shards.folder / "tokens-00000.bin").write_bytes(b"")
    with pytest.raises(DataError, match=r"tokens-00000.bin is damaged.*delete the folder and run"):
        prepare(text, tokenizer=ToyTokenizer(), out=tmp_path / "shards", workers=0)


def test_standard_input_is_never_the_same_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its text cannot be known without reading it, nor its total."""
    totals: list[int | None] = []
    for attempt in range(2):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a b\n\nc")))
        with contextlib.ExitStack() as stack:
            if attempt:
                stack.enter_context(pytest.raises(DataError, match="another text"))
            prepare(
                "-",
                tokenizer=ToyTokenizer(),
                out=tmp_path / "shards",
                progress=lambda _, total: totals.append(total),
            )
    assert totals == [None]


# Text, counts and size


def test_the_manifest_tells_where_the_text_came_from(tmp_path: Path) -> None:
    """Base names, not this machine's paths; what reading did; the tokenizer."""
    text = tmp_path / "private" / "books.txt"
    text.parent.mkdir()
    text.write_bytes("a cafe\u0301\n\nb\0c\n".encode())
    shards = prepare(text, tokenizer=ToyTokenizer(), out=tmp_path / "shards", on_error="replace")
    manifest = shards.manifest
    assert manifest["source"]["first_files"] == [{"name": "books.txt", "size": 14}]
    assert manifest["source"]["replacements"] == {"NUL": 1}
    assert manifest["source"]["documents"] == manifest["num_documents"] == 2
    assert manifest["tokenizer"] == {"kind": "toy", "fingerprint": "toy-256"}
    assert "private" not in json.dumps(manifest)


def test_text_without_tokens_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A corpus of documents that all come out empty would fail much later, in training."""
    monkeypatch.setattr(ToyTokenizer, "encode_one", _only_letters)
    text = write_jsonl(tmp_path / "corpus.jsonl", ["!!!", "???"])
    with pytest.raises(DataError, match="finds no tokens in this text"):
        prepare(text, tokenizer=ToyTokenizer(), out=tmp_path / "shards", workers=0)
    assert not list(tmp_path.glob("*shards*"))


def test_progress_rises_to_the_total(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bar with an ETA needs bytes done of bytes in all."""
    monkeypatch.setattr(module, "JOB_CHARS", 100_000)
    text = write_books(tmp_path / "books.txt", documents=2_000)
    calls: list[tuple[int, int | None]] = []
    prepare(
        text,
        tokenizer=ToyTokenizer(),
        out=tmp_path / "shards",
        progress=lambda done, total: calls.append((done, total)),
    )
    size = text.stat().st_size
    assert {total for _, total in calls} == {size}
    assert sorted(calls) == calls
    assert len({done for done, _ in calls}) > 1
    assert calls[-1][0] == size


@pytest.mark.parametrize(
    ("name", "value"), [("workers", -1), ("shard_tokens", 0), ("shard_tokens", 2**32)]
)
def test_options_out_of_range_are_named(tmp_path: Path, name: str, value: int) -> None:
    """Style: value, rule, remedy."""
    with pytest.raises(ConfigError, match=f"{name}={value}"):
        prepare(tmp_path, tokenizer=ToyTokenizer(), out=tmp_path / "shards", **{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["wordpiece", "characters"])
def test_shards_are_no_larger_than_the_text(tmp_path: Path, kind: str) -> None:
    """Issue 2: disk no larger than about the text itself; short lines are the worst case."""
    lines = sentences(3_000)
    text = tmp_path / "lines.txt"
    text.write_text("\n".join(lines))
    tokenizer = train(lines, kind=kind, vocab_size=200)
    shards = prepare(text, tokenizer=tokenizer, out=tmp_path / "shards")
    size = sum(path.stat().st_size for path in shards.folder.glob("*.bin"))
    assert size < 1.1 * text.stat().st_size


MEMORY = """
import os, sys
from pathlib import Path
from foretext.shards.prepare import prepare
from tests.shards.toy import ToyTokenizer

def peak(pid):  # KiB; unlike ru_maxrss it does not count what the process was forked from
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

def note(*_):
    worker = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
    peaks[:] = peak("self"), peak(int(worker))

peaks = [0, 0]
prepare(sys.argv[1], tokenizer=ToyTokenizer(), out=sys.argv[2], workers=1, progress=note)
print(*peaks)
"""


def test_memory_does_not_grow_with_the_text(tmp_path: Path) -> None:
    """Issue 2: memory flat in the text; real processes, reader and worker, 2 MB against 20 MB."""
    part = write_books(tmp_path / "part.txt", documents=2_000).read_text()
    peaks = []
    for copies in (1, 10):
        text = tmp_path / f"{copies}.txt"
        text.write_text("\n\n".join([part] * copies))
        command = [sys.executable, "-c", MEMORY, str(text), str(tmp_path / f"shards{copies}")]
        run = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
        peaks.append([int(peak) for peak in run.stdout.split()])
    for small, large in zip(*peaks, strict=True):
        assert 0 < large < small + 30_000  # KiB
