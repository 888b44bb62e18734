"""What a model must beat: answers that cost seconds and know nothing of language.

For texts a bag of words or of characters; for tags the commonest one of each word; for questions
the words around those of the question. Each is fitted to the training file and measured by the
task's own metric. Answers blind to the input, such as the majority class, are the metric's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from foretext.evaluation.baselines import choices, questions, tags, texts

Answer: TypeAlias = Callable[[Sequence[Any]], list[Any]]  # examples -> a task's predictions
Fit: TypeAlias = Callable[[Sequence[Any], Any], Mapping[str, Answer]]  # (training examples, config)
BASELINES: dict[str, Fit] = {
    "classification": texts.classifiers,
    "similarity": texts.similarities,
    "multiple-choice": choices.nearest,
    "tagging": tags.commonest,
    "question-answering": questions.sliding_window,
}
MOST_EXAMPLES = 50_000  # of a training file that are learned from, so that it stays seconds


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """One such answer, and what it reached."""

    name: str
    metrics: dict[str, float]


def fitted(task_name: str, task: Any, train: Sequence[Any]) -> Mapping[str, Answer]:
    """The baselines of a task by name, fitted to labelled examples; {} of a task without any.

    Args:
        task_name: in TASKS.
        task: built from its resolved config.
        train: examples; the first MOST_EXAMPLES are used.

    Raises:
        ModuleNotFoundError: scikit-learn is not installed, which bags need.
    """
    fit = BASELINES.get(task_name)
    return {} if fit is None else fit(train[:MOST_EXAMPLES], task.config)


def measured(task: Any, answer: Answer, examples: Sequence[Any]) -> dict[str, float]:
    """The task's metrics of a baseline on labelled examples."""
    meter = task.meter()
    for example, prediction in zip(examples, answer(examples), strict=True):
        meter.add(example, prediction)
    found: dict[str, float] = meter.result()
    return found
