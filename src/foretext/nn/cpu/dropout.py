"""Masks of one byte an element, read from a counter-based generator: cheap on a CPU.

PyTorch's CPU dropout costs a quarter of the matrix multiply before it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

_BLOCK = 32  # bytes Philox makes for one value of its counter


def keep_mask(
    shape: torch.Size, start: int, *, key: tuple[int, int], stream: int, threshold: int
) -> Tensor:
    """Bool mask of this shape, True = keep: bytes [start, start + size) of a random sequence.

    Args:
        shape: of the mask.
        start: first byte; one byte decides one element.
        key: two words of 64 bits; another key is another sequence.
        stream: a sequence of its own for each number.
        threshold: of 256 values of a byte, those that drop.
    """
    size = shape.numel()
    skip = start % _BLOCK
    counter = np.array([start // _BLOCK, 0, stream, 0], np.uint64)
    raw = np.random.Philox(counter=counter, key=np.array(key, np.uint64))
    drawn = raw.random_raw((skip + size + 7) // 8).view(np.uint8)[skip : skip + size]
    return torch.from_numpy(drawn >= threshold).view(shape)


def apply_mask(hidden: Tensor, keep: Tensor, scale: float) -> Tensor:
    """hidden where keep, scaled; zero elsewhere. Same shapes."""
    return _Masked.apply(hidden, keep, scale)


class _Masked(torch.autograd.Function):
    """Saves the mask, one byte an element, and nothing else."""

    @staticmethod
    def forward(ctx: FunctionCtx, hidden: Tensor, keep: Tensor, scale: float) -> Tensor:
        ctx.save_for_backward(keep)
        ctx.scale = scale  # type: ignore[attr-defined]
        return _masked(hidden, keep, scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (keep,) = ctx.saved_tensors
        return _masked(grads[0], keep, ctx.scale), None, None


def _masked(values: Tensor, keep: Tensor, scale: float) -> Tensor:
    # PyTorch's vector code makes numbers of bytes, not of truths: three times as fast.
    return keep.view(torch.uint8).to(values.dtype).mul_(values).mul_(scale)
