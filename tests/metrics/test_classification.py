"""Metrics from a confusion matrix, against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest

from foretext.metrics.classification import accuracy, f1, mcc
from foretext.tasks.classification import ClassificationMetric, Prediction
from foretext.tasks.columns import TextExample

sklearn_metrics = pytest.importorskip("sklearn.metrics")


def confusion_of(gold: list[int], answers: list[int], classes: int) -> np.ndarray:
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (gold, answers), 1)
    return confusion


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("classes", [2, 4])
def test_metrics_equal_scikit_learn(seed: int, classes: int) -> None:
    drawn = np.random.default_rng(seed)
    gold = drawn.integers(0, classes, 57).tolist()
    answers = np.where(drawn.random(57) < 0.5, gold, drawn.integers(0, classes, 57)).tolist()
    confusion = confusion_of(gold, answers, classes)
    assert accuracy(confusion) == pytest.approx(sklearn_metrics.accuracy_score(gold, answers))
    assert mcc(confusion) == pytest.approx(sklearn_metrics.matthews_corrcoef(gold, answers))
    if classes == 2:
        assert f1(confusion) == pytest.approx(sklearn_metrics.f1_score(gold, answers))


def test_metrics_of_one_class_are_zero_not_undefined() -> None:
    """As scikit-learn with zero_division=0: no correlation, no F1."""
    always_first = confusion_of([0, 1, 0], [0, 0, 0], 2)
    assert mcc(always_first) == 0.0
    assert f1(confusion_of([0, 0], [0, 0], 2)) == 0.0
    assert accuracy(np.zeros((2, 2), np.int64)) == 0.0


def test_mcc_of_large_counts_does_not_overflow() -> None:
    """Products of four sums of a billion pass 2**63."""
    assert mcc(np.array([[10**10, 0], [0, 10**10]])) == pytest.approx(1.0)


def test_baseline_is_the_best_constant_answer() -> None:
    """For accuracy the majority class; for F1 always the positive class."""
    meter = ClassificationMetric(("no", "yes"))
    for label in ["no"] * 7 + ["yes"] * 3:
        meter.add(TextExample(("x",), label), Prediction("no", {"no": 0.5, "yes": 0.5}))
    assert meter.baseline() == {"accuracy": 0.7, "f1": pytest.approx(6 / 13), "mcc": 0.0}
    assert meter.result()["loss"] == pytest.approx(np.log(2))
