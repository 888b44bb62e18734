"""Held-out text: the objective's own losses and accuracies, on masks that never change."""

from __future__ import annotations

import math

import torch
from torch import nn

from foretext.objectives.base import Corpus, Predicts, SomeObjective
from foretext.training.samples import in_order

_BATCH = 32  # sequences at once


def evaluate_objective(
    model: nn.Module,
    objective: SomeObjective,
    corpus: Corpus,
    *,
    limit: int | None = None,
    device: torch.device | str = "cpu",
) -> dict[str, float]:
    """Means over the targets of held-out text, by score, and "loss", the terms' weighted sum.

    A term that predicts tokens also gives its perplexity.

    The samples and masks are those of epoch 0, whatever the model has been trained on, so two
    models or two moments of one compare.

    Args:
        model: left in the mode it is in; call eval() first.
        objective: how text becomes samples.
        corpus: held-out documents.
        limit: samples at most; None is all.
        device: of the model.
    """
    totals = score_totals(model, objective, corpus, limit=limit, device=device)
    means = {name: total / max(count, 1.0) for name, (total, count) in totals.items()}
    result = {"loss": sum(term.weight * means[term.name] for term in objective.terms)} | means
    for term in objective.terms:
        if term.predicts is not Predicts.NOTHING:
            result[f"{term.name}_perplexity"] = math.exp(min(means[term.name], 700.0))
    return result


@torch.no_grad()
def score_totals(
    model: nn.Module,
    objective: SomeObjective,
    corpus: Corpus,
    *,
    limit: int | None = None,
    device: torch.device | str = "cpu",
) -> dict[str, tuple[float, float]]:
    """Sums over the targets of held-out text and the targets' number, by score.

    Arguments as for `evaluate_objective`.
    """
    totals: dict[str, tuple[float, float]] = {}
    for batch in in_order(objective, corpus, batch_size=_BATCH, limit=limit):
        for name, (total, count) in objective.scores(model, batch.to(device)).items():
            before = totals.get(name, (0.0, 0.0))
            totals[name] = (before[0] + float(total), before[1] + float(count))
    return totals
