"""What can be said of a stream in bounded memory: quantiles of lengths, shares of repeats."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass

EXACT_BITS = 10  # values below 1024 are counted exactly, larger ones to 1 in 512
MAX_HASHES = 2**20  # distinct values remembered, about 100 MB; beyond, a sample of them


@dataclass(frozen=True)
class LengthSummary:
    """A distribution of lengths. Above 1023 median and p95 are low by at most 0.2%."""

    count: int
    min: int
    median: int
    mean: float
    p95: int
    max: int


class Lengths:
    """A histogram of non-negative integers with at most some 30,000 bins."""

    def __init__(self) -> None:
        self._bins: Counter[int] = Counter()
        self._sum = 0
        self._min = self._max = -1

    def add(self, value: int) -> None:
        """Count one value."""
        drop = max(value.bit_length() - EXACT_BITS, 0)
        self._bins[value >> drop << drop] += 1
        self._sum += value
        self._min = value if self._min < 0 else min(self._min, value)
        self._max = max(self._max, value)

    def summary(self) -> LengthSummary:
        """The distribution so far; all zeros when nothing was counted."""
        count = self._bins.total()
        return LengthSummary(
            count=count,
            min=max(self._min, 0),
            median=self._quantile(count, 0.5),
            mean=self._sum / max(count, 1),
            p95=self._quantile(count, 0.95),
            max=max(self._max, 0),
        )

    def _quantile(self, count: int, share: float) -> int:
        """The smallest value that at least this share of the values does not exceed."""
        seen = 0
        for value in sorted(self._bins):
            seen += self._bins[value]
            if seen >= share * count:
                return max(value, self._min)
        return 0


def digest(text: str) -> int:
    """64 bits of BLAKE2b: two of a million texts collide with probability 3e-8."""
    data = text.encode(errors="surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


class Repeats:
    """How many of a stream's texts came before, by hash.

    Exact up to MAX_HASHES distinct texts. Beyond that a text counts only when its hash ends in
    `shift` zero bits, and shift grows by one whenever the memory is full: a sample of the distinct
    texts, each with all its occurrences, so that the rate stays an unbiased estimate.
    """

    def __init__(self, max_hashes: int | None = None) -> None:
        self._max = MAX_HASHES if max_hashes is None else max_hashes
        self._counts: dict[int, int] = {}
        self._occurrences = 0
        self.shift = 0
        self.total = 0  # texts, sampled or not

    def add(self, text: str) -> int:
        """Count one text; how often it occurred so far, itself included (0: not in the sample)."""
        self.total += 1
        key = digest(text)
        if key & ((1 << self.shift) - 1):
            return 0
        self._occurrences += 1
        times = self._counts[key] = self._counts.get(key, 0) + 1
        if len(self._counts) > self._max:
            self._halve()
        return times

    @property
    def rate(self) -> float:
        """Share of the texts that repeat an earlier one, in [0, 1]."""
        return (self._occurrences - len(self._counts)) / max(self._occurrences, 1)

    def _halve(self) -> None:
        self.shift += 1
        mask = (1 << self.shift) - 1
        self._counts = {key: times for key, times in self._counts.items() if not key & mask}
        self._occurrences = sum(self._counts.values())
