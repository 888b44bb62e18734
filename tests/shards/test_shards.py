"""Shards: what is read is what was written, and what is damaged is refused by name."""

from __future__ import annotations

import json
import pickle
import random
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretext.core.errors import ConfigError, DataError
from foretext.shards.store import (
    DocumentView,
    Shards,
    content_hash,
    file_name,
    manifest_checksum,
    split,
)
from tests.shards.toy import make_shards

LETTERS = "abcdefghij"
TEXTS = ["abc\nde", "f", "ghij\na\nbb", "cde\nf"]

Corpora = st.lists(  # documents of sentences of letters, a line a sentence
    st.lists(st.text(LETTERS, min_size=1, max_size=6), min_size=1, max_size=5),
    min_size=1,
    max_size=12,
)


def ids(text: str) -> list[int]:
    return [ord(letter) for letter in text]


@settings(max_examples=40)
@given(Corpora, st.integers(1, 40))
def test_documents_come_back_with_their_sentences(
    corpus: list[list[str]], shard_tokens: int
) -> None:
    """Issue 2, Shards: ids with sentence and document offsets; here for any border of shards."""
    with tempfile.TemporaryDirectory() as folder:
        texts = ["\n".join(sentences) for sentences in corpus]
        shards = make_shards(Path(folder), texts, shard_tokens=shard_tokens)
        assert shards.num_documents == len(corpus)
        for index, sentences in enumerate(corpus):
            assert shards.document(index).tolist() == ids("".join(sentences))
            offsets = np.cumsum([0, *map(len, sentences)])
            assert shards.sentence_offsets(index).tolist() == offsets.tolist()


@settings(max_examples=20)
@given(Corpora, st.integers(1, 40))
def test_bulk_lengths_agree_with_single_documents(
    corpus: list[list[str]], shard_tokens: int
) -> None:
    """CONTRACT: an objective plans from arrays what it then reads a document at a time."""
    with tempfile.TemporaryDirectory() as folder:
        texts = ["\n".join(sentences) for sentences in corpus]
        shards = make_shards(Path(folder), texts, shard_tokens=shard_tokens)
        assert_lengths_agree(shards)
        assert shards.num_tokens == sum(map(len, "".join(texts).split("\n")))
        if len(corpus) > 1:
            for view in split(shards, 0.4, seed=1):
                assert_lengths_agree(view)


def assert_lengths_agree(shards: Shards | DocumentView) -> None:
    lengths = [len(shards.document(i)) for i in range(shards.num_documents)]
    assert shards.document_lengths().tolist() == lengths
    assert shards.num_tokens == sum(lengths)
    seen = sentences = 0
    for part in shards.sentence_lengths():
        assert part.first_document == seen
        for start, stop in zip(part.document_starts[:-1], part.document_starts[1:], strict=True):
            offsets = shards.sentence_offsets(seen)
            assert part.lengths[start:stop].tolist() == np.diff(offsets).tolist()
            seen += 1
        sentences += len(part.lengths)
    assert (seen, sentences) == (shards.num_documents, shards.num_sentences)


def test_tokens_is_a_slice_of_a_document(tmp_path: Path) -> None:
    """CONTRACT: int64, and like a slice it ends where the document ends."""
    shards = make_shards(tmp_path, TEXTS)
    assert shards.tokens(0, 1, 4).tolist() == ids("bcd")
    assert shards.tokens(0, 3, 99).tolist() == ids("de")
    assert shards.tokens(0, 1, 4).dtype == np.int64


@pytest.mark.parametrize("index", [-1, 4])
def test_a_document_out_of_range_is_an_index_error(tmp_path: Path, index: int) -> None:
    """A negative index would silently read another document."""
    with pytest.raises(IndexError):
        make_shards(tmp_path, TEXTS).document(index)


@pytest.mark.parametrize(("vocab_size", "width"), [(256, 1), (257, 2), (65_536, 2), (65_537, 4)])
def test_ids_take_the_narrowest_type(tmp_path: Path, vocab_size: int, width: int) -> None:
    """Issue 2: disk no larger than about the text, so one byte for characters, two for words."""
    text = "".join(map(chr, range(0x4E00, 0x9FA5)))  # 20,901 characters of three bytes
    shards = make_shards(tmp_path, [text], vocab_size=vocab_size)
    size = (shards.folder / file_name("tokens", 0)).stat().st_size
    assert size == width * len(text)
    assert shards.document(0).tolist() == [ord(c) % vocab_size for c in text]


def test_a_pickle_holds_the_path_and_not_the_text(tmp_path: Path) -> None:
    """Loader workers get Shards by pickle: it must not grow with the corpus."""
    shards = make_shards(tmp_path, ["abcdefghij" * 10_000])
    shards.document(0)
    pickled = pickle.dumps(shards)
    assert len(pickled) < 5_000
    assert pickle.loads(pickled).document(0).tolist() == shards.document(0).tolist()


def test_open_files_do_not_grow_with_the_shards(tmp_path: Path) -> None:
    """A limit of 1,024 open files is usual; 300 shards have 900 files beside other people's."""
    shards = make_shards(tmp_path, [LETTERS[i % 10] for i in range(300)], shard_tokens=1)
    assert len(shards.manifest["shards"]) == 300
    before = len(list(Path("/proc/self/fd").iterdir()))
    read = [shards.document(i).tolist() for i in [*range(300), *range(300)]]
    assert read == 2 * [[ord(LETTERS[i % 10])] for i in range(300)]
    assert len(list(Path("/proc/self/fd").iterdir())) - before < 400


# Damage


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def remove(path: Path) -> None:
    path.unlink()


NAMES = [
    "tokens-00000.bin",
    "sentences-00000.bin",
    "documents-00001.bin",
    "tokenizer/toy.json",
    "manifest.json",
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("damage", [flip, truncate, lengthen, remove])
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, name: str, damage: Any) -> None:
    """Issue 2: a damaged or foreign shard is refused by name."""
    folder = make_shards(tmp_path, TEXTS, shard_tokens=4).folder
    damage(folder / name)
    with pytest.raises(DataError, match=name):
        Shards.open(folder)


def test_any_flipped_bit_is_noticed(tmp_path: Path) -> None:
    """Every byte of the folder is under a checksum, those of the manifest included."""
    folder = make_shards(tmp_path, TEXTS, shard_tokens=4).folder
    chance = random.Random(0)
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    for _ in range(200):
        path = chance.choice(paths)
        whole = path.read_bytes()
        data = bytearray(whole)
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        path.write_bytes(data)
        if path.name != "manifest.json" or _json_differs(data, whole):
            with pytest.raises(DataError):
                Shards.open(folder)
        path.write_bytes(whole)
    Shards.open(folder)


def _json_differs(data: bytearray, whole: bytes) -> bool:
    """White space between JSON's tokens means nothing, so its change is no damage."""
    try:
        return bool(json.loads(data) != json.loads(whole))
    except ValueError:
        return True


def test_without_verify_sizes_alone_are_checked(tmp_path: Path) -> None:
    """CONTRACT: verify=False reads no file but the manifest."""
    folder = make_shards(tmp_path, TEXTS).folder
    flip(folder / NAMES[0])
    Shards.open(folder, verify=False)
    truncate(folder / NAMES[0])
    with pytest.raises(DataError, match=NAMES[0]):
        Shards.open(folder, verify=False)


def test_what_is_no_shards_folder_is_named(tmp_path: Path) -> None:
    """Issue 2: a foreign shard is refused by name, with what to do."""
    file, empty = tmp_path / "file", tmp_path / "empty"
    file.write_text("text")
    empty.mkdir()
    with pytest.raises(DataError, match="missing does not exist; make one: foretext prepare"):
        Shards.open(tmp_path / "missing")
    with pytest.raises(DataError, match="file is a file"):
        Shards.open(file)
    with pytest.raises(DataError, match=r"empty is not a shards folder: it holds no manifest.json"):
        Shards.open(empty)


def forge(folder: Path, **changes: Any) -> None:
    """Rewrite the manifest with a checksum that fits."""
    manifest = json.loads((folder / "manifest.json").read_text()) | changes
    manifest["checksum"] = manifest_checksum(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "megatron"}, "not a manifest of foretext-shards"),
        ({"version": 2}, "version 2, but this foretext reads 1"),
        ({"dtype": "float32"}, "dtype 'float32'"),
        ({"dtype": "uint32"}, "miscounts shard 0's tokens"),
        ({"num_tokens": 10**12}, "totals"),
        ({"num_documents": "4"}, "totals"),
        ({"content": "0" * 64}, "content hash"),
        ({"shards": []}, "totals"),
        ({"shards": None}, "lacks what a shards manifest holds"),
        ({"files": {}}, "lacks what a shards manifest holds"),
        ({"tokenizer": []}, "lacks what a shards manifest holds"),
        ({"files": {"../../secret": {"size": 1, "sha256": ""}}}, "outside its folder"),
    ],
)
def test_a_forged_manifest_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    """A checksum says nothing of intent: counts, types and paths are checked on their own."""
    folder = make_shards(tmp_path, TEXTS).folder
    forge(folder, **changes)
    with pytest.raises(DataError, match=message):
        Shards.open(folder)


def test_content_identifies_the_data(tmp_path: Path) -> None:
    """CONTRACT: content is a hash over the shards, whatever the folder is called."""
    shards = make_shards(tmp_path, TEXTS)
    shutil.copytree(shards.folder, tmp_path / "copy")
    assert Shards.open(tmp_path / "copy").content == shards.content
    assert shards.content == content_hash(shards.manifest["files"], 1)
    (tmp_path / "other").mkdir()
    assert make_shards(tmp_path / "other", TEXTS[::-1]).content != shards.content


# The held-out split


def words(number: int) -> list[str]:
    """Documents that differ from one another."""
    return [f"{i:b}".translate({48: "a", 49: "b"}) for i in range(1, number + 1)]


def documents(view: Shards | DocumentView) -> list[list[int]]:
    return [view.document(i).tolist() for i in range(view.num_documents)]


@pytest.mark.parametrize("held_out", [0.25, 7])
def test_a_split_parts_the_documents(tmp_path: Path, held_out: float | int) -> None:
    """Every document is on one side, and the same call gives the same sides."""
    shards = make_shards(tmp_path, words(200), shard_tokens=50)
    train, valid = split(shards, held_out, seed=3)
    assert sorted(documents(train) + documents(valid)) == sorted(documents(shards))
    assert documents(split(shards, held_out, seed=3)[1]) == documents(valid)
    assert documents(split(shards, held_out, seed=4)[1]) != documents(valid)
    assert train.num_tokens + valid.num_tokens == shards.num_tokens
    assert train.num_sentences + valid.num_sentences == shards.num_sentences
    assert len({train.content, valid.content, shards.content}) == 3


def test_a_split_keeps_its_size(tmp_path: Path) -> None:
    """A whole number is exact; a share is a mean: 50 of 1,000 at 0.05, sigma 7."""
    shards = make_shards(tmp_path, words(1000))
    assert split(shards, 7, seed=0)[1].num_documents == 7
    assert 22 < split(shards, 0.05, seed=0)[1].num_documents < 78


def test_documents_added_later_leave_the_others_where_they_are(tmp_path: Path) -> None:
    """Nothing held out in a first run is trained on when the corpus has grown."""
    (tmp_path / "more").mkdir()
    few = split(make_shards(tmp_path, words(100)), 0.2, seed=0)[1]
    more = split(make_shards(tmp_path / "more", words(300)), 0.2, seed=0)[1]
    assert documents(more)[: few.num_documents] == documents(few)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("held_out", [0.001, 0.999])
def test_no_side_of_a_split_is_empty(tmp_path: Path, held_out: float, seed: int) -> None:
    """Two documents suffice for any share."""
    views = split(make_shards(tmp_path, ["ab", "cd"]), held_out, seed=seed)
    assert [view.num_documents for view in views] == [1, 1]


def test_one_document_cannot_be_split(tmp_path: Path) -> None:
    """A text without blank lines is one document; the remedy says so."""
    with pytest.raises(DataError, match="holds one document, so none can be held out; separate"):
        split(make_shards(tmp_path, ["ab\ncd"]), 0.1, seed=0)


def test_a_split_leaves_something_to_train_on(tmp_path: Path) -> None:
    """The number is the user's, the corpus too: the message holds both."""
    shards = make_shards(tmp_path, TEXTS)
    with pytest.raises(DataError, match=r"held_out=4 leaves nothing to train on: .* 4 documents"):
        split(shards, 4, seed=0)


@pytest.mark.parametrize("held_out", [0, -1, 0.0, 1.0, 1.5])
def test_held_out_is_a_share_or_a_number(tmp_path: Path, held_out: float) -> None:
    """1.0 is neither: all documents, or one?"""
    with pytest.raises(ConfigError, match="neither a share"):
        split(make_shards(tmp_path, TEXTS), held_out, seed=0)


def test_a_view_reads_like_shards(tmp_path: Path) -> None:
    """A view pickles for loader workers, and its slices are its own documents'."""
    shards = make_shards(tmp_path, words(50), shard_tokens=20)
    train, valid = split(shards, 0.3, seed=0)
    copy = pickle.loads(pickle.dumps(valid))
    assert documents(copy) == documents(valid)
    assert copy.content == valid.content
    assert copy.tokens(1, 0, 2).tolist() == documents(valid)[1][:2]
    with pytest.raises(IndexError):
        train.document(train.num_documents)
