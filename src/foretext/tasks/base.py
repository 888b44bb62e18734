"""What a task is, and how labelled examples go through the same training loop as raw text.

A task reads examples from a file, encodes each into samples (what the model reads at once and its
target), computes a loss from hidden states, and decodes the outputs of an example's samples into a
prediction. An example may be several samples (windows of a long text), and a sample several
sequences (the candidates of a choice, both orders of a pair).
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from foretext.core.batch import Batch, Seq2SeqBatch
from foretext.core.errors import CheckpointError
from foretext.core.words import Spelling
from foretext.nn.backbone import Backbone
from foretext.objectives.base import Assembled, Ints, Rows, SampleBatch, Term
from foretext.tasks.features import FeatureConfig, FeatureReader
from foretext.tasks.inputs import Input, InputFormat

LOWER_IS_BETTER = frozenset({"loss", "mse"})  # of all metrics by name


@dataclass(frozen=True, slots=True)
class Features:
    """One sample: what the model reads at once, and its target."""

    inputs: tuple[Input, ...]  # one sequence, or several that are judged together
    target: NDArray[Any]  # [targets], of one length and type for a task, or one a token
    origin: Any = None  # where in the example it comes from, for decode; not kept in training
    written: Input | None = None  # what a model is to write, from the start token to the last
    lost: tuple[str, ...] = ()  # why the example can never be answered right, if it cannot


@dataclass(frozen=True, kw_only=True)
class TaskBatch(Batch):
    """Samples laid end to end."""

    samples: Tensor  # [samples + 1] int64; sample s is sequences samples[s]:samples[s + 1]
    labels: Tensor  # the samples' targets, one after another

    @property
    def num_samples(self) -> int:
        return self.samples.shape[0] - 1


@dataclass(frozen=True, kw_only=True)
class WrittenBatch(Seq2SeqBatch):
    """Samples of one source each, and what is to be written for them."""

    labels: Tensor  # [target tokens] int64, what follows each token of the target


class TaskModel(nn.Module):
    """A pre-trained backbone, what is read of it, and a task's head.

    Parameters are `backbone.…`, `features.…` and `head.…`.
    """

    def __init__(
        self, backbone: Backbone, head: nn.Module, features: FeatureReader | None = None
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.features = FeatureReader(FeatureConfig(), backbone) if features is None else features
        self.head: Any = head

    def train(self, mode: bool = True) -> Self:
        """As nn.Module's; a frozen backbone stays in eval mode."""
        super().train(mode)
        if self.features.config.frozen:
            self.backbone.eval()
        return self

    def forward(self, batch: Batch | Seq2SeqBatch, used: Tensor | None = None) -> Tensor:
        """States [tokens, hidden] for the head; used: those that are read, None is all."""
        return self.features(self.backbone, batch, used)

    def sentence_tokens(self, batch: Batch) -> Tensor:
        """The token that stands for each sequence, [sequences]: the extract token, or [CLS]."""
        return self.backbone.pooled_tokens(batch)

    def head_tensors(self) -> dict[str, Tensor]:
        """The head's parameters as model folders store them.

        Those of its module `linear` are "weight" and "bias", which the matching class of
        `transformers` reads; others keep their names. Those of features come with them.
        """
        own = {name.removeprefix("linear."): p for name, p in self.head.named_parameters()}
        return own | {f"features.{name}": p for name, p in self.features.named_parameters()}

    @torch.no_grad()
    def load_head(self, tensors: dict[str, Tensor]) -> None:
        """Copy what head_tensors gave.

        Raises:
            CheckpointError: it is another task's head.
        """
        own = self.head_tensors()
        wanted = {name: list(tensor.shape) for name, tensor in own.items()}
        if (found := {name: list(tensor.shape) for name, tensor in tensors.items()}) != wanted:
            raise CheckpointError(
                f"the task head has shapes {found}, but the task needs {wanted}; run.toml and the "
                "weight file do not belong together"
            )
        for name, parameter in own.items():
            parameter.copy_(tensors[name])


class Metric(Protocol):
    """Takes predictions one by one and holds sums, not examples, where the metric allows it.

    An example and its prediction become a record of a few numbers, and the metrics are a function
    of records; so two models can be compared over resampled records.
    """

    def record(self, example: Any, prediction: Any) -> Sequence[float]:
        """What the metrics need of one labelled example and its prediction, [k]."""
        ...

    def measure(self, records: NDArray[np.float64]) -> dict[str, float]:
        """The metrics by name of records [n, k]; n is at least 1."""
        ...

    def add(self, example: Any, prediction: Any) -> None:
        """Count one prediction of a labelled example."""

    def result(self) -> dict[str, float]:
        """The metrics by name of what was added."""
        ...

    def baseline(self) -> dict[str, float]:
        """The best value of each metric that an answer blind to the input reaches."""
        ...


class Prediction(Protocol):
    """What decode returns: a frozen dataclass whose fields are the JSON record."""

    @property
    def line(self) -> str:
        """One line for people and for `cut`: the answer, a tab and its probability or score."""
        ...


class Task(Protocol):
    """See the module docstring. `use` names the model class in family.architecture.

    The head's module `linear` is what the matching class of `transformers` reads.
    """

    @property
    def config(self) -> Any: ...

    @property
    def use(self) -> str: ...

    @property
    def metric(self) -> str:
        """The metric that chooses the best weights, unless finetune.metric does."""
        ...

    @property
    def measured(self) -> tuple[str, ...]:
        """The metrics that can; its meter has them, as far as examples of a kind occur."""
        ...

    def encode(self, examples: Sequence[Any], layout: InputFormat) -> list[list[Features]]:
        """The samples of each example."""
        ...

    def head(self, backbone: Any, generator: torch.Generator) -> nn.Module:
        """A new head for a backbone."""
        ...

    def hub_config(self) -> dict[str, Any]:
        """Keys of config.json that `transformers` reads for this task, such as id2label."""
        ...

    @property
    def terms(self) -> tuple[Term, ...]:
        """The parts of the loss, under the names that counts and loss use."""
        ...

    def counts(self, batch: TaskBatch) -> dict[str, Tensor]:
        """What each loss term is averaged over, known before the forward pass."""
        ...

    def used(self, model: TaskModel, batch: TaskBatch) -> Tensor | None:
        """Tokens whose states loss and outputs read, ascending; None is all."""
        ...

    def loss(
        self, model: TaskModel, hidden: Tensor, batch: TaskBatch, counts: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """Terms whose sum is this batch's share of the step's loss; counts are the step's."""
        ...

    def outputs(self, model: TaskModel, hidden: Tensor, batch: TaskBatch) -> list[NDArray[Any]]:
        """What decode needs of each sample."""
        ...

    def decode(self, example: Any, outputs: Sequence[NDArray[Any]], origins: Sequence[Any]) -> Any:
        """The prediction from the outputs and origins of an example's samples."""
        ...

    def meter(self) -> Metric: ...


class SampleTable:
    """Encoded samples as a few arrays, 6 bytes a token; the corpus of a TaskObjective.

    Where a sample has something to be written, all have: of two sequences each it is the last.

    Args:
        samples: of examples.
        spelling: of their words, for a model that reads characters; None for others.
    """

    def __init__(self, samples: Iterable[Features], spelling: Spelling | None = None) -> None:
        self._spelling = spelling
        ids, segments, special = array("i"), array("b"), array("b")
        lengths, sequences, targets = array("q"), array("q"), array("q")
        values: list[NDArray[Any]] = []
        self._written = False
        for sample in samples:
            self._written = sample.written is not None
            written = () if sample.written is None else (sample.written,)
            for one in (*sample.inputs, *written):
                ids.extend(one.ids)
                segments.extend(one.segments)
                special.extend(one.special)
                lengths.append(len(one.ids))
            sequences.append(len(sample.inputs) + len(written))
            targets.append(len(sample.target))
            values.append(sample.target)
        self._ids = np.array(ids, np.int32)
        self._segments = np.array(segments, np.int8)
        self._special = np.array(special, np.bool_)
        self._values = np.concatenate(values) if values else np.zeros(0)
        self._tokens = _offsets(lengths)  # of sequences
        self._sequences = _offsets(sequences)  # of samples
        self._targets = _offsets(targets)  # of samples

    @classmethod
    def joined(cls, tables: Sequence[SampleTable]) -> SampleTable:
        """The samples of several tables, one after another."""
        whole = cls((), tables[0]._spelling if tables else None)
        whole._written = any(table._written for table in tables)
        for name in ("_ids", "_segments", "_special", "_values"):
            setattr(whole, name, np.concatenate([getattr(table, name) for table in tables]))
        for name in ("_tokens", "_sequences", "_targets"):
            sizes = [np.diff(getattr(table, name)) for table in tables]
            setattr(whole, name, _offsets(np.concatenate(sizes)))
        return whole

    @property
    def num_documents(self) -> int:
        """Samples, under the name that a corpus has for them."""
        return len(self)

    @property
    def targets(self) -> NDArray[Any]:
        """The targets of all samples, one after another."""
        return self._values

    @property
    def num_tokens(self) -> int:
        return len(self._ids)

    def __len__(self) -> int:
        return len(self._sequences) - 1

    @property
    def lengths(self) -> Ints:
        """Tokens of each sample, [samples]."""
        return np.diff(self._tokens[self._sequences])

    def batch(self, samples: Ints) -> TaskBatch:
        """The samples of these numbers, in this order, without what is to be written."""
        sequences = _ranges(self._sequences, samples)
        counts = np.diff(self._sequences)[samples]
        if self._written:
            sequences, counts = self._sequences[samples], np.ones_like(counts)
        laid = self._laid(sequences)
        return TaskBatch(
            **laid.batch_fields(),
            words=None if self._spelling is None else self._spelling.words(laid.ids),
            samples=torch.from_numpy(_offsets(counts)),
            labels=torch.from_numpy(self._values[_ranges(self._targets, samples)]),
        )

    def written_batch(self, samples: Ints) -> WrittenBatch:
        """The same with what is to be written: its last token is a label alone, its first none."""
        source = self._laid(self._sequences[samples])
        whole = self._laid(self._sequences[samples + 1] - 1)
        ends = np.cumsum(whole.lengths)
        target = replace(
            whole,
            ids=np.delete(whole.ids, ends - 1),
            segments=np.delete(whole.segments, ends - 1),
            special=np.delete(whole.special, ends - 1),
            lengths=whole.lengths - 1,
        )
        return WrittenBatch(
            source=Batch(**source.batch_fields()),
            target=Batch(**target.batch_fields()),
            labels=torch.from_numpy(np.delete(whole.ids, ends - whole.lengths)),
        )

    def _laid(self, sequences: Ints) -> Assembled:
        tokens = _ranges(self._tokens, sequences)
        return Assembled(
            ids=self._ids[tokens].astype(np.int64),
            segments=self._segments[tokens].astype(np.int64),
            special=self._special[tokens],
            lengths=np.diff(self._tokens)[sequences],
        )


def _offsets(lengths: Any) -> Ints:
    return np.concatenate([[0], np.cumsum(np.asarray(lengths, np.int64))]).astype(np.int64)


def _ranges(offsets: Ints, chosen: Ints) -> Ints:
    """The numbers offsets[c] up to offsets[c + 1] for each chosen c, one after another."""
    sizes = offsets[chosen + 1] - offsets[chosen]
    ends = np.cumsum(sizes)
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(
        offsets[chosen] - ends + sizes, sizes
    )


@dataclass(frozen=True, kw_only=True)
class TaskObjective:
    """A task in the shape of an objective, so that training/loop.py runs it as it is."""

    task: Task
    max_length: int
    target_rate = 0.0  # it predicts labels
    streams = False

    @property
    def terms(self) -> tuple[Term, ...]:
        """The task's."""
        return self.task.terms

    def plan(self, corpus: SampleTable, epoch: int) -> Iterator[Rows]:  # noqa: ARG002
        """Rows of (length, number) of a SampleTable's samples; the same in every epoch."""
        if len(corpus):
            yield np.stack([corpus.lengths, np.arange(len(corpus))], axis=1).astype(np.int32)

    def collate(self, corpus: SampleTable, picked: SampleBatch) -> TaskBatch:
        """The picked samples of a SampleTable."""
        return corpus.batch(picked.rows[:, 1].astype(np.int64))

    def counts(self, batch: TaskBatch) -> dict[str, Tensor]:
        """What each loss term is averaged over."""
        return self.task.counts(batch)

    def loss(
        self, model: TaskModel, batch: TaskBatch, counts: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """The task's terms; the penalty of a mix of layers is in the first."""
        hidden = model(batch, self.task.used(model, batch))
        losses = self.task.loss(model, hidden, batch, counts)
        penalty = model.features.penalty() if torch.is_grad_enabled() else None
        if penalty is not None:
            first = self.terms[0].name
            share = self.counts(batch)[first] / counts[first]  # of the step, in this batch
            losses[first] = losses[first] + share * penalty
        return losses

    def scores(self, model: TaskModel, batch: TaskBatch) -> dict[str, tuple[Tensor, Tensor]]:
        """Each loss term's sum, without its weight, and count."""
        counts = self.counts(batch)
        losses = self.loss(model, batch, counts)
        return {
            term.name: (losses[term.name] * counts[term.name] / term.weight, counts[term.name])
            for term in self.terms
        }
