"""Dropout whose masks are a function of (run, step, layer, token), and which is cheap on a CPU.

PyTorch's CPU dropout costs a quarter of the matrix multiply before it. Here a mask is one byte an
element, read from a counter-based generator at a place computed from the token's number in the
step, so cutting a step into other micro-batches, or resuming it, draws the same mask. Deviation:
the rate is rounded to a multiple of 1/256 (0.1 becomes 0.1016), and kept values are scaled by the
rounded rate, so that their expectation is exact. On other devices PyTorch's own kernel is used,
seeded for each step and micro-batch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional as F

_BLOCK = 32  # bytes Philox makes for one value of its counter


class Dropout(nn.Module):
    """Sets a share of the elements to zero in training and scales the rest up.

    Args:
        rate: probability of an element to be dropped, in [0, 1).
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.set_rate(rate)
        self.key = (0, 0)  # (run and step, layer); set by seed_dropout
        self.first_token = 0
        self.of_target = False  # whether its rows are tokens of targets, not of sources
        self.calls = 0  # a layer that is shared (ALBERT) draws anew in each of its uses

    def set_rate(self, rate: float) -> None:
        """Drop with another probability from now on."""
        self.rate = rate
        self.threshold = round(rate * 256)
        self.scale = 256 / (256 - self.threshold)

    @property
    def active(self) -> bool:
        return self.training and self.threshold > 0

    def next_call(self) -> int:
        """Number of this use of the layer in the current micro-batch."""
        self.calls += 1
        return self.calls - 1

    def forward(self, hidden: Tensor, tokens: Tensor | None = None) -> Tensor:
        """Drop elements.

        A row's mask belongs to its token, whose number in the step is the same however the step is
        cut into micro-batches.

        Args:
            hidden: [rows, ...].
            tokens: of the micro-batch, for which the rows stand, [rows]; None: row r is token r.
        """
        if not self.active:
            return hidden
        if hidden.device.type != "cpu":
            return F.dropout(hidden, self.rate)
        row = hidden.shape[1:]
        count = hidden.shape[0]
        if tokens is not None:
            count = int(tokens.max()) + 1 if len(tokens) else 0
        shape, start = torch.Size((count, *row)), self.first_token * row.numel()
        keep = self.keep_mask(shape, start, call=self.next_call())
        return apply_mask(hidden, keep if tokens is None else keep[tokens], self.scale)

    def keep_mask(self, shape: torch.Size, start: int, *, call: int, stream: int = 0) -> Tensor:
        """Bool mask of this shape, True = keep: bytes [start, start + size) of a random sequence.

        Args:
            shape: of the mask.
            start: first byte; one byte decides one element.
            call: which use of the layer, see next_call.
            stream: a sequence of its own; attention has one for each sequence length.
        """
        size = shape.numel()
        skip = start % _BLOCK
        counter = np.array([start // _BLOCK, 0, stream, call], np.uint64)
        raw = np.random.Philox(counter=counter, key=np.array(self.key, np.uint64))
        drawn = raw.random_raw((skip + size + 7) // 8).view(np.uint8)[skip : skip + size]
        return torch.from_numpy(drawn >= self.threshold).view(shape)

    def extra_repr(self) -> str:
        return f"rate={self.rate}"


def seed_dropout(model: nn.Module, key: int, first_token: int = 0, first_target: int = 0) -> None:
    """Point every dropout layer at one micro-batch of one step.

    Args:
        model: its dropout layers are numbered in the order of `modules()`.
        key: of the run and the step, see rng.key.
        first_token: number of the micro-batch's first token within the step.
        first_target: the same of targets, for the layers of a decoder.
    """
    layers = [m for m in model.modules() if isinstance(m, Dropout)]
    for number, layer in enumerate(layers):
        layer.key = (key, number)
        layer.first_token = first_target if layer.of_target else first_token
        layer.calls = 0
    if layers and torch.cuda.is_available():
        torch.cuda.manual_seed_all((key + first_token + first_target) % 2**63)


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
