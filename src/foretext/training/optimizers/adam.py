"""AdamW, BERT's and GPT-1's, by PyTorch's fused kernel.

Papers: Kingma & Ba 2015, https://arxiv.org/abs/1412.6980; Loshchilov & Hutter 2019,
https://arxiv.org/abs/1711.05101; the optimizers of Google's BERT (optimization.py) and of GPT-1
(opt.py).

With m and v the running means of the gradient and of its square, and t the update's number:

    AdamW      w -= lr * (m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps) + decay * w)
    BertAdamW  w -= lr * (m / (sqrt(v) + eps) + decay * w)
    Gpt1AdamW  w -= lr * sqrt(1 - b2^t) / (1 - b1^t) * (m / (sqrt(v) + eps) + decay * w)

The kernel computes the first. At t = infinity its corrections are 1, which gives the second, and
the third with another rate.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from foretext.training.optimizers.base import Group, Optimizer, State, like


class AdamW(Optimizer):
    """With bias correction, as torch.optim.AdamW."""

    def fresh_state(self, parameter: Tensor) -> State:
        """Both running means."""
        return {"exp_avg": like(parameter), "exp_avg_sq": like(parameter)}

    def clock(self, steps: int) -> float:
        """The t of the kernel's corrections."""
        return float(steps)

    def correction(self, steps: int) -> float:  # noqa: ARG002
        """Times the rate of an update."""
        return 1.0

    def update(
        self,
        group: Group,
        parameters: list[Tensor],
        gradients: list[Tensor],
        states: list[State],
    ) -> None:
        """See Optimizer."""
        # float32, as torch.optim keeps it: exact up to 16 million updates.
        clock = self.clock(group["steps"])
        step = torch.tensor(clock, dtype=torch.float32, device=parameters[0].device)
        torch._fused_adamw_(
            parameters,
            gradients,
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            [step] * len(parameters),
            lr=group["lr"] * self.correction(group["steps"]),
            beta1=self.config.betas[0],
            beta2=self.config.betas[1],
            weight_decay=group["weight_decay"],
            eps=self.config.eps,
            amsgrad=False,
            maximize=False,
        )


class BertAdamW(AdamW):
    """Without bias correction."""

    def clock(self, steps: int) -> float:  # noqa: ARG002
        """Infinity, where the corrections are 1."""
        return math.inf


class Gpt1AdamW(BertAdamW):
    """With the correction in the rate, so that it holds for the decay too."""

    def correction(self, steps: int) -> float:
        """sqrt(1 - b2^t) / (1 - b1^t)."""
        b1, b2 = self.config.betas
        return math.sqrt(1 - b2**steps) / (1 - b1**steps)
