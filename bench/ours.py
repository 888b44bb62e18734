"""foretext's side of a comparison."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.rows import Row
from bench.samples import objective_of, sizes_of
from bench.text import answer_token, labelled
from bench.worker import Blocks
from foretext.core import rng
from foretext.core.batch import Batch
from foretext.core.heap import Heap
from foretext.models import network_for
from foretext.shards.store import Shards
from foretext.tasks.base import Features, SampleTable, TaskModel, TaskObjective
from foretext.tasks.classification import Classification, ClassificationConfig
from foretext.tasks.inputs import Input
from foretext.tasks.question_answering import QuestionAnswering, QuestionAnsweringConfig
from foretext.training.optimizers.base import Optimizer
from foretext.training.optimizers.build import build_optimizer
from foretext.training.optimizers.config import OptimizerConfig
from foretext.training.samples import SamplePlan, StepDataset
from foretext.training.step import MicroBatch, TrainStep, gradients


@dataclass
class Side:
    """A model, its batches and its objective: what a step needs."""

    model: nn.Module
    batches: Iterator[list[MicroBatch]]
    objective: Any
    optimizer: Optimizer
    precision: str
    heap: Heap = field(default_factory=Heap)

    def step(self, number: int) -> tuple[int, float]:
        """One update by foretext's loop; its tokens and its floating-point operations."""
        parts = next(self.batches)
        self.optimizer.zero_grad()
        key = rng.key(0, "dropout", number)
        gradients(TrainStep(self.model, self.objective), parts, key, precision=self.precision)
        self.optimizer.clip()
        self.optimizer.step()
        self.heap.check()
        work = sum(self.operations(part.batch) for part in parts)
        return sum(part.batch.num_tokens for part in parts), work

    def operations(self, batch: Any) -> float:
        """Floating-point operations a step needs: three times those of forward products."""
        model: Any = self.model
        if isinstance(self.objective, TaskObjective):
            used = self.objective.task.used(model, batch)
            return _operations(model.backbone, batch, used, targets=0)
        parts = [(part, hasattr(part, "mlm_head")) for part in model.backbones]
        return sum(
            _operations(part, batch, batch.targets, targets=len(batch.targets))
            if predicts
            else _operations(part, batch, None, targets=0)
            for part, predicts in parts
        )


def _operations(model: Any, batch: Batch, used: Tensor | None, *, targets: int) -> float:
    """Of one network: used are the states of the last layer that are read, None is all."""
    c = model.config
    layer = 4 * c.hidden_size**2 + 2 * c.hidden_size * c.intermediate_size
    unused = 0 if used is None else batch.num_tokens - len(used)
    linear = 2 * (batch.num_tokens * c.num_layers * layer - unused * model.layers[-1].row_weights)
    squares = int(batch.offsets.diff().square().sum())
    attention = 4 * squares * c.num_layers * c.hidden_size
    width = getattr(c, "embedding_size", c.hidden_size)
    head = 2 * targets * width * (c.vocab_size + c.hidden_size)
    return 3.0 * (linear + attention + head)


def pretraining(row: Row, shards: Shards) -> Side:
    """A pre-training objective through foretext's own samples and optimizer."""
    _, config = sizes_of(row, shards)
    use = "replaced-token" if row.task.startswith("replaced-token") else row.task
    return _side(row, network_for(config, use), objective_of(row, shards), shards)


def finetuning(row: Row, shards: Shards) -> Side:
    """A task of foretext's: a new head, and labels, or a token of the second text as the answer."""
    family, config = sizes_of(row, shards)
    questions = row.task == "questions"
    task: Any = (
        QuestionAnswering(QuestionAnsweringConfig(allow_impossible=False, lm_weight=0.0))
        if questions
        else Classification(
            ClassificationConfig(labels=("0", "1"), dropout=row.dropout, lm_weight=0.0)
        )
    )
    backbone = family.model(config)
    model = TaskModel(backbone, task.head(backbone, torch.Generator().manual_seed(0)))
    table = SampleTable(
        Features(
            (Input(ids, segments, [False] * len(ids)),),
            np.full(2, answer_token(segments, label)) if questions else np.array([label]),
        )
        for ids, segments, label in labelled(shards, row.text, row.max_length)
    )
    objective = TaskObjective(task=task, max_length=row.max_length)
    return _side(row, model, objective, table)


def _side(row: Row, model: Any, objective: Any, corpus: Any) -> Side:
    """With the paper's initial weights, AdamW, and batches that a run would have."""
    getattr(model, "backbone", model).initialise(torch.Generator().manual_seed(0))
    folder = Path(tempfile.mkdtemp(prefix="foretext-bench-"))
    epochs = SamplePlan(objective=objective, corpus=corpus, folder=folder, seed=0)
    steps = StepDataset(epochs, row.batch_size, None, 0, 1 << 30)
    optimizer = build_optimizer(model, OptimizerConfig(learning_rate=1e-4))
    return Side(model.train(), (steps[i] for i in count()), objective, optimizer, row.precision)


def side_of(row: Row, shards: Shards) -> Side:
    """foretext's side of a row."""
    tasks = ("classification", "questions")
    return finetuning(row, shards) if row.task in tasks else pretraining(row, shards)


def run(row: Row, folder: Path, blocks: Blocks) -> None:
    """Run blocks for ever."""
    side = side_of(row, Shards.open(folder, verify=False))
    number = 0
    for block in count():
        blocks.begin()
        done = [side.step(number + i) for i in range(row.steps if block else row.warmup)]
        blocks.end(tokens=sum(d[0] for d in done), operations=sum(d[1] for d in done))
        number += len(done)
