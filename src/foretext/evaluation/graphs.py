"""What an ONNX graph of a fine-tuned model loses and wins, on labelled data."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from foretext.core.batch import Batch, Seq2SeqBatch
from foretext.evaluation.labelled import evaluate
from foretext.inference.onnx import PER_TOKEN, SEVERAL, Session
from foretext.inference.task_run import TaskRun
from foretext.nn.backbone import Backbone
from foretext.tasks.base import TaskModel


@dataclass(frozen=True, kw_only=True)
class Measured:
    """How a model does on labelled data."""

    metrics: dict[str, float]
    seconds: float  # reading and encoding included
    bytes: int  # of the graph with its weights


def measured(run: TaskRun, path: Path, data: Path) -> Measured:
    """The metrics of a graph on a labelled file, and the time it takes on this CPU."""
    begun = time.perf_counter()
    metrics = evaluate(answering(run, path), data)
    parts = [path, path.with_name(f"{path.name}.data")]
    size = sum(part.stat().st_size for part in parts if part.is_file())
    return Measured(metrics=metrics, seconds=time.perf_counter() - begun, bytes=size)


def answering(run: TaskRun, path: Path) -> TaskRun:
    """A fine-tuned model computed by a graph of it."""
    model = _GraphModel(run.model, Session(path), run.task.use)
    return replace(run, model=model.eval(), device=torch.device("cpu"))


class _GraphModel(TaskModel):
    """A graph in the place of a task's model: its logits lie where states would."""

    def __init__(self, own: TaskModel, session: Session, use: str) -> None:
        nn.Module.__init__(self)
        stand_in: Any = _Pooled(own.backbone)
        self.backbone, self.head, self.features = stand_in, _Identity(), own.features
        self.session, self.use = session, use

    def forward(self, batch: Batch | Seq2SeqBatch, used: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Logits [tokens, n]: of every token, or where the one stands that means its sequence."""
        assert isinstance(batch, Batch)
        borders = list(pairwise(batch.offsets.tolist()))
        ids, types = batch.input_ids.tolist(), batch.token_type_ids.tolist()
        found = self.session.padded(
            [ids[a:b] for a, b in borders],
            [types[a:b] for a, b in borders],
            per_token=self.use in PER_TOKEN,
            several=self.use in SEVERAL,
        )
        if self.use in PER_TOKEN:
            return found
        laid = found.new_zeros(batch.num_tokens, found.shape[1])
        return laid.index_copy(0, self.sentence_tokens(batch), found)


class _Pooled(nn.Module):
    """What a task asks of a backbone beside its states."""

    def __init__(self, own: Backbone) -> None:
        super().__init__()
        self.reads, self.config = own.reads, own.config
        self._tokens = own.pooled_tokens

    def pooled_tokens(self, batch: Batch) -> Tensor:
        """As the backbone's."""
        return self._tokens(batch)

    def pooled_output(self, hidden: Tensor, batch: Batch) -> Tensor:
        """The logits of each sequence."""
        return hidden[self._tokens(batch)]


class _Identity(nn.Module):
    def forward(self, scores: Tensor, *places: Tensor) -> Any:
        """The scores; of answers as AnswerHead gives them."""
        return (scores, None) if len(places) > 1 else scores
