"""A tokenizer and texts small enough to foretell the shards they make."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import signal
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from foretext.core import rng
from foretext.core.errors import TokenizerError
from foretext.shards.prepare import prepare
from foretext.shards.store import Shards

Offsets = tuple[NDArray[np.int64], NDArray[np.int64]]


class ToyTokenizer:
    """One token for each character but white space: its code point modulo the vocabulary.

    A text with "FAIL" cannot be encoded, and one with "DIE" kills the process.
    """

    kind = "toy"

    def __init__(self, vocab_size: int = 256) -> None:
        self.vocab_size = vocab_size
        self.fingerprint = f"toy-{vocab_size}"

    def encode_offsets(self, texts: Sequence[str]) -> list[Offsets]:
        return [self.encode_one(text) for text in texts]

    def encode_one(self, text: str) -> Offsets:
        if "FAIL" in text:
            raise TokenizerError("the toy cannot encode FAIL; use another word")
        if "DIE" in text:
            os.kill(os.getpid(), signal.SIGKILL)
        points = np.frombuffer(text.encode("utf-32-le"), "<u4").astype(np.int64)
        starts = np.flatnonzero((points != 32) & (points != 10))
        return points[starts] % self.vocab_size, starts

    def save(self, folder: Path) -> None:
        folder.mkdir()
        (folder / "toy.json").write_text(json.dumps(self.vocab_size))

    @classmethod
    def load(cls, folder: Path) -> ToyTokenizer:
        return cls(json.loads((folder / "toy.json").read_text()))


def write_jsonl(path: Path, texts: Sequence[str]) -> Path:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


def make_shards(
    folder: Path, texts: Sequence[str], *, vocab_size: int = 256, shard_tokens: int = 2**26
) -> Shards:
    """Shards of these documents at folder/shards, made in this process."""
    return prepare(
        [write_jsonl(folder / "corpus.jsonl", texts)],
        tokenizer=ToyTokenizer(vocab_size),
        out=folder / "shards",
        workers=0,
        shard_tokens=shard_tokens,
    )


WORDS = ["the", "of", "a", "sea", "captain", "ship", "old", "man", "night", "storm", "so", "was"]


@functools.cache
def sentence(index: int) -> str:
    """An English-like sentence of 5 to 20 words."""
    length = int(rng.integers(16, rng.key(0, "length"), index)) + 5
    draws = rng.uniform(rng.key(0, "words"), index, np.arange(length)) ** 2
    return " ".join(WORDS[int(draw * len(WORDS))] for draw in draws).capitalize() + "."


def sentences(number: int) -> list[str]:
    return [sentence(index % 1_000) for index in range(number)]


def write_books(path: Path, documents: int) -> Path:
    """A text file of documents of about 1,000 characters."""
    lines = sentences(documents * 15)
    parts = ["\n".join(lines[i * 15 : (i + 1) * 15]) for i in range(documents)]
    path.write_text("\n\n".join(parts))
    return path


def tree(folder: Path) -> dict[str, str]:
    """The checksum of every file below a folder."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
