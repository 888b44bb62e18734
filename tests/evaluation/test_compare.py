"""Two models on one file: intervals as scipy's, pairs kept, label orders reconciled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats as scipy_stats

from foretext.core.errors import ConfigError, DataError
from foretext.evaluation.compare import Comparison, Difference, compare, paired_bootstrap
from foretext.evaluation.labelled import evaluate
from foretext.inference.task_run import load_task
from foretext.runs.finetune import FinetuneOptions, finetune
from foretext.tasks.classification import ClassificationMetric
from foretext.text.errors import CorpusStats
from tests.tasks.questions import question_file, questions
from tests.tasks.tagged import tag_file
from tests.tasks.test_multiple_choice import choice_file
from tests.tasks.test_similarity import pair_file
from tests.tasks.tiny import backbone_folder, pairs, sentence_file, write_tsv


def records(count: int, right: float, seed: int) -> NDArray[np.float64]:
    """Gold class, answer, loss of a model that is right so often."""
    drawn = np.random.default_rng(seed)
    gold = np.random.default_rng(99).integers(0, 2, count)
    wrong = drawn.random(count) >= right
    return np.stack([gold, np.where(wrong, 1 - gold, gold), drawn.random(count)], axis=1)


def hits(found: NDArray[np.float64]) -> NDArray[np.float64]:
    return (found[:, 0] == found[:, 1]).astype(float)


@pytest.mark.parametrize(("one", "other"), [(0.7, 0.8), (0.75, 0.75), (0.9, 0.5)])
def test_the_interval_of_accuracy_is_scipys(one: float, other: float) -> None:
    """Both draw at random, so they agree but for the noise of 10,000 draws."""
    first, second = records(300, one, 1), records(300, other, 2)
    measure = ClassificationMetric(("0", "1")).measure
    found = paired_bootstrap(first, second, measure)["accuracy"]
    reference = scipy_stats.bootstrap(
        (hits(first), hits(second)),
        lambda a, b, axis: b.mean(axis) - a.mean(axis),
        paired=True,
        method="percentile",
        n_resamples=10_000,
        rng=np.random.default_rng(0),
    ).confidence_interval
    assert found.difference == pytest.approx(hits(second).mean() - hits(first).mean())
    assert found.low == pytest.approx(reference.low, abs=0.004)
    assert found.high == pytest.approx(reference.high, abs=0.004)


def test_pairs_make_the_interval_narrower_than_two_samples_would() -> None:
    """A model against one that differs from it on five of 300 examples."""
    first = records(300, 0.7, 1)
    second = first.copy()
    second[:5, 1] = second[:5, 0]
    measure = ClassificationMetric(("0", "1")).measure
    found = paired_bootstrap(first, second, measure, resamples=2000)["accuracy"]
    unpaired = 1.96 * np.sqrt(2 * 0.7 * 0.3 / 300)
    assert found.high - found.low < unpaired / 2
    same = paired_bootstrap(first, first, measure, resamples=50)["f1"]
    assert (same.low, same.high, same.significant) == (0.0, 0.0, False)


def test_the_draws_are_a_function_of_the_records_alone() -> None:
    first, second = records(100, 0.7, 1), records(100, 0.8, 2)
    measure = ClassificationMetric(("0", "1")).measure
    np.random.seed(1)
    one = paired_bootstrap(first, second, measure, resamples=200)
    assert one == paired_bootstrap(first, second, measure, resamples=200)


def test_numbers_that_are_not_better_or_worse_are_left_out() -> None:
    """SQuAD's totals and thresholds; and a metric that some draws lack is measured on the rest."""

    def measure(rows: NDArray[np.float64]) -> dict[str, float]:
        found = {"f1": float(rows[:, 0].mean()), "total": 3.0, "best_f1_thresh": 1.0}
        return found | ({"HasAns_f1": 1.0} if rows[:, 1].any() else {})

    rows = np.array([[0.0, 1.0], [1.0, 0.0], [1.0, 0.0]])
    found = paired_bootstrap(rows, rows + 1.0, measure, resamples=100)
    assert list(found) == ["f1", "HasAns_f1"]
    assert found["HasAns_f1"].high == 0.0


@pytest.mark.parametrize(
    ("name", "low", "high", "expected"),
    [
        ("f1", 0.01, 0.03, "B is better"),
        ("f1", -0.03, -0.01, "A is better"),
        ("loss", -0.03, -0.01, "B is better"),
        ("f1", -0.01, 0.03, "no difference that this file can show"),
    ],
)
def test_the_verdict_says_what_the_interval_says(
    name: str, low: float, high: float, expected: str
) -> None:
    one = Difference(first=0.5, second=0.5 + (low + high) / 2, low=low, high=high)
    found = Comparison(
        first=Path("a"), second=Path("b"), examples=9, resamples=9, metrics={name: one}
    )
    assert found.verdict(name) == expected


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models of the same task, of other labels, and of labels in another order."""
    folder = tmp_path_factory.mktemp("compare")
    backbone = backbone_folder(folder / "backbone", "bert", noise=0.3)
    train = sentence_file(folder / "train.tsv", 30, 0)
    other = write_tsv(folder / "other.tsv", ["premise", "hypothesis", "label"], pairs(30, 0))
    runs: dict[str, tuple[Path, dict[str, Any]]] = {
        "a": (train, {"training.seed": 0}),
        "b": (train, {"training.seed": 5}),
        "turned": (train, {"training.seed": 5, "task.labels": ("good", "bad")}),
        "labels": (other, {}),
    }
    for name, (path, settings) in runs.items():
        options = FinetuneOptions(
            settings=settings | {"training.steps": 2, "training.head_learning_rate": 0.02}
        )
        finetune(backbone, "classification", train=path, out=folder / name, options=options)
    sentence_file(folder / "test.tsv", 40, 9)
    return folder


def test_each_side_is_what_evaluate_measures(place: Path) -> None:
    found = compare(place / "a", place / "b", place / "test.tsv", resamples=20)
    assert found.examples == 40
    for name, side in (("a", "first"), ("b", "second")):
        metrics = evaluate(place / name, place / "test.tsv")
        sides = {metric: getattr(one, side) for metric, one in found.metrics.items()}
        assert sides == pytest.approx(metrics)


def squad_file(path: Path, count: int, seed: int) -> Path:
    return question_file(path.with_suffix(".json"), questions(count, seed, impossible=0.4))


@pytest.mark.parametrize(
    ("task", "write"),
    [
        ("similarity", pair_file),
        ("multiple-choice", choice_file),
        ("tagging", tag_file),
        ("question-answering", squad_file),
    ],
)
def test_every_tasks_metrics_are_compared(tmp_path: Path, task: str, write: Any) -> None:
    """Entity F1, SQuAD's F1 with its two parts and correlations, from records drawn again."""
    suffix = ".conll" if task == "tagging" else ".tsv"
    train, test = (
        write(tmp_path / f"{name}{suffix}", 30, seed) for name, seed in (("train", 0), ("test", 9))
    )
    backbone = backbone_folder(tmp_path / "backbone", "bert", num_layers=1)
    for name, steps in (("a", 1), ("b", 60)):
        settings = {"training.steps": steps, "training.learning_rate": 3e-3}
        options = FinetuneOptions(settings=settings)
        finetune(backbone, task, train=train, out=tmp_path / name, options=options)
    found = compare(tmp_path / "a", tmp_path / "b", test, resamples=20)
    assert found.examples == 30
    for name, side in (("a", "first"), ("b", "second")):
        metrics = evaluate(tmp_path / name, test)
        sides = {metric: getattr(one, side) for metric, one in found.metrics.items()}
        assert sides == pytest.approx({metric: metrics[metric] for metric in sides}, nan_ok=True)
        assert load_task(tmp_path / name).task.metric in sides
    assert any(one.low < one.high for one in found.metrics.values())


def test_another_order_of_the_labels_changes_no_meaning(place: Path) -> None:
    """F1 is that of the first model's second label, for both."""
    turned = load_task(place / "turned")
    assert turned.recipe.task.labels == ("good", "bad")
    found = compare(place / "a", turned, place / "test.tsv", resamples=20).metrics
    accuracy = evaluate(turned, place / "test.tsv")["accuracy"]
    assert found["accuracy"].second == pytest.approx(accuracy)
    back = compare(turned, place / "a", place / "test.tsv", resamples=20).metrics
    assert back["accuracy"].first == found["accuracy"].second
    assert back["f1"].first != pytest.approx(found["f1"].second)


def test_models_that_cannot_be_compared_are_refused(place: Path) -> None:
    with pytest.raises(ConfigError, match=r"knows the labels 'bad', 'good' and .* 'no', 'yes'"):
        compare(place / "a", place / "labels", place / "test.tsv")
    with pytest.raises(ConfigError, match="resamples=0 must be at least 1"):
        compare(place / "a", place / "b", place / "test.tsv", resamples=0)
    with pytest.raises(ConfigError, match="was not fine-tuned"):
        compare(place / "a", place / "backbone", place / "test.tsv")


def test_a_bad_row_is_named_or_left_out_for_both(place: Path, tmp_path: Path) -> None:
    path = sentence_file(tmp_path / "t.tsv", 10, 9)
    with path.open("a", encoding="utf-8") as file:
        file.write("a film\tunheard\n")
    with pytest.raises(DataError, match=r"t\.tsv:12: the label 'unheard'"):
        compare(place / "a", place / "b", path)
    stats = CorpusStats()
    found = compare(place / "a", place / "b", path, resamples=5, on_error="skip", stats=stats)
    assert (found.examples, stats.skipped) == (10, 2)
