"""A linear map by PyTorch's name, with the faster products of nn/cpu/product.py on a CPU."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from foretext.nn.activations import ACTIVATIONS
from foretext.nn.cpu.product import gelu_of, joint_linear


class Linear(nn.Linear):
    """torch.nn.Linear, which may apply the activation that follows it in the same kernel."""

    def forward(self, input: Tensor, activation: str | None = None) -> Tensor:
        """[rows, in] -> [rows, out].

        activation: a name in ACTIVATIONS, of the result; None is the result itself.
        """
        if activation == "gelu":
            return gelu_of(input, self)
        (out,) = joint_linear(input, [self])
        return out if activation is None else ACTIVATIONS[activation](out)


def linear_maps(input: Tensor, layers: Sequence[Linear]) -> tuple[Tensor, ...]:
    """Several maps of the same rows [rows, in], [rows, out] each; in training as one product."""
    if torch.is_grad_enabled():  # joining the weights pays where rows are many
        return joint_linear(input, layers)
    return tuple(layer(input) for layer in layers)
