"""Randomness as a function of counters: no stream, so nothing depends on how much was drawn before.

`uniform(key, i, j)` is the same number on every machine, in every worker and after every restart.
The hash is SplitMix64's finaliser (Steele, Lea & Flood 2014, "Fast splittable pseudorandom number
generators"), applied once for each counter; it passes BigCrush on a counter. Dropout, which needs
bytes by the million, reads NumPy's Philox (Salmon et al. 2011), a counter-based generator in C.
"""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import ArrayLike, NDArray

UInts = NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def bits(*counters: ArrayLike) -> UInts:
    """64 random bits for every combination of counters, which broadcast like array operands."""
    state = np.zeros((), np.uint64)
    with np.errstate(over="ignore"):
        for counter in counters:
            state = (state ^ np.asarray(counter).astype(np.uint64)) + _GOLDEN
            state = (state ^ (state >> np.uint64(30))) * _MIX_1
            state = (state ^ (state >> np.uint64(27))) * _MIX_2
            state = state ^ (state >> np.uint64(31))
    return state


def uniform(*counters: ArrayLike) -> NDArray[np.float64]:
    """Uniform numbers in [0, 1), 53 bits each, one for every combination of counters."""
    return (bits(*counters) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def integers(high: ArrayLike, *counters: ArrayLike) -> NDArray[np.int64]:
    """Integers in [0, high), one for every combination of counters.

    The bias of scaling 53 bits is below high / 2**53.
    """
    return (uniform(*counters) * np.asarray(high)).astype(np.int64)


def key(seed: int, *names: str | int) -> int:
    """A 64-bit key for one purpose of a run, such as key(seed, "masks", epoch)."""
    words = [zlib.crc32(n.encode()) if isinstance(n, str) else n for n in names]
    return int(bits(seed, *words))


class Permutation:
    """A random order of range(size) that is computed, not stored: O(1) memory, O(1) seek.

    A four-round Feistel network over the smallest even number of bits that holds `size`; values
    that fall outside are sent through again (cycle walking), which keeps it a bijection.
    """

    def __init__(self, size: int, key: int) -> None:
        if size < 1:
            raise ValueError(f"a permutation needs at least one element, not {size}")
        self.size = size
        self.key = key
        self.half_bits = max(1, (max(size - 1, 1).bit_length() + 1) // 2)

    def __call__(self, index: ArrayLike) -> NDArray[np.int64]:
        """Where each index in range(size) goes; index is a scalar or an array."""
        value = self._rounds(np.atleast_1d(np.asarray(index)).astype(np.uint64))
        outside = value >= self.size
        while outside.any():
            value[outside] = self._rounds(value[outside])
            outside = value >= self.size
        return value.astype(np.int64).reshape(np.shape(index))

    def _rounds(self, value: UInts) -> UInts:
        half, mask = np.uint64(self.half_bits), np.uint64((1 << self.half_bits) - 1)
        left, right = value >> half, value & mask
        for number in range(4):
            left, right = right, left ^ (bits(self.key, number, right) & mask)
        return (left << half) | right
