"""ALBERT's two objectives together: masked n-grams, and whether A and B are in their order.

Paper: Lan et al. 2020, https://arxiv.org/abs/1909.11942, sections 3.1 and 4.1; the procedure is the
official create_pretraining_data.py. A and B are neighbours that change places half of the time. A
chunk of one sentence takes B from another document, with the label of a swapped pair, as there.
Hidden are runs of n whole words, n <= 3 with probability proportional to 1/n; a run may cross the
[SEP] between A and B.
Deviations: pairs and masks are drawn anew each epoch, not in 40 static copies, and a row's targets
are not capped at 20. A word piece right after [SEP] starts a word of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from foretext.core import rng
from foretext.core.errors import ConfigError
from foretext.objectives.base import Assembled, Ints, check_rates
from foretext.objectives.masked_lm import MaskedLMConfig, Where
from foretext.objectives.pairs import PairMaskedLM, PairRule

PAIRS = ("order", "next")


@dataclass(frozen=True, kw_only=True)
class SentenceOrderConfig(MaskedLMConfig):
    """Masks as for masked LM, but in n-grams of whole words, and how pairs are made."""

    max_ngram: int = 3  # words of the longest run that is hidden together
    pairs: str = "order"  # or "next": B comes from another document instead (table 5)
    short_seq_rate: float = 0.1  # probability of a shorter target length, uniform from 2
    pair_rate: float = 0.5  # probability that a pair is swapped, or random

    def __post_init__(self) -> None:
        super().__post_init__()
        check_rates(self, "short_seq_rate", "pair_rate")
        if self.max_ngram < 1:
            raise ConfigError(f"objective.max_ngram={self.max_ngram} must be at least 1 word")
        if self.pairs not in PAIRS:
            raise ConfigError(f"objective.pairs={self.pairs!r} must be one of {', '.join(PAIRS)}")


@dataclass(frozen=True, kw_only=True)
class SentenceOrder(PairMaskedLM):
    config: SentenceOrderConfig

    @property
    def term(self) -> str:
        """What the second loss is called."""
        return "sop" if self.config.pairs == "order" else "nsp"

    @property
    def rule(self) -> PairRule:
        """A and B change places, or B comes from another document; the label is then 1."""
        c = self.config
        order = c.pairs == "order"
        return PairRule(
            short_seq_rate=c.short_seq_rate,
            random_rate=0.0 if order else c.pair_rate,
            swap_rate=c.pair_rate if order else 0.0,
        )

    def choose(self, laid: Assembled, where: Where) -> Ints:
        """Runs of whole words, from the words in a random order, up to each row's quota."""
        firsts, sizes = self.words(laid)
        at = tuple(part[firsts] for part in where)
        order = rng.uniform(rng.key(self.seed, "mask order"), *at)
        sequence = laid.sequence[firsts]
        ranked = np.lexsort((order, sequence))
        words = np.bincount(sequence, minlength=len(laid.lengths))  # of each row
        ends = np.cumsum(words)
        following = ends[sequence] - np.arange(len(firsts))  # words from each to the row's end
        length = self._lengths(following, rng.uniform(rng.key(self.seed, "mask length"), *at))
        chosen: list[Ints] = []
        for stop, count, quota in zip(ends, words, self.quota(laid, where), strict=True):
            candidates = ranked[stop - count : stop].tolist()
            for word, number in _take(candidates, length, sizes, int(quota)):
                chosen += [
                    np.arange(firsts[w], firsts[w] + sizes[w]) for w in range(word, word + number)
                ]
        return np.sort(np.concatenate(chosen)) if chosen else np.zeros(0, np.int64)

    def _lengths(self, following: Ints, draws: np.ndarray) -> Ints:
        """Words of the run that begins at each word: 1/n, renormalised over the n that fit."""
        weights = np.cumsum(1 / np.arange(1, self.config.max_ngram + 1))
        fits = np.minimum(following, self.config.max_ngram)
        # 1 + the number of cumulative weights that the draw has passed
        return 1 + (draws[:, None] * weights[fits - 1][:, None] >= weights).sum(1)


def _take(candidates: list[int], length: Ints, sizes: Ints, quota: int) -> list[tuple[int, int]]:
    """Runs (first word, words) of one row.

    A run that would exceed what is left of the quota is shortened, or passed over if its first word
    does already; one that overlaps an earlier run is passed over.

    Args:
        candidates: words in the order in which runs may begin at them.
        length: words of the run at each word.
        sizes: tokens of each word.
        quota: tokens that may be hidden.
    """
    taken: list[tuple[int, int]] = []
    covered: set[int] = set()
    for word in candidates:
        if quota <= 0:
            break
        number = int(length[word])
        while number and int(sizes[word : word + number].sum()) > quota:
            number -= 1
        run = range(word, word + number)
        if not number or not covered.isdisjoint(run):
            continue
        covered.update(run)
        quota -= int(sizes[word : word + number].sum())
        taken.append((word, number))
    return taken


SEGMENTS = 2  # of a sample, at most
Config, Build = SentenceOrderConfig, SentenceOrder
