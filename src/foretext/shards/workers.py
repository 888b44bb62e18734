"""Tokenising in parallel: jobs go to worker processes and come back in order.

Workers are plain child processes that speak pickles over their standard input and output. So a
script that calls `prepare` needs no `if __name__ == "__main__"`, and a worker whose parent is
killed, even by SIGKILL, reads the end of its input and ends too.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from foretext.core.errors import DataError, ForetextError, TokenizerError
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
    pool: list[_Worker] = []
    pending: deque[tuple[_Worker, TokenizeJob]] = deque()
    try:
        for job in jobs:
            if len(pool) < workers:
                worker = _Worker(type(tokenizer).load, folder)
                pool.append(worker)
                worker.send(job.texts)
                pending.append((worker, job))
                continue
            worker, done = pending.popleft()
            result = worker.receive()
            worker.send(job.texts)
            pending.append((worker, job))
            yield done, result
        while pending:
            worker, done = pending.popleft()
            yield done, worker.receive()
    finally:
        for worker in pool:
            worker.stop()


class _Worker:
    """A child process that encodes one job at a time."""

    def __init__(self, load: Callable[[Path], ShardTokenizer], folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", f"from {__name__} import serve; serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ
            | {"PYTHONPATH": os.pathsep.join(sys.path), "TOKENIZERS_PARALLELISM": "false"},
            start_new_session=True,  # Ctrl-C is for the parent to handle
        )
        self.send((load, folder))

    def send(self, message: object) -> None:
        try:
            _write(_pipe(self.process.stdin), message)
        except BrokenPipeError as error:
            raise self._death() from error

    def receive(self) -> Encoded:
        try:
            result = pickle.load(_pipe(self.process.stdout))
        except (EOFError, pickle.UnpicklingError) as error:
            raise self._death() from error
        if isinstance(result, ForetextError):
            raise result
        return result

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        _pipe(self.process.stdout).close()
        try:
            _pipe(self.process.stdin).close()
        except BrokenPipeError:  # what it did not read is flushed in vain
            return

    def _death(self) -> DataError:
        code = self.process.wait()
        return DataError(
            f"a tokenising worker ended with code {code}, perhaps for want of memory; use fewer "
            "workers, or workers=0 to see its error"
        )


def serve() -> None:
    """What a worker runs: a loader and its folder, then jobs in, results out."""
    source, sink = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not mix with the results
    try:
        load, folder = pickle.load(source)
        tokenizer = load(folder)
        while True:
            _write(sink, _result(tokenizer, pickle.load(source)))
    except (EOFError, pickle.UnpicklingError, BrokenPipeError):
        os._exit(0)  # the parent has finished or is dead


def _result(tokenizer: ShardTokenizer, texts: list[str]) -> Encoded | ForetextError:
    try:
        return encode(tokenizer, texts)
    except ForetextError as error:
        return error


def _write(pipe: IO[bytes], message: object) -> None:
    pickle.dump(message, pipe, protocol=pickle.HIGHEST_PROTOCOL)
    pipe.flush()


_T = TypeVar("_T")


def _pipe(stream: _T | None) -> _T:
    assert stream is not None
    return stream
