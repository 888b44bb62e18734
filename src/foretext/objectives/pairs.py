"""Pairs of texts out of documents, and masked LM with a second loss on the pair.

The procedure is create_pretraining_data.py of the official BERT and ALBERT repositories: sentences
are collected up to a target length, the first few are A, and B is the rest, or a stretch of another
document, or A and B change places.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from foretext.core import rng
from foretext.objectives.base import Corpus, Counts, Ints, Losses, Rows, SampleBatch, Scores, Term
from foretext.objectives.masked_lm import masked_counts, masked_loss, masked_scores
from foretext.objectives.masking import MaskedBatch
from foretext.objectives.networks import JudgesPairs

_SENTENCES = 2**15  # planned at a time, to bound the memory of their random numbers
_SINGLE = 0.9  # share of documents of one sentence from which on neighbours are rare
_TRIES = 10  # to find a partner in another document


@dataclass(frozen=True, kw_only=True)
class PairBatch(MaskedBatch):
    pair_labels: Tensor  # [sequences] int64, 0 = B follows A, 1 = B is random or before A
    used: Tensor  # tokens whose states are read: every sequence's first, and the targets


@dataclass(frozen=True, kw_only=True)
class PairRule:
    """How often a pair is what. A chunk of one sentence always has a random B."""

    short_seq_rate: float  # probability of a shorter target length, uniform from 2
    random_rate: float = 0.0  # probability that B comes from another document
    swap_rate: float = 0.0  # probability that A and B change places


class Segment(NamedTuple):
    """Tokens start to stop of a document."""

    document: int
    start: int
    stop: int


def plan_pairs(
    corpus: Corpus, rule: PairRule, max_length: int, *, seed: int, epoch: int
) -> Iterator[Rows]:
    """Rows of (length, document A, start, stop, document B, start, stop, label)."""
    builder = PairBuilder(corpus, rule, max_length - 3, seed, epoch)
    for first, starts, lengths in corpus.sentence_lengths():
        yield from builder.rows(first, starts, lengths)


def pair_warning(corpus: Corpus, term: Term) -> str | None:
    """Too few documents of several sentences, or no other document; see PairRule."""
    remedy = "put blank lines only between documents, or set objective.name=masked-lm"
    if corpus.num_documents == 1:
        return f"the text is one document, so random texts are of the same one; {remedy}"
    _, starts, _ = next(iter(corpus.sentence_lengths()))  # of the first documents, many
    single = float((np.diff(starts) == 1).mean())
    if single < _SINGLE:
        return None
    return (
        f"{single:.0%} of the documents have one sentence, so nearly every pair is a random "
        f"one and {term.name} teaches nothing; {remedy}"
    )


def pair_texts(corpus: Corpus, picked: SampleBatch) -> list[list[Ints]]:
    """The token ids of A and of B of each sample."""
    return [[corpus.tokens(*row[1:4]), corpus.tokens(*row[4:7])] for row in picked.rows.tolist()]


def pair_labels(picked: SampleBatch) -> Tensor:
    """[sequences] int64, see PairBatch."""
    return torch.from_numpy(picked.rows[:, 7].astype(np.int64))


def pair_counts(batch: PairBatch, term: Term) -> Counts:
    """Hidden tokens, and pairs."""
    return masked_counts(batch) | {term.name: torch.tensor(batch.num_sequences)}


def pair_losses(network: JudgesPairs, batch: PairBatch, counts: Counts, term: Term) -> Losses:
    """The MLM term and the pair's, in nats per hidden token and per pair."""
    hidden = network(batch, batch.used)
    scores = network.pair_logits(hidden, batch).float()
    pairs = F.cross_entropy(scores, batch.pair_labels, reduction="sum")
    mlm = masked_loss(network, hidden, batch, counts)
    return mlm | {term.name: pairs / counts[term.name]}


def pair_scores(network: JudgesPairs, batch: PairBatch, term: Term) -> Scores:
    """Sums of both losses and of the hits of both heads."""
    hidden = network(batch, batch.used)
    scores = network.pair_logits(hidden, batch).float()
    pairs = torch.tensor(batch.num_sequences)
    return masked_scores(network, hidden, batch) | {
        term.name: (F.cross_entropy(scores, batch.pair_labels, reduction="sum"), pairs),
        f"{term.name}_accuracy": ((scores.argmax(-1) == batch.pair_labels).sum(), pairs),
    }


class PairBuilder:
    """The pairs of one epoch. Every draw belongs to the sentence at which its sample starts."""

    def __init__(
        self, corpus: Corpus, rule: PairRule, max_tokens: int, seed: int, epoch: int
    ) -> None:
        self.corpus = corpus
        self.rule = rule
        self.max_tokens = max_tokens  # tokens of A and B together
        self.key = rng.key(seed, "next sentence", epoch)

    def rows(self, first: int, starts: Ints, lengths: Ints) -> Iterator[Rows]:
        """Rows of a run of documents; arguments as sentence_lengths yields them."""
        document = 0
        while document < len(starts) - 1:
            # whole documents, as many as hold _SENTENCES sentences and at least one
            stop = int(np.searchsorted(starts, starts[document] + _SENTENCES, "right")) - 1
            stop = min(max(stop, document + 1), len(starts) - 1)
            found: list[tuple[int, ...]] = []
            for number in range(document, stop):
                sentences = lengths[starts[number] : starts[number + 1]]
                found += self._document(first + number, sentences)
            yield np.array(found, np.int32).reshape(-1, 8)
            document = stop

    def _document(self, document: int, sentences: Ints) -> Iterator[tuple[int, ...]]:
        """Samples of one document, create_instances_from_document of the official code."""
        count = len(sentences)
        ends = np.concatenate([[0], np.cumsum(sentences)])
        # columns: short?, target, a_end, random or swapped?, partner's start; then the partner
        draws = rng.uniform(self.key, document, np.arange(count)[:, None], np.arange(5 + _TRIES))
        sentence = 0
        while sentence < count:
            u = draws[sentence]
            target = self.max_tokens
            if u[0] < self.rule.short_seq_rate:
                target = 2 + int(u[1] * (self.max_tokens - 1))  # uniform in [2, max_tokens]
            # sentences until the target length is reached or the document ends
            stop = int(np.searchsorted(ends, ends[sentence] + target, "left"))
            stop = min(max(stop, sentence + 1), count)
            size = stop - sentence
            a_stop = sentence + (1 if size == 1 else 1 + int(u[2] * (size - 1)))
            a = Segment(document, int(ends[sentence]), int(ends[a_stop]))
            is_random = size == 1 or u[3] < self.rule.random_rate
            is_swapped = not is_random and u[3] < self.rule.random_rate + self.rule.swap_rate
            if is_random:
                b = self.partner(document, target - (a.stop - a.start), u[4], u[5:])
                following = a_stop  # the unused sentences are put back
            else:
                b = Segment(document, int(ends[a_stop]), int(ends[stop]))
                following = stop
            if is_swapped:
                a, b = b, a
            a, b = self.cut(a, b, document, sentence)
            length = a.stop - a.start + b.stop - b.start + 3
            yield (length, *a, *b, int(is_random or is_swapped))
            sentence = following

    def partner(self, document: int, target: int, where: float, tries: Ints) -> Segment:
        """Sentences of another document from a random one on, until the target is reached."""
        for draw in tries:
            other = int(draw * self.corpus.num_documents)
            if other != document:
                break
        offsets = self.corpus.sentence_offsets(other)
        begin = int(where * (len(offsets) - 1))
        stop = int(np.searchsorted(offsets, offsets[begin] + target, "left"))
        stop = min(max(stop, begin + 1), len(offsets) - 1)
        return Segment(other, int(offsets[begin]), int(offsets[stop]))

    def cut(self, a: Segment, b: Segment, document: int, sentence: int) -> tuple[Segment, Segment]:
        """Drop tokens of the longer one until both fit, each from its front or its back.

        A drop is a coin flip, so of n drops the front loses as many as n fair coins show heads.
        """
        size_a, size_b = a.stop - a.start, b.stop - b.start
        excess = size_a + size_b - self.max_tokens
        if excess <= 0:
            return a, b
        # the longer one first, then turn by turn beginning with B, which loses ties
        apart = min(excess, abs(size_a - size_b))
        rest = excess - apart
        drop_a = (apart if size_a > size_b else 0) + rest // 2
        drop_b = excess - drop_a
        words = rng.bits(self.key, document, sentence, 100 + np.arange(-(-excess // 64)))
        flips = np.unpackbits(words.view(np.uint8))[:excess]
        front_a, front_b = int(flips[:drop_a].sum()), int(flips[drop_a:].sum())
        return (
            Segment(a.document, a.start + front_a, a.stop - (drop_a - front_a)),
            Segment(b.document, b.start + front_b, b.stop - (drop_b - front_b)),
        )
