"""Tasks whose answers a model writes: what is learned, and how answers are generated.

Paper: Raffel et al. 2020, https://arxiv.org/abs/1910.10683, sections 2.4 and 3.1.3.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from foretext.core.errors import ConfigError, DataError
from foretext.objectives.base import Predicts, Rows, SampleBatch, SomeObjective, Term
from foretext.tasks.base import (
    Features,
    SampleTable,
    Task,
    TaskBatch,
    TaskModel,
    TaskObjective,
    WrittenBatch,
)
from foretext.tasks.inputs import InputFormat, SourceFormat
from foretext.text.errors import shown

TEXT = Term(name="text", title="target text", unit="nats a target token", predicts=Predicts.SOME)
Z_LOSS = 1e-4  # of the training loss, as in pre-training
SENTINEL = "<extra_id_"  # begins every sentinel


@dataclass(frozen=True, kw_only=True)
class Writing:
    """How answers are generated."""

    max_tokens: int
    num_beams: int = 1  # 1 takes the likeliest token at each step
    length_penalty: float = 0.6  # GNMT's alpha, of beams


@runtime_checkable
class Writes(Protocol):
    """A task whose answers are generated; `decode` gets each as an array of one text."""

    @property
    def writing(self) -> Writing: ...


def encode_pairs(
    pairs: Sequence[tuple[str, str | None]], layout: InputFormat, *, longest: int, remedy: str
) -> list[Features]:
    """A sample of a source and of what is to be written for it, where that is known.

    Args:
        longest: tokens of a target, the end included.
        remedy: for one that is longer.

    Raises:
        ConfigError: the model does not write targets.
        DataError: a target is longer.
    """
    if not isinstance(layout, SourceFormat):
        raise ConfigError(
            "text to text needs a model from source to target, such as T5; this one has none"
        )
    sources = layout.tokenizer.encode_batch([source for source, _ in pairs])
    targets = iter(layout.tokenizer.encode_batch([t for _, t in pairs if t is not None]))
    samples = []
    for ids, (_, text) in zip(sources, pairs, strict=True):
        written = None if text is None else layout.written(next(targets))
        if written is not None and len(written.ids) - 1 > longest:
            raise DataError(
                f"a target has {len(written.ids) - 1} tokens, more than the {longest} that are "
                f"written at most: {shown(text or '')}; {remedy}"
            )
        inputs = (layout.arrange(ids),)
        samples.append(Features(inputs, np.zeros(0, np.int64), written=written))
    return samples


class WritingTask:
    """What all tasks share whose model writes its answers."""

    use = "text-to-text"
    terms = (TEXT,)

    def head(self, backbone: Any, generator: torch.Generator) -> nn.Module:  # noqa: ARG002
        """None: the model's own output writes."""
        return nn.Module()

    def hub_config(self) -> dict[str, Any]:
        """Nothing that `transformers` would read."""
        return {}

    def counts(self, batch: WrittenBatch) -> dict[str, Tensor]:
        """Tokens of the targets."""
        return {TEXT.name: torch.tensor(len(batch.labels))}

    def used(self, model: TaskModel, batch: WrittenBatch) -> Tensor | None:  # noqa: ARG002
        """All tokens of the targets."""
        return None

    def loss(
        self, model: TaskModel, hidden: Tensor, batch: WrittenBatch, counts: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """Cross-entropy in nats a target token, with the z-loss."""
        backbone: Any = model.backbone
        total = backbone.linear_cross_entropy(hidden, batch.labels, z_loss=Z_LOSS)
        return {TEXT.name: total / counts[TEXT.name]}

    def outputs(
        self,
        model: TaskModel,  # noqa: ARG002
        hidden: Tensor,  # noqa: ARG002
        batch: TaskBatch,  # noqa: ARG002
    ) -> list[NDArray[Any]]:
        """Not asked for: answers are generated."""
        raise _generated()


def _generated() -> AssertionError:
    return AssertionError(
        "a writing task learns by WritingObjective, and its answers are generated"
    )


@dataclass(frozen=True, kw_only=True)
class WritingObjective:
    """A task whose model writes, in the shape of an objective; as TaskObjective."""

    task: Any  # a WritingTask
    max_length: int
    target_rate = 0.5  # of the tokens of sources and targets, at which one is predicted
    terms = (TEXT,)
    streams = False

    def plan(self, corpus: SampleTable, epoch: int) -> Iterator[Rows]:  # noqa: ARG002
        """Rows of (length, number) of a SampleTable's samples; the same in every epoch."""
        if len(corpus):
            yield np.stack([corpus.lengths, np.arange(len(corpus))], axis=1).astype(np.int32)

    def collate(self, corpus: SampleTable, picked: SampleBatch) -> WrittenBatch:
        """The picked samples of a SampleTable."""
        return corpus.written_batch(picked.rows[:, 1].astype(np.int64))

    def counts(self, batch: WrittenBatch) -> dict[str, Tensor]:
        """Tokens of the targets."""
        found: dict[str, Tensor] = self.task.counts(batch)
        return found

    def loss(
        self, model: TaskModel, batch: WrittenBatch, counts: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """The task's term."""
        terms: dict[str, Tensor] = self.task.loss(model, model(batch), batch, counts)
        return terms

    def scores(self, model: TaskModel, batch: WrittenBatch) -> dict[str, tuple[Tensor, Tensor]]:
        """Sums of the cross-entropy in nats, over target tokens; without the z-loss."""
        backbone: Any = model.backbone
        total = backbone.linear_cross_entropy(model(batch), batch.labels)
        return {TEXT.name: (total, torch.tensor(len(batch.labels)))}


def objective_of(task: Task, max_length: int) -> SomeObjective:
    """A task in the shape of an objective, so that training/loop.py runs it as it is."""
    if isinstance(task, Writes):
        return WritingObjective(task=task, max_length=max_length)
    return TaskObjective(task=task, max_length=max_length)
