"""UniLM's cloze under four masks: both ways, from left to right, right to left, source to target.

Paper: Dong et al. 2019, https://arxiv.org/abs/1905.03197, sections 2.3 to 2.5. A third of the
samples is read both ways, as pairs with BERT's next-sentence loss; a third is a source and the text
that follows it, where the source sees itself and the target what is before it too; a sixth is one
text read from left to right, a sixth from right to left. Of a sample 15% of the tokens are hidden:
80% of the picks hide one token, 20% two or three neighbours. The end of a target may be hidden, so
that the model learns where to stop; what each way of reading is told by is the segment.
Deviations: the mix is drawn for each sample, not for each batch, so a share is a mean. A stretch of
one sentence, which has no second part, is read in one direction instead of as source and target.
What the paper leaves out (how long a text is, which tokens may be hidden) is BERT's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from foretext.core import rng
from foretext.core.errors import ConfigError
from foretext.core.masks import Order
from foretext.objectives.base import (
    Assembled,
    Corpus,
    Counts,
    Ints,
    Losses,
    Rows,
    SampleBatch,
    Scores,
    Vocabulary,
    assemble,
    check_rates,
)
from foretext.objectives.masked_lm import (
    MLM,
    REMEDY,
    ROLES,
    masked_counts,
    masked_loss,
    masked_scores,
)
from foretext.objectives.masking import (
    MaskedBatch,
    MaskingConfig,
    Where,
    hide,
    random_order,
    read_of,
    rounded_quota,
    take_runs,
    where_of,
)
from foretext.objectives.networks import JudgesPairs
from foretext.objectives.next_sentence import NSP
from foretext.objectives.pairs import PairBuilder, PairRule, Segment
from foretext.objectives.spec import ObjectiveSpec

_ROWS = 2**15  # planned at a time


class Way(IntEnum):
    """How a sample is read."""

    BOTH_WAYS = 0
    SOURCE_TO_TARGET = 1
    LEFT_TO_RIGHT = 2
    RIGHT_TO_LEFT = 3


# Segments of the first and the second text, by Way.
_SEGMENTS = np.array([[0, 1], [4, 5], [2, 2], [3, 3]])


@dataclass(frozen=True, kw_only=True)
class UnifiedBatch(MaskedBatch):
    pairs: Tensor  # [pairs] int64, sequences that are read both ways
    pair_labels: Tensor  # [pairs] int64, 0 = B follows A, 1 = B is random
    used: Tensor  # tokens whose states are read: first ones of sequences, and the targets


@dataclass(frozen=True, kw_only=True)
class UnifiedLMConfig(MaskingConfig):
    """The mix of masks, the cloze, and how pairs are made."""

    source_target_rate: float = 1 / 3  # share of samples that are a source and its target
    left_to_right_rate: float = 1 / 6  # share of samples that are read from left to right
    right_to_left_rate: float = 1 / 6  # the rest is read both ways
    run_rate: float = 0.2  # share of picks that hide two or three tokens together
    short_seq_rate: float = 0.1  # probability of a shorter target length, uniform from 2
    random_next_rate: float = 0.5  # of pairs read both ways: B comes from another document

    def __post_init__(self) -> None:
        super().__post_init__()
        check_rates(self, "source_target_rate", "left_to_right_rate", "right_to_left_rate")
        check_rates(self, "run_rate", "short_seq_rate", "random_next_rate")
        if self.whole_words:
            raise ConfigError("objective.whole_words is not UniLM's, which hides runs of tokens")
        if sum(self.shares) > 1 + 1e-9:
            raise ConfigError(
                f"objective.source_target_rate, left_to_right_rate and right_to_left_rate add up "
                f"to {sum(self.shares):g}; lower them to at most 1 together"
            )

    @property
    def shares(self) -> tuple[float, float, float]:
        """Of samples, by Way from SOURCE_TO_TARGET on."""
        return self.source_target_rate, self.left_to_right_rate, self.right_to_left_rate


@dataclass(frozen=True, kw_only=True)
class UnifiedLM:
    config: UnifiedLMConfig
    vocabulary: Vocabulary
    max_length: int  # tokens, [CLS] and every [SEP] included
    seed: int = 0
    terms = (MLM, NSP)
    streams = False

    def __post_init__(self) -> None:
        self.vocabulary.require(ROLES, "UniLM", REMEDY)

    @property
    def target_rate(self) -> float:
        """See Objective."""
        return self.config.mask_rate

    def plan(self, corpus: Corpus, epoch: int) -> Iterator[Rows]:
        """Rows of (length, way, document A, start, stop, document B, start, stop, label).

        One text alone has an empty B.
        """
        c = self.config
        rule = PairRule(short_seq_rate=c.short_seq_rate, random_rate=c.random_next_rate)
        builder = PairBuilder(corpus, rule, self.max_length - 3, self.seed, epoch)
        found: list[tuple[int, ...]] = []
        for first, starts, lengths in corpus.sentence_lengths():
            for number in range(len(starts) - 1):
                sentences = lengths[starts[number] : starts[number + 1]]
                found += self._document(builder, first + number, sentences, epoch)
                if len(found) >= _ROWS:
                    yield np.array(found, np.int32)
                    found = []
        yield np.array(found, np.int32).reshape(-1, 9)

    def _document(
        self, builder: PairBuilder, document: int, sentences: Ints, epoch: int
    ) -> Iterator[tuple[int, ...]]:
        c, count = self.config, len(sentences)
        ends = np.concatenate([[0], np.cumsum(sentences)])
        key = rng.key(self.seed, "unified lm", epoch)
        # columns: way, short?, target, a_end, random?, partner's start; then the partner
        draws = rng.uniform(key, document, np.arange(count)[:, None], np.arange(16))
        sentence = 0
        while sentence < count:
            u = draws[sentence]
            way, target = self._way(float(u[0])), self.max_length - 3
            if u[1] < c.short_seq_rate:
                target = 2 + int(u[2] * (target - 1))
            stop = int(np.searchsorted(ends, ends[sentence] + target, "left"))
            stop = min(max(stop, sentence + 1), count)
            size = stop - sentence
            if way is Way.SOURCE_TO_TARGET and size == 1:
                way = Way.LEFT_TO_RIGHT if u[3] < 0.5 else Way.RIGHT_TO_LEFT
            a_stop = sentence + (1 if size == 1 else 1 + int(u[3] * (size - 1)))
            is_random = way is Way.BOTH_WAYS and (size == 1 or u[4] < c.random_next_rate)
            a = Segment(document, int(ends[sentence]), int(ends[a_stop]))
            b = Segment(document, int(ends[a_stop]), int(ends[stop]))
            if way in (Way.LEFT_TO_RIGHT, Way.RIGHT_TO_LEFT):
                whole = min(int(ends[stop]), int(ends[sentence]) + self.max_length - 2)
                alone = (document, a.start, whole, document, whole, whole)
                yield (whole - a.start + 2, way, *alone, 0)
                sentence = stop
                continue
            if is_random:
                b = builder.partner(document, target - (a.stop - a.start), u[5], u[6:])
            a, b = builder.cut(a, b, document, sentence)
            length = a.stop - a.start + b.stop - b.start + 3
            yield (length, way, *a, *b, int(is_random))
            sentence = a_stop if is_random else stop  # unused sentences are put back

    def _way(self, draw: float) -> Way:
        for way, share in zip(list(Way)[1:], self.config.shares, strict=True):
            if draw < share:
                return way
            draw -= share
        return Way.BOTH_WAYS

    def warning(self, corpus: Corpus) -> str | None:  # noqa: ARG002
        """See TextObjective."""
        return None

    def collate(self, corpus: Corpus, picked: SampleBatch) -> UnifiedBatch:
        """`[CLS] A [SEP] B [SEP]` or `[CLS] A [SEP]` with some tokens hidden, and its mask."""
        c, v, seed = self.config, self.vocabulary, self.seed
        rows = picked.rows.tolist()
        texts = [[corpus.tokens(*r[2:5]), *([corpus.tokens(*r[5:8])] if r[6] < r[7] else [])]
                 for r in rows]  # fmt: skip
        ways = picked.rows[:, 1].astype(np.int64)
        laid = assemble(texts, first=v.cls_id, after=v.sep_id)
        laid = replace(laid, segments=_SEGMENTS[ways[laid.sequence], laid.segments])
        where = where_of(laid, picked, c.mask_sets)
        targets = choose_cloze(
            laid,
            where,
            rounded_quota(laid, c.mask_rate),
            may_hide(laid, ways),
            run_rate=c.run_rate,
            seed=seed,
        )
        fields = hide(laid, targets, where, config=c, vocabulary=v, seed=seed)
        pairs = np.flatnonzero(ways == Way.BOTH_WAYS)
        return UnifiedBatch(
            **fields,
            mask=Order(torch.from_numpy(ranks_of(laid, ways)), sees_itself=True),
            pairs=torch.from_numpy(pairs),
            used=read_of(fields),
            pair_labels=torch.from_numpy(picked.rows[pairs, 8].astype(np.int64)),
        )

    def counts(self, batch: UnifiedBatch) -> Counts:
        """Hidden tokens, and pairs that are read both ways."""
        return masked_counts(batch) | {NSP.name: torch.tensor(len(batch.pairs))}

    def loss(self, network: JudgesPairs, batch: UnifiedBatch, counts: Counts) -> Losses:
        """Both terms, in nats per hidden token and per pair; they weigh the same."""
        hidden = network(batch, batch.used)
        scores = network.pair_logits(hidden, batch).float().index_select(0, batch.pairs)
        pairs = F.cross_entropy(scores, batch.pair_labels, reduction="sum")
        mlm = masked_loss(network, hidden, batch, counts)
        return mlm | {NSP.name: pairs / counts[NSP.name].clamp(min=1)}

    def scores(self, network: JudgesPairs, batch: UnifiedBatch) -> Scores:
        """Sums of both losses and of the hits of both heads."""
        hidden = network(batch, batch.used)
        scores = network.pair_logits(hidden, batch).float().index_select(0, batch.pairs)
        pairs = torch.tensor(len(batch.pairs))
        hits = (scores.argmax(-1) == batch.pair_labels).sum()
        return masked_scores(network, hidden, batch) | {
            NSP.name: (F.cross_entropy(scores, batch.pair_labels, reduction="sum"), pairs),
            f"{NSP.name}_accuracy": (hits, pairs),
        }


def ranks_of(laid: Assembled, ways: Ints) -> Ints:
    """Ranks [tokens] whose order is each sample's mask: a token sees those of its rank or less.

    Both ways all have one; from left to right a token's is its position, from right to left what
    is left after it; a source has one below all of its target's, which rise.
    """
    way, position = ways[laid.sequence], laid.position
    target = laid.segments == _SEGMENTS[Way.SOURCE_TO_TARGET, 1]
    ranks = np.where(way == Way.LEFT_TO_RIGHT, position, 0)
    ranks = np.where(way == Way.RIGHT_TO_LEFT, laid.lengths[laid.sequence] - position, ranks)
    return np.where((way == Way.SOURCE_TO_TARGET) & target, 1 + position, ranks)


def may_hide(laid: Assembled, ways: Ints) -> NDArray[np.bool_]:
    """Which tokens may be targets [tokens]: ordinary ones, and the [SEP] that ends a target."""
    last = np.zeros(len(laid.ids), bool)
    last[np.cumsum(laid.lengths) - 1] = True
    return ~laid.special | (last & (ways[laid.sequence] == Way.SOURCE_TO_TARGET))


def choose_cloze(
    laid: Assembled,
    where: Where,
    quota: Ints,
    allowed: NDArray[np.bool_],
    *,
    run_rate: float,
    seed: int,
) -> Ints:
    """Targets of each sequence, ascending: single tokens and runs of two or three, up to the quota.

    A run holds neighbours that are allowed; one that would exceed what is left of the quota, or the
    neighbours that there are, is shortened, and one that overlaps an earlier run is passed over.

    Args:
        allowed: which tokens may be targets, [tokens].
        run_rate: probability that a pick hides two or three tokens.
    """
    tokens = np.flatnonzero(allowed)
    sequence = laid.sequence[tokens]
    breaks = np.append(np.diff(tokens) > 1, True)
    breaks[:-1] |= sequence[1:] != sequence[:-1]
    ends = np.flatnonzero(breaks)  # the last token of each stretch of neighbours
    numbers = np.arange(len(tokens))
    following = ends[np.searchsorted(ends, numbers)] - numbers + 1
    draw = rng.uniform(rng.key(seed, "mask length"), *(part[tokens] for part in where))
    length = np.where(draw < run_rate / 2, 2, np.where(draw < run_rate, 3, 1))
    length = np.minimum(length, following)
    order = random_order(tuple(part[tokens] for part in where), seed=seed)  # type: ignore[arg-type]
    ranked = np.lexsort((order, sequence))
    counts = np.bincount(sequence, minlength=len(laid.lengths))
    sizes = np.ones(len(tokens), np.int64)
    chosen: list[Ints] = []
    for stop, count, left in zip(np.cumsum(counts), counts, quota, strict=True):
        candidates = ranked[stop - count : stop].tolist()
        for first, number in take_runs(candidates, length, sizes, int(left)):
            chosen.append(tokens[first : first + number])
    return np.sort(np.concatenate(chosen)) if chosen else np.zeros(0, np.int64)


SPEC = ObjectiveSpec(
    name="unified-lm",
    about=__doc__ or "",
    config=UnifiedLMConfig,
    build=UnifiedLM,
    style="bert",
    needs=(JudgesPairs,),
    segments=6,
)
