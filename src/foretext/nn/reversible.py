"""Reversible residuals: a stack of layers whose inputs are computed back from its outputs.

Papers: Gomez et al. 2017, https://arxiv.org/abs/1707.04585; Kitaev et al. 2020, "Reformer",
https://arxiv.org/abs/2001.04451, section 3. With streams x1 and x2

    y1 = x1 + f(x2)        x2 = y2 - g(y1)
    y2 = x2 + g(y1)        x1 = y1 - f(x2)

Deviation: y - f is not x in floating point, and a state that comes back a little off may fall into
another bucket. So streams are fp64 and what is added to them is rounded to a multiple of 2^-32.
Such sums are exact up to 2^20, the streams come back to the bit, and the gradients are those of the
plain stack.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable

_GRID = 2.0**32


class Half(Protocol):
    """f or g of a layer: a module with what it needs beside the states."""

    module: nn.Module

    def parts(self, rows: int) -> Sequence[slice]:
        """Rows that are computed at once, in order; all, unless the module goes token by token."""
        ...

    def __call__(self, states: Tensor, part: slice) -> Tensor:
        """What is added to the other stream, of states [part's rows, hidden]."""
        ...


def on_grid(states: Tensor) -> Tensor:
    """States in fp64, rounded to multiples of 2^-32; the gradient passes as if they were not."""
    return _OnGrid.apply(states)


def plain(halves: Sequence[Half], hidden: Tensor) -> tuple[Tensor, Tensor]:
    """The streams after all layers by ordinary differentiation, which keeps what every layer did.

    Args:
        halves: f and g of the first layer, of the second, and so on.
        hidden: [rows, hidden], of which both streams begin.

    Returns:
        Both streams, [rows, hidden] in fp64.
    """
    *_, last = layer_by_layer(halves, hidden)
    return last


def layer_by_layer(halves: Sequence[Half], hidden: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """As plain: the streams before the first layer and after each."""
    other = states = on_grid(hidden)
    yield other, states
    for number, half in enumerate(halves):  # g reads what f was added to, and so on
        other, states = states, other + on_grid(_whole(half, states.to(hidden.dtype)))
        if number % 2:
            yield other, states


def reversible(halves: Sequence[Half], hidden: Tensor) -> tuple[Tensor, Tensor]:
    """As plain, to the bit, and so are the gradients; of all layers only the result is kept.

    Returns:
        Both streams, [rows, hidden] in the type of `hidden`.
    """
    if not torch.is_grad_enabled():
        first, second = plain(halves, hidden)
        return first.to(hidden.dtype), second.to(hidden.dtype)
    parameters = [p for half in halves for p in _trained(half)]
    return _Reversible.apply(on_grid(hidden), hidden.dtype, tuple(halves), *parameters)


def _whole(half: Half, states: Tensor) -> Tensor:
    """The half of all rows, in the same parts as the reversible pass computes them."""
    found = [half(states[part], part) for part in half.parts(states.shape[0])]
    return found[0] if len(found) == 1 else torch.cat(found)


def _trained(half: Half) -> list[nn.Parameter]:
    return [p for p in half.module.parameters() if p.requires_grad]


@dataclass(frozen=True)
class _Precision:
    """Autocast as it was in the forward pass."""

    device: str
    enabled: bool
    dtype: torch.dtype

    @classmethod
    def now(cls, device: str) -> _Precision:
        return cls(device, torch.is_autocast_enabled(device), torch.get_autocast_dtype(device))

    def again(self) -> torch.autocast:
        return torch.autocast(self.device, dtype=self.dtype, enabled=self.enabled)


class _Reversible(torch.autograd.Function):
    """Runs a half with a graph and forgets it: the backward pass has to repeat the same kernels."""

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        hidden: Tensor,
        dtype: torch.dtype,
        halves: tuple[Half, ...],
        *parameters: nn.Parameter,  # noqa: ARG004
    ) -> tuple[Tensor, Tensor]:
        other = states = hidden
        for half in halves:
            with torch.enable_grad():
                added = on_grid(_whole(half, _leaf(states, dtype))).detach()
            other, states = states, other + added
        ctx.save_for_backward(other, states)
        ctx.halves, ctx.dtype = halves, dtype  # type: ignore[attr-defined]
        ctx.precision = _Precision.now(hidden.device.type)  # type: ignore[attr-defined]
        return other.to(dtype, copy=True), states.to(dtype, copy=True)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        other, states = ctx.saved_tensors
        of_other, of_states = (grad.double() for grad in grads)
        found: list[list[Tensor | None]] = []
        for half in reversed(ctx.halves):
            with ctx.precision.again():
                added, more, own = _back(half, other, of_states, ctx.dtype)
            # What the half read had its gradient from above, and now through the half too.
            of_other, of_states = of_states, of_other + more
            other, states = states - added, other
            found.append(own)
        of_hidden = of_other + of_states
        return of_hidden, None, None, *(grad for own in reversed(found) for grad in own)


def _back(
    half: Half, read: Tensor, grad: Tensor, dtype: torch.dtype
) -> tuple[Tensor, Tensor, list[Tensor | None]]:
    """A half computed again: what it added, the gradients of what it read and of its weights."""
    parameters = _trained(half)
    own: list[Tensor | None] = [None] * len(parameters)
    added, more = torch.empty_like(read), torch.empty_like(read)
    for part in half.parts(read.shape[0]):
        with torch.enable_grad():
            states = _leaf(read[part], dtype)
            result = half(states, part)
            added[part] = on_grid(result.detach())
        found = torch.autograd.grad(
            result, (states, *parameters), grad[part].to(result.dtype), allow_unused=True
        )
        if found[0] is None:
            more[part] = 0
        else:
            more[part] = found[0]
        own = [_sum(old, new) for old, new in zip(own, found[1:], strict=True)]
    return added, more, own


def _leaf(states: Tensor, dtype: torch.dtype) -> Tensor:
    """A copy that collects a gradient."""
    return states.detach().to(dtype, copy=True).requires_grad_()


def _sum(old: Tensor | None, new: Tensor | None) -> Tensor | None:
    if old is None or new is None:
        return new if old is None else old
    return old.add_(new)


class _OnGrid(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, states: Tensor) -> Tensor:
        ctx.dtype = states.dtype  # type: ignore[attr-defined]
        return states.double().mul_(_GRID).round_().mul_(1 / _GRID)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return grads[0].to(ctx.dtype)
