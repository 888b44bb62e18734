"""Answers from scores: the best span over the windows, its rules, and no answer."""

from __future__ import annotations

import itertools
import unicodedata
from typing import Any

import numpy as np
import pytest

from foretext.labelled.squad import Question
from foretext.tasks.qa_answers import AnswerDecoder, Prediction
from foretext.tasks.qa_windows import ContextWindow, borders, most_context
from foretext.text.original import given as as_given

WORDS = [f"w{i}" for i in range(40)]
TEXT = " ".join(WORDS)
STARTS = np.cumsum([0] + [len(word) + 1 for word in WORDS[:-1]])
STOPS = STARTS + [len(word) for word in WORDS]
QUESTION = Question("q", "which", TEXT)
OFFSET = 3  # tokens before the context


def decoder(**changes: Any) -> AnswerDecoder:
    usual: dict[str, Any] = {
        "n_best": 5, "max_answer_length": 4, "allow_impossible": False, "null_threshold": 0.0,
        "joint": False,
    }  # fmt: skip
    return AnswerDecoder(**usual | changes)


def windows_of(max_tokens: int, stride: int) -> list[ContextWindow]:
    cut = borders(len(WORDS), max_tokens, stride)
    return [
        ContextWindow(OFFSET, STARTS[start:stop], STOPS[start:stop], mask)
        for (start, stop), mask in zip(cut, most_context(cut), strict=True)
    ]


def random_scores(windows: list[ContextWindow], seed: int) -> list[np.ndarray]:
    drawn = np.random.default_rng(seed)
    return [
        drawn.normal(size=(2, 1 + OFFSET + len(window.starts) + 1)).astype(np.float32)
        for window in windows
    ]


@pytest.mark.parametrize(("max_tokens", "stride"), [(40, 128), (12, 5), (12, 12), (3, 1)])
def test_the_n_best_are_the_best_of_all_allowed_spans(max_tokens: int, stride: int) -> None:
    """Start where it has most context, end not before it, at most 4 tokens; all pairs tried."""
    windows = windows_of(max_tokens, stride)
    outputs = random_scores(windows, max_tokens)
    every = []
    for output, window in zip(outputs, windows, strict=True):
        start, end = output[:, 1 + OFFSET : -1].astype(np.float64)
        for i, j in itertools.product(range(len(start)), repeat=2):
            if window.has_most_context[i] and i <= j < i + 4:
                every.append((start[i] + end[j], window.starts[i], window.stops[j]))
    best: list[tuple[float, str]] = []
    for score, begin, stop in sorted(every, reverse=True):
        if TEXT[begin:stop] not in [text for _, text in best]:
            best.append((score, TEXT[begin:stop]))
    found = decoder().decode(QUESTION, outputs, windows)
    assert [c.text for c in found.n_best] == [text for _, text in best[:5]]
    assert [c.score for c in found.n_best] == pytest.approx([score for score, _ in best[:5]])
    assert sum(c.probability for c in found.n_best) == pytest.approx(1)
    assert (found.text, TEXT[found.start : found.end]) == (best[0][1], best[0][1])


def test_answers_are_parts_of_the_context_as_it_was_given() -> None:
    """Text, start and end of all candidates: the user has no other context."""
    raw = unicodedata.normalize("NFD", "서울 강남 é")
    context, given = as_given(raw)
    starts, stops = np.array([0, 3, 6]), np.array([2, 5, 7])
    window = ContextWindow(0, starts, stops, np.ones(3, np.bool_))
    output = np.array([[0, 1, 5, 0], [0, 1, 5, 0]], np.float64)
    question = Question("q", "?", context, given=given)
    found = decoder(n_best=20).decode(question, [output], [window])
    assert found.text == unicodedata.normalize("NFD", "강남")
    assert raw[found.start : found.end] == found.text
    for one in found.n_best:
        assert raw[one.start : one.end] == one.text
    assert len(found.n_best) == 6


def test_question_and_special_tokens_are_never_the_answer() -> None:
    windows = windows_of(40, 128)
    (output,) = random_scores(windows, 0)
    output[:, 1 : 1 + OFFSET] = 100
    output[:, -1] = 100
    assert decoder().decode(QUESTION, [output], windows).score < 50


def null_case(**changes: Any) -> Prediction:
    """Null scores 5 and 3 in two windows; the best span scores 2."""
    windows = windows_of(30, 10)
    outputs = [np.full((2, 1 + OFFSET + 30 + 1), -9.0) for _ in windows]
    outputs[0][:, 0], outputs[1][:, 0] = (2, 3), (3, 0)
    outputs[1][0, 1 + OFFSET + 15] = 1.5
    outputs[1][1, 1 + OFFSET + 16] = 0.5
    return decoder(allow_impossible=True, **changes).decode(QUESTION, outputs, windows)


def test_the_null_score_is_the_lowest_of_the_windows_against_the_best_span() -> None:
    found = null_case()
    assert found.null_score == pytest.approx(1)
    assert found.no_answer_probability == pytest.approx(1 / (1 + np.exp(-1)))
    assert (found.text, found.start, found.end) == ("", 0, 0)
    assert found.n_best[0].text == "w25 w26"


@pytest.mark.parametrize(("threshold", "text"), [(0.9, ""), (1.0, "w25 w26"), (1.1, "w25 w26")])
def test_no_answer_is_given_above_the_threshold(threshold: float, text: str) -> None:
    """run_squad.py: score_diff > null_score_diff_threshold."""
    assert null_case(null_threshold=threshold).text == text


def test_the_joint_heads_logit_alone_is_the_null_score() -> None:
    assert null_case(joint=True).null_score == 3


def test_without_impossible_questions_there_is_always_an_answer() -> None:
    windows = windows_of(40, 128)
    (output,) = random_scores(windows, 0)
    output[:, 0] = 100
    assert decoder().decode(QUESTION, [output], windows).text


def test_a_context_without_tokens_gives_no_answer() -> None:
    nothing = np.zeros(0, np.int64)
    window = ContextWindow(OFFSET, nothing, nothing, nothing.astype(np.bool_))
    found = decoder().decode(Question("q", "?", "\u200b"), [np.zeros((2, 5))], [window])
    assert (found.text, found.n_best, found.line) == ("", (), "\t1.0000")


def test_equal_texts_are_one_candidate_and_a_line_is_one_line() -> None:
    text = "yes\nno yes\nno"
    starts, stops = np.array([0, 4, 7, 11]), np.array([3, 6, 10, 13])
    window = ContextWindow(0, starts, stops, np.ones(4, np.bool_))
    output = np.array([[0, 5, -9, 4, -9], [0, -9, 5, -9, 4]], np.float64)
    found = decoder(n_best=20).decode(Question("q", "?", text), [output], [window])
    texts = [candidate.text for candidate in found.n_best]
    assert len(texts) == len(set(texts))
    assert found.text == "yes\nno"
    assert found.line.split("\t")[0] == "yes no"
