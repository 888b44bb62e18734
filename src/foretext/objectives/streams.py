"""A corpus as one endless text that is read in both directions, a window at a time.

A model that keeps a state between steps (ELMo's LSTMs) is given, in every step, the window after
the one it was given before; training/samples.py deals the windows of a text out to the streams of a
step. A unit is a word or the end of a sentence: what is predicted once in each direction.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from foretext.core import rng
from foretext.core.errors import DataError
from foretext.objectives.base import Corpus, Ints, Rows

_PART = 1 << 16  # rows planned at once


def unit_ends(corpus: Corpus) -> Ints:
    """Units of all documents up to each one's end, [documents]."""
    parts = [np.empty(0, np.int64)]
    for _, starts, lengths in corpus.sentence_lengths():
        ends = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        parts.append(np.diff(ends[starts]) + np.diff(starts))
    return np.cumsum(np.concatenate(parts))


def windows(corpus: Corpus, *, length: int, key: int) -> Iterator[Rows]:
    """Rows of (tokens, document, start): windows of so many units, one after another.

    Each unit is two tokens, one for each direction; a document's start is in units. The first
    window begins at a unit that the key draws, and the text goes on from its end at its beginning.

    Raises:
        DataError: the corpus is too small for one window.
    """
    ends = unit_ends(corpus)
    total = int(ends[-1]) if len(ends) else 0
    if total < length:
        raise DataError(
            f"the text has {total:,} words and sentence ends, fewer than a window of {length}; "
            "give more text or lower data.max_length"
        )
    first = int(rng.integers(total, key))
    for begin in range(0, total // length, _PART):
        number = np.arange(begin, min(begin + _PART, total // length))
        unit = (first + number * length) % total
        document = np.searchsorted(ends, unit, side="right")
        start = unit - np.where(document > 0, ends[document - 1], 0)
        tokens = np.full_like(number, 2 * length)
        yield np.stack([tokens, document, start], axis=1).astype(np.int32)


class Stretch(NamedTuple):
    """Units of a text in the order in which they are read, and what follows each."""

    ids: Ints  # [units]
    labels: Ints  # [units]


def read_both_ways(
    corpus: Corpus, document: int, start: int, length: int, *, begin: int, end: int
) -> tuple[Stretch, Stretch]:
    """Units start to start + length, forward and with every sentence reversed.

    `<S> w1 ... wn` predicts `w1 ... wn </S>`, and `</S> wn ... w1` predicts `wn ... w1 <S>`. After
    the last unit of a document the next one's follow, after the last document the first's.

    Args:
        corpus: tokenised documents.
        document, start: of the first unit.
        length: units.
        begin, end: ids of <S> and </S>.
    """
    forward: list[Stretch] = []
    backward: list[Stretch] = []
    while length > 0:
        read = _in_document(corpus, document, start, length, begin=begin, end=end)
        forward.append(read[0])
        backward.append(read[1])
        length -= len(read[0].ids)
        document, start = (document + 1) % corpus.num_documents, 0
    return _joined(forward), _joined(backward)


def _joined(parts: list[Stretch]) -> Stretch:
    return Stretch(*(np.concatenate(values) for values in zip(*parts, strict=True)))


def _in_document(
    corpus: Corpus, document: int, start: int, length: int, *, begin: int, end: int
) -> tuple[Stretch, Stretch]:
    """As read_both_ways, up to the document's end."""
    offsets = corpus.sentence_offsets(document)
    units = offsets + np.arange(len(offsets))  # where each sentence begins
    stop = min(start + length, int(units[-1]))
    first = int(np.searchsorted(units, start, side="right")) - 1
    last = int(np.searchsorted(units, stop, side="left"))
    words = corpus.tokens(document, int(offsets[first]), int(offsets[last]))
    inside = units[first : last + 1] - units[first]  # borders of the sentences that are read
    spaced = np.empty(int(inside[-1]), np.int64)
    is_end = np.zeros(len(spaced), bool)
    is_end[inside[1:] - 1] = True
    spaced[~is_end] = words
    spaced[is_end] = end
    ids = np.concatenate([[begin], spaced[:-1]])
    ids[inside[1:-1]] = begin
    part = slice(start - int(units[first]), stop - int(units[first]))
    forward = Stretch(ids[part], spaced[part])
    # Backward, unit i of a sentence is what forward is unit n - i, with the marks exchanged.
    mirrored = np.repeat(inside[:-1] + inside[1:] - 1, np.diff(inside)) - np.arange(len(spaced))
    labels, back = ids[mirrored], spaced[mirrored]
    return forward, Stretch(back[part], labels[part])
