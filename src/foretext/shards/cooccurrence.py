"""Which tokens stand near which: counts over a corpus, and vectors that sum them up.

Papers: Levy & Goldberg 2014, "Neural Word Embedding as Implicit Matrix Factorization" (word2vec
factorises the pointwise mutual information of words and contexts), and Levy, Goldberg & Dagan 2015,
https://aclanthology.org/Q15-1016, sections 2 and 3 (positive values alone, context counts to the
power .75, U times the root of S); Pennington et al. 2014 (a pair at distance d counts 1/d); Halko,
Martinsson & Tropp 2011, https://arxiv.org/abs/0909.4061, algorithm 4.4 (the randomised SVD).
Deviations: contexts are the commonest tokens, as many as fit into the matrix, and of a long corpus
a part is counted, so that time and memory are bounded.

Counts are whole numbers and products run on one thread, so no bit depends on how many there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from foretext.core import rng
from foretext.shards.store import Documents

WINDOW = 5  # tokens on either side
_UNIT = 60  # of a count: 60 / d is whole for every d up to WINDOW
_WEIGHTS = tuple(_UNIT // distance for distance in range(1, WINDOW + 1))
_CONTEXT_POWER = 0.75
# A pair gets at most 274 for a token, both sides together, so 2**32 is never reached.
MOST_TOKENS = 15_000_000
_CHUNK = 1 << 19  # tokens counted at once
_MATRIX_CELLS = 1 << 27  # of 4 bytes
_ROWS = 1 << 22  # cells turned into information at once
_ORDERED = 1 << 14  # documents put in order at once
_OVERSAMPLED, _ITERATIONS = 16, 3

Counts = NDArray[np.uint32]
Say = Callable[[int, int], None]  # tokens done, tokens in all


@dataclass(frozen=True, kw_only=True)
class Cooccurrences:
    """How often tokens stand near others, in units of 1/60."""

    counts: Counts  # [vocab, contexts]
    contexts: NDArray[np.int64]  # [contexts], the ids of the columns
    frequencies: NDArray[np.int64]  # [vocab], how often each token occurs
    tokens: int  # counted


def count(
    documents: Documents,
    vocab_size: int,
    *,
    seed: int = 0,
    most_tokens: int = MOST_TOKENS,
    cells: int = _MATRIX_CELLS,
    progress: Say | None = None,
) -> Cooccurrences:
    """Weighted counts of the pairs of a corpus within WINDOW tokens of one document.

    Args:
        documents: tokenised; of more than most_tokens a random choice of documents is read.
        vocab_size: ids.
        seed: of that choice.
        most_tokens: read at most, twice.
        cells: of the matrix at most.
        progress: takes tokens counted and to count.
    """
    total = min(documents.num_tokens, most_tokens)
    found = np.zeros(vocab_size, np.int64)
    for ids, _ in _chunks(documents, total, seed):
        found += np.bincount(ids, minlength=vocab_size)
    width = max(1, min(vocab_size, cells // vocab_size))
    contexts = np.sort(np.argsort(-found, kind="stable")[:width])
    column = np.full(vocab_size, -1, np.int64)
    column[contexts] = np.arange(width)
    matrix = np.zeros((vocab_size, width), np.uint32)
    done = 0
    last: tuple[NDArray[np.int64], NDArray[np.int64]] = (np.empty(0, np.int64),) * 2
    for chunk in _chunks(documents, total, seed):
        known = len(last[0])  # the end of the chunk before, whose own pairs are counted
        ids, numbers = (np.concatenate(pair) for pair in zip(last, chunk, strict=True))
        _add_pairs(matrix, column, ids, numbers, known)
        last = ids[-WINDOW:], numbers[-WINDOW:]
        done += len(ids) - known
        if progress is not None:
            progress(min(done, total), total)
    return Cooccurrences(counts=matrix, contexts=contexts, frequencies=found, tokens=total)


def _chunks(
    documents: Documents, total: int, seed: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """The first `total` tokens of the documents in a random order, and each one's document."""
    ids: list[NDArray[np.int64]] = []
    numbers: list[int] = []
    held = 0
    for index in _order(documents, total, seed):
        document = documents.document(index)[:total]
        total -= len(document)
        for start in range(0, len(document), _CHUNK):
            part = document[start : start + _CHUNK].astype(np.int64)
            ids.append(part)
            numbers.append(index)
            held += len(part)
            if held >= _CHUNK or not total:
                lengths = [len(part) for part in ids]
                yield np.concatenate(ids), np.repeat(numbers, lengths)
                ids, numbers, held = [], [], 0
        if not total:
            break


def _order(documents: Documents, total: int, seed: int) -> Iterator[int]:
    """The documents' numbers: at random, or as they lie where all are read."""
    size = documents.num_documents
    if total == documents.num_tokens:
        yield from range(size)
        return
    order = rng.Permutation(size, rng.key(seed, "cooccurrence"))
    for start in range(0, size, _ORDERED):
        yield from order(np.arange(start, min(start + _ORDERED, size))).tolist()


def _add_pairs(
    matrix: Counts,
    column: NDArray[np.int64],
    ids: NDArray[np.int64],
    numbers: NDArray[np.int64],
    known: int,
) -> None:
    """Count the pairs whose later token is not among the first `known`."""
    flat, width = matrix.reshape(-1), matrix.shape[1]
    for distance, weight in enumerate(_WEIGHTS, 1):
        first = max(known - distance, 0)
        before, after = ids[first : len(ids) - distance], ids[first + distance :]
        same = numbers[first : len(ids) - distance] == numbers[first + distance :]
        for token, context in ((before, after), (after, before)):
            kept = same & (column[context] >= 0)
            cells = token[kept] * width + column[context[kept]]
            cells, times = np.unique(cells, return_counts=True)
            flat[cells] += (times * weight).astype(np.uint32)


def vectors(
    found: Cooccurrences,
    size: int,
    *,
    generator: torch.Generator,
    progress: Say | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """A vector for each token, by which tokens in like company are near each other.

    The counts' memory is taken for the information, so they are gone afterwards.

    Args:
        found: of `count`.
        size: of the vectors.
        generator: of the randomised SVD's first guess.
        progress: takes steps done and to do.

    Returns:
        Vectors [vocab, size] whose squares have a mean of 1 over the tokens with a neighbour;
        rows of the others and columns beyond the matrix's rank are 0. And which tokens have one.
    """
    say = progress or _silent
    seen = np.asarray(found.counts.max(1) > 0)
    matrix = torch.from_numpy(_information(found.counts))
    with _one_thread():
        left, values = _svd(matrix, min(size, *matrix.shape), generator, say)
    left = left * torch.where(left.abs().amax(0) == left.amax(0), 1.0, -1.0)  # signs are free
    found_vectors = np.zeros((len(matrix), size), np.float32)
    found_vectors[:, : len(values)] = (left * values.sqrt()).numpy()
    found_vectors[~seen] = 0
    squares = float(np.square(found_vectors[seen], dtype=np.float64).mean()) if seen.any() else 1.0
    return (found_vectors / squares**0.5).astype(np.float32), seen


def _information(counts: Counts) -> NDArray[np.float32]:
    """Positive pointwise mutual information [vocab, contexts], in the memory of the counts."""
    information = counts.view(np.float32)
    of_token = counts.sum(1, dtype=np.float64)
    of_context = counts.sum(0, dtype=np.float64) ** _CONTEXT_POWER
    share = np.log(np.maximum(of_context / max(of_context.sum(), 1.0), 1e-300))
    rows = max(1, _ROWS // counts.shape[1])
    for start in range(0, len(counts), rows):
        part = slice(start, start + rows)
        logs = np.log(np.maximum(counts[part], 1), dtype=np.float32)
        logs -= np.log(np.maximum(of_token[part], 1.0)).astype(np.float32)[:, None]
        logs -= share.astype(np.float32)
        information[part] = np.where(counts[part] > 0, np.maximum(logs, 0), 0)
    return information


def _svd(matrix: Tensor, size: int, generator: torch.Generator, say: Say) -> tuple[Tensor, Tensor]:
    """The `size` largest singular values and their left vectors, [rows, values] and [values]."""
    width = min(size + _OVERSAMPLED, *matrix.shape)
    steps = _ITERATIONS + 2
    basis = matrix @ torch.randn(matrix.shape[1], width, generator=generator)
    for number in range(_ITERATIONS):
        say(number + 1, steps)
        basis = torch.linalg.qr(basis).Q
        basis = matrix @ torch.linalg.qr(matrix.T @ basis).Q
    basis = torch.linalg.qr(basis).Q
    say(steps - 1, steps)
    small, values, _ = torch.linalg.svd(basis.T @ matrix, full_matrices=False)
    say(steps, steps)
    kept = values[:size] > values[0] * 1e-5 if len(values) else values > 0
    return (basis @ small)[:, :size][:, kept], values[:size][kept]


def _silent(done: int, steps: int) -> None: ...


@contextmanager
def _one_thread() -> Iterator[None]:
    """PyTorch's products on one thread, whose sums have one order."""
    threads: Any = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
