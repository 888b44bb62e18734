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

from foretext.core import rng
from foretext.core.errors import ConfigError
from foretext.objectives.base import Assembled, Corpus, Ints, Rows, SampleBatch, assemble
from foretext.objectives.masked_lm import MaskedBatch, MaskedLM, MaskedLMConfig, Where

PACKINGS = ("full-sentences", "doc-sentences")
_FRAME = 2  # <s> and </s> of a sequence


@dataclass(frozen=True, kw_only=True)
class PackedMaskedLMConfig(MaskedLMConfig):
    """Masks as for masked LM, and how rows are filled."""

    packing: str = "full-sentences"  # or "doc-sentences"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.packing not in PACKINGS:
            raise ConfigError(
                f"objective.packing={self.packing!r} must be one of {', '.join(PACKINGS)}"
            )


@dataclass(frozen=True, kw_only=True)
class PackedMaskedLM(MaskedLM):
    config: PackedMaskedLMConfig

    @property
    def _joined(self) -> bool:
        """Whether documents in one row see each other."""
        return self.config.packing == "full-sentences"

    def plan(self, corpus: Corpus, epoch: int) -> Iterator[Rows]:  # noqa: ARG002
        """Rows of (length, document, start, last document, stop): the text from the start-th token
        of the one to the stop-th of the other."""
        for first, starts, lengths in corpus.sentence_lengths():
            documents = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
            pieces = _Pieces.of(documents, lengths, self.max_length - _FRAME)
            cuts = pieces.joined(self.max_length - _FRAME) if self._joined else self._apart(pieces)
            rows = pieces.rows(cuts, frame=1 if self._joined else _FRAME)
            if self._joined:
                rows[:, 0] += 1  # one <s> for all
            rows[:, [1, 3]] += first
            yield rows

    def _apart(self, pieces: _Pieces) -> Ints:
        """Where rows of sequences that end with their document begin, [rows + 1]."""
        sequences = pieces.joined(self.max_length - _FRAME, within_documents=True)
        ends = pieces.ends[sequences] + _FRAME * np.arange(len(sequences))
        return sequences[_greedy(ends, self.max_length)]

    def collate(self, corpus: Corpus, picked: SampleBatch) -> MaskedBatch:
        """Rows with some tokens hidden."""
        rows = [self._parts(corpus, *row) for row in picked.rows.tolist()]
        if self._joined:
            laid, owners = self._assemble(rows), picked
        else:
            counts = np.array([len(parts) for parts in rows])
            laid = self._assemble([[part] for parts in rows for part in parts])
            owners = self._apart_samples(picked, counts)
        return MaskedBatch(**self.corrupt(laid, owners))

    def _parts(
        self, corpus: Corpus, _: int, document: int, start: int, last: int, stop: int
    ) -> list[Ints]:
        """The text of a row, one array a document."""
        if document == last:
            return [corpus.tokens(document, start, stop)]
        whole = [(d, int(corpus.sentence_offsets(d)[-1])) for d in range(document, last)]
        parts = [corpus.tokens(d, start if d == document else 0, size) for d, size in whole]
        return [*parts, corpus.tokens(last, 0, stop)]

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
    def replacements(self) -> Ints:
        """fairseq draws random tokens from the entries that are not special."""
        ordinary = np.ones(self.vocabulary.size, bool)
        ordinary[list(self.vocabulary.special_ids)] = False
        return np.flatnonzero(ordinary)

    def quota(self, laid: Assembled, where: Where) -> Ints:
        """Targets of each sequence: floor(rate * length + u), u uniform; <s> and </s> counted."""
        firsts = np.cumsum(laid.lengths) - laid.lengths
        u = rng.uniform(rng.key(self.seed, "mask count"), *(part[firsts] for part in where[:2]))
        return np.floor(self.config.mask_rate * laid.lengths + u).astype(np.int64)


@dataclass(frozen=True)
class _Pieces:
    """Sentences, cut where they are longer than a row."""

    documents: Ints  # [pieces], which document each belongs to, ascending
    ends: Ints  # [pieces + 1], tokens before each piece, of all documents

    @classmethod
    def of(cls, documents: Ints, lengths: Ints, longest: int) -> _Pieces:
        """Pieces of at most `longest` tokens of sentences of these lengths, [sentences] each."""
        counts = -(-lengths // longest)
        sentence = np.repeat(np.arange(len(lengths)), counts)
        last = np.cumsum(counts) - 1
        sizes = np.full(len(sentence), longest, np.int64)
        sizes[last] = lengths - longest * (counts - 1)
        return cls(documents[sentence], np.concatenate([[0], np.cumsum(sizes)]))

    def joined(self, max_tokens: int, *, within_documents: bool = False) -> Ints:
        """The pieces at which rows of at most `max_tokens` tokens begin, and the end, [rows + 1].

        Between two documents stands a separator of one token.
        """
        separator = max_tokens + 1 if within_documents else 1  # too large for any row
        return _greedy(self.ends, max_tokens, before=separator * self.documents)

    def rows(self, cuts: Ints, *, frame: int) -> Rows:
        """Rows of (length, document, start, last document, stop) between cuts [rows + 1].

        frame: special tokens of each document's part.
        """
        first, after = cuts[:-1], cuts[1:]
        document, last = self.documents[first], self.documents[after - 1]
        # tokens before each document
        begins = self.ends[np.searchsorted(self.documents, np.arange(self.documents[-1] + 1))]
        start, stop = self.ends[first] - begins[document], self.ends[after] - begins[last]
        length = self.ends[after] - self.ends[first] + frame * (last - document + 1)
        return np.stack([length, document, start, last, stop], axis=1).astype(np.int32)


def _greedy(ends: Ints, max_tokens: int, *, before: Ints | None = None) -> Ints:
    """Cut a run of things into rows, each as full as `max_tokens` allows and of one thing at least.

    Args:
        ends: [things + 1], what the things before each take.
        max_tokens: of a row.
        before: [things], what separators take that stand somewhere before each; None is nothing.

    Returns:
        The first thing of each row, and the number of things, [rows + 1].
    """
    things = len(ends) - 1
    separators = np.zeros(things, np.int64) if before is None else before
    begun, reached = ends[:-1] + separators, ends[1:] + separators
    cuts = [0]
    while cuts[-1] < things:
        start = cuts[-1]
        stop = int(np.searchsorted(reached, begun[start] + max_tokens, "right"))
        cuts.append(max(stop, start + 1))
    return np.array(cuts)


Config, Build = PackedMaskedLMConfig, PackedMaskedLM
