"""The text of the experiments: one tokenizer, three prepared corpora, labelled tables.

"train" is pre-trained on; "little" is a small part of it, read for many epochs; "probe" follows
it, and "test" is another file: what probes learn from, and what they are tested on.
"""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from foretext.core.atomic import atomic_write_text
from foretext.shards.prepare import prepare
from foretext.shards.store import Shards
from foretext.text.corpus import read_corpus
from foretext.text.sentences import sentence_starts
from foretext.tokenizers import Tokenizer, train

VOCABULARY = 2_000  # word pieces
_PROBE, _LITTLE, _LEARNED = 3e6, 0.06e6, 10e6  # bytes; the last is what the tokenizer is learned of
_SENTENCES = {"probe": 2_000, "test": 2_000}  # of the table of swapped words
_ROWS = 1_500  # labelled rows to fine-tune on


_TAGGED = {"probe": ("train", 150), "test": ("test", 700)}  # sentences
Tagged = tuple[tuple[str, ...], tuple[str, ...]]  # words, tags


@dataclass(frozen=True, kw_only=True)
class World:
    """Where everything lies; made by `world`."""

    folder: Path
    labelled: Path  # with sentence/sst2 and tagging/ud_en_ewt

    def shards(self, name: str) -> Shards:
        """ "train", "little", "probe" or "test"."""
        return Shards.open(self.folder / name, verify=False)

    @property
    def tokenizer(self) -> Tokenizer:
        """Of all corpora."""
        return Tokenizer.load(self.folder / "train" / "tokenizer")

    def table(self, name: str) -> Path:
        """A labelled table."""
        return self.folder / f"{name}.tsv"

    def tagged(self, part: str) -> list[Tagged]:
        """Words and parts of speech of "probe" or "test" sentences of the English Web Treebank."""
        folder = self.labelled / "tagging" / "ud_en_ewt"
        name, count = _TAGGED[part]
        (file,) = folder.glob(f"*{name}*.conllu")
        sentences = [_tagged(block) for block in file.read_text(encoding="utf-8").split("\n\n")]
        return [s for s in sentences if len(s[0]) >= 5][:count]


def _tagged(block: str) -> Tagged:
    rows = [line.split("\t") for line in block.splitlines() if line[:1].isdigit()]
    rows = [row for row in rows if row[0].isdigit()]  # no ranges, no empty words
    return tuple(row[1] for row in rows), tuple(row[3] for row in rows)


def world(folder: Path, text: Path, held_out: Path, labelled: Path, *, megabytes: float) -> World:
    """Prepare what is not there yet.

    Args:
        folder: where it goes.
        text, held_out: any text foretext reads.
        labelled: with sentence/sst2 and tagging/ud_en_ewt.
        megabytes: of the text to pre-train on.
    """
    done = folder / "done.json"
    asked = {"text": text.name, "held_out": held_out.name, "megabytes": megabytes}
    made = World(folder=folder, labelled=labelled)
    if done.exists():
        if (before := json.loads(done.read_text())) != asked:
            raise SystemExit(f"{folder} was made of {before}; delete it, or give the same again")
        return made
    documents = (document.text for document in read_corpus([text]))
    parts = {
        "train": list(_first(documents, megabytes * 1e6)),
        "probe": list(_first(documents, _PROBE)),
        "test": [document.text for document in read_corpus([held_out])],
    }
    parts["little"] = list(_first(iter(parts["train"]), _LITTLE))
    learned = _first(iter(parts["train"]), _LEARNED)
    tokenizer = train(list(learned), kind="wordpiece", vocab_size=VOCABULARY, lowercase=True)
    for name, texts in parts.items():
        atomic_write_text(
            folder / f"{name}.jsonl", "".join(json.dumps({"text": t}) + "\n" for t in texts)
        )
        prepare([folder / f"{name}.jsonl"], tokenizer=tokenizer, out=folder / name, workers=0)
    for name, count in _SENTENCES.items():
        _write(made.table(f"swapped-{name}"), swapped_words(parts[name], count, seed=name))
    _sst2(made)
    atomic_write_text(done, json.dumps(asked))
    return made


def _first(texts: Iterator[str], size: float) -> Iterator[str]:
    """Texts until they hold this many bytes."""
    for text in texts:
        yield text
        size -= len(text.encode())
        if size <= 0:
            return


def swapped_words(texts: Sequence[str], count: int, *, seed: str) -> Iterator[tuple[str, str]]:
    """Sentences of 6 to 20 words, in half of which two neighbouring words have changed places."""
    draws = random.Random(seed)
    sentences = [s for text in texts for s in _sentences(text) if 6 <= len(s.split()) <= 20]
    for number, sentence in enumerate(draws.sample(sentences, count)):
        words = sentence.split()
        places = [i for i in range(len(words) - 1) if words[i].lower() != words[i + 1].lower()]
        if number % 2:
            at = draws.choice(places)
            words[at], words[at + 1] = words[at + 1], words[at]
        yield " ".join(words), "swapped" if number % 2 else "real"


def _sentences(text: str) -> Iterator[str]:
    starts = sentence_starts(text)
    for start, stop in zip(starts, [*starts[1:], len(text)], strict=True):
        yield " ".join(text[start:stop].split())


def _sst2(made: World) -> None:
    """Sentences of the training file, not its many short phrases; the test file as it is."""
    source = made.labelled / "sentence" / "sst2"
    rows = [r for r in _read(source / "train.tsv") if len(r[0].split()) >= 10]
    chosen = random.Random(0).sample(rows, _ROWS)
    _write(made.table("sst2-train"), ((text.strip(), label) for text, label in chosen))
    test = ((text.strip(), label) for text, label in _read(source / "test.tsv"))
    _write(made.table("sst2-test"), test)


def _read(path: Path) -> Iterator[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        yield from islice(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE), 1, None)


def _write(path: Path, rows: Iterable[Sequence[str]]) -> None:
    lines = ["text\tlabel", *("\t".join(row) for row in rows)]
    atomic_write_text(path, "\n".join(lines) + "\n")
