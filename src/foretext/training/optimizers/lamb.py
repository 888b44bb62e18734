"""LAMB: Adam's step of each tensor, scaled to the length of that tensor.

Paper: You et al. 2020, https://arxiv.org/abs/1904.00962, algorithm 2; as in ALBERT's
lamb_optimizer.py: without bias correction, and with phi the identity, so no ratio is clipped. With
m and v the running means of the gradient and of its square:

    u = m / (sqrt(v) + eps) + decay * w
    w -= lr * |w| / |u| * u

The ratio is 1 where either norm is 0, and for the tensors that do not decay (norms and biases).
"""

from __future__ import annotations

import torch
from torch import Tensor

from foretext.training.optimizers.base import Group, Optimizer, State, like
from foretext.training.optimizers.norms import exact_norm


class Lamb(Optimizer):
    """See the module docstring."""

    def fresh_state(self, parameter: Tensor) -> State:
        """Both running means."""
        return {"exp_avg": like(parameter), "exp_avg_sq": like(parameter)}

    def update(
        self,
        group: Group,
        parameters: list[Tensor],
        gradients: list[Tensor],
        states: list[State],
    ) -> None:
        """See Optimizer."""
        b1, b2 = self.config.betas
        for weight, gradient, state in zip(parameters, gradients, states, strict=True):
            mean, square = state["exp_avg"], state["exp_avg_sq"]
            mean.mul_(b1).add_(gradient, alpha=1 - b1)
            square.mul_(b2).addcmul_(gradient, gradient, value=1 - b2)
            change = mean / square.sqrt().add_(self.config.eps)
            if group["weight_decay"]:
                change.add_(weight, alpha=group["weight_decay"])
            if group["adapted"]:
                change.mul_(_ratio(weight, change))
            weight.sub_(change, alpha=group["lr"])


def _ratio(weight: Tensor, update: Tensor) -> Tensor:
    """|weight| / |update|, or 1 where one of them is 0; a scalar on their device."""
    size, step = exact_norm([weight]), exact_norm([update])
    return torch.where((size > 0) & (step > 0), size / step, torch.ones_like(size))
