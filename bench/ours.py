"""foretext's side of a comparison."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.rows import Row
from bench.text import answer_token, labelled
from bench.worker import Blocks
from foretext import rng
from foretext.batch import Batch
from foretext.data.shards import Shards
from foretext.models import bert, electra, networks, pretraining_model
from foretext.objectives.base import Vocabulary
from foretext.objectives.masked_lm import MaskedLM, MaskedLMConfig
from foretext.objectives.replaced_token import ReplacedToken, ReplacedTokenConfig
from foretext.tasks.base import Features, SampleTable, TaskModel, TaskObjective
from foretext.tasks.inputs import Input
from foretext.tasks.question_answering import QuestionAnswering, QuestionAnsweringConfig
from foretext.tokenizers import Tokenizer
from foretext.training.loop import gradients
from foretext.training.optimizer import Optimizer, OptimizerConfig, build_optimizer
from foretext.training.samples import Epochs, MicroBatch, Steps


@dataclass
class Side:
    """A model, its batches and its objective: what a step needs."""

    model: nn.Module
    batches: Iterator[list[MicroBatch]]
    objective: Any
    optimizer: Optimizer

    def step(self, number: int) -> tuple[int, float]:
        """One update by foretext's loop; its tokens and its floating-point operations."""
        parts = next(self.batches)
        self.optimizer.zero_grad()
        gradients(self.model, self.objective, parts, rng.key(0, "dropout", number))
        self.optimizer.clip()
        self.optimizer.step(1.0)
        work = sum(operations(self.model, part.batch) for part in parts)
        return sum(part.batch.num_tokens for part in parts), work


def operations(model: nn.Module, batch: Batch) -> float:
    """Floating-point operations a step needs: three times those of the forward multiplications."""
    parts = networks(getattr(model, "trunk", model))
    return sum(_network_operations(part, batch) for part in parts)


def _network_operations(model: nn.Module, batch: Batch) -> float:
    c: Any = model.config
    layer = 4 * c.hidden_size**2 + 2 * c.hidden_size * c.intermediate_size
    linear = 2 * batch.num_tokens * c.num_layers * layer
    squares = int(batch.offsets.diff().square().sum())
    attention = 4 * squares * c.num_layers * c.hidden_size
    targets = len(batch.targets) if hasattr(batch, "targets") and hasattr(model, "mlm_head") else 0
    width = getattr(c, "embedding_size", c.hidden_size)
    head = 2 * targets * width * (c.vocab_size + c.hidden_size)
    return 3.0 * (linear + attention + head)


def model_of(row: Row) -> bert.Bert:
    """The row's model, with the paper's initial weights."""
    config = bert.PRESETS[row.preset]
    config = replace(config, dropout=row.dropout, attention_dropout=row.dropout)
    model = bert.Model(config)
    model.initialise(torch.Generator().manual_seed(0))
    return model.train()


def masked_lm(row: Row, shards: Shards) -> Side:
    """Masked LM through foretext's own samples, objective and optimizer."""
    vocabulary = Vocabulary.of(Tokenizer.load(shards.tokenizer_folder))
    objective = MaskedLM(config=MaskedLMConfig(), vocabulary=vocabulary, max_length=row.max_length)
    model = model_of(row)
    folder = Path(tempfile.mkdtemp(prefix="foretext-bench-"))
    epochs = Epochs(objective=objective, corpus=shards, folder=folder, seed=0)
    steps = Steps(epochs, row.batch_size, None, 0, 1 << 30)

    return Side(model, (steps[i] for i in count()), objective, _optimizer(model))


def replaced_token(row: Row, shards: Shards) -> Side:
    """ELECTRA's two networks, likewise."""
    vocabulary = Vocabulary.of(Tokenizer.load(shards.tokenizer_folder))
    objective = ReplacedToken(
        config=ReplacedTokenConfig(), vocabulary=vocabulary, max_length=row.max_length
    )
    config = electra.PRESETS[row.preset]
    config = replace(config, dropout=row.dropout, attention_dropout=row.dropout)
    model: Any = pretraining_model(config, "replaced-token")
    model.initialise(torch.Generator().manual_seed(0))
    folder = Path(tempfile.mkdtemp(prefix="foretext-bench-"))
    epochs = Epochs(objective=objective, corpus=shards, folder=folder, seed=0)
    steps = Steps(epochs, row.batch_size, None, 0, 1 << 30)
    return Side(model.train(), (steps[i] for i in count()), objective, _optimizer(model))


@dataclass(frozen=True, kw_only=True)
class LabelledBatch(Batch):
    labels: Tensor  # [sequences]


class Classifier(nn.Module):
    """BERT with a linear layer on the pooled [CLS] state."""

    def __init__(self, row: Row) -> None:
        super().__init__()
        self.trunk = model_of(row)
        self.head = nn.Linear(self.trunk.config.hidden_size, 2)

    def forward(self, batch: Batch) -> Tensor:
        return self.head(self.trunk.sentence_state(self.trunk(batch), batch))


class Classify:
    """The cross-entropy of the labels, in the form of an objective."""

    def counts(self, batch: LabelledBatch) -> dict[str, Tensor]:
        return {"label": torch.tensor(batch.num_sequences)}

    def loss(
        self, model: Classifier, batch: LabelledBatch, counts: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        total = F.cross_entropy(model(batch), batch.labels, reduction="sum")
        return {"label": total / counts["label"]}


def classification(row: Row, shards: Shards) -> Side:
    """Fine-tuning with a new head."""
    samples = labelled(shards, row.text, row.max_length)

    def batches() -> Iterator[list[MicroBatch]]:
        draws = np.random.default_rng(0)
        while True:
            order = draws.permutation(len(samples))
            for start in range(0, len(order) - row.batch_size + 1, row.batch_size):
                chosen = [samples[i] for i in order[start : start + row.batch_size]]
                chosen.sort(key=lambda sample: len(sample[0]))
                ids, segments, labels = zip(*chosen, strict=True)
                fields = vars(Batch.of(ids, segments)) | {"labels": torch.tensor(labels)}
                yield [MicroBatch(batch=LabelledBatch(**fields), first_token=0)]

    model = Classifier(row)
    return Side(model, batches(), Classify(), _optimizer(model))


def questions(row: Row, shards: Shards) -> Side:
    """Fine-tuning on windows, with foretext's task."""
    task = QuestionAnswering(QuestionAnsweringConfig(allow_impossible=False, lm_weight=0.0))
    table = SampleTable(
        Features(
            (Input(ids, segments, [False] * len(ids)),),
            np.full(2, answer_token(segments, label), np.int64),
        )
        for ids, segments, label in labelled(shards, row.text, row.max_length)
    )
    objective: Any = TaskObjective(task=task, max_length=row.max_length)
    trunk = model_of(row)
    model = TaskModel(trunk, task.head(trunk, torch.Generator().manual_seed(0))).train()
    folder = Path(tempfile.mkdtemp(prefix="foretext-bench-"))
    epochs = Epochs(objective=objective, corpus=table, folder=folder, seed=0)  # type: ignore[arg-type]
    steps = Steps(epochs, row.batch_size, None, 0, 1 << 30)
    return Side(model, (steps[i] for i in count()), objective, _optimizer(model))


def _optimizer(model: nn.Module) -> Optimizer:
    return build_optimizer(model, OptimizerConfig(learning_rate=1e-4))


def side_of(row: Row, shards: Shards) -> Side:
    """foretext's side of a row."""
    if row.task.startswith("replaced-token"):
        return replaced_token(row, shards)
    sides = {"masked-lm": masked_lm, "questions": questions}
    return sides.get(row.task, classification)(row, shards)


def run(row: Row, folder: Path, blocks: Blocks) -> None:
    """Run blocks for ever."""
    side = side_of(row, Shards.open(folder, verify=False))
    number = 0
    for block in count():
        blocks.begin()
        done = [side.step(number + i) for i in range(row.steps if block else row.warmup)]
        blocks.end(tokens=sum(d[0] for d in done), operations=sum(d[1] for d in done))
        number += len(done)
