"""Metrics of gold and predictions by the field's libraries, the same for both sides, in points."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

from foretext.metrics import korquad, squad


def classification(gold: list[str], found: list[str]) -> dict[str, float]:
    """Accuracy; of two classes also F1 of the second by name, and MCC."""
    labels = sorted(set(gold))
    metrics = {"accuracy": accuracy_score(gold, found)}
    if len(labels) == 2:
        metrics["f1"] = f1_score(gold, found, pos_label=labels[1])
        metrics["mcc"] = matthews_corrcoef(gold, found)
    return _points(metrics)


def similarity(gold: list[float], found: list[float]) -> dict[str, float]:
    """Both correlations."""
    return _points({"pearson": pearsonr(gold, found)[0], "spearman": spearmanr(gold, found)[0]})


def choice(gold: list[int], found: list[int]) -> dict[str, float]:
    """Accuracy."""
    return _points({"accuracy": accuracy_score(gold, found)})


Tags = list[list[str]]
Span = tuple[int, int, str]  # first word, last word, type


def tagging(gold: Tags, found: Tags) -> dict[str, float]:
    """Accuracy of the tags; where they are of entities, conlleval's precision, recall and F1."""
    pairs = [p for a, b in zip(gold, found, strict=True) for p in zip(a, b, strict=True)]
    metrics = {"accuracy": accuracy_score(*zip(*pairs, strict=True))}
    if any(tag.startswith("B-") for tags in gold for tag in tags):
        wanted = {(i, span) for i, tags in enumerate(gold) for span in spans(tags)}
        named = {(i, span) for i, tags in enumerate(found) for span in spans(tags)}
        right = len(wanted & named)
        metrics["precision"] = right / max(len(named), 1)
        metrics["recall"] = right / max(len(wanted), 1)
        metrics["f1"] = 2 * right / max(len(named) + len(wanted), 1)
    return _points(metrics)


def spans(tags: list[str]) -> list[Span]:
    """Entities of IOB tags by conlleval's rules: an I- of another type begins one."""
    found: list[Span] = []
    previous = "O"
    for i, tag in enumerate(tags):
        inside = tag != "O"
        if inside and (tag[0] == "B" or previous == "O" or previous[2:] != tag[2:]):
            found.append((i, i, tag[2:]))
        elif inside:
            found[-1] = (found[-1][0], i, tag[2:])
        previous = tag
    return found


def questions(gold: dict[str, Any], found: dict[str, str]) -> dict[str, float]:
    """The official script's numbers; gold names the script and each question's answers."""
    golds, rules = gold["answers"], gold["rules"]
    if rules == "korquad":
        each = [korquad.scores(found.get(i, ""), golds[i]) for i in golds]
        exact, f1 = (sum(column) / len(each) for column in zip(*each, strict=True))
        return _points({"exact": exact, "f1": f1})
    return squad.evaluate(golds, found, version=rules)


def _points(metrics: dict[str, float]) -> dict[str, float]:
    return {name: 100 * float(value) for name, value in metrics.items()}


SCORES: dict[str, Callable[[Any, Any], dict[str, float]]] = {
    "classification": classification,
    "similarity": similarity,
    "choice": choice,
    "gpt-choice": choice,
    "tagging": tagging,
    "questions": questions,
}
