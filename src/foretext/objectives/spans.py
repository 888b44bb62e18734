"""Noise over a row of tokens, and what is left where it falls: the parts of T5's objectives.

Paper: Raffel et al. 2020, https://arxiv.org/abs/1910.10683, section 3.1.4 and table 3; the rules
are those of the official t5/data/preprocessors.py. A noise mask is bool [tokens], True at noise.
All draws are a function of a key, which is one of (seed, epoch, sample).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from foretext.core import rng
from foretext.objectives.base import Ints

Noise = NDArray[np.bool_]


def noise_counts(lengths: Ints, rate: float, mean_span: float) -> tuple[Ints, Ints]:
    """Noise tokens and noise spans of rows of these lengths, at least 2 each.

    The rounding is the official code's: half to even, in fp32, which differs from exact arithmetic
    at 190, 350, 390, 670, ... tokens.
    """
    noise = np.rint(np.float32(rate) * lengths.astype(np.float32)).astype(np.int64)
    noise = np.clip(noise, 1, lengths - 1)
    fewer = np.minimum(noise, lengths - noise).astype(np.float32)  # spans need kept text between
    spans = np.maximum(np.rint(fewer / np.float32(mean_span)), 1).astype(np.int64)
    return noise, spans


def corrupted_lengths(lengths: Ints, rate: float, mean_span: float) -> tuple[Ints, Ints]:
    """Tokens of inputs and of targets that rows of these lengths become, end tokens included."""
    noise, spans = noise_counts(lengths, rate, mean_span)
    return lengths - noise + spans + 1, noise + spans + 1


def window_for(inputs: int, rate: float, mean_span: float) -> int:
    """Tokens of the longest row whose corrupted inputs have at most so many: 512 gives 568."""
    sizes = np.arange(2, max(int(inputs / (1 - rate)) + 3, 4))
    fits, _ = corrupted_lengths(sizes, rate, mean_span)
    return int(sizes[fits <= inputs][-1])


def span_noise(
    length: int, rate: float, mean_span: float, key: int, *, roll: bool = False
) -> Noise:
    """Spans of noise of random lengths, kept text first (random_spans_noise_mask).

    Args:
        length: of the row, at least 2.
        rate: share of the tokens that is noise.
        mean_span: tokens of a span on average.
        key: of the row.
        roll: turn the mask by a random number of places, so that noise may come first.
    """
    (noise,), (spans,) = noise_counts(np.array([length]), rate, mean_span)
    kept = composition(length - int(noise), int(spans), rng.key(key, "kept"))
    hidden = composition(int(noise), int(spans), rng.key(key, "hidden"))
    mask = np.repeat(np.tile([False, True], int(spans)), np.stack([kept, hidden], 1).ravel())
    return np.roll(mask, int(rng.integers(length, rng.key(key, "roll")))) if roll else mask


def composition(total: int, parts: int, key: int) -> Ints:
    """Positive numbers [parts] with this total, each such list as likely as any other."""
    order = np.argsort(rng.bits(key, np.arange(total - 1)), kind="stable")
    cuts = np.sort(order[: parts - 1]) + 1
    return np.diff(cuts, prepend=0, append=total)


def independent_noise(length: int, rate: float, key: int) -> Noise:
    """Each token by itself (iid_noise_mask)."""
    return rng.uniform(rng.key(key, "noise"), np.arange(length)) < rate


def suffix_noise(length: int, key: int) -> Noise:
    """All tokens from a random one on, not the first (random_prefix_noise_mask)."""
    return np.arange(length) >= 1 + int(rng.integers(length - 1, rng.key(key, "prefix")))


def with_at_most(noise: Noise, spans: int) -> Noise:
    """The first spans of the noise; what would need further sentinels is kept."""
    return noise & (np.cumsum(starts(noise)) <= spans)


def starts(noise: Noise) -> Noise:
    """The first token of each span."""
    return noise & ~np.concatenate([[False], noise[:-1]])


def spans_to_sentinels(ids: Ints, noise: Noise, sentinels: Ints) -> Ints:
    """The row with each span of noise as one sentinel, the first of them first.

    With the mask inverted it is the targets: each run of kept tokens becomes one sentinel. So a
    sentinel closes the targets where the row ends in kept text.

    Args:
        ids: [tokens].
        noise: [tokens].
        sentinels: ids of the sentinels, in the order in which they are used.
    """
    first = starts(noise)
    shown = ids.copy()
    shown[first] = sentinels[: int(first.sum())]
    return shown[first | ~noise]


def tokens_to_mask(
    ids: Ints, noise: Noise, *, mask_id: int, random_rate: float, vocab: Ints, key: int
) -> Ints:
    """The row with noise replaced by the mask, or some of it by random tokens; none is kept.

    Args:
        random_rate: share of the noise that becomes a random token.
        vocab: ids that random tokens are drawn from.
    """
    at = np.arange(len(ids))
    drawn = vocab[rng.integers(len(vocab), rng.key(key, "random"), at)]
    is_random = rng.uniform(rng.key(key, "fate"), at) < random_rate
    return np.where(noise, np.where(is_random, drawn, mask_id), ids)


def shuffled(ids: Ints, key: int) -> Ints:
    """The row in a random order."""
    return ids[np.argsort(rng.bits(rng.key(key, "order"), np.arange(len(ids))), kind="stable")]
