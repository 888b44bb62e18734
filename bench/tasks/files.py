"""The files of a set: subsets after a fixed shuffle, in the published format, for both sides.

A file is a head (a table's first line, or nothing) and items: lines, blocks of lines, or questions
with their paragraph.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

CACHE = Path(__file__).parent / "cache"


@dataclass(frozen=True, kw_only=True)
class Files:
    """What both sides read."""

    train: Path
    test: Path
    calibrate: Path | None = None  # tunes what is set after training

    @property
    def suffix(self) -> str:
        return self.train.suffix


@dataclass(frozen=True, kw_only=True)
class Items:
    """A file in memory."""

    head: str
    items: list[Any]

    def chosen(self, count: int | None) -> Items:
        """The first `count` after a fixed shuffle, in the file's order; None = all."""
        if count is None or count >= len(self.items):
            return self
        kept = sorted(random.Random(0).sample(range(len(self.items)), count))
        return replace(self, items=[self.items[i] for i in kept])


def read_rows(path: Path) -> Items:
    """A table whose first line names the columns."""
    head, *lines = _lines(path)
    return Items(head=head, items=lines)


def read_bare_rows(path: Path) -> Items:
    """A table without names."""
    return Items(head="", items=_lines(path))


def _lines(path: Path) -> list[str]:
    with path.open(encoding="utf-8-sig", newline="\n") as file:
        return [line.rstrip("\r\n") + "\n" for line in file]


def read_sentences(path: Path) -> Items:
    """Blocks of lines between empty lines; CoNLL's marks of a document are none."""
    blocks = [block.strip("\n") for block in path.read_text(encoding="utf-8").split("\n\n")]
    kept = [block for block in blocks if block and not block.startswith("-DOCSTART-")]
    return Items(head="", items=[f"{block}\n\n" for block in kept])


def read_questions(path: Path) -> Items:
    """Questions of SQuAD's JSON, each with its article's number and its paragraph."""
    articles = json.loads(path.read_text(encoding="utf-8"))["data"]
    items = [
        (number, paragraph["context"], question)
        for number, article in enumerate(articles)
        for paragraph in article["paragraphs"]
        for question in paragraph["qas"]
    ]
    return Items(head="", items=items)


def write(path: Path, content: Items) -> Path:
    """Write a file in the format it came in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".json":
        paragraphs = [
            {"context": context, "qas": [question for _, _, question in group]}
            for context, group in groupby(content.items, key=lambda item: item[1])
        ]
        text = json.dumps(
            {"version": "", "data": [{"title": "", "paragraphs": paragraphs}]}, ensure_ascii=False
        )
    else:
        text = content.head + "".join(content.items)
    path.write_text(text, encoding="utf-8")
    return path


Reader = Callable[[Path], Items]
Split = Callable[[Path], dict[str, Items]]  # from the data's folder: train, test, calibrate


def separate(reader: Reader, train: Sequence[str], test: Sequence[str]) -> Split:
    """Files that are split already; several are read one after another."""

    def split(data: Path) -> dict[str, Items]:
        return {"train": joined(reader, data, train), "test": joined(reader, data, test)}

    return split


def joined(reader: Reader, data: Path, names: Sequence[str]) -> Items:
    parts = [reader(data / name) for name in names]
    return Items(head=parts[0].head, items=[item for part in parts for item in part.items])


def halves(reader: Reader, name: str) -> Split:
    """One file, every other item for the test."""

    def split(data: Path) -> dict[str, Items]:
        whole = reader(data / name)
        return {
            "train": replace(whole, items=whole.items[::2]),
            "test": replace(whole, items=whole.items[1::2]),
        }

    return split


def by_article(name: str, test: int, calibrate: int = 0) -> Split:
    """One file of questions: the last articles for the test, those before them to tune by."""

    def split(data: Path) -> dict[str, Items]:
        whole = read_questions(data / name)
        last = whole.items[-1][0] + 1
        parts = {
            "train": range(last - test - calibrate),
            "calibrate": range(last - test - calibrate, last - test),
            "test": range(last - test, last),
        }
        return {
            part: replace(whole, items=[item for item in whole.items if item[0] in numbers])
            for part, numbers in parts.items()
            if numbers
        }

    return split


def prepared(
    name: str, split: Split, suffix: str, data: Path, counts: dict[str, int | None]
) -> Files:
    """Write a set's files into the cache."""
    parts = split(data)
    paths = {
        part: write(CACHE / name / f"{part}{suffix}", items.chosen(counts.get(part)))
        for part, items in parts.items()
    }
    return Files(**paths)
