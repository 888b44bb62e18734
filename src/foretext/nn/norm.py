"""Layer normalisation whose gradients do not depend on the number of threads.

Paper: Ba et al. 2016, https://arxiv.org/abs/1607.06450. PyTorch's fused CPU kernel adds up the
gradient of weight and bias in one part a thread, so the bits change with the thread count; here
those two sums run along the tokens in one order. The values are the same.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional as F


class LayerNorm(nn.Module):
    """Normalises the last axis, then scales and shifts it.

    Args:
        size: of the last axis.
        eps: added to the variance, inside the root.
    """

    def __init__(self, size: int, *, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.bias = nn.Parameter(torch.zeros(size))
        self.eps = eps

    def forward(self, hidden: Tensor) -> Tensor:
        """[..., size] -> [..., size]."""
        if hidden.device.type != "cpu" or not torch.is_grad_enabled():
            return F.layer_norm(hidden, self.weight.shape, self.weight, self.bias, self.eps)
        # autocast leaves the sum of a residual in bf16, while weights stay fp32
        return _LayerNorm.apply(hidden.to(self.weight.dtype), self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.weight.shape[0]}, eps={self.eps}"


class _LayerNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        out, mean, rstd = torch.native_layer_norm(x, weight.shape, weight, bias, eps)
        ctx.save_for_backward(x, mean, rstd, weight, bias)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, mean, rstd, weight, bias = ctx.saved_tensors
        grad = grads[0].contiguous()
        grad_x, _, _ = torch.ops.aten.native_layer_norm_backward(
            grad, x, weight.shape, mean, rstd, weight, bias, [True, False, False]
        )
        normalised = (x - mean).mul_(rstd).mul_(grad)
        rows = (-1, weight.shape[0])
        return grad_x, normalised.view(rows).sum(0), grad.view(rows).sum(0), None


class RMSNorm(nn.Module):
    """Divides the last axis by its root mean square, then scales it; no mean, no bias.

    Paper: Zhang & Sennrich 2019, https://arxiv.org/abs/1910.07467, section 4.

    Args:
        size: of the last axis.
        eps: added to the mean square, inside the root.
    """

    def __init__(self, size: int, *, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, hidden: Tensor) -> Tensor:
        """[..., size] -> [..., size]."""
        if hidden.device.type != "cpu" or not torch.is_grad_enabled():
            return F.rms_norm(hidden, self.weight.shape, self.weight, self.eps)
        return _RMSNorm.apply(hidden.to(self.weight.dtype), self.weight, self.eps)

    def extra_repr(self) -> str:
        return f"{self.weight.shape[0]}, eps={self.eps}"


class _RMSNorm(torch.autograd.Function):
    """Keeps its input and one number a row, where autograd would keep three of its size."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        rstd = x.square().mean(-1, keepdim=True).add_(eps).rsqrt_()
        ctx.save_for_backward(x, rstd, weight)
        return (x * rstd).mul_(weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        x, rstd, weight = ctx.saved_tensors
        normalised = x * rstd
        scaled = grads[0] * weight
        along = (scaled * normalised).mean(-1, keepdim=True)
        of_weight = (grads[0] * normalised).view(-1, weight.shape[0]).sum(0)
        return scaled.addcmul_(normalised, along, value=-1).mul_(rstd), of_weight, None
