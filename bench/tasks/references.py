"""The transformers side of each kind of task, and the gold answers that both sides are held to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.tasks import reference, reference_gpt, reference_questions, reference_tagging
from bench.tasks.files import Files
from bench.tasks.sets import TaskSet


def _labels(task_set: TaskSet, path: Path) -> list[str]:
    return [label for _, label in reference.table(path, task_set.columns)]


def _scores(task_set: TaskSet, path: Path) -> list[float]:
    return [float(score) for _, score in reference.table(path, task_set.columns)]


def _choices(task_set: TaskSet, path: Path) -> list[int]:
    return [answer for *_, answer in reference.CHOICES[task_set.columns["format"]](path)]


def _tags(task_set: TaskSet, path: Path) -> list[list[str]]:
    return [tags for _, tags in reference_tagging.sentences(path, task_set.columns)]


def _answers(task_set: TaskSet, path: Path) -> dict[str, Any]:
    golds = {q.id: [a["text"] for a in q.answers] for q in reference_questions.questions(path)}
    return {"rules": task_set.columns["rules"], "answers": golds}


REFERENCES: dict[str, Callable[[TaskSet, Files, reference.Run], Any]] = {
    "classification": reference.classification,
    "similarity": reference.similarity,
    "choice": reference.choice,
    "gpt-choice": reference_gpt.choice,
    "tagging": reference_tagging.tagging,
    "questions": reference_questions.answering,
}
GOLD: dict[str, Callable[[TaskSet, Path], Any]] = {
    "classification": _labels,
    "similarity": _scores,
    "choice": _choices,
    "gpt-choice": _choices,
    "tagging": _tags,
    "questions": _answers,
}
