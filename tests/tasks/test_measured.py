"""Every task names what it can measure, so that a wrong finetune.metric is found beforehand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foretext.runs.finetune import FinetuneOptions, finetune
from foretext.tasks import TASKS
from foretext.tasks.datasets import DATASETS
from tests.tasks.tiny import backbone_folder, pairs, write_tsv

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
    ("text-to-text", {}, [[1.0] * 29]),
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


def test_a_data_sets_own_metric_asks_for_no_development_file(tmp_path: Path) -> None:
    """mrpc chooses by F1; without --dev nothing is chosen."""
    assert DATASETS["mrpc"].settings["finetune.metric"] == "f1"
    rows = [(str(int(label == "yes")), a, b) for a, b, label in pairs(6, 0)]
    train = write_tsv(tmp_path / "t.tsv", ["Quality", "#1 String", "#2 String"], rows)
    backbone = backbone_folder(tmp_path / "backbone", "bert")
    options = FinetuneOptions(settings={"training.steps": 1})
    assert finetune(backbone, "mrpc", train=train, out=tmp_path / "out", options=options).finished


def test_ud_pos_knows_tags_that_a_small_file_lacks() -> None:
    """Universal Dependencies 2 has 17."""
    labels = DATASETS["ud-pos"].settings["task.labels"]
    assert len(set(labels)) == 17
    assert {"X", "SYM", "INTJ"} < set(labels)
