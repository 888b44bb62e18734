"""The span of the context that stands among the rarest words of the question.

Papers: Richardson et al. 2013, https://aclanthology.org/D13-1020, algorithm 1 (sliding window:
words weigh log(1 + 1 / count in the context)); Rajpurkar et al. 2016, section 5, which runs it on
SQuAD. Deviation: candidates are all spans of a few words, as long as the training file's answers
mostly are, for there is no parser here; a span has no word of the question.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from foretext.labelled.squad import Question
from foretext.tasks.qa_answers import Prediction
from foretext.tasks.question_answering import QuestionAnsweringConfig

_WORD = re.compile(r"\w+")
_REACH = 8  # words on either side of a candidate that count


def sliding_window(
    train: Sequence[Question],
    config: QuestionAnsweringConfig,  # noqa: ARG001  (a config is every baseline's second argument)
) -> dict[str, Callable[[Sequence[Question]], list[Prediction]]]:
    """Answers of the length that is the median of the training file's."""
    lengths = [len(_WORD.findall(text)) for question in train for text in question.texts[:1]]
    length = max(1, int(np.median(lengths))) if lengths else 1
    return {"words near the question's": partial(_answers, length)}


def _answers(length: int, questions: Sequence[Question]) -> list[Prediction]:
    return [_answer(length, question) for question in questions]


def _answer(length: int, question: Question) -> Prediction:
    places = list(_WORD.finditer(question.context))
    words = [place.group().lower() for place in places]
    asked = {match.group().lower() for match in _WORD.finditer(question.question)}
    counts = Counter(words)
    weights = [np.log1p(1 / counts[word]) if word in asked else 0.0 for word in words]
    sums = np.concatenate([[0.0], np.cumsum(weights)])
    length = max(1, min(length, len(words)))
    starts = np.arange(max(len(words) - length + 1, 0))
    inside = sums[starts + length] - sums[starts]
    around = sums[np.minimum(starts + length + _REACH, len(words))]
    around = around - sums[np.maximum(starts - _REACH, 0)]
    scores = np.where(inside > 0, -1.0, around)
    first = int(scores.argmax()) if len(scores) else 0
    span = (places[first].start(), places[first + length - 1].end()) if places else (0, 0)
    text, start, end = question.part(*span)
    score = float(scores[first]) if len(scores) else 0.0
    return Prediction(
        id=question.id,
        text=text,
        start=start,
        end=end,
        score=score,
        probability=1.0,
        no_answer_probability=0.0,
        null_score=-score,
        n_best=(),
    )
