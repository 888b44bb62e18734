"""Classification of one sentence or a pair.

Papers: Devlin et al. 2019, section 4.1 and run_classifier.py (dropout and a linear layer on the
pooled [CLS] state); Radford et al. 2018, sections 3.2 and 3.3 (a linear layer on the extract
token's state, and the auxiliary loss of the language model).
Deviation: the left-to-right head has no bias, GPT-1's has one; so it is the `score` of the Hugging
Face layout.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from foretext.core.errors import ConfigError, DataError
from foretext.labelled.inspect import Facts
from foretext.metrics import classification as metrics
from foretext.objectives.base import Term
from foretext.tasks.auxiliary import check_lm_weight, lm_term, lm_terms, resolved_lm_weight
from foretext.tasks.base import Features, TaskBatch, TaskModel
from foretext.tasks.columns import (
    InputConfig,
    Placed,
    TextExample,
    given_examples,
    read_examples,
)
from foretext.tasks.guide import Guide
from foretext.tasks.heads import sentence_head
from foretext.tasks.inputs import InputFormat, reads_left_to_right
from foretext.tasks.long_text import arrange_long, mean_of_windows
from foretext.tasks.pooling import check_pooling, hub_pooling, pooled
from foretext.text.errors import CorpusStats, Faults

_MAX_LABELS = 10_000


@dataclass(frozen=True, kw_only=True)
class ClassificationConfig:
    """Labels and head."""

    labels: tuple[str, ...] = ()  # by class id; () = those of the training file, sorted
    dropout: float = 0.1  # probability; of the state that the head reads
    lm_weight: float | None = None  # of the auxiliary loss; None = 0.5 left to right, 0 else
    pooling: str = (
        "token"  # the state that the head reads: of the paper's token, or the mean of all
    )

    def __post_init__(self) -> None:
        if len(set(self.labels)) != len(self.labels):
            raise ConfigError(f"task.labels={list(self.labels)} names a label twice; drop one")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"task.dropout={self.dropout} must be from 0 to below 1")
        check_lm_weight(self.lm_weight)
        check_pooling(self.pooling)


def resolve(
    config: ClassificationConfig, columns: InputConfig, train: Path, model: Any, on_error: str
) -> ClassificationConfig:
    """The config with its labels and the weight of the auxiliary loss.

    Raises:
        DataError: the training file has a single label, or far too many.
        ConfigError: an auxiliary loss is asked of a model that has none.
    """
    weight = resolved_lm_weight(config.lm_weight, left_to_right=reads_left_to_right(model))
    config = replace(config, lm_weight=weight)
    if config.labels:
        return config
    found: set[str] = set()
    for example in read_examples(train, columns, None, on_error=on_error):
        found.add(example.label or "")
        if len(found) > _MAX_LABELS:
            raise DataError(
                f"{train} has more than {_MAX_LABELS:,} different labels in column "
                f"{columns.label!r}; name the right column with data.label"
            )
    if len(found) < 2:
        raise DataError(
            f"{train}: every row has the label {next(iter(found))!r}; there is nothing to learn, "
            "so name the right column with data.label"
        )
    return replace(config, labels=tuple(sorted(found)))


def read(
    path: Path,
    config: ClassificationConfig,
    columns: InputConfig,
    *,
    labelled: bool = True,
    on_error: str = "stop",
    stats: CorpusStats | None = None,
) -> Iterator[TextExample]:
    """The examples of a table; arguments and errors as for read_examples."""
    return read_examples(
        path, columns, config.labels, labelled=labelled, on_error=on_error, stats=stats
    )


def given(placed: Iterable[Placed], columns: InputConfig, faults: Faults) -> Iterator[TextExample]:
    """Examples of bare texts; arguments and errors as for given_examples."""
    return given_examples(placed, columns, faults)


@dataclass(frozen=True, slots=True)
class Prediction:
    """The likeliest label and the probability of each."""

    label: str
    probabilities: dict[str, float]

    @property
    def line(self) -> str:
        """The label, a tab and its probability."""
        return f"{self.label}\t{self.probabilities[self.label]:.4f}"


@dataclass(frozen=True)
class Classification:
    config: ClassificationConfig  # resolved

    use = "classification"
    metric = "accuracy"

    @property
    def measured(self) -> tuple[str, ...]:
        return ("accuracy", *(("f1", "mcc") if len(self.config.labels) == 2 else ()), "loss")

    def encode(self, examples: Sequence[TextExample], layout: InputFormat) -> list[list[Features]]:
        """One sample an example, of a sequence a window; its target is the class id, if known."""
        texts = [text for example in examples for text in example.texts]
        ids = iter(layout.tokenizer.encode_batch(texts))
        class_ids = {label: i for i, label in enumerate(self.config.labels)}
        encoded = []
        for example in examples:
            texts_ids = [next(ids) for _ in example.texts]
            known = [] if example.label is None else [class_ids[example.label]]
            inputs = tuple(arrange_long(layout, texts_ids, layout.long_text))
            encoded.append([Features(inputs, np.array(known, np.int64))])
        return encoded

    def head(self, backbone: Any, generator: torch.Generator) -> nn.Module:
        """A new head: truncated normal and a bias for an encoder, normal without one for a GPT."""
        return sentence_head(
            backbone,
            len(self.config.labels),
            dropout=self.config.dropout,
            bias=not reads_left_to_right(backbone),
            generator=generator,
        )

    def hub_config(self) -> dict[str, Any]:
        """Keys of config.json that `transformers` reads for this task."""
        return {
            "id2label": {str(i): label for i, label in enumerate(self.config.labels)},
            "label2id": {label: i for i, label in enumerate(self.config.labels)},
            "problem_type": "single_label_classification",
            **hub_pooling(self.config.pooling),
        }

    @property
    def terms(self) -> tuple[Term, ...]:
        """See Task."""
        return (
            Term(name="classification", title="labels", unit="nats a text"),
            *lm_terms(self.config.lm_weight),
        )

    def counts(self, batch: TaskBatch) -> dict[str, Tensor]:
        """Texts, and for the auxiliary term sequences."""
        counts = {"classification": torch.tensor(batch.num_samples)}
        return counts | ({"lm": torch.tensor(batch.num_sequences)} if self.config.lm_weight else {})

    def scores(self, model: TaskModel, hidden: Tensor, batch: TaskBatch) -> Tensor:
        """Scores of the labels, [samples, labels], in fp32: the mean of a sample's windows."""
        states = pooled(model, hidden, batch, self.config.pooling)
        scores = model.head(states, model.sentence_tokens(batch)).float()
        return mean_of_windows(scores, batch.samples)

    def used(self, model: TaskModel, batch: TaskBatch) -> Tensor | None:
        """The tokens that stand for sequences; all of them for the auxiliary loss or a mean."""
        every = self.config.lm_weight or self.config.pooling == "mean"
        return None if every else model.sentence_tokens(batch)

    def loss(
        self, model: TaskModel, hidden: Tensor, batch: TaskBatch, counts: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """Cross-entropy in nats a text, and the weighted auxiliary loss."""
        scores = self.scores(model, hidden, batch)
        total = F.cross_entropy(scores, batch.labels, reduction="sum")
        terms = {"classification": total / counts["classification"]}
        return terms | lm_term(self.config.lm_weight, model, hidden, batch, counts)

    def outputs(self, model: TaskModel, hidden: Tensor, batch: TaskBatch) -> list[NDArray[Any]]:
        """Probabilities [labels] of each sample."""
        return list(self.scores(model, hidden, batch).double().softmax(-1).cpu().numpy())

    def decode(
        self,
        example: TextExample,  # noqa: ARG002
        outputs: Sequence[NDArray[Any]],
        origins: Sequence[Any],  # noqa: ARG002
    ) -> Prediction:
        """The likeliest label; of equals the first."""
        labels = self.config.labels
        shares = dict(zip(labels, outputs[0].tolist(), strict=True))
        return Prediction(labels[int(outputs[0].argmax())], shares)

    def meter(self) -> ClassificationMetric:
        """Metrics of this task's predictions."""
        return ClassificationMetric(self.config.labels)


class ClassificationMetric:
    """Accuracy, of two classes also F1 of the second and MCC, and the loss; constant memory."""

    def __init__(self, labels: Sequence[str]) -> None:
        self._ids = {label: i for i, label in enumerate(labels)}
        self._confusion = np.zeros((len(labels), len(labels)), np.int64)
        self._nats = 0.0

    def record(self, example: TextExample, prediction: Prediction) -> tuple[int, int, float]:
        """The gold class, the predicted one, and the loss in nats."""
        assert example.label is not None
        share = max(prediction.probabilities[example.label], np.finfo(np.float64).tiny)
        return self._ids[example.label], self._ids[prediction.label], -float(np.log(share))

    def measure(self, records: NDArray[np.float64]) -> dict[str, float]:
        """The metrics, in [0, 1] (mcc: [-1, 1]); loss in nats an example."""
        size = len(self._ids)
        cells = records[:, 0].astype(np.int64) * size + records[:, 1].astype(np.int64)
        confusion = np.bincount(cells, minlength=size * size).reshape(size, size)
        return _metrics(confusion) | {"loss": float(records[:, 2].mean())}

    def add(self, example: TextExample, prediction: Prediction) -> None:
        """Count one prediction of a labelled example."""
        gold, answer, nats = self.record(example, prediction)
        self._confusion[gold, answer] += 1
        self._nats += nats

    def result(self) -> dict[str, float]:
        """The metrics of what was added, as measure."""
        nats = self._nats / max(int(self._confusion.sum()), 1)
        return _metrics(self._confusion) | {"loss": nats}

    def baseline(self) -> dict[str, float]:
        """The best of always answering one label; for accuracy that is the majority class."""
        best: dict[str, float] = {}
        for answer in range(len(self._ids)):
            constant = np.zeros_like(self._confusion)
            constant[:, answer] = self._confusion.sum(1)
            for name, value in _metrics(constant).items():
                best[name] = max(best.get(name, value), value)
        return best


def _metrics(confusion: metrics.Confusion) -> dict[str, float]:
    found = {"accuracy": metrics.accuracy(confusion)}
    if len(confusion) == 2:
        found |= {"f1": metrics.f1(confusion), "mcc": metrics.mcc(confusion)}
    return found


def _facts(example: TextExample) -> Facts:
    label = example.label or ""
    return Facts(texts=example.texts, labels=(label,), answer=label)


GUIDE = Guide(
    files=".tsv, .csv, .jsonl or a .json list: a column or two of text, and `label`",
    metrics="accuracy; of two classes also F1 and MCC",
    labelled="test.tsv",
    inputs="sentences.txt",
    hub="text-classification",
    unit="rows",
    facts=_facts,
)
Config, Input, Build = ClassificationConfig, InputConfig, Classification
