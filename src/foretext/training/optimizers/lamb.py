"""LAMB: Adam's step of each tensor, scaled to the length of that tensor.

Paper: You et al. 2020, https://arxiv.org/abs/1904.00962, algorithm 2; as in ALBERT's
lamb_optimizer.py: without bias correction, and with phi the identity, so no ratio is clipped. With
m and v the running means of the gradient and of its square:

    u = m / (sqrt(v) + eps) + decay * w
    w -= lr * |w| / |u| * u

The ratio is 1 where either norm is 0, and for the tensors that do not decay (norms and biases).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from foretext.training.optimizers.norms import exact_norm


@torch.no_grad()
def lamb_step(
    parameters: Sequence[Tensor],
    gradients: Sequence[Tensor],
    moments: Sequence[tuple[Tensor, Tensor]],
    *,
    learning_rate: float,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
    adapted: bool,
) -> None:
    """Update parameters and moments (m, v) in place, a tensor at a time.

    Args:
        learning_rate: of this update.
        weight_decay: inside the ratio.
        adapted: whether the ratio applies.
    """
    b1, b2 = betas
    for weight, gradient, (mean, square) in zip(parameters, gradients, moments, strict=True):
        mean.mul_(b1).add_(gradient, alpha=1 - b1)
        square.mul_(b2).addcmul_(gradient, gradient, value=1 - b2)
        update = mean / square.sqrt().add_(eps)
        if weight_decay:
            update.add_(weight, alpha=weight_decay)
        if adapted:
            update.mul_(_ratio(weight, update))
        weight.sub_(update, alpha=learning_rate)


def _ratio(weight: Tensor, update: Tensor) -> Tensor:
    """|weight| / |update|, or 1 where one of them is 0; a scalar on their device."""
    size, step = exact_norm([weight]), exact_norm([update])
    return torch.where((size > 0) & (step > 0), size / step, torch.ones_like(size))
