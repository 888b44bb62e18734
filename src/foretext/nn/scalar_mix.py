"""A weighted mean of a model's layers, with trained weights.

Paper: Peters et al. 2018 (ELMo), equation 1, and bilm/elmo.py. Deviation: bilm-tf can normalise
each layer by its mean and variance over the whole batch before; a text's vectors would then depend
on its neighbours in the batch, so that is left out, as the paper leaves it to the task.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class ScalarMix(nn.Module):
    """gamma * sum_j softmax(s)_j h_j, from s = 0 and gamma = 1 on.

    Args:
        num_layers: that are mixed.
    """

    def __init__(self, num_layers: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(num_layers))
        self.gamma = nn.Parameter(torch.ones(1))

    @property
    def shares(self) -> Tensor:
        """Of each layer, [layers]; they sum to 1."""
        return torch.softmax(self.weights, 0)

    def forward(self, layers: Sequence[Tensor]) -> Tensor:
        """[tokens, hidden] of each layer -> [tokens, hidden]."""
        pairs = zip(self.shares, layers, strict=True)
        return self.gamma * sum((share * layer for share, layer in pairs), start=torch.zeros(()))

    def penalty(self) -> Tensor:
        """The sum of squares of s; its factor lambda draws the mix towards the plain mean."""
        return self.weights.square().sum()
