"""Causal LM: predict each token from those before it.

Papers: Radford et al. 2018, section 3.1 (GPT-1); Radford et al. 2019, section 2 (GPT-2); Brown et
al. 2020, section 2.2 and appendix B (GPT-3, packed rows).

Packed, documents are joined by the end-of-text token and the whole is cut into rows of max_length
tokens, in which they see each other. Else documents are never glued together: one is framed by the
end-of-text token, where the vocabulary has it, so the model learns to begin and to end, and what is
longer than max_length is cut into neighbours. Either way every token is a target once an epoch.
Deviation: packed documents follow each other as in the corpus, not shuffled; each epoch begins at
another one, so that its rows are cut elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from foretext.core import rng
from foretext.core.batch import Batch
from foretext.core.errors import ConfigError
from foretext.objectives.base import (
    Corpus,
    Counts,
    Ints,
    Losses,
    Predicts,
    Rows,
    SampleBatch,
    Scores,
    Term,
    Vocabulary,
    assemble,
)
from foretext.objectives.networks import PredictsTokens
from foretext.objectives.packing import blocks, document_lengths, joined_tokens, pack, sizes_from
from foretext.objectives.spec import ObjectiveSpec

LM = Term(name="lm", title="causal LM", unit="nats a token", predicts=Predicts.EVERY)


@dataclass(frozen=True, kw_only=True)
class CausalBatch(Batch):
    labels: Tensor  # [tokens], the next token's id; every token is followed by a target


@dataclass(frozen=True, kw_only=True)
class CausalLMConfig:
    """How documents become rows; the objective has no corruption."""

    packed: bool = False  # rows are full: documents joined by end-of-text, visible to each other


@dataclass(frozen=True, kw_only=True)
class CausalLM:
    config: CausalLMConfig
    vocabulary: Vocabulary
    max_length: int  # tokens of a row
    seed: int = 0
    terms = (LM,)
    streams = False
    target_rate = 1.0

    def __post_init__(self) -> None:
        if self.config.packed and self._end is None:
            raise ConfigError(
                "objective.packed=true joins documents by an end-of-text token, which the "
                "tokenizer lacks; train one with data.special_tokens=gpt2, or unset it"
            )

    @property
    def _end(self) -> int | None:
        """The end-of-text token, which stands between packed documents."""
        eos = self.vocabulary.eos_id
        return self.vocabulary.bos_id if eos is None else eos

    def plan(self, corpus: Corpus, epoch: int) -> Iterator[Rows]:
        """Rows of (length, document, start): tokens start to start + length predict the next.

        Positions count the framing token before the document as its token 0.
        """
        if self.config.packed:
            first = int(rng.integers(corpus.num_documents, rng.key(self.seed, "pack", epoch)))
            return pack(sizes_from(corpus, first), self.max_length)
        return self._apart(corpus)

    def _apart(self, corpus: Corpus) -> Iterator[Rows]:
        extra = (self.vocabulary.bos_id is not None) + (self.vocabulary.eos_id is not None)
        for first, starts, lengths in corpus.sentence_lengths():
            documents = document_lengths(starts, lengths) + extra
            targets = np.maximum(documents - 1, 0)
            yield blocks(first, targets, self.max_length)

    def warning(self, corpus: Corpus) -> str | None:  # noqa: ARG002
        """See TextObjective."""
        return None

    def collate(self, corpus: Corpus, picked: SampleBatch) -> CausalBatch:
        """Rows with the token after each as its label."""
        read = self._stream if self.config.packed else self._window
        windows = [[read(corpus, *row)] for row in picked.rows.tolist()]
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

    def _stream(self, corpus: Corpus, length: int, document: int, start: int) -> Ints:
        """length + 1 tokens of the joined documents from start, over the last one to the first."""
        assert self._end is not None
        return joined_tokens(corpus, length + 1, document, start, end=self._end)

    def counts(self, batch: CausalBatch) -> Counts:
        """Every token has a target."""
        return {LM.name: torch.tensor(batch.num_tokens)}

    def loss(self, network: PredictsTokens, batch: CausalBatch, counts: Counts) -> Losses:
        """The LM term, in nats per token."""
        return {
            LM.name: network.linear_cross_entropy(network(batch), batch.labels) / counts[LM.name]
        }

    def scores(self, network: PredictsTokens, batch: CausalBatch) -> Scores:
        """Sums of the loss in nats, over tokens."""
        total = network.linear_cross_entropy(network(batch), batch.labels)
        return {LM.name: (total, torch.tensor(batch.num_tokens))}


SPEC = ObjectiveSpec(
    name="causal-lm",
    about=__doc__ or "",
    config=CausalLMConfig,
    build=CausalLM,
    style="gpt2",
    needs=(PredictsTokens,),
)
