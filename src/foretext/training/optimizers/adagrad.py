"""Adagrad as ELMo was trained.

Papers: Duchi et al. 2011 (Adagrad); Peters et al. 2018, with bilm-tf's training.py, which uses
TensorFlow's: squares add up from 1.0, and nothing is added to their root.

    s += g^2
    w -= lr * (g / sqrt(s) + decay * w)
"""

from __future__ import annotations

import torch
from torch import Tensor

from foretext.training.optimizers.base import Group, Optimizer, State

_START = 1.0  # of the sum of squares


class Adagrad(Optimizer):
    """See the module docstring. It reads neither betas nor eps."""

    def fresh_state(self, parameter: Tensor) -> State:
        """The sum of squares."""
        return {"sum": torch.full_like(parameter, _START, memory_format=torch.preserve_format)}

    def update(
        self,
        group: Group,
        parameters: list[Tensor],
        gradients: list[Tensor],
        states: list[State],
    ) -> None:
        """See Optimizer."""
        for weight, gradient, state in zip(parameters, gradients, states, strict=True):
            state["sum"].addcmul_(gradient, gradient)
            change = gradient * state["sum"].rsqrt()
            if group["weight_decay"]:
                change.add_(weight, alpha=group["weight_decay"])
            weight.sub_(change, alpha=group["lr"])
