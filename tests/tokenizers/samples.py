"""A small text made on the spot: few syllables, so that counts tie often."""

from __future__ import annotations

import random

_SYLLABLES = ["ka", "ro", "mi", "the", "un", "ing", "l", "é", "가", "나", "\U000f0000", "\ue000"]


def documents(count: int = 200, *, seed: int = 0, syllables: list[str] | None = None) -> list[str]:
    """Documents of a few sentences, some over two lines; private-use characters occur in words."""
    rng = random.Random(seed)
    parts = syllables or _SYLLABLES

    def word() -> str:
        return "".join(rng.choice(parts) for _ in range(rng.randint(1, 4)))

    def sentence() -> str:
        return " ".join(word() for _ in range(rng.randint(2, 9))).capitalize() + rng.choice(".!?")

    return [
        rng.choice([" ", "\n"]).join(sentence() for _ in range(rng.randint(1, 4)))
        for _ in range(count)
    ]


def latin(count: int = 200, *, seed: int = 0) -> list[str]:
    """The same without Hangul and private-use characters."""
    return documents(count, seed=seed, syllables=["ka", "ro", "mi", "the", "un", "ing", "l", "so"])
