"""Masked LM: hide some tokens, predict them from both sides.

Paper: Devlin et al. 2019, section 3.1 and appendix A.1; whole words, the official repository's
note of May 2019; new masks each epoch, Liu et al. 2019 (RoBERTa), section 4.1.
Deviations: masks are drawn anew each epoch (`mask_sets=10` is the paper's ten static sets). A word
piece right after [SEP] starts a word of its own; the official whole-word code joins it to the word
before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from foretext.core import rng
from foretext.core.batch import Batch
from foretext.core.errors import ConfigError
from foretext.objectives.base import (
    Assembled,
    Corpus,
    Ints,
    Rows,
    SampleBatch,
    TokenModel,
    Vocabulary,
    assemble,
    target_scores,
)
from foretext.objectives.causal_lm import blocks, document_lengths

Floats = NDArray[np.float64]
Where = tuple[Ints, Ints, Ints]  # epoch, sample and position of each token, [tokens] each


@dataclass(frozen=True, kw_only=True)
class MaskedBatch(Batch):
    targets: Tensor  # [targets] int64, which tokens are to be predicted, ascending
    labels: Tensor  # [targets] int64, their original ids


@dataclass(frozen=True, kw_only=True)
class MaskedLMConfig:
    """How tokens are hidden. The rates of the three fates are shares of the targets."""

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


@dataclass(frozen=True, kw_only=True)
class MaskedLM:
    config: MaskedLMConfig
    vocabulary: Vocabulary
    max_length: int  # tokens, [CLS] and [SEP] included
    seed: int = 0

    def __post_init__(self) -> None:
        v = self.vocabulary
        if None in (v.cls_id, v.sep_id, v.mask_id):
            raise ConfigError(
                "masked LM needs [CLS], [SEP] and [MASK], and this tokenizer lacks some of them; "
                "train one with --kind wordpiece or --special-tokens bert"
            )

    def plan(self, corpus: Corpus, epoch: int) -> Iterator[Rows]:  # noqa: ARG002
        """Rows of (length, document, start): neighbouring blocks of each document."""
        for first, starts, lengths in corpus.sentence_lengths():
            rows = blocks(first, document_lengths(starts, lengths), self.max_length - 2)
            rows[:, 0] += 2  # [CLS] and [SEP]
            yield rows

    def warning(self, corpus: Corpus) -> str | None:  # noqa: ARG002
        """See TextObjective."""
        return None

    def collate(self, corpus: Corpus, picked: SampleBatch) -> MaskedBatch:
        """`[CLS] text [SEP]` with some tokens hidden."""
        texts = [
            [corpus.tokens(document, start, start + length - 2)]
            for length, document, start in picked.rows.tolist()
        ]
        laid = assemble(texts, first=self.vocabulary.cls_id, after=self.vocabulary.sep_id)
        return MaskedBatch(**self.corrupt(laid, picked))

    def corrupt(self, laid: Assembled, picked: SampleBatch) -> dict[str, Tensor]:
        """Hide tokens; the fields of a MaskedBatch. Pure: the same samples, the same result."""
        c, v = self.config, self.vocabulary
        epochs = picked.epochs if c.mask_sets is None else picked.epochs % c.mask_sets
        sequence = laid.sequence
        where = (epochs[sequence], picked.samples[sequence], laid.position)
        targets = self.choose(laid, where)
        at = tuple(part[targets] for part in where)
        replacement = rng.uniform(rng.key(self.seed, "mask fate"), *at)
        known = self.replacements
        random_ids = known[rng.integers(len(known), rng.key(self.seed, "mask random"), *at)]
        original = laid.ids[targets]
        hidden = np.where(replacement < c.random_rate, random_ids, np.int64(v.mask_id or 0))
        hidden = np.where(replacement >= 1 - c.keep_rate, original, hidden)
        ids = laid.ids.copy()
        ids[targets] = hidden
        return laid.batch_fields(ids) | {
            "targets": torch.from_numpy(targets),
            "labels": torch.from_numpy(original),
        }

    @property
    def replacements(self) -> Ints:
        """Ids that a random replacement is drawn from: the whole vocabulary."""
        return np.arange(self.vocabulary.size)

    def choose(self, laid: Assembled, where: Where) -> Ints:
        """Which tokens become targets, ascending."""
        order = rng.uniform(rng.key(self.seed, "mask order"), *where)
        quota = self.quota(laid, where)
        if self.config.whole_words:
            return self._choose_words(laid, order, quota)
        return self._choose_tokens(laid, order, quota)

    def quota(self, laid: Assembled, where: Where) -> Ints:  # noqa: ARG002
        """Targets of each sequence: max(1, round(rate * length)), [CLS] and [SEP] counted."""
        return np.maximum(1, np.rint(self.config.mask_rate * laid.lengths)).astype(np.int64)

    def _choose_tokens(self, laid: Assembled, order: Floats, quota: Ints) -> Ints:
        """The quota of each sequence's ordinary tokens, those first in a random order."""
        sequence = laid.sequence
        ranked = np.lexsort((np.where(laid.special, 2.0, order), sequence))
        rank = laid.position  # ranked is sorted by sequence, so ranks count like positions
        chosen = ranked[(rank < quota[sequence]) & ~laid.special[ranked]]
        return np.sort(chosen)

    def words(self, laid: Assembled) -> tuple[Ints, Ints]:
        """First token and number of tokens of every word, [words] each; special tokens are none."""
        v = self.vocabulary
        before = np.concatenate([laid.ids[:1], laid.ids[:-1]])
        after_special = np.concatenate([[True], laid.special[:-1]])
        starts = v.starts_word[laid.ids] | v.ends_word[before] | after_special | laid.special
        firsts = np.flatnonzero(starts)
        sizes = np.diff(np.append(firsts, len(laid.ids)))
        ordinary = ~laid.special[firsts]
        return firsts[ordinary], sizes[ordinary]

    def _choose_words(self, laid: Assembled, order: Floats, quota: Ints) -> Ints:
        """Whole words in a random order; one that would exceed the quota is passed over."""
        firsts, sizes = self.words(laid)
        ranked = np.lexsort((order[firsts], laid.sequence[firsts]))
        left = quota.tolist()
        chosen = []
        rows = zip(laid.sequence[firsts[ranked]].tolist(), ranked.tolist(), strict=True)
        for sequence, word in rows:
            if 0 < sizes[word] <= left[sequence]:
                left[sequence] -= int(sizes[word])
                chosen.append(np.arange(firsts[word], firsts[word] + sizes[word]))
        return np.sort(np.concatenate(chosen)) if chosen else np.zeros(0, np.int64)

    def counts(self, batch: MaskedBatch) -> dict[str, Tensor]:
        """Hidden tokens."""
        return {"mlm": torch.tensor(batch.targets.shape[0])}

    def loss(
        self, model: TokenModel, batch: MaskedBatch, counts: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """The MLM term, in nats per hidden token."""
        return self.masked_loss(model, model(batch, batch.targets), batch, counts)

    def masked_loss(
        self, model: TokenModel, hidden: Tensor, batch: MaskedBatch, counts: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """The MLM term from hidden states [tokens, hidden], for objectives with other terms too."""
        # Gather first: the vocabulary projection is the largest matmul, 85% of it unused.
        at_targets = hidden.index_select(0, batch.targets)
        return {
            "mlm": model.linear_cross_entropy(at_targets, batch.labels) / counts["mlm"].clamp(min=1)
        }

    def scores(self, model: TokenModel, batch: MaskedBatch) -> dict[str, tuple[Tensor, Tensor]]:
        """Sums over hidden tokens: loss in nats, and hits of the likeliest token."""
        hidden = model(batch, batch.targets)
        return target_scores(model, hidden, batch.targets, batch.labels, name="mlm")


Config, Build = MaskedLMConfig, MaskedLM
