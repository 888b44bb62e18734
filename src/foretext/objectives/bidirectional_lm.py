"""Bidirectional LM: one language model reads forward, one backward; each predicts the next word.

Paper: Peters et al. 2018 (ELMo), section 3.1, with bilm/data.py and bilm/training.py for what it
leaves out: sentences are framed by <S> and </S>, the models read endless streams and keep their
states from step to step, the loss is the mean of both directions', and against a large vocabulary
a sample of wrong words is drawn for each direction of a step. Words beyond the predicted ones are
predicted as <UNK>, and read by their characters all the same. The backward model reads every
sentence from its end, and the sentences in the text's order.
Deviations: a stream is a stretch of neighbouring sentences, where bilm-tf deals shuffled sentences
out to streams one by one; each epoch cuts the streams elsewhere and begins them from zero states.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from foretext.core import rng
from foretext.core.batch import Batch
from foretext.core.errors import ConfigError
from foretext.nn.sampled_softmax import log_uniform_sample
from foretext.objectives.base import (
    Corpus,
    Counts,
    Losses,
    Predicts,
    Rows,
    SampleBatch,
    Scores,
    Term,
    Vocabulary,
    assemble,
)
from foretext.objectives.spec import ObjectiveSpec
from foretext.objectives.streams import Stretch, read_both_ways, windows

FORWARD = Term(
    name="forward",
    title="forward LM",
    unit="nats a word",
    predicts=Predicts.EVERY,
    weight=0.5,
)
BACKWARD = replace(FORWARD, name="backward", title="backward LM")


@runtime_checkable
class PredictsBothWays(Protocol):
    """Reads streams in both directions, and has a softmax over words."""

    @property
    def num_predicted(self) -> int:
        """Words that the softmax knows, the most frequent; the others are unknown to it."""
        ...

    def read_streams(self, batch: Batch, streams: Tensor, continues: Tensor) -> Tensor:
        """States [tokens, size] of pairs of sequences, and which streams [pairs] they go on with.

        continues: [pairs] bool; the others begin anew.
        """
        ...

    def linear_cross_entropy(self, hidden: Tensor, labels: Tensor) -> Tensor:
        """Sum over targets of the cross-entropy in nats, of states [targets, size]."""
        ...

    def sampled_cross_entropy(
        self, hidden: Tensor, labels: Tensor, sample: Tensor, draws: int
    ) -> Tensor:
        """The same against a sample of wrong words, from this many draws."""
        ...


@dataclass(frozen=True, kw_only=True)
class StreamBatch(Batch):
    """Pairs of windows of equal length, forward and backward, each as it is read."""

    labels: Tensor  # [tokens] int64, what follows
    is_forward: Tensor  # [tokens] bool
    streams: Tensor  # [pairs] int64, on the CPU: where the network keeps what it carries
    continues: Tensor  # [pairs] bool, whether it has read what is before
    key: Tensor  # [1] int64, of the wrong words that are drawn; the same throughout a step

    def to(self, device: torch.device | str) -> StreamBatch:
        """The same batch on another device, but for the streams' numbers."""
        return replace(super().to(device), streams=self.streams)


@dataclass(frozen=True, kw_only=True)
class BidirectionalLMConfig:
    """What is predicted; how text becomes streams, batch and window say."""

    sampled_words: int | None = None  # wrong words of a step; none = the whole softmax

    def __post_init__(self) -> None:
        if self.sampled_words is not None and self.sampled_words < 1:
            raise ConfigError(
                f"objective.sampled_words={self.sampled_words} must be at least 1, or none"
            )


@dataclass(frozen=True, kw_only=True)
class BidirectionalLM:
    config: BidirectionalLMConfig
    vocabulary: Vocabulary
    max_length: int  # words of a window, the ends of sentences included
    seed: int = 0
    streams = True
    terms = (FORWARD, BACKWARD)
    target_rate = 1.0

    def __post_init__(self) -> None:
        remedy = "train one with data.special_tokens=elmo"
        self.vocabulary.require(("bos", "eos", "unk"), "bidirectional-lm", remedy)
        if self.vocabulary.spelling is None:
            raise ConfigError(
                "bidirectional-lm reads words by their characters, and this tokenizer's tokens are "
                "no words; train one with data.tokenizer=spelled-words, or words"
            )

    def plan(self, corpus: Corpus, epoch: int) -> Iterator[Rows]:
        """Rows of (tokens, document, start), a word being two tokens; see streams.py."""
        key = rng.key(self.seed, "streams", epoch)
        yield from windows(corpus, length=self.max_length, key=key)

    def warning(self, corpus: Corpus) -> str | None:  # noqa: ARG002
        """See TextObjective."""
        return None

    def collate(self, corpus: Corpus, picked: SampleBatch) -> StreamBatch:
        """Both windows of each sample, and the characters of their words."""
        begin, end = self.vocabulary.bos_id, self.vocabulary.eos_id
        assert begin is not None
        assert end is not None
        assert self.vocabulary.spelling is not None
        pairs: list[Stretch] = []
        for tokens, document, start in picked.rows.tolist():
            pairs += read_both_ways(corpus, document, start, tokens // 2, begin=begin, end=end)
        laid = assemble([[stretch.ids] for stretch in pairs], first=None, after=None)
        assert picked.slots is not None
        assert picked.continues is not None
        key = rng.key(self.seed, "wrong words", int(picked.epochs[0]), picked.time) % 2**63
        special = np.isin(laid.ids, self.vocabulary.special_ids)
        return StreamBatch(
            **laid.batch_fields() | {"special_mask": torch.from_numpy(special)},
            words=self.vocabulary.spelling.words(laid.ids),
            labels=torch.from_numpy(np.concatenate([stretch.labels for stretch in pairs])),
            is_forward=torch.from_numpy(laid.sequence % 2 == 0),
            streams=torch.from_numpy(picked.slots),
            continues=torch.from_numpy(picked.continues),
            key=torch.tensor([key]),
        )

    def counts(self, batch: StreamBatch) -> Counts:
        """Each direction predicts every word once, and the mark at the far end."""
        half = torch.tensor(batch.num_tokens // 2)
        return {FORWARD.name: half, BACKWARD.name: half}

    def loss(self, network: PredictsBothWays, batch: StreamBatch, counts: Counts) -> Losses:
        """Half of each direction's term, in nats a word."""
        hidden = network.read_streams(batch, batch.streams, batch.continues)
        labels = self._labels(network, batch)
        terms: Losses = {}
        for number, term in enumerate(self.terms):
            chosen = batch.is_forward if term is FORWARD else ~batch.is_forward
            states, right = hidden[chosen], labels[chosen]
            sampled = self.config.sampled_words
            if sampled is None or sampled >= network.num_predicted:
                total = network.linear_cross_entropy(states, right)
            else:
                key = rng.key(int(batch.key), number)
                drawn, draws = log_uniform_sample(network.num_predicted, sampled, key)
                sample = torch.from_numpy(drawn).to(right.device)
                total = network.sampled_cross_entropy(states, right, sample, draws)
            terms[term.name] = term.weight * total / counts[term.name]
        return terms

    def scores(self, network: PredictsBothWays, batch: StreamBatch) -> Scores:
        """Sums of each direction's loss over all words."""
        hidden = network.read_streams(batch, batch.streams, batch.continues)
        labels = self._labels(network, batch)
        found: Scores = {}
        for term in self.terms:
            chosen = batch.is_forward if term is FORWARD else ~batch.is_forward
            total = network.linear_cross_entropy(hidden[chosen], labels[chosen])
            found[term.name] = (total, torch.tensor(batch.num_tokens // 2))
        return found

    def _labels(self, network: PredictsBothWays, batch: StreamBatch) -> Tensor:
        """What follows each token; a word that is not predicted is unknown."""
        assert self.vocabulary.unk_id is not None
        return batch.labels.where(batch.labels < network.num_predicted, self.vocabulary.unk_id)


SPEC = ObjectiveSpec(
    name="bidirectional-lm",
    about=__doc__ or "",
    config=BidirectionalLMConfig,
    build=BidirectionalLM,
    style="elmo",
    needs=(PredictsBothWays,),
)
