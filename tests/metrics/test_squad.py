"""SQuAD's scores: every rule of evaluate-v1.1.py and evaluate-v2.0.py on hand-made cases."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretext.metrics.squad import (
    balanced_threshold,
    best_threshold,
    evaluate,
    normalise,
    scores,
    summary,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The Cat", "cat"),
        ("an  apple,\ta pear\n", "apple pear"),
        ("theatre another AAA", "theatre another aaa"),  # articles are whole words
        ("U.S.A.", "usa"),  # punctuation goes before articles, so words may join
        ("a.b", "ab"),
        ("the-end", "theend"),
        ("O'Neill’s “x” — €5", "oneill’s “x” — €5"),  # ASCII punctuation alone
        ("a. the, an!", ""),
        ("naïve the", "naïve"),
        ("...", ""),
    ],
)
def test_answers_are_normalised(text: str, expected: str) -> None:
    assert normalise(text) == expected


@pytest.mark.parametrize(
    ("answer", "golds", "exact", "f1"),
    [
        ("the cat", ["Cat."], 1, 1),
        ("cat", ["dog"], 0, 0),
        ("black cat", ["cat"], 0, 2 / 3),
        ("cat cat dog", ["cat dog dog"], 0, 2 / 3),  # bags: cat once, dog once
        ("a big black cat", ["dog", "black cat", "big cat"], 0, 0.8),
        ("cat", ["dog", "the cat"], 1, 1),  # the best of the golds
        ("New York City", ["new york", "York City"], 0, 0.8),
    ],
)
@pytest.mark.parametrize("empty_counts", [False, True])
def test_exact_match_and_f1(
    answer: str, golds: list[str], exact: float, f1: float, empty_counts: bool
) -> None:
    assert scores(answer, golds, empty_counts=empty_counts) == pytest.approx((exact, f1))


@pytest.mark.parametrize(
    ("answer", "golds", "version_1", "version_2"),
    [
        ("", ["the"], (1, 0), (1, 1)),  # both empty: 1.1's F1 is 0
        ("", ["cat"], (0, 0), (0, 0)),
        ("cat", ["the"], (0, 0), (0, 0)),
        ("cat", ["", "cat"], (1, 1), (1, 1)),
        ("", ["!", "cat"], (1, 0), (0, 0)),  # 2.0 drops golds that normalise to nothing
        ("the", [], (0, 0), (1, 1)),  # 2.0 takes "" where no gold is left
        ("cat", [], (0, 0), (0, 0)),
    ],
)
def test_empty_answers(
    answer: str, golds: list[str], version_1: tuple[int, int], version_2: tuple[int, int]
) -> None:
    assert scores(answer, golds, empty_counts=False) == version_1
    assert scores(answer, golds, empty_counts=True) == version_2


GOLDS = {"q1": ["cat"], "q2": ["black dog"], "q3": [], "q4": []}


def test_a_missing_answer_scores_0_in_version_1_and_is_left_out_in_version_2() -> None:
    only = {name: golds for name, golds in GOLDS.items() if golds}
    found = evaluate(only, {"q1": "cat"}, version="1.1")
    assert found == {"exact": 50, "f1": 50, "total": 2}
    assert evaluate(only, {"q1": "cat"}, version="2.0") == {"exact": 100, "f1": 100, "total": 1}


def test_version_2_reports_either_kind_of_question() -> None:
    answers = {"q1": "cat", "q2": "dog", "q3": "", "q4": "bird"}
    assert evaluate(GOLDS, answers, version="2.0") == pytest.approx(
        {
            "exact": 50,
            "f1": 100 * (1 + 2 / 3 + 1 + 0) / 4,
            "total": 4,
            "HasAns_exact": 50,
            "HasAns_f1": 100 * (1 + 2 / 3) / 2,
            "HasAns_total": 2,
            "NoAns_exact": 50,
            "NoAns_f1": 50,
            "NoAns_total": 2,
        }
    )


def test_the_best_thresholds_by_hand() -> None:
    """Start from the 2 without answer; q1 + 1, q4 - 1, q2 + 2/3 (F1) or 0 (exact), q3: "" + 0."""
    answers = {"q1": "cat", "q2": "dog", "q3": "", "q4": "bird"}
    nulls = {"q1": 0.1, "q4": 0.2, "q2": 0.3, "q3": 0.4}
    found = evaluate(GOLDS, answers, version="2.0", null_scores=nulls)
    assert (found["best_exact"], found["best_exact_thresh"]) == (75, 0.1)
    assert (found["best_f1"], found["best_f1_thresh"]) == (75, 0.1)
    nulls["q4"] = 0.9
    found = evaluate(GOLDS, answers, version="2.0", null_scores=nulls)
    assert found["best_f1"] == pytest.approx(100 * (2 + 1 + 2 / 3) / 4)
    assert found["best_f1_thresh"] == 0.3


def test_the_best_scores_begin_with_every_question_without_an_answer() -> None:
    """Predicted or not: of q3 and q4 one is missing, but 2 is where the script starts."""
    answers, nulls = {"q1": "cat", "q2": "dog", "q4": "bird"}, {"q1": 0.1, "q4": 0.2, "q2": 0.3}
    found = evaluate(GOLDS, answers, version="2.0", null_scores=nulls)
    assert found["total"] == 3
    assert (found["best_exact"], found["best_exact_thresh"]) == (100, 0.1)  # (2 + 1) / 3
    del answers["q4"]
    found = evaluate(GOLDS, answers, version="2.0", null_scores=nulls)
    assert found["best_f1"] == pytest.approx(100 * (2 + 1 + 2 / 3) / 2)  # more than all of them
    assert "NoAns_total" not in found
    assert "best_f1" not in evaluate(GOLDS, answers, version="2.0")


def test_the_best_scores_equal_the_scripts_loop() -> None:
    """The search of evaluate-v2.0.py, line by line, over data sets with missing predictions."""
    drawn = np.random.default_rng(1)
    for _ in range(40):
        ids = [f"q{i}" for i in range(9)]
        golds = {i: ["cat"] if drawn.random() < 0.5 else [] for i in ids}
        kept = [i for i in ids if drawn.random() < 0.7] or ids[:1]
        answers = {i: str(drawn.choice(["cat", "black cat", ""])) for i in kept}
        nulls = {i: float(drawn.integers(-3, 7)) / 5 for i in drawn.permutation(kept)}
        marks = {i: scores(answers[i], golds[i], empty_counts=True).f1 for i in kept}
        current = best = float(sum(not golds[i] for i in ids))
        threshold = 0.0
        for i in sorted(nulls, key=lambda i: nulls[i]):
            current += marks[i] if golds[i] else -1.0 if answers[i] else 0.0
            if current > best:
                best, threshold = current, nulls[i]
        found = evaluate(golds, answers, version="2.0", null_scores=nulls)
        if all(golds.values()):
            continue
        assert found["best_f1"] == pytest.approx(100 * best / len(kept))
        assert found["best_f1_thresh"] == threshold
        final = [float(not golds[i]) if nulls[i] > 1 else marks[i] for i in kept]
        assert found["f1"] == pytest.approx(100 * sum(final) / len(kept))


def test_an_answer_is_never_worth_it_where_every_answer_is_wrong() -> None:
    found = evaluate(
        GOLDS, dict.fromkeys(GOLDS, "x"), version="2.0", null_scores=dict.fromkeys(GOLDS, 0.5)
    )
    assert (found["best_f1"], found["best_f1_thresh"]) == (50, 0.0)
    nulls = dict(zip(GOLDS, (-0.5, 0.0, 0.5, 1.0), strict=True))
    found = evaluate(GOLDS, dict.fromkeys(GOLDS, "x"), version="2.0", null_scores=nulls)
    assert (found["best_f1"], found["best_f1_thresh"]) == (50, 0.0)  # where the script begins
    wrong = best_threshold(
        np.zeros(2), np.array([-7.0, 3.0]), np.array([True, False]), np.array([True, True])
    )
    assert wrong == (0.5, -8.0)


def test_the_best_threshold_equals_trying_every_one() -> None:
    drawn = np.random.default_rng(0)
    for _ in range(30):
        nulls = drawn.permutation(9).astype(np.float64)
        has, scored = drawn.random(9) < 0.5, drawn.random(9)
        answered = np.ones(9, np.bool_)
        tried = [
            np.where(nulls > threshold, ~has, np.where(has, scored, 0)).mean()
            for threshold in itertools.chain([-1.0], nulls)
        ]
        found = best_threshold(scored, nulls, has, answered)
        assert found.score == pytest.approx(max(tried))
        reached = np.where(nulls > found.threshold, ~has, np.where(has, scored, 0)).mean()
        assert reached == pytest.approx(found.score)


def test_the_balanced_threshold_serves_the_worse_kind_best() -> None:
    """Of 1 + 3 questions: saying nothing is right in 3 of 4, but in none with an answer."""
    has = np.array([True, False, False, False])
    scored, nulls = np.array([0.9, 0, 0, 0]), np.array([0.3, 0.1, 0.2, 0.4])
    every = (scored, nulls, has, np.ones(4, np.bool_))
    assert best_threshold(*every) == (0.75, 0.0)
    even = balanced_threshold(*every)
    assert even.score == pytest.approx(1 / 3)  # of 0.9 and 1 / 3
    assert even.threshold == 0.3


@given(st.integers(0, 10**6))
def test_the_balanced_threshold_equals_trying_every_one(seed: int) -> None:
    drawn = np.random.default_rng(seed)
    nulls = drawn.permutation(9).astype(np.float64)
    has, scored, answered = drawn.permutation(9) < 4, drawn.random(9), drawn.random(9) < 0.8
    scored[~answered] = 0

    def reached(threshold: float) -> float:
        right = np.where((nulls > threshold) | ~answered, ~has, np.where(has, scored, 0))
        return min(right[has].mean(), right[~has].mean())

    found = balanced_threshold(scored, nulls, has, answered)
    best = max(reached(threshold) for threshold in (-1.0, *nulls))
    assert found.score == pytest.approx(best)
    assert reached(found.threshold) == pytest.approx(best)


def test_records_of_answerable_questions_have_no_further_figures() -> None:
    records = np.array([[1, 1, 1, 0.3, 1, 1, 1], [0, 0.5, 1, 0.1, 0, 0.5, 1]])
    assert summary(records) == {"exact": 50, "f1": 75, "total": 2}
