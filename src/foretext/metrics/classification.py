"""Metrics of classification from a confusion matrix: counts [gold, predicted]."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Confusion = NDArray[np.int64]


def accuracy(confusion: Confusion) -> float:
    """Share of right answers, in [0, 1]; 0 where there is none."""
    return float(np.trace(confusion)) / max(int(confusion.sum()), 1)


def f1(confusion: Confusion) -> float:
    """F1 of class 1 of two, in [0, 1]; 0 where neither gold nor answers hold it."""
    both = int(confusion[1].sum() + confusion[:, 1].sum())
    return 2 * float(confusion[1, 1]) / both if both else 0.0


def mcc(confusion: Confusion) -> float:
    """Matthews' correlation coefficient, in [-1, 1]; 0 where gold or answers are of one class.

    Papers: Matthews 1975; Gorodkin 2004 for more than two classes.
    """
    # Python's integers: products of counts pass 2**63 early.
    gold = [int(n) for n in confusion.sum(1)]
    answers = [int(n) for n in confusion.sum(0)]
    total, hits = sum(gold), int(np.trace(confusion))
    covariance = hits * total - sum(g * a for g, a in zip(gold, answers, strict=True))
    spread = (total**2 - sum(a * a for a in answers)) * (total**2 - sum(g * g for g in gold))
    return covariance / math.sqrt(spread) if spread else 0.0
