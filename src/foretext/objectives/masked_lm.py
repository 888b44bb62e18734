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

import torch
from torch import Tensor

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
    target_scores,
)
from foretext.objectives.masking import (
    MaskedBatch,
    MaskingConfig,
    choose,
    hide,
    rounded_quota,
    where_of,
)
from foretext.objectives.networks import PredictsTokens
from foretext.objectives.packing import blocks, document_lengths
from foretext.objectives.spec import ObjectiveSpec

MLM = Term(name="mlm", title="masked LM", unit="nats a hidden token", predicts=Predicts.SOME)
ROLES = ("cls", "sep", "mask")  # special tokens that samples are made with
REMEDY = "train one with --kind wordpiece or --special-tokens bert"


@dataclass(frozen=True, kw_only=True)
class MaskedLMConfig(MaskingConfig):
    """How tokens are hidden."""


@dataclass(frozen=True, kw_only=True)
class MaskedLM:
    config: MaskedLMConfig
    vocabulary: Vocabulary
    max_length: int  # tokens, [CLS] and [SEP] included
    seed: int = 0
    terms = (MLM,)
    streams = False

    def __post_init__(self) -> None:
        self.vocabulary.require(ROLES, "masked LM", REMEDY)

    @property
    def target_rate(self) -> float:
        """See Objective."""
        return self.config.mask_rate

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
        c, v, seed = self.config, self.vocabulary, self.seed
        texts = [
            [corpus.tokens(document, start, start + length - 2)]
            for length, document, start in picked.rows.tolist()
        ]
        laid = assemble(texts, first=v.cls_id, after=v.sep_id)
        where = where_of(laid, picked, c.mask_sets)
        quota = rounded_quota(laid, c.mask_rate)
        targets = choose(laid, where, quota, config=c, vocabulary=v, seed=seed)
        return MaskedBatch(**hide(laid, targets, where, config=c, vocabulary=v, seed=seed))

    def counts(self, batch: MaskedBatch) -> Counts:
        """Hidden tokens."""
        return masked_counts(batch)

    def loss(self, network: PredictsTokens, batch: MaskedBatch, counts: Counts) -> Losses:
        """The MLM term, in nats per hidden token."""
        return masked_loss(network, network(batch, batch.targets), batch, counts)

    def scores(self, network: PredictsTokens, batch: MaskedBatch) -> Scores:
        """Sums over hidden tokens: loss in nats, and hits of the likeliest token."""
        return masked_scores(network, network(batch, batch.targets), batch)


def masked_counts(batch: MaskedBatch) -> Counts:
    """Hidden tokens."""
    return {MLM.name: torch.tensor(batch.targets.shape[0])}


def masked_loss(
    network: PredictsTokens, hidden: Tensor, batch: MaskedBatch, counts: Counts
) -> Losses:
    """The MLM term from states [tokens, hidden], in nats per hidden token."""
    # Gather first: the vocabulary projection is the largest matmul, 85% of it unused.
    at_targets = hidden.index_select(0, batch.targets)
    total = network.linear_cross_entropy(at_targets, batch.labels)
    return {MLM.name: total / counts[MLM.name].clamp(min=1)}


def masked_scores(network: PredictsTokens, hidden: Tensor, batch: MaskedBatch) -> Scores:
    """Sums over hidden tokens of states [tokens, hidden]: loss in nats, and hits."""
    return target_scores(network, hidden, batch.targets, batch.labels, name=MLM.name)


SPEC = ObjectiveSpec(
    name="masked-lm",
    about=__doc__ or "",
    config=MaskedLMConfig,
    build=MaskedLM,
    style="bert",
    needs=(PredictsTokens,),
)
