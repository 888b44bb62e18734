"""Metrics of regression: correlations of predicted with gold values, and the squared error.

They equal scipy.stats (tests compare), which is no dependency. Where one side is constant a
correlation is not defined: scipy gives nan, here it is 0, that of an answer blind to the input.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


def pearson(a: Values, b: Values) -> float:
    """Pearson's correlation of [n] and [n] values, in [-1, 1]; 0 where one is constant."""
    if not len(a) or (a == a[0]).all() or (b == b[0]).all():
        return 0.0
    a, b = _unit(a), _unit(b)
    return float(np.clip(a @ b, -1, 1))


def spearman(a: Values, b: Values) -> float:
    """Spearman's correlation: Pearson's of the ranks, equal values sharing their mean rank."""
    return pearson(ranks(a), ranks(b))


def mse(a: Values, b: Values) -> float:
    """Mean of the squared differences."""
    return float(np.square(a - b).mean())


def ranks(values: Values) -> Values:
    """Ranks from 1 of [n] values; equal ones share the mean of theirs."""
    _, group, sizes = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(sizes) - (sizes - 1) / 2)[group]


def _unit(values: Values) -> Values:
    """The values less their mean, at length 1."""
    centred = values - values.mean()
    centred = centred / np.abs(centred).max()  # the square of a tiny value would vanish
    return centred / np.linalg.norm(centred)
