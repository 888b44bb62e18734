"""Which tokens are hidden, and what stands in their place: functions that objectives compose.

Each takes assembled sequences and says which tokens, [targets] ascending. Randomness is a function
of (seed, epoch, sample, position), so a sample is hidden the same way in every batch.

Papers: Devlin et al. 2019, section 3.1 and appendix A.1; whole words, the official repository's
note of May 2019; n-grams, Lan et al. 2020 (ALBERT), section 3.1, with create_pretraining_data.py;
drawing with replacement, the official code of Clark et al. 2020 (ELECTRA).
Deviation: a word piece right after [SEP] starts a word of its own; the official whole-word code
joins it to the word before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from foretext.core import rng
from foretext.core.batch import Batch
from foretext.core.errors import ConfigError
from foretext.objectives.base import Assembled, Ints, SampleBatch, Vocabulary

Floats = NDArray[np.float64]
Where = tuple[Ints, Ints, Ints]  # epoch, sample and position of each token, [tokens] each


@dataclass(frozen=True, kw_only=True)
class MaskedBatch(Batch):
    targets: Tensor  # [targets] int64, which tokens are to be predicted, ascending
    labels: Tensor  # [targets] int64, their original ids


@dataclass(frozen=True, kw_only=True)
class MaskingConfig:
    """How tokens are hidden. The rates of the three replacements are shares of the targets."""

    mask_rate: float = 0.15  # targets as a share of the sequence, special tokens counted
    random_rate: float = 0.1  # replaced by a random id of the whole vocabulary
    keep_rate: float = 0.1  # left as they are; the rest becomes [MASK]
    whole_words: bool = False  # choose words, not pieces; each piece has its own replacement
    mask_sets: int | None = None  # None: new masks every epoch; n: epoch e reuses set e mod n

    def __post_init__(self) -> None:
        if not 0 < self.mask_rate < 1:
            raise ConfigError(f"objective.mask_rate={self.mask_rate} must lie between 0 and 1")
        if min(self.random_rate, self.keep_rate) < 0 or self.random_rate + self.keep_rate > 1:
            raise ConfigError(
                f"objective.random_rate={self.random_rate} and keep_rate={self.keep_rate} must "
                "not be negative or add up to more than 1"
            )
        if self.mask_sets is not None and self.mask_sets < 1:
            raise ConfigError(f"objective.mask_sets={self.mask_sets} must be at least 1 or none")


def where_of(laid: Assembled, picked: SampleBatch, mask_sets: int | None = None) -> Where:
    """What the random numbers of each token are a function of, beside the seed.

    Args:
        laid: the samples, a sequence each.
        picked: the same samples.
        mask_sets: how many sets of masks take turns; None is a new one every epoch.
    """
    epochs = picked.epochs if mask_sets is None else picked.epochs % mask_sets
    sequence = laid.sequence
    return epochs[sequence], picked.samples[sequence], laid.position


def rounded_quota(laid: Assembled, rate: float) -> Ints:
    """Targets of each sequence: max(1, round(rate * length)), [CLS] and [SEP] counted."""
    return np.maximum(1, np.rint(rate * laid.lengths)).astype(np.int64)


def drawn_quota(laid: Assembled, where: Where, rate: float, *, seed: int) -> Ints:
    """Targets of each sequence: floor(rate * length + u), u uniform (fairseq)."""
    firsts = np.cumsum(laid.lengths) - laid.lengths
    u = rng.uniform(rng.key(seed, "mask count"), *(part[firsts] for part in where[:2]))
    return np.floor(rate * laid.lengths + u).astype(np.int64)


def random_order(where: Where, *, seed: int) -> Floats:
    """A uniform number for each token: the order in which tokens are chosen."""
    return rng.uniform(rng.key(seed, "mask order"), *where)


def choose(
    laid: Assembled,
    where: Where,
    quota: Ints,
    *,
    config: MaskingConfig,
    vocabulary: Vocabulary,
    seed: int,
) -> Ints:
    """The quota of each sequence's tokens or, if the config says so, of its whole words."""
    order = random_order(where, seed=seed)
    if config.whole_words:
        return choose_words(laid, words_of(laid, vocabulary), order, quota)
    return choose_tokens(laid, order, quota)


def choose_tokens(laid: Assembled, order: Floats, quota: Ints) -> Ints:
    """The quota of each sequence's ordinary tokens, those first in a random order."""
    sequence = laid.sequence
    ranked = np.lexsort((np.where(laid.special, 2.0, order), sequence))
    rank = laid.position  # ranked is sorted by sequence, so ranks count like positions
    chosen = ranked[(rank < quota[sequence]) & ~laid.special[ranked]]
    return np.sort(chosen)


def choose_with_replacement(laid: Assembled, order: Floats, quota: Ints, *, mask_id: int) -> Ints:
    """The quota of each sequence's ordinary tokens, drawn with replacement, each once."""
    sequence = laid.sequence
    ordinary = np.flatnonzero(~laid.special & (laid.ids != mask_id))
    counts = np.bincount(sequence[ordinary], minlength=len(quota))
    # The n-th draw of a sequence takes the random number of its n-th token.
    drawing = (laid.position < quota[sequence]) & (counts[sequence] > 0)
    of = sequence[drawing]
    starts = np.cumsum(counts) - counts
    return np.unique(ordinary[starts[of] + (order[drawing] * counts[of]).astype(np.int64)])


class Words(NamedTuple):
    """The words of assembled sequences; special tokens belong to none."""

    firsts: Ints  # [words], the first token of each
    sizes: Ints  # [words], tokens of each


def words_of(laid: Assembled, vocabulary: Vocabulary) -> Words:
    """Where words begin and end, as the tokenizer marks it."""
    before = np.concatenate([laid.ids[:1], laid.ids[:-1]])
    after_special = np.concatenate([[True], laid.special[:-1]])
    starts = vocabulary.starts_word[laid.ids] | vocabulary.ends_word[before]
    firsts = np.flatnonzero(starts | after_special | laid.special)
    sizes = np.diff(np.append(firsts, len(laid.ids)))
    ordinary = ~laid.special[firsts]
    return Words(firsts[ordinary], sizes[ordinary])


def choose_words(laid: Assembled, words: Words, order: Floats, quota: Ints) -> Ints:
    """Whole words in a random order; one that would exceed the quota is passed over."""
    firsts, sizes = words
    ranked = np.lexsort((order[firsts], laid.sequence[firsts]))
    left = quota.tolist()
    chosen = []
    rows = zip(laid.sequence[firsts[ranked]].tolist(), ranked.tolist(), strict=True)
    for sequence, word in rows:
        if 0 < sizes[word] <= left[sequence]:
            left[sequence] -= int(sizes[word])
            chosen.append(np.arange(firsts[word], firsts[word] + sizes[word]))
    return np.sort(np.concatenate(chosen)) if chosen else np.zeros(0, np.int64)


def choose_spans(laid: Assembled, where: Where, quota: Ints, *, longest: int, seed: int) -> Ints:
    """Spans of 1 to `longest` neighbouring tokens, all lengths alike, up to the quota.

    Every sequence is cut into spans, none across a special token, each with one random number; the
    smallest are hidden, the last of them as far as the quota goes.
    """
    starts, sizes = _spans(laid, where, longest, seed)
    sequence = laid.sequence[starts]
    order = random_order(_at(where, starts), seed=seed)
    ranked = np.lexsort((order, sequence))
    counts = np.bincount(sequence, minlength=len(laid.lengths))
    firsts = np.cumsum(counts) - counts
    sorted_sizes = sizes[ranked]
    before = np.cumsum(sorted_sizes) - sorted_sizes  # tokens of the spans ranked before each
    owner = sequence[ranked]
    before = before - before[firsts[owner]]
    taken = np.clip(quota[owner] - before, 0, sorted_sizes)
    begins = np.repeat(starts[ranked], taken)
    return np.sort(begins + np.arange(len(begins)) - np.repeat(np.cumsum(taken) - taken, taken))


def _spans(laid: Assembled, where: Where, longest: int, seed: int) -> tuple[Ints, Ints]:
    """First token and size of every span, in the order of the tokens."""
    ordinary = ~laid.special
    sequence = laid.sequence
    joined = ordinary[1:] & ordinary[:-1] & (sequence[1:] == sequence[:-1])
    begins = np.flatnonzero(ordinary & np.append(True, ~joined))
    ends = np.flatnonzero(ordinary & np.append(~joined, True)) + 1
    drawn = 1 + rng.integers(longest, rng.key(seed, "mask length"), *where)
    starts, sizes = [], []
    while len(begins):  # the next span of every stretch that has one
        size = np.minimum(drawn[begins], ends - begins)
        starts.append(begins)
        sizes.append(size)
        left = begins + size < ends
        begins, ends = (begins + size)[left], ends[left]
    if not starts:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    found = np.concatenate(starts)
    order = np.argsort(found)
    return found[order], np.concatenate(sizes)[order]


def _at(where: Where, tokens: Ints) -> Where:
    """The same of some tokens."""
    epoch, sample, position = (part[tokens] for part in where)
    return epoch, sample, position


def choose_ngrams(
    laid: Assembled, where: Where, words: Words, quota: Ints, *, longest: int, seed: int
) -> Ints:
    """Runs of n whole words, n <= longest with probability proportional to 1/n, up to the quota.

    A run may cross the [SEP] between two texts.
    """
    firsts, sizes = words
    at = _at(where, firsts)
    order = rng.uniform(rng.key(seed, "mask order"), *at)
    sequence = laid.sequence[firsts]
    ranked = np.lexsort((order, sequence))
    counts = np.bincount(sequence, minlength=len(laid.lengths))  # words of each row
    ends = np.cumsum(counts)
    following = ends[sequence] - np.arange(len(firsts))  # words from each to the row's end
    length = run_lengths(following, rng.uniform(rng.key(seed, "mask length"), *at), longest)
    chosen: list[Ints] = []
    for stop, count, left in zip(ends, counts, quota, strict=True):
        candidates = ranked[stop - count : stop].tolist()
        for word, number in take_runs(candidates, length, sizes, int(left)):
            chosen += [
                np.arange(firsts[w], firsts[w] + sizes[w]) for w in range(word, word + number)
            ]
    return np.sort(np.concatenate(chosen)) if chosen else np.zeros(0, np.int64)


def run_lengths(following: Ints, draws: Floats, longest: int) -> Ints:
    """Words of the run that begins at each word: 1/n, renormalised over the n that fit."""
    weights = np.cumsum(1 / np.arange(1, longest + 1))
    fits = np.minimum(following, longest)
    # 1 + the number of cumulative weights that the draw has passed
    return 1 + (draws[:, None] * weights[fits - 1][:, None] >= weights).sum(1)


def take_runs(
    candidates: list[int], length: Ints, sizes: Ints, quota: int
) -> list[tuple[int, int]]:
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


def read_of(fields: dict[str, Tensor]) -> Tensor:
    """Tokens whose states a loss on tokens and on sequences reads, ascending.

    Found where a batch is made: on a GPU, sorting them would wait for the device.

    Args:
        fields: of a MaskedBatch.
    """
    return torch.cat([fields["offsets"][:-1], fields["targets"]]).unique()


def hide(
    laid: Assembled,
    targets: Ints,
    where: Where,
    *,
    config: MaskingConfig,
    vocabulary: Vocabulary,
    seed: int,
    random_ids: Ints | None = None,
) -> dict[str, Any]:
    """The fields of a MaskedBatch: most targets become [MASK], some a random id, some stay.

    Args:
        targets: which tokens.
        where: as where_of gives it.
        random_ids: what random replacements are drawn from; None is the whole vocabulary.
    """
    at = _at(where, targets)
    replacement = rng.uniform(rng.key(seed, "mask fate"), *at)
    known = np.arange(vocabulary.size) if random_ids is None else random_ids
    drawn = known[rng.integers(len(known), rng.key(seed, "mask random"), *at)]
    original = laid.ids[targets]
    hidden = np.where(replacement < config.random_rate, drawn, np.int64(vocabulary.mask_id or 0))
    hidden = np.where(replacement >= 1 - config.keep_rate, original, hidden)
    ids = laid.ids.copy()
    ids[targets] = hidden
    return laid.batch_fields(ids) | {
        "targets": torch.from_numpy(targets),
        "labels": torch.from_numpy(original),
    }
