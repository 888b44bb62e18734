"""Predicted answers measured as SQuAD and KorQuAD do, and the threshold for "no answer"."""

from __future__ import annotations

from array import array
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from foretext.labelled.squad import Question
from foretext.metrics import korquad, squad
from foretext.tasks.qa_answers import Prediction
from foretext.text.original import plain

FAMILIES = {"squad": squad.RULES, "korquad": korquad.RULES}
_WIDTH = 7


class AnswerMetric:
    """Exact match and F1 in percent; with impossible questions also SQuAD 2.0's other figures.

    56 bytes an example are held: the best threshold needs every null score.
    """

    def __init__(self, family: str, *, strict: bool) -> None:
        """Begin.

        Args:
            family: a name in FAMILIES.
            strict: SQuAD 1.1's treatment of empty answers, else 2.0's.
        """
        self._rules = FAMILIES[family]
        self._strict = strict
        self._records = array("d")

    def record(self, example: Question, prediction: Prediction) -> tuple[float, ...]:
        """The numbers of squad.summary: [7]."""
        golds = example.texts
        empty_counts = not (self._strict and golds)
        # Golds are plain; answers are as their context was given.
        best = plain(prediction.n_best[0].text) if prediction.n_best else ""
        found = squad.scores(best, golds, empty_counts=empty_counts, rules=self._rules)
        final = found
        if (answer := plain(prediction.text)) != best:
            final = squad.scores(answer, golds, empty_counts=empty_counts, rules=self._rules)
        return (*final, float(bool(golds)), prediction.null_score, *found, float(bool(best)))

    def measure(self, records: NDArray[np.float64]) -> dict[str, float]:
        """The metrics in percent, as squad.summary; thresholds in the unit of null_threshold."""
        return squad.summary(records)

    def add(self, example: Question, prediction: Prediction) -> None:
        """Count one prediction of a labelled example."""
        self._records.extend(self.record(example, prediction))

    def result(self) -> dict[str, float]:
        """The metrics of what was added, as measure."""
        return self.measure(self._table())

    def threshold(self, *, balanced: bool) -> float | None:
        """The best null score for the F1 of what was added; None if all have answers."""
        records = self._table()
        has = records[:, 2] > 0
        if has.all():
            return None
        search = squad.balanced_threshold if balanced and has.any() else squad.best_threshold
        return search(records[:, 5], records[:, 3], has, records[:, 6] > 0).threshold

    def baseline(self) -> dict[str, float]:
        """The metrics of never giving an answer."""
        blind = self._table()
        blind[:, [0, 1]] = (blind[:, 2] == 0)[:, None]
        blind[:, [4, 5, 6]] = 0.0
        found = squad.summary(blind, thresholds=False)
        return {name: value for name, value in found.items() if not name.endswith("total")}

    def _table(self) -> NDArray[np.float64]:
        return np.array(self._records).reshape(-1, _WIDTH)


def tuned_threshold(
    meter: AnswerMetric, pairs: Iterable[tuple[Question, Prediction]], *, balanced: bool
) -> float | None:
    """The null score above which to give no answer; None if all questions have answers.

    It is the best for F1, over all or, if balanced, for the smaller of HasAns_f1 and NoAns_f1. It
    lies halfway between what the search finds, which is some example's null score, and the next
    higher one: as good on these examples, and less bound to them.
    """
    nulls = []
    for example, prediction in pairs:
        meter.add(example, prediction)
        nulls.append(prediction.null_score)
    best = meter.threshold(balanced=balanced)
    if best is None:
        return None
    return (best + min((null for null in nulls if null > best), default=best)) / 2
