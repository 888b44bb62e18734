"""Masked LM on packed sentences, with new masks every epoch.

Paper: Liu et al. 2019, https://arxiv.org/abs/1907.11692, sections 4.1 and 4.2; masks as drawn by
fairseq's mask_tokens_dataset.py.
FULL-SENTENCES: whole sentences up to max_length, `<s> A </s> B </s>`, where the document ends and
the next one begins at an inner `</s>`; tokens of one row see each other. DOC-SENTENCES: a sequence
ends with its document; short ones share a row without seeing each other, so that a step has about
as many tokens ("we dynamically increase the batch size").
Deviations: special tokens are never hidden (fairseq's sampler may choose them). A sentence longer
than a row is cut into neighbours. Rows are the same in every epoch and follow the corpus, as in
fairseq, but none crosses from one shard to the next.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from foretext.core.errors import ConfigError
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
    choose,
    drawn_quota,
    hide,
    where_of,
)
from foretext.objectives.networks import PredictsTokens
from foretext.objectives.packing import Pieces, greedy, parts_of_row
from foretext.objectives.spec import ObjectiveSpec

PACKINGS = ("full-sentences", "doc-sentences")
_FRAME = 2  # <s> and </s> of a sequence


@dataclass(frozen=True, kw_only=True)
class PackedMaskedLMConfig(MaskingConfig):
    """Masks as for masked LM, and how rows are filled."""

    packing: str = "full-sentences"  # or "doc-sentences"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.packing not in PACKINGS:
            raise ConfigError(
                f"objective.packing={self.packing!r} must be one of {', '.join(PACKINGS)}"
            )


@dataclass(frozen=True, kw_only=True)
class PackedMaskedLM:
    config: PackedMaskedLMConfig
    vocabulary: Vocabulary
    max_length: int  # tokens of a row, special tokens included
    seed: int = 0
    terms = (MLM,)
    streams = False

    def __post_init__(self) -> None:
        self.vocabulary.require(ROLES, "packed masked LM", REMEDY)

    @property
    def target_rate(self) -> float:
        """See Objective."""
        return self.config.mask_rate

    @property
    def _joined(self) -> bool:
        """Whether documents in one row see each other."""
        return self.config.packing == "full-sentences"

    def plan(self, corpus: Corpus, epoch: int) -> Iterator[Rows]:  # noqa: ARG002
        """Rows of (length, document, start, last document, stop): the text from the start-th token
        of the one to the stop-th of the other."""
        for first, starts, lengths in corpus.sentence_lengths():
            documents = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
            pieces = Pieces.of(documents, lengths, self.max_length - _FRAME)
            cuts = pieces.joined(self.max_length - _FRAME) if self._joined else self._apart(pieces)
            rows = pieces.rows(cuts, frame=1 if self._joined else _FRAME)
            if self._joined:
                rows[:, 0] += 1  # one <s> for all
            rows[:, [1, 3]] += first
            yield rows

    def _apart(self, pieces: Pieces) -> Ints:
        """Where rows of sequences that end with their document begin, [rows + 1]."""
        sequences = pieces.joined(self.max_length - _FRAME, within_documents=True)
        ends = pieces.ends[sequences] + _FRAME * np.arange(len(sequences))
        return sequences[greedy(ends, self.max_length)]

    def warning(self, corpus: Corpus) -> str | None:  # noqa: ARG002
        """See TextObjective."""
        return None

    def collate(self, corpus: Corpus, picked: SampleBatch) -> MaskedBatch:
        """Rows with some tokens hidden."""
        c, v, seed = self.config, self.vocabulary, self.seed
        rows = [parts_of_row(corpus, *row[1:]) for row in picked.rows.tolist()]
        if not self._joined:
            picked = self._apart_samples(picked, np.array([len(parts) for parts in rows]))
            rows = [[part] for parts in rows for part in parts]
        laid = self._assemble(rows)
        where = where_of(laid, picked, c.mask_sets)
        quota = drawn_quota(laid, where, c.mask_rate, seed=seed)
        targets = choose(laid, where, quota, config=c, vocabulary=v, seed=seed)
        ordinary = self._ordinary_ids
        return MaskedBatch(
            **hide(laid, targets, where, config=c, vocabulary=v, seed=seed, random_ids=ordinary)
        )

    def _assemble(self, texts: list[list[Ints]]) -> Assembled:
        laid = assemble(texts, first=self.vocabulary.cls_id, after=self.vocabulary.sep_id)
        return replace(laid, segments=np.zeros_like(laid.segments))

    def _apart_samples(self, picked: SampleBatch, counts: Ints) -> SampleBatch:
        """A number of its own for each of a row's sequences, of which it has `counts`."""
        order = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        return SampleBatch(
            rows=np.repeat(picked.rows, counts, axis=0),
            epochs=np.repeat(picked.epochs, counts),
            samples=np.repeat(picked.samples, counts) * self.max_length + order,
        )

    @property
    def _ordinary_ids(self) -> Ints:
        """fairseq draws random tokens from the entries that are not special."""
        ordinary = np.ones(self.vocabulary.size, bool)
        ordinary[list(self.vocabulary.special_ids)] = False
        return np.flatnonzero(ordinary)

    def counts(self, batch: MaskedBatch) -> Counts:
        """Hidden tokens."""
        return masked_counts(batch)

    def loss(self, network: PredictsTokens, batch: MaskedBatch, counts: Counts) -> Losses:
        """The MLM term, in nats per hidden token."""
        return masked_loss(network, network(batch, batch.targets), batch, counts)

    def scores(self, network: PredictsTokens, batch: MaskedBatch) -> Scores:
        """Sums over hidden tokens: loss in nats, and hits of the likeliest token."""
        return masked_scores(network, network(batch, batch.targets), batch)


SPEC = ObjectiveSpec(
    name="packed-masked-lm",
    about=__doc__ or "",
    config=PackedMaskedLMConfig,
    build=PackedMaskedLM,
    style="bert",
    needs=(PredictsTokens,),
)
