"""Any task as text to text: its examples worded, its answers written and read back.

Paper: Raffel et al. 2020, https://arxiv.org/abs/1910.10683, section 2.4. The files, the metrics and
the predictions are the task's own; a text that is no answer counts as wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretext.core.errors import DataError
from foretext.metrics import classification as metrics
from foretext.tasks import text_forms as forms
from foretext.tasks.base import Features, Metric, Task
from foretext.tasks.classification import Classification
from foretext.tasks.columns import TextExample
from foretext.tasks.inputs import InputFormat
from foretext.tasks.multiple_choice import MultipleChoice
from foretext.tasks.question_answering import QuestionAnswering
from foretext.tasks.similarity import Similarity
from foretext.tasks.tagging import Tagging
from foretext.tasks.writing import SENTINEL, Writing, WritingTask, encode_pairs
from foretext.text.errors import shown


def form_for(task: Task, name: str, columns: Sequence[str]) -> forms.TextForm:
    """How a task's examples are worded.

    Args:
        task: with its config resolved.
        name: of the data set, or the task's.
        columns: of the texts.
    """
    wording = forms.wording_for(name, columns)
    if isinstance(task, Classification):
        return forms.LabelForm(wording, task.config.labels)
    if isinstance(task, Similarity):
        assert task.config.lowest is not None
        assert task.config.highest is not None
        return forms.ScoreForm(wording, task.config.lowest, task.config.highest)
    if isinstance(task, MultipleChoice):
        return forms.ChoiceForm(wording)
    if isinstance(task, QuestionAnswering):
        return forms.AnswerForm()
    assert isinstance(task, Tagging), "a task of the table has a form"
    return forms.TagForm(wording, task)


@dataclass(frozen=True)
class AsText(WritingTask):
    """A task whose model writes its answers."""

    task: Task  # whose files, metrics and predictions they are
    form: forms.TextForm

    @property
    def config(self) -> Any:
        return self.task.config

    @property
    def metric(self) -> str:
        return self.task.metric

    @property
    def measured(self) -> tuple[str, ...]:
        """The task's, but for the loss, which is that of a distribution over answers."""
        return tuple(name for name in self.task.measured if name != "loss")

    @property
    def writing(self) -> Writing:
        """The likeliest token at each step, as in the study."""
        return Writing(max_tokens=self.form.longest)

    def encode(self, examples: Sequence[Any], layout: InputFormat) -> list[list[Features]]:
        """One sample an example: source and target, where the example is labelled."""
        pairs = [self._pair(example) for example in examples]
        return [
            [sample]
            for sample in encode_pairs(
                pairs, layout, longest=self.form.longest, remedy="shorten it"
            )
        ]

    def _pair(self, example: Any) -> tuple[str, str | None]:
        source = self.form.source(example)
        if SENTINEL in source:
            raise DataError(
                f"{shown(source)} holds a sentinel {SENTINEL}...>, which marks gaps in "
                "pre-training; delete it from the text"
            )
        return source, self.form.target(example) if self.form.knows(example) else None

    def decode(
        self,
        example: Any,
        outputs: Sequence[NDArray[Any]],
        origins: Sequence[Any],  # noqa: ARG002
    ) -> Any:
        """The task's prediction, read from the text."""
        return self.form.read(str(outputs[0][0]), example)

    def meter(self) -> Metric:
        """The task's, but for the loss."""
        if isinstance(self.task, Classification):
            return LabelMetric(self.task.config.labels)
        return WithoutLoss(self.task.meter())


class LabelMetric:
    """Accuracy, of two classes also F1 of the second and MCC; a text that is no label is wrong."""

    def __init__(self, labels: Sequence[str]) -> None:
        self._ids = {label: i for i, label in enumerate(labels)}
        self._records: list[tuple[int, int, float]] = []

    def record(self, example: TextExample, prediction: forms.TextLabel) -> tuple[int, int, float]:
        """The gold class, the predicted one, and whether the text is no label.

        What is no label counts as the class after the gold one.
        """
        assert example.label is not None
        gold = self._ids[example.label]
        if prediction.label is None:
            return gold, (gold + 1) % len(self._ids), 1.0
        return gold, self._ids[prediction.label], 0.0

    def measure(self, records: NDArray[np.float64]) -> dict[str, float]:
        """The metrics in [0, 1] (mcc: [-1, 1]), and the share of texts that are no label."""
        size = len(self._ids)
        gold, answer = records[:, 0].astype(np.int64), records[:, 1].astype(np.int64)
        confusion = np.bincount(gold * size + answer, minlength=size * size).reshape(size, size)
        return _measures(confusion) | {"no_label": float(records[:, 2].mean())}

    def add(self, example: TextExample, prediction: forms.TextLabel) -> None:
        """Count one prediction of a labelled example."""
        self._records.append(self.record(example, prediction))

    def result(self) -> dict[str, float]:
        """The metrics of what was added, as measure."""
        return self.measure(np.array(self._records))

    def baseline(self) -> dict[str, float]:
        """The best of always answering one label; for accuracy that is the majority class."""
        gold = np.bincount([g for g, _, _ in self._records], minlength=len(self._ids))
        best: dict[str, float] = {}
        for answer in range(len(self._ids)):
            constant = np.zeros((len(gold), len(gold)), np.int64)
            constant[:, answer] = gold
            for name, value in _measures(constant).items():
                best[name] = max(best.get(name, value), value)
        return best


def _measures(confusion: metrics.Confusion) -> dict[str, float]:
    found = {"accuracy": metrics.accuracy(confusion)}
    if len(confusion) == 2:
        found |= {"f1": metrics.f1(confusion), "mcc": metrics.mcc(confusion)}
    return found


class WithoutLoss:
    """A task's metrics but for the loss."""

    def __init__(self, meter: Metric) -> None:
        self._meter = meter

    def record(self, example: Any, prediction: Any) -> Sequence[float]:
        """See Metric."""
        return self._meter.record(example, prediction)

    def measure(self, records: NDArray[np.float64]) -> dict[str, float]:
        """See Metric."""
        return _without_loss(self._meter.measure(records))

    def add(self, example: Any, prediction: Any) -> None:
        """See Metric."""
        self._meter.add(example, prediction)

    def result(self) -> dict[str, float]:
        """See Metric."""
        return _without_loss(self._meter.result())

    def baseline(self) -> dict[str, float]:
        """See Metric."""
        return _without_loss(self._meter.baseline())


def _without_loss(found: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in found.items() if name != "loss"}
