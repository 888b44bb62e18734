"""Orders of prediction and the spans they predict: functions of a sample's tokens.

Paper: Yang et al. 2019, https://arxiv.org/abs/1906.08237, sections 2.2 to 2.5; the official
data_utils.py (_sample_mask, _local_perm).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from foretext.objectives.base import Ints

Bools = NDArray[np.bool_]
_LONGEST = 5  # tokens of a span
_WEIGHTS = 1 / np.arange(1, _LONGEST + 1)
_CUMULATED = np.cumsum(_WEIGHTS / _WEIGHTS.sum())


def sample_spans(
    starts_word: Bools, special: Bools, goal: int, factor: int, draws: NDArray[np.float64]
) -> Bools:
    """Which tokens are predicted: spans of 1 to 5, each alone in a context of `factor` times it.

    A span's length is n with probability proportional to 1/n; its context of factor * n tokens is
    split at random before and after it, and it begins where a word does. What is missing at the end
    are single tokens. Special tokens are passed over, so that there may be fewer than the goal.

    Args:
        starts_word: [tokens], whether a word begins.
        special: [tokens], never predicted.
        goal: tokens to be predicted.
        factor: K of the paper.
        draws: [3 * tokens] uniform numbers.
    """
    size = len(starts_word)
    found, numbers = np.zeros(size, bool), iter(draws[: 2 * size].tolist())
    place = predicted = 0
    while place < size and predicted < goal:
        length = 1 + int(np.searchsorted(_CUMULATED, next(numbers), "right"))
        length = min(length, _LONGEST, goal - predicted)
        context = factor * length
        before = int(next(numbers) * context)
        first = place + before
        while first < size and not starts_word[first]:
            first += 1
        if first >= size:
            break
        last = min(first + length, size)
        chosen = np.arange(first, last)[~special[first:last]]
        found[chosen] = True
        predicted += len(chosen)
        place = last + context - before - length
    rest = np.flatnonzero(~found & ~special)
    missing = min(max(goal - predicted, 0), len(rest))
    order = np.argsort(draws[2 * size :][rest], kind="stable")
    found[rest[order[:missing]]] = True
    return found


def sample_single(special: Bools, goal: int, draws: NDArray[np.float64]) -> Bools:
    """Tokens one by one, in place of spans (the paper's ablation)."""
    rest = np.flatnonzero(~special)
    found = np.zeros(len(special), bool)
    found[rest[np.argsort(draws[rest], kind="stable")[: min(goal, len(rest))]]] = True
    return found


def ranks_of(target: Bools, functional: Bools, draws: NDArray[np.float64], first: int) -> Ints:
    """Ranks [tokens] of a random order of some neighbours: a token sees those of its rank or less.

    Tokens that are neither predicted nor functional have the lowest rank: all see them, and they
    see each other alone. The others have a place in the order.

    Args:
        target: [tokens], predicted.
        functional: [tokens], <sep> and <cls>: in the order, but not predicted.
        draws: [tokens] uniform numbers.
        first: the lowest rank; what has lower ones is seen by all.
    """
    order = np.empty(len(target), np.int64)
    order[np.argsort(draws, kind="stable")] = np.arange(len(target))
    return np.where(target | functional, first + 1 + order, first)
