"""GPT-1's auxiliary objective: the language model's loss on the labelled text.

Papers: Radford et al. 2018, section 3.2, equation 5, lambda = 0.5; train.py of
finetune-transformer-lm: a mean over rows of means over a row's tokens, so that every token weighs
1 / (tokens of its row - 1). The sum is divided by the rows of the whole step, so the step may be
cut into micro-batches anywhere.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from foretext.core.errors import ConfigError
from foretext.objectives.base import Term
from foretext.objectives.networks import PredictsTokens
from foretext.tasks.base import TaskBatch, TaskModel

_PAPER_WEIGHT = 0.5
_LM = Term(name="lm", title="next tokens", unit="nats a token")  # a mean over sequences


def check_lm_weight(weight: float | None) -> None:
    """Refuse a weight below 0.

    Raises:
        ConfigError: it is.
    """
    if weight is not None and weight < 0:
        raise ConfigError(f"task.lm_weight={weight} must not be negative")


def resolved_lm_weight(weight: float | None, *, left_to_right: bool) -> float:
    """The weight; None is the paper's 0.5 for a left-to-right model and 0 for others.

    Raises:
        ConfigError: an auxiliary loss is asked of a model that has none.
    """
    if weight and not left_to_right:
        raise ConfigError(
            f"task.lm_weight={weight} needs a model that reads left to right; set it to 0"
        )
    return (_PAPER_WEIGHT if left_to_right else 0.0) if weight is None else weight


def lm_terms(weight: float | None) -> tuple[Term, ...]:
    """What is said of the auxiliary loss; none if it weighs nothing."""
    return (replace(_LM, weight=weight),) if weight else ()


def lm_term(
    weight: float | None,
    model: TaskModel,
    hidden: Tensor,
    batch: TaskBatch,
    counts: dict[str, Tensor],
) -> dict[str, Tensor]:
    """The weighted loss as the term "lm" of a step with these counts; none if it weighs nothing."""
    return {"lm": weight * row_means(model, hidden, batch) / counts["lm"]} if weight else {}


def row_means(model: TaskModel, hidden: Tensor, batch: TaskBatch) -> Tensor:
    """Sum over sequences of the mean loss of their next tokens, in nats.

    Args:
        model: its backbone reads left to right.
        hidden: the backbone's states, [tokens, hidden].
        batch: sequences of at least two tokens.
    """
    followed = torch.ones(batch.num_tokens, dtype=torch.bool, device=hidden.device)
    followed[batch.last] = False
    at = followed.nonzero()[:, 0]
    targets = batch.last - batch.first  # of each sequence, its tokens but the first
    weights = torch.repeat_interleave(1.0 / targets, targets)
    assert isinstance(model.backbone, PredictsTokens), "resolved_lm_weight has seen to it"
    return model.backbone.linear_cross_entropy(hidden[at], batch.input_ids[at + 1], weights)
