"""Tokenising in parallel: jobs go to worker processes and come back in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from foretext.core.children import Child, ChildDiedError
from foretext.core.errors import DataError, TokenizerError
from foretext.text.sentences import sentence_starts


class ShardTokenizer(Protocol):
    """What `prepare` needs of a tokenizer."""

    @property
    def kind(self) -> str: ...
    @property
    def vocab_size(self) -> int: ...
    @property
    def fingerprint(self) -> str: ...

    def encode_offsets(
        self, texts: Sequence[str]
    ) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Of each text, the ids and the character where each token starts, both [tokens].

        A token that carries the space before its word starts where the word starts.
        """
        ...

    def save(self, folder: Path) -> None: ...

    @classmethod
    def load(cls, folder: Path) -> Self: ...


@dataclass(frozen=True)
class TokenizeJob:
    """Whole documents, or one piece of a long one."""

    texts: list[str]
    continues: bool = False  # the text goes on with the last document of the job before
    position: int = 0  # how far the reader has come, for the progress


class Encoded(NamedTuple):
    """The documents of one job that hold tokens, one after another."""

    ids: NDArray[np.unsignedinteger[Any]]  # [tokens]
    sentence_lengths: NDArray[np.int64]  # [sentences], tokens, each > 0
    document_sentences: NDArray[np.int64]  # [documents], sentences, each > 0


def id_dtype(vocab_size: int) -> np.dtype[Any]:
    """The narrowest little-endian unsigned type that holds the ids of a vocabulary."""
    return np.dtype(np.min_scalar_type(max(vocab_size - 1, 0))).newbyteorder("<")


def encode(tokenizer: ShardTokenizer, texts: Sequence[str]) -> Encoded:
    """Tokenise whole documents, and map their sentence borders to tokens."""
    ids, lengths, counts = [], [], []
    for text, (tokens, starts) in zip(texts, tokenizer.encode_offsets(texts), strict=True):
        if len(tokens):
            offsets = _sentence_offsets(text, starts)
            ids.append(tokens)
            lengths.append(np.diff(offsets))
            counts.append(len(offsets) - 1)
    joined = np.concatenate([np.empty(0, np.int64), *ids])
    if joined.max(initial=0) >= tokenizer.vocab_size:
        raise TokenizerError(
            f"the tokenizer gave id {joined.max()}, but its vocabulary has {tokenizer.vocab_size}; "
            "its files do not belong together: train or export it again"
        )
    return Encoded(
        joined.astype(id_dtype(tokenizer.vocab_size)),
        np.concatenate([np.empty(0, np.int64), *lengths]),
        np.array(counts, np.int64),
    )


def _sentence_offsets(text: str, starts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where sentences start in a document's tokens, [sentences + 1], empty sentences dropped.

    starts: the character at which each token starts, [tokens].
    """
    offsets = np.searchsorted(starts, sentence_starts(text))
    return np.unique(np.concatenate([[0], offsets, [len(starts)]]))


def encode_in_order(
    jobs: Iterable[TokenizeJob], tokenizer: ShardTokenizer, folder: Path, workers: int
) -> Generator[tuple[TokenizeJob, Encoded], None, None]:
    """Encode jobs, each result beside its job and in the order of the jobs.

    Args:
        folder: where the tokenizer is saved, for the workers.
        workers: processes beside this one, each with one job at a time; 0 for none.

    Raises:
        ForetextError: of the reader or of a worker; no worker outlives it.
    """
    if not workers:
        for job in jobs:
            yield job, encode(tokenizer, job.texts)
        return
    pool: list[Child[list[str], Encoded]] = []
    pending: deque[tuple[Child[list[str], Encoded], TokenizeJob]] = deque()
    try:
        for job in jobs:
            if len(pool) < workers:
                worker = Child(partial(_encoder, type(tokenizer).load, folder))
                pool.append(worker)
                _sent(worker, job.texts)
                pending.append((worker, job))
                continue
            worker, done = pending.popleft()
            result = _received(worker)
            _sent(worker, job.texts)
            pending.append((worker, job))
            yield done, result
        while pending:
            worker, done = pending.popleft()
            yield done, _received(worker)
    finally:
        for worker in pool:
            worker.stop()


def _encoder(load: Callable[[Path], ShardTokenizer], folder: Path) -> partial[Encoded]:
    """What a worker runs for each job."""
    return partial(encode, load(folder))


def _received(worker: Child[list[str], Encoded]) -> Encoded:
    try:
        return worker.receive()
    except ChildDiedError as error:
        raise _death(error) from error


def _sent(worker: Child[list[str], Encoded], texts: list[str]) -> None:
    try:
        worker.send(texts)
    except ChildDiedError as error:
        raise _death(error) from error


def _death(error: ChildDiedError) -> DataError:
    return DataError(
        f"a tokenising worker ended with code {error.code}, perhaps for want of memory; use fewer "
        "workers, or workers=0 to see its error"
    )
