"""The micro-batches of each step, made by processes beside this one.

A worker makes every n-th step and is some steps ahead; a thread takes their answers in the order of
the steps, so that the loop finds the next step in memory. Numbers travel as NumPy arrays, which
pickle at the speed of a copy.
"""

from __future__ import annotations

import io
import pickle
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

from foretext.core.children import Child, ChildDiedError
from foretext.core.errors import DataError
from foretext.training.samples import StepDataset
from foretext.training.step import MicroBatch

_AHEAD = 4  # steps that a worker is asked for before the first of them is taken

P = ParamSpec("P")
T = TypeVar("T")


def load(steps: StepDataset, *, workers: int) -> Iterator[list[MicroBatch]]:
    """The steps in order, made by this many processes beside this one, 0 for none.

    Raises:
        DataError: the data are at fault, or a worker ended.
    """
    if workers == 0:
        yield from (steps[i] for i in range(len(steps)))
        return
    with ExitStack() as stack:
        start = partial(_maker, steps)
        pool = [stack.enter_context(Child[int, bytes](start)) for _ in range(workers)]
        taker = stack.enter_context(ThreadPoolExecutor(1, "loader"))
        stack.callback(_leave, pool, taker)
        coming: deque[Future[list[MicroBatch]]] = deque()
        for number in range(len(steps) + _AHEAD * workers):
            if number < len(steps):
                worker = pool[number % workers]
                _call(worker.send, number)
                coming.append(taker.submit(_taken, worker))
            if number >= _AHEAD * workers:
                yield coming.popleft().result()


def _maker(steps: StepDataset) -> Callable[[int], bytes]:
    """What a worker runs for each step's number."""
    torch.set_num_threads(1)
    return lambda number: _packed(steps[number])


def _taken(worker: Child[int, bytes]) -> list[MicroBatch]:
    step: list[MicroBatch] = pickle.loads(_call(worker.receive))
    return step


def _call(function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    try:
        return function(*arguments, **named)
    except ChildDiedError as error:
        raise DataError(
            f"a worker that loads data ended with code {error.code}, perhaps for want of memory; "
            "the same command goes on from the last checkpoint; lower training.workers, or set it "
            "to 0 to see the worker's error"
        ) from error


def _leave(pool: list[Child[int, bytes]], taker: ThreadPoolExecutor) -> None:
    for worker in pool:
        worker.process.kill()  # so that nothing waits for an answer
    taker.shutdown(cancel_futures=True)


class _Pickler(pickle.Pickler):
    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return torch.from_numpy, (value.numpy(),)
        return NotImplemented


def _packed(step: list[MicroBatch]) -> bytes:
    buffer = io.BytesIO()
    _Pickler(buffer, pickle.HIGHEST_PROTOCOL).dump(step)
    return buffer.getvalue()
