"""Scores of windows to answers: the best spans of an example, and whether it has an answer at all.

Papers: Devlin et al. 2019, section 4.2 and run_squad.py (n-best over windows, start and end in the
context, start where it has most context, length, null score = minimum over windows); Clark et al.
2020 and Yang et al. 2019 (the null score is the answerability logit).
Deviation: the best of all spans are found, where run_squad.py pairs the 20 best starts with the 20
best ends, of which some are in the question.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretext.labelled.squad import Question
from foretext.tasks.qa_windows import ContextWindow


@dataclass(frozen=True, slots=True)
class Candidate:
    """A part of the context."""

    text: str
    start: int  # character of the context as it was given
    end: int  # the character after the last
    score: float  # start logit + end logit
    probability: float  # among the candidates; in [0, 1]


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer to a question; text is "" and start = end = 0 where there is none."""

    id: str
    text: str
    start: int  # character of the context as it was given
    end: int  # the character after the last
    score: float  # start logit + end logit of the best candidate
    probability: float  # of the text among the candidates (and no answer, where it may be)
    no_answer_probability: float  # logistic function of null_score
    null_score: float  # no answer above task.null_threshold
    n_best: tuple[Candidate, ...]  # best first; without "no answer"

    @property
    def line(self) -> str:
        """The answer, a tab and its probability."""
        return f"{' '.join(self.text.split())}\t{self.probability:.4f}"


@dataclass(frozen=True, kw_only=True)
class AnswerDecoder:
    """The answer of an example from the scores of its windows."""

    n_best: int
    max_answer_length: int  # tokens
    allow_impossible: bool
    null_threshold: float
    joint: bool  # the null score is a logit of its own, and not compared to the best span's

    def decode(
        self, question: Question, outputs: Sequence[NDArray[Any]], windows: Sequence[ContextWindow]
    ) -> Prediction:
        """The prediction.

        Args:
            outputs: of each window [2, 1 + tokens]: scores of start and end; the first column's
                sum is the score of no answer.
        """
        spans = self._spans(question.context, outputs, windows)
        null = min(float(output[:, 0].sum()) for output in outputs)
        best = spans[0][0] if spans else -np.inf
        difference = null if self.joint else null - (best if spans else 0.0)
        empty = not spans or (self.allow_impossible and difference > self.null_threshold)
        candidates = _candidates(question, spans)
        absent = _logistic(difference)
        rest = (1.0 - absent) if self.allow_impossible else 1.0
        text, start, end, share = "", 0, 0, absent if self.allow_impossible else 1.0
        if not empty:
            text, start, end = candidates[0].text, candidates[0].start, candidates[0].end
            share = candidates[0].probability * rest
        return Prediction(
            id=question.id,
            text=text,
            start=start,
            end=end,
            score=float(best) if spans else 0.0,
            probability=share,
            no_answer_probability=absent,
            null_score=difference,
            n_best=candidates,
        )

    def _spans(
        self, context: str, outputs: Sequence[NDArray[Any]], windows: Sequence[ContextWindow]
    ) -> list[tuple[float, int, int]]:
        """Score, first character and last + 1 of the best spans; of equal texts the best one."""
        found = [
            span
            for output, window in zip(outputs, windows, strict=True)
            for span in self._of_window(output[:, 1:].astype(np.float64), window)
        ]
        kept: list[tuple[float, int, int]] = []
        texts: set[str] = set()
        for score, start, stop in sorted(found, key=lambda span: -span[0]):
            if len(kept) < self.n_best and (text := context[start:stop]) not in texts:
                texts.add(text)
                kept.append((score, start, stop))
        return kept

    def _of_window(
        self, output: NDArray[Any], window: ContextWindow
    ) -> list[tuple[float, int, int]]:
        """The best spans of one window, several times as many as are kept."""
        tokens = len(window.starts)
        if not tokens:
            return []
        start, end = output[:, window.offset : window.offset + tokens]
        start = np.where(window.has_most_context, start, -np.inf)
        width = min(self.max_answer_length, tokens)
        padded = np.concatenate([end, np.full(width - 1, -np.inf)])
        scores = start[:, None] + np.lib.stride_tricks.sliding_window_view(padded, width)
        count = min(4 * self.n_best, scores.size)
        best = np.argpartition(scores, scores.size - count, axis=None)[-count:]
        firsts, lasts = best // width, best // width + best % width
        lasts = np.minimum(lasts, tokens - 1)
        values = scores.ravel()[best]
        characters = window.starts[firsts], window.stops[lasts]
        good = np.isfinite(values) & (characters[0] < characters[1])
        rows = zip(*(array[good].tolist() for array in (values, *characters)), strict=True)
        return [(float(value), int(a), int(b)) for value, a, b in rows]


def _candidates(
    question: Question, spans: Sequence[tuple[float, int, int]]
) -> tuple[Candidate, ...]:
    scores = np.array([score for score, _, _ in spans])
    weights = np.exp(scores - scores.max()) if len(scores) else scores
    shares = (weights / weights.sum()).tolist() if len(scores) else []
    return tuple(
        Candidate(*question.part(start, stop), score, share)
        for (score, start, stop), share in zip(spans, shares, strict=True)
    )


def _logistic(logit: float) -> float:
    return float(np.exp(-np.logaddexp(0.0, -logit)))
