"""Labelled or bare examples through a model: encoded a window at a time, in constant memory.

Inside a window samples are sorted by length, so that batches hold equal lengths, and the
predictions are put back in order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from foretext.core.heap import Heap
from foretext.inference.config import GenerationConfig
from foretext.inference.generate import write
from foretext.inference.tally import Tally
from foretext.objectives.base import Ints
from foretext.tasks.base import SampleTable, Task, TaskModel
from foretext.tasks.inputs import InputFormat
from foretext.tasks.writing import Writes, Writing
from foretext.training.precision import multiplying

_WINDOW = 1024  # examples encoded and sorted at once
_WINDOW_SIZE = 2**22  # characters of them, where a task knows
_BATCH_TOKENS = 4096  # computed at once, unless one sample is longer


@dataclass(frozen=True, kw_only=True)
class Window:
    """Some examples in order, encoded."""

    examples: list[Any]
    samples: SampleTable
    origins: list[list[Any]]  # of each example's samples
    layout: InputFormat


def encode_windows(
    examples: Iterable[Any], task: Task, layout: InputFormat, tally: Tally | None = None
) -> Iterator[Window]:
    """The examples, encoded, a window at a time; the tally counts what is not read of them."""
    for part in _parts(examples, getattr(task, "size", lambda _: 0)):
        encoded = task.encode(part, layout)
        if tally is not None:
            tally.add(encoded, layout)
        yield Window(
            examples=part,
            samples=SampleTable(
                (sample for samples in encoded for sample in samples), layout.tokenizer.spelling
            ),
            origins=[[sample.origin for sample in samples] for samples in encoded],
            layout=layout,
        )


def _parts(examples: Iterable[Any], size: Callable[[Any], int]) -> Iterator[list[Any]]:
    """_WINDOW examples at a time; fewer where a task says that they are large."""
    part: list[Any] = []
    held = 0
    for example in examples:
        part.append(example)
        held += size(example)
        if len(part) >= _WINDOW or held >= _WINDOW_SIZE:
            yield part
            part, held = [], 0
    if part:
        yield part


def predictions(
    model: TaskModel,
    task: Task,
    windows: Iterable[Window],
    device: torch.device,
    precision: str = "fp32",
) -> Iterator[tuple[Any, Any]]:
    """Every example of the windows with its prediction, in order.

    Args:
        model: left in the mode it is in; call eval() first.
        precision: of the backbone's products.
    """
    heap = Heap()
    for window in windows:
        if isinstance(task, Writes):
            outputs = _written(model, task.writing, window, precision)
        else:
            outputs = _outputs(model, task, window.samples, device, precision)
        heap.check()
        start = 0
        for example, origins in zip(window.examples, window.origins, strict=True):
            stop = start + len(origins)
            yield example, task.decode(example, outputs[start:stop], origins)
            start = stop


def _written(
    model: TaskModel, writing: Writing, window: Window, precision: str
) -> list[NDArray[Any]]:
    """What the model writes for each sample, in order."""
    config = GenerationConfig(
        max_new_tokens=writing.max_tokens,
        temperature=0.0 if writing.num_beams == 1 else 1.0,
        num_beams=writing.num_beams,
        length_penalty=writing.length_penalty,
    )
    tokenizer, count = window.layout.tokenizer, len(window.samples)
    batch = window.samples.batch(np.arange(count))
    ids = [part.tolist() for part in batch.input_ids.split(batch.offsets.diff().tolist())]
    device = next(model.parameters()).device
    with multiplying(precision, device):
        found = write(model.backbone, tokenizer, ids, config=config)
    return [np.array([best.text], dtype=object) for best, *_ in found]


@torch.no_grad()
def _outputs(
    model: TaskModel, task: Task, samples: SampleTable, device: torch.device, precision: str
) -> list[NDArray[Any]]:
    """The outputs of each sample, in order."""
    found: list[Any] = [None] * len(samples)
    for numbers in _batches(samples.lengths):
        batch = samples.batch(numbers).to(device)
        with multiplying(precision, device):
            hidden = model(batch, task.used(model, batch)).float()
        for number, output in zip(numbers, task.outputs(model, hidden, batch), strict=True):
            found[number] = output
    return found


def _batches(lengths: Ints) -> Iterator[Ints]:
    """Numbers of the samples from short to long, some _BATCH_TOKENS tokens at a time."""
    order = np.argsort(lengths, kind="stable")
    start = total = 0
    for stop, number in enumerate(order):
        total += int(lengths[number])
        if total > _BATCH_TOKENS and stop > start:
            yield order[start:stop]
            start, total = stop, int(lengths[number])
    if len(order):
        yield order[start:]
