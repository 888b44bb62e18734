"""Causal LM: predict each token from those before it.

Papers: Radford et al. 2018, section 3.1 (GPT-1); Radford et al. 2019, section 2 (GPT-2).
Deviations: documents are never glued together. Where the vocabulary has an end-of-text token, a
document is framed by it, so the model learns to begin and to end; a row longer than max_length is
cut into neighbours, and every token is a target once an epoch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from foretext.batch import Batch
from foretext.objectives.base import (
    Corpus,
    Ints,
    Picked,
    Rows,
    TokenModel,
    Vocabulary,
    assemble,
)


@dataclass(frozen=True, kw_only=True)
class CausalBatch(Batch):
    labels: Tensor  # [tokens], the next token's id; every token is followed by a target


@dataclass(frozen=True, kw_only=True)
class CausalLMConfig:
    """There is nothing to set: the objective has no corruption."""


@dataclass(frozen=True, kw_only=True)
class CausalLM:
    config: CausalLMConfig
    vocabulary: Vocabulary
    max_length: int  # tokens of a row
    seed: int = 0
    needs: tuple[str, ...] = field(default=(), init=False)

    def plan(self, corpus: Corpus, epoch: int) -> Iterator[Rows]:  # noqa: ARG002
        """Rows of (length, document, start): tokens start to start + length predict the next.

        Positions count the framing token before the document as its token 0.
        """
        extra = (self.vocabulary.bos_id is not None) + (self.vocabulary.eos_id is not None)
        for first, starts, lengths in corpus.sentence_lengths():
            documents = document_lengths(starts, lengths) + extra
            targets = np.maximum(documents - 1, 0)
            yield blocks(first, targets, self.max_length)

    def collate(self, corpus: Corpus, picked: Picked) -> CausalBatch:
        """Rows with the token after each as its label."""
        windows = [[self._window(corpus, *row)] for row in picked.rows.tolist()]
        laid = assemble([[w[0][:-1]] for w in windows], first=None, after=None)
        fields = laid.batch_fields()
        special = torch.tensor(self.vocabulary.special_ids, dtype=torch.int64)
        fields["special_mask"] = torch.isin(fields["input_ids"], special)
        labels = np.concatenate([w[0][1:] for w in windows])
        return CausalBatch(**fields, labels=torch.from_numpy(labels))

    def _window(self, corpus: Corpus, length: int, document: int, start: int) -> Ints:
        """length + 1 tokens of the framed document from start."""
        bos, eos = self.vocabulary.bos_id, self.vocabulary.eos_id
        shift = int(bos is not None)
        text = corpus.tokens(document, max(start - shift, 0), start + length + 1 - shift)
        before = [bos] if bos is not None and start == 0 else []
        missing = length + 1 - len(before) - len(text)
        after = [eos] if eos is not None and missing else []
        return np.concatenate([before, text, after]).astype(np.int64)

    def counts(self, batch: CausalBatch) -> dict[str, Tensor]:
        """Every token has a target."""
        return {"lm": torch.tensor(batch.num_tokens)}

    def loss(
        self, model: TokenModel, batch: CausalBatch, counts: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """The LM term, in nats per token."""
        return {"lm": model.vocabulary_loss(model(batch), batch.labels) / counts["lm"]}

    def scores(self, model: TokenModel, batch: CausalBatch) -> dict[str, tuple[Tensor, Tensor]]:
        """Sums of the loss in nats, over tokens."""
        total = model.vocabulary_loss(model(batch), batch.labels)
        return {"lm": (total, torch.tensor(batch.num_tokens))}


def document_lengths(starts: Ints, lengths: Ints) -> Ints:
    """Tokens of each document, from the sentence numbers its documents start at [documents + 1]
    and the tokens of each sentence."""
    ends = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    return np.diff(ends[starts])


def blocks(first_document: int, sizes: Ints, max_length: int) -> Rows:
    """Cut documents into neighbouring blocks: rows of (length, document, start).

    Args:
        first_document: number of the first document.
        sizes: tokens of each document; empty ones make no block.
        max_length: tokens of the longest block.
    """
    pieces = -(-sizes // max_length)
    document = np.repeat(np.arange(len(sizes)), pieces)
    order = np.arange(len(document)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    start = order * max_length
    length = np.minimum(sizes[document] - start, max_length)
    return np.stack([length, first_document + document, start], axis=1).astype(np.int32)


Config, Build, Labelled = CausalLMConfig, CausalLM, CausalBatch
