"""Held-out text: the objective's own losses and accuracies, on masks that never change."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from foretext.objectives.base import Corpus, Objective
from foretext.training.samples import in_order

_BATCH = 32  # sequences at once
_SHARES = ("_accuracy", "_precision", "_recall")  # scores that are no losses


def evaluate_objective(
    model: nn.Module,
    objective: Objective,
    corpus: Corpus,
    *,
    limit: int | None = None,
    device: torch.device | str = "cpu",
) -> dict[str, float]:
    """Means over the targets of held-out text; a loss in nats also gives its perplexity.

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
    losses = {name: value for name, value in means.items() if not name.endswith(_SHARES)}
    result = {"loss": sum(losses.values())} | means
    for name in ("lm", "mlm"):
        if name in means:
            result[f"{name}_perplexity"] = math.exp(min(means[name], 700.0))
    return result


@torch.no_grad()
def score_totals(
    model: nn.Module,
    objective: Objective,
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
        scores: dict[str, tuple[Any, Any]] = objective.scores(model, batch.to(device))
        for name, (total, count) in scores.items():
            before = totals.get(name, (0.0, 0.0))
            totals[name] = (before[0] + float(total), before[1] + float(count))
    return totals
