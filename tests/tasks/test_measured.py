"""Every task names what it can measure, so that a wrong finetune.metric is found beforehand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from foretext.tasks import TASKS

# A task, its settings, and records of its meter.
CASES: list[tuple[str, dict[str, Any], list[list[float]]]] = [
    ("classification", {"labels": ("a", "b")}, [[0, 0, 0.1], [1, 0, 2.0]]),
    ("classification", {"labels": ("a", "b", "c")}, [[0, 2, 1.0]]),
    ("similarity", {}, [[1.0, 2.0], [2.0, 3.0]]),
    ("multiple-choice", {}, [[0, 1, 1.0]]),
    ("question-answering", {"allow_impossible": True}, [[1, 1, n, 0, 1, 1, 1] for n in (0, 1)]),
    ("question-answering", {"allow_impossible": False}, [[1, 1, 1, 0, 1, 1, 1]]),
    ("tagging", {"labels": ("O", "B-X", "I-X"), "scheme": "iob2"}, [[1, 2, 1, 1, 1, 1, 1, 1]]),
    ("tagging", {"labels": ("DET", "NOUN"), "scheme": "plain"}, [[1, 2]]),
]


@pytest.mark.parametrize(("name", "config", "records"), CASES)
def test_what_a_task_says_that_it_measures_is_what_its_meter_gives(
    name: str, config: dict[str, Any], records: list[list[float]]
) -> None:
    module = TASKS[name]
    task = module.Build(module.Config(**config))
    found = task.meter().measure(np.array(records, np.float64))
    assert set(task.measured) == {n for n in found if not n.endswith(("total", "thresh"))}
    assert task.metric in task.measured


def test_every_task_is_asked() -> None:
    assert {name for name, _, _ in CASES} == set(TASKS)
