"""Counter-based randomness: uniform, independent of order, and a true permutation."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from foretext.core import rng


def test_numbers_are_uniform_and_neighbours_independent() -> None:
    """10^6 consecutive counters: mean, variance, byte histogram and lag correlation."""
    u = rng.uniform(3, np.arange(1_000_000))
    assert abs(u.mean() - 0.5) < 0.002
    assert abs(u.var() - 1 / 12) < 0.001
    histogram = np.bincount((u * 256).astype(int), minlength=256)
    chi_square = ((histogram - 1e6 / 256) ** 2 / (1e6 / 256)).sum()
    assert 170 < chi_square < 360  # 255 degrees of freedom, beyond five sigma
    for lag in (1, 2, 64):
        assert abs(np.corrcoef(u[:-lag], u[lag:])[0, 1]) < 0.005


def test_a_number_depends_on_every_counter_alone() -> None:
    """The same counters give the same number in an array, alone, or in another order."""
    grid = rng.uniform(7, np.arange(5)[:, None], np.arange(6))
    for i in range(5):
        for j in range(6):
            assert grid[i, j] == rng.uniform(7, i, j)
    assert len(np.unique(grid)) == 30
    assert rng.uniform(7, 1, 2) != rng.uniform(7, 2, 1)


def test_keys_differ_by_purpose_and_are_stable() -> None:
    """A key is written into nothing but must never change: runs would not resume."""
    keys = {rng.key(seed, name, n) for seed in (0, 1) for name in ("a", "b") for n in (0, 1)}
    assert len(keys) == 8
    assert rng.key(0, "order", 1) == rng.key(0, "order", 1) == 5582752820774603988


@settings(max_examples=60)
@given(st.integers(1, 3_000), st.integers(0, 2**64 - 1))
def test_permutation_is_one(size: int, key: int) -> None:
    """Every index is hit once, for any size."""
    order = rng.Permutation(size, key)(np.arange(size))
    assert sorted(order.tolist()) == list(range(size))


def test_permutation_mixes() -> None:
    """Ranks before and after do not correlate, and another key gives another order."""
    one, two = (rng.Permutation(10_000, k)(np.arange(10_000)) for k in (1, 2))
    assert abs(np.corrcoef(one, np.arange(10_000))[0, 1]) < 0.05
    assert abs(np.corrcoef(one, two)[0, 1]) < 0.05
    assert int(rng.Permutation(10_000, 1)(17)) == one[17]
