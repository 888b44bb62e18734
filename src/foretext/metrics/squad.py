"""The official scores of SQuAD 1.1 and 2.0, and the search for the best no-answer threshold.

Papers: Rajpurkar et al. 2016 and 2018, with evaluate-v1.1.py and evaluate-v2.0.py. The two differ
in what is empty: 2.0 drops gold answers that normalise to nothing and takes "" where none is left,
and its F1 of two empty answers is 1, that of 1.1 is 0.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_ARTICLES = re.compile(r"\b(a|an|the)\b", re.UNICODE)
_NULL_LIMIT = 1.0  # --na-prob-thresh as evaluate-v2.0.py has it: no probability is above
_PUNCTUATION = str.maketrans("", "", string.punctuation)


class Scores(NamedTuple):
    """Of one answer, in [0, 1]."""

    exact: float
    f1: float


class Rules(NamedTuple):
    """What two answers are compared by."""

    normalise: Callable[[str], str]
    tokens: Callable[[str], Sequence[str]]  # of a normalised answer


def normalise(text: str) -> str:
    """Lower case, without ASCII punctuation and articles, words joined by one space."""
    bare = text.lower().translate(_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", bare).split())


RULES = Rules(normalise, str.split)


def scores(
    answer: str, golds: Sequence[str], *, empty_counts: bool, rules: Rules = RULES
) -> Scores:
    """The best exact match and the best F1 over the gold answers.

    Args:
        answer: predicted; "" = no answer.
        golds: none = the question has no answer.
        empty_counts: as in SQuAD 2.0, see the module docstring; else as in 1.1.
        rules: of SQuAD, or another data set's.
    """
    wanted = [rules.normalise(gold) for gold in golds]
    if empty_counts:
        wanted = [gold for gold in wanted if gold] or [""]
    found = rules.normalise(answer)
    tokens = rules.tokens(found)
    return Scores(
        exact=float(any(found == gold for gold in wanted)),
        f1=max((_f1(tokens, rules.tokens(gold), empty_counts) for gold in wanted), default=0.0),
    )


def _f1(found: Sequence[str], gold: Sequence[str], empty_counts: bool) -> float:
    if empty_counts and not (found and gold):
        return float(not found and not gold)
    same = (Counter(found) & Counter(gold)).total()
    if not same:
        return 0.0
    precision, recall = same / len(found), same / len(gold)
    return 2 * precision * recall / (precision + recall)


class Best(NamedTuple):
    """The best mean score that a threshold reaches, in [0, 1], and the threshold."""

    score: float
    threshold: float


def best_threshold(
    scored: NDArray[np.float64],
    null_scores: NDArray[np.float64],
    has_answer: NDArray[np.bool_],
    answered: NDArray[np.bool_],
    *,
    unscored: int = 0,
    nowhere: float | None = None,
) -> Best:
    """Which questions to leave without an answer: those whose null score is above the threshold.

    Args:
        scored: of each question's answer, [n], n at least 1.
        null_scores: the higher, the likelier it has no answer, [n].
        has_answer: by the gold, [n].
        answered: the predicted answer is not empty, [n].
        unscored: further questions without an answer, which were not predicted; the script begins
            with all of the data set and divides by the predicted ones, so it may exceed 1.
        nowhere: the threshold to report where no question should be answered, the script's 0; None
            = one below every null score, 0 if they are positive.
    """
    order = np.argsort(null_scores, kind="stable")
    gains = np.where(has_answer, scored, -answered.astype(np.float64))[order]
    # Added up from the script's beginning and in its order, so that rounding is its own too.
    sums = np.cumsum([float((~has_answer).sum()) + unscored, *gains])
    best = int(sums.argmax())
    if best:
        threshold = float(null_scores[order[best - 1]])
    elif nowhere is None:
        lowest = float(null_scores.min())
        threshold = 0.0 if lowest > 0 else lowest - 1.0
    else:
        threshold = nowhere
    return Best(float(sums[best]) / len(scored), threshold)


def balanced_threshold(
    scored: NDArray[np.float64],
    null_scores: NDArray[np.float64],
    has_answer: NDArray[np.bool_],
    answered: NDArray[np.bool_],
) -> Best:
    """The threshold at which the worse of the two kinds of questions is served best.

    The official one weighs the kinds by how many there are, and where a model hardly tells them
    apart it gives up one of them.

    Args: as best_threshold; both kinds occur.

    Returns:
        The smaller of the mean scores of questions with and without an answer there.
    """
    order = np.argsort(null_scores, kind="stable")
    has = has_answer[order]
    found = np.cumsum(np.where(has, scored[order], 0.0)) / has.sum()
    kept = 1 - np.cumsum(~has & answered[order]) / (~has).sum()
    worse = np.minimum(found, kept)
    best = int(worse.argmax())
    return Best(float(worse[best]), float(null_scores[order[best]]))


def evaluate(
    golds: Mapping[str, Sequence[str]],
    answers: Mapping[str, str],
    *,
    version: str,
    null_scores: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """What the official scripts print for a predictions file.

    Args:
        golds: question id -> gold answers; none = it has no answer.
        answers: question id -> predicted answer.
        version: "1.1", where a missing answer scores 0, or "2.0", where it is left out, but its
            question counts for the best scores, as the script has it.
        null_scores: question id -> probability of no answer, for the best thresholds of 2.0; above
            1, the script's --na-prob-thresh, there is none. Of equal ones the first counts first.
    """
    strict, nulls = version == "1.1", null_scores or {}
    ids = [i for i in dict.fromkeys([*nulls, *golds]) if i in golds and (strict or i in answers)]
    records = [_record(golds[i], answers.get(i), not strict, nulls.get(i)) for i in ids]
    unscored = sum(not golds[i] for i in golds) - sum(not golds[i] for i in ids)
    return summary(
        np.array(records).reshape(-1, 7),
        thresholds=null_scores is not None,
        unscored=unscored,
        nowhere=0.0,
    )


def _record(
    golds: Sequence[str], answer: str | None, empty_counts: bool, null_score: float | None
) -> tuple[float, ...]:
    found = Scores(0.0, 0.0)
    if answer is not None:
        found = scores(answer, golds, empty_counts=empty_counts)
    null = null_score or 0.0
    final = Scores(*[float(not golds)] * 2) if null > _NULL_LIMIT else found
    return (*final, float(bool(golds)), null, *found, float(bool(answer)))


def summary(
    records: NDArray[np.float64],
    *,
    thresholds: bool = True,
    unscored: int = 0,
    nowhere: float | None = None,
) -> dict[str, float]:
    """Metrics of records [n, 7], in percent.

    A record: exact and F1 of the final answer, whether there is a gold answer, the null score, and
    exact, F1 and presence of the answer that would be given without a threshold. Where questions
    without an answer occur, HasAns_ and NoAns_ repeat the metrics of either kind, and best_ are
    those of the best threshold, which is in the unit of the null scores; `unscored` and `nowhere`
    are best_threshold's.
    """
    found = _means(records)
    has = records[:, 2] > 0
    if has.all() and not (unscored and len(records)):
        return found
    for prefix, rows in (("HasAns_", has), ("NoAns_", ~has)):
        if rows.any():
            found |= {prefix + name: value for name, value in _means(records[rows]).items()}
    if thresholds:
        for name, column in (("exact", 4), ("f1", 5)):
            best = best_threshold(
                records[:, column],
                records[:, 3],
                has,
                records[:, 6] > 0,
                unscored=unscored,
                nowhere=nowhere,
            )
            found |= {f"best_{name}": 100 * best.score, f"best_{name}_thresh": best.threshold}
    return found


def _means(records: NDArray[np.float64]) -> dict[str, float]:
    count = len(records)
    exact, f1 = (100 * records[:, :2].sum(0) / max(count, 1)).tolist()
    return {"exact": exact, "f1": f1, "total": float(count)}
