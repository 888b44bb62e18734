"""Looking at a corpus and at labelled tables: counts, rates, warnings, bounded memory."""

from __future__ import annotations

import json
import random
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretext.core.errors import DataError
from foretext.labelled.inspect import inspect_labelled
from foretext.text import inspect, sketch
from foretext.text.inspect import inspect_corpus
from foretext.text.sketch import Lengths, Repeats


class Words:
    """A tokenizer that knows four words; any other is unknown (id 0)."""

    special = SimpleNamespace(unk=0)
    known = ("the", "cat", "sat", "고양이")

    def __init__(self) -> None:
        self.longest = 0

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        self.longest = max(self.longest, *(sum(map(len, texts)), 0))
        return [
            [self.known.index(word) + 1 if word in self.known else 0 for word in text.split()]
            for text in texts
        ]


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_corpus_is_counted(tmp_path: Path) -> None:
    """Contract: documents, bytes, characters, duplicates, repeated lines, lengths."""
    documents = ["the cat sat\nthe dog sat", "고양이", "the cat sat", "고양이", "고양이"]
    report = inspect_corpus(write(tmp_path / "a.txt", "\n\n".join(documents)), Words())
    assert (report.files, report.documents) == (1, 5)
    assert report.characters == sum(map(len, documents))
    assert report.bytes == sum(len(d.encode()) for d in documents)
    assert (report.duplicate_documents, report.duplicate_document_rate) == (2, 0.4)
    assert (report.lines, report.repeated_line_rate) == (6, 0.5)
    assert (report.lengths.min, report.lengths.median, report.lengths.max) == (3, 3, 23)
    assert report.lengths.mean == report.characters / 5
    assert report.tokens == 12
    assert report.token_lengths is not None
    assert (report.token_lengths.median, report.token_lengths.max) == (1, 6)
    assert report.unknown_rate == 1 / 12
    assert report.tokens_per_byte == 12 / report.bytes
    assert not report.sampled
    assert "repeat an earlier one" in "; ".join(report.warnings)
    assert json.loads(json.dumps(report.as_dict()))["lengths"]["max"] == 23


def test_without_a_tokenizer_nothing_is_said_of_tokens(tmp_path: Path) -> None:
    """Contract: token figures only when a tokenizer is given."""
    report = inspect_corpus(write(tmp_path / "a.txt", "a"))
    assert (report.tokens, report.token_lengths, report.unknown_rate) == (None, None, None)
    assert report.tokens_per_byte is None


def good_text(documents: int) -> list[str]:
    """Distinct documents of a few lines each, which deserve no warning."""
    lines = "Document {0} begins.\nIt goes on for {0} lines.\nEnd of {0}."
    return [lines.format(i) for i in range(documents)]


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        (lambda docs: docs + docs[:5], "of the documents repeat an earlier one"),
        (lambda docs: [f"Menu\nHome\nAbout\n{d}" for d in docs], "look for menus"),
        (lambda docs: [line for d in docs for line in d.split("\n")], "at most 19 characters"),
        (lambda docs: [*docs, "\n".join(f"row {i}" for i in range(50_000))], "one document holds"),
        (lambda docs: [*docs, "old \u1100\u119e spelling of a word in this document"], "jamo"),
        (lambda docs: [*docs, "a word that was lo\ufffdt in some earlier conversion"], "U+FFFD"),
        (lambda docs: [*docs, "a NUL\0 in this document which is long enough"], "1 mended"),
    ],
)
def test_what_spoils_a_corpus_is_said(tmp_path: Path, change: object, warning: str) -> None:
    """Contract: warnings in plain words; the unchanged corpus has none."""
    documents = good_text(100)
    sound = inspect_corpus(write(tmp_path / "a.txt", "\n\n".join(documents)))
    assert sound.warnings == ()
    assert callable(change)
    file = write(tmp_path / "a.txt", "\n\n".join(change(documents)))
    report = inspect_corpus(file, on_error="replace")
    assert len(report.warnings) == 1
    assert warning in report.warnings[0]


def test_skipped_and_empty_records_are_reported(tmp_path: Path) -> None:
    """Contract: replaced and skipped counts by kind."""
    rows = [json.dumps({"text": text}) for text in good_text(50)]
    report = inspect_corpus(
        write(tmp_path / "a.jsonl", "\n".join([*rows, "{", '{"text": ""}'])), on_error="skip"
    )
    assert report.skipped == {"broken JSON": 1}
    assert report.empty == 1
    assert [w.split(";")[0] for w in report.warnings] == [
        "1 lines or records were skipped and 0 mended",
        "1 records hold no text",
    ]


def test_unknown_tokens_are_warned_of(tmp_path: Path) -> None:
    """Contract: unknown rate when a tokenizer is given."""
    file = write(tmp_path / "a.txt", "\n\n".join(good_text(10)))
    assert "100.0% of the tokens are unknown" in inspect_corpus(file, Words()).warnings[0]


def test_the_tokenizer_is_fed_pieces_of_bounded_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tokenizer takes 100 times the memory of its text, so a long document goes in pieces."""
    monkeypatch.setattr(inspect, "BATCH_CHARS", 100)
    words = Words()
    text = "the cat sat " * 1000
    report = inspect_corpus(write(tmp_path / "a.txt", text + "\n\nthe"), words)
    assert report.token_lengths is not None
    assert report.token_lengths.max == 3000
    assert report.tokens == 3001
    assert words.longest <= 100
    assert "".join(inspect._pieces(text)) == text


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=300))
def test_quantiles_are_within_their_bins(values: list[int]) -> None:
    """NumPy's inverted-CDF quantile is the reference; bins above 1023 are 1 in 512 wide."""
    lengths = Lengths()
    for value in values:
        lengths.add(value)
    summary = lengths.summary()
    assert (summary.min, summary.max) == (min(values), max(values))
    assert summary.mean == pytest.approx(np.mean(values))
    for found, share in ((summary.median, 0.5), (summary.p95, 0.95)):
        exact = int(np.quantile(values, share, method="inverted_cdf"))
        assert exact * (1 - 1 / 512) <= found <= exact


def test_the_repeat_rate_is_estimated_in_bounded_memory() -> None:
    """Beyond its memory Repeats samples texts by hash: unbiased, here within 3 points."""
    repeats = Repeats(max_hashes=1000)
    noise = random.Random(0)
    texts = [f"text {noise.randrange(60_000)}" for _ in range(100_000)]
    for text in texts:
        repeats.add(text)
    assert repeats.shift >= 5
    assert len(repeats._counts) <= 1000
    assert repeats.total == 100_000
    assert abs(repeats.rate - (1 - len(set(texts)) / len(texts))) < 0.03


def test_memory_does_not_grow_with_the_corpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Contract: bounded memory; above the bound the report says that rates are estimates."""
    monkeypatch.setattr(sketch, "MAX_HASHES", 500)
    peaks = []
    for size in (3_000, 15_000):
        rows = "\n\n".join(f"document {i}\nwith two lines {i}" for i in range(size))
        file = write(tmp_path / "a.txt", rows)
        tracemalloc.start()
        report = inspect_corpus(file)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert report.sampled
        assert report.repeated_line_rate == 0
    assert peaks[1] < 6e6


TRAIN = "text\tlabel\ngood\tpos\nbad\tneg\ngood\tpos\nbad\tpos\n \tneg\n"


def test_labelled_tables_are_compared(tmp_path: Path) -> None:
    """Contract: label counts, rare labels, labels only in dev, overlap, empty, duplicates,
    conflicts."""
    train = write(tmp_path / "train.tsv", TRAIN)
    dev = write(tmp_path / "dev.tsv", "text\tlabel\ngood\tpos\nfine\tneutral\ngood\tpos\n")
    report = inspect_labelled(train, dev, text_columns=["text"], label_column="label")
    assert report.train.rows == 5
    assert list(report.train.labels.items()) == [("pos", 3), ("neg", 2)]
    found = report.train
    assert (found.duplicates, found.conflicting, found.empty_texts) == (1, 1, 1)
    assert report.dev is not None
    assert (report.dev.rows, report.dev.duplicates, report.dev.conflicting) == (3, 1, 0)
    assert report.rare_labels == {"pos": 3, "neg": 2}
    assert report.only_in_dev == ("neutral",)
    assert report.only_in_train == ("neg",)
    assert (report.overlap, report.overlap_rate) == (2, 2 / 3)
    assert report.majority_rate == 2 / 3
    said = "\n".join(report.warnings)
    for part in (
        "fewer than 10 training rows have: 'pos', 'neg'",
        "no training rows have: 'neutral'",
        "2 development rows (66.7%) are in the training file too",
        "1 training rows hold no text",
        "1 training rows contradict",
        "1 training rows repeat",
    ):
        assert part in said
    assert json.loads(json.dumps(report.as_dict()))["train"]["labels"] == {"pos": 3, "neg": 2}


def test_pairs_of_texts_are_one_key(tmp_path: Path) -> None:
    """A pair repeats only when both texts do, in the same columns."""
    file = write(tmp_path / "a.csv", "a,b,label\nx,yz,1\nxy,z,0\nyz,x,1\nx,yz,1\n")
    report = inspect_labelled(file, text_columns=["a", "b"], label_column="label")
    assert (report.train.duplicates, report.train.conflicting) == (1, 0)
    assert report.dev is None
    assert report.overlap == 0


def test_a_sound_pair_of_tables_has_no_warning(tmp_path: Path) -> None:
    """Warnings are for what is wrong."""
    train = write(tmp_path / "a.tsv", "".join(f"text {i}\t{i % 2}\n" for i in range(100)))
    dev = write(tmp_path / "b.tsv", "".join(f"text {i}\t{i % 2}\n" for i in range(100, 120)))
    report = inspect_labelled(train, dev, text_columns=["0"], label_column="1", header=False)
    assert report.warnings == ()
    assert report.majority_rate == 0.5


@pytest.mark.parametrize(
    ("labels", "warning"),
    [
        (["1"] * 40, "all training rows have the label '1'; nothing to learn"),
        (
            [f"a sentence {i}" for i in range(300)],
            "300 different labels; is this",
        ),
    ],
)
def test_a_useless_label_column_is_said(tmp_path: Path, labels: list[str], warning: str) -> None:
    """The commonest fault is naming the wrong column."""
    rows = "".join(f"text {i}\t{label}\n" for i, label in enumerate(labels))
    file = write(tmp_path / "a.tsv", "text\tlabel\n" + rows)
    report = inspect_labelled(file, text_columns=["text"], label_column="label")
    assert len(report.warnings) == 1
    assert report.warnings[0].startswith(warning)


def test_faults_of_a_table_reach_the_caller(tmp_path: Path) -> None:
    """Contract: on_error as in read_table."""
    file = write(tmp_path / "a.tsv", TRAIN + "ragged\n")
    with pytest.raises(DataError, match=r"a\.tsv:7: the row has 1 columns"):
        inspect_labelled(file, text_columns=["text"], label_column="label")
    report = inspect_labelled(file, text_columns=["text"], label_column="label", on_error="skip")
    assert report.train.skipped == {"ragged row": 1}
    assert any("1 training rows were skipped" in warning for warning in report.warnings)
