"""KorQuAD's scores: every rule of evaluate-v1.0.py on hand-made cases."""

from __future__ import annotations

import pytest

from foretext.metrics.korquad import normalise, scores


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("《춘향전》", "춘향전"),
        ("이순신(1545)", "이순신 1545"),  # a bracket is a space, other punctuation is nothing
        ("3.1 운동", "31 운동"),
        ("'가'\"나\"<다>〈라〉‘마’", "가 나 다 라 마"),
        ("The BBC", "the bbc"),  # articles stay
        ("“가”·나", "“가”·나"),  # other quotes stay
        ("  가 \t나\n", "가 나"),
    ],
)
def test_answers_are_normalised(text: str, expected: str) -> None:
    assert normalise(text) == expected


@pytest.mark.parametrize(
    ("answer", "golds", "exact", "f1"),
    [
        ("1989년", ["1989년"], 1, 1),
        ("1989년에", ["1989년"], 0, 2 * (5 / 6) * 1 / (5 / 6 + 1)),
        ("서울 시", ["서울시"], 0, 1),  # F1 drops spaces, exact match does not
        ("가나다", ["라마", "나다가"], 0, 1),  # a bag of characters, the best gold
        ("가가나", ["가나나"], 0, 2 / 3),
        ("", ["가"], 0, 0),
        ("()", ["''"], 1, 0),  # both empty: equal, but no character in common
    ],
)
def test_exact_match_and_character_f1(
    answer: str, golds: list[str], exact: float, f1: float
) -> None:
    assert scores(answer, golds) == pytest.approx((exact, f1))
