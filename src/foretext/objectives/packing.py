"""How documents become rows of tokens: functions of lengths alone, in whole numbers.

Papers: Liu et al. 2019 (RoBERTa), section 4.2 (FULL-SENTENCES, DOC-SENTENCES); Brown et al. 2020
(GPT-3), appendix B (packed rows).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from foretext.objectives.base import Corpus, Ints, Rows


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


def sizes_from(corpus: Corpus, document: int, *, separator: int = 1) -> Iterator[tuple[int, Ints]]:
    """Tokens of each document and of what stands before it, from one document round.

    Args:
        document: the first one.
        separator: tokens before each document: of end-of-text, one.

    Yields:
        The number of a document, and the sizes of it and of those that follow.
    """
    for later in (True, False):
        for first, starts, lengths in corpus.sentence_lengths():
            sizes = document_lengths(starts, lengths) + separator
            cut = min(max(document - first, 0), len(sizes))
            part = (first + cut, sizes[cut:]) if later else (first, sizes[:cut])
            if len(part[1]):
                yield part


def pack(parts: Iterator[tuple[int, Ints]], length: int) -> Iterator[Rows]:
    """Cut joined documents into rows of (length, document, start), full but for the last.

    Args:
        parts: as sizes_from gives them.
        length: tokens of a row.
    """
    open_row = np.empty((0, 3), np.int32)  # where it ends, the next parts say
    begin = 0  # of the next row, from the part's first token
    for first, sizes in parts:
        ends = np.cumsum(sizes)
        starts = np.arange(begin, ends[-1], length)
        document = np.searchsorted(ends, starts, side="right")
        offset = starts - (ends - sizes)[document]
        full = np.full_like(starts, length)
        made = np.stack([full, first + document, offset], axis=1).astype(np.int32)
        rows = np.concatenate([open_row, made])
        yield rows[:-1]
        open_row = rows[-1:]
        begin += len(starts) * length - int(ends[-1])
    if len(open_row):
        open_row[0, 0] -= begin
        yield open_row


def joined_tokens(corpus: Corpus, count: int, document: int, start: int, *, end: int) -> Ints:
    """Tokens of documents joined by `end`, which stands before each; the first follows the last.

    Args:
        count: how many.
        document, start: the first one; start 0 is the `end` before the document.
        end: id of the end-of-text token.
    """
    pieces: list[Ints] = []
    missing = count
    while missing:
        text = corpus.tokens(document, max(start - 1, 0), start - 1 + missing)
        if start == 0:
            text = np.concatenate([[end], text])
        pieces.append(text)
        document, start, missing = (document + 1) % corpus.num_documents, 0, missing - len(text)
    return np.concatenate(pieces).astype(np.int64) if pieces else np.zeros(0, np.int64)


@dataclass(frozen=True)
class Pieces:
    """Sentences, cut where they are longer than a row."""

    documents: Ints  # [pieces], which document each belongs to, ascending
    ends: Ints  # [pieces + 1], tokens before each piece, of all documents

    @classmethod
    def of(cls, documents: Ints, lengths: Ints, longest: int) -> Pieces:
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
        return greedy(self.ends, max_tokens, before=separator * self.documents)

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


def greedy(ends: Ints, max_tokens: int, *, before: Ints | None = None) -> Ints:
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


def parts_of_row(corpus: Corpus, document: int, start: int, last: int, stop: int) -> list[Ints]:
    """The text from the start-th token of a document to the stop-th of another, by document."""
    if document == last:
        return [corpus.tokens(document, start, stop)]
    whole = [(d, int(corpus.sentence_offsets(d)[-1])) for d in range(document, last)]
    parts = [corpus.tokens(d, start if d == document else 0, size) for d, size in whole]
    return [*parts, corpus.tokens(last, 0, stop)]
