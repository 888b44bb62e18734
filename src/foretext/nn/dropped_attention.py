"""Attention with dropout on its weights, for a CPU: one autograd node for all stacks of a batch.

With dropout, PyTorch's scaled-dot-product attention leaves its fast path there. Here each stack
takes two matrix products forward and four backward, scaling included, and nothing is recorded
between them; on short sequences the record would cost more than the products.

Under autocast the softmax is fp32, and so are products of small stacks: oneDNN, which multiplies
bf16, compiles a kernel for every new shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

Span = tuple[int, int, int]  # first token, sequences, tokens of each
_LEAST = 2**22  # multiplications of a stack's product that pay for a kernel of its own


def dropped_attention(
    packed: Tensor, spans: Sequence[Span], keep: Sequence[Tensor], *, scale: float, causal: bool
) -> Tensor:
    """Attention within each sequence; differentiable once in packed.

    Args:
        packed: queries, keys and values, [tokens, 3, heads, head_dim].
        spans: stacks of neighbouring sequences of one length.
        keep: of each stack, the weights that stay, bool [count * heads, length, length].
        scale: factor of the weights that stay.
        causal: a token sees itself and what is before it.

    Returns:
        [tokens, heads, head_dim].
    """
    return _Dropped.apply(packed, spans, keep, scale, causal)


def _place(tokens: Tensor, span: Span) -> Tensor:
    """A stack's view [..., count, heads, length, head_dim] of [tokens, ..., heads, head_dim]."""
    start, count, length = span
    part = tokens[start : start + count * length].unflatten(0, (count, length))
    return part.permute(2, 0, 3, 1, 4) if part.ndim == 5 else part.transpose(1, 2)


def _operands(packed: Tensor, span: Span) -> tuple[Tensor, ...]:
    """A stack's queries, keys and values, [count * heads, length, head_dim], in what to compute."""
    stack = _place(packed, span).flatten(1, 2)
    return (_full(stack) if stack[0].numel() * span[2] < _LEAST else stack).unbind()


def _full(part: Tensor) -> Tensor:
    """bf16 as fp32, anything else as it is."""
    return part.float() if part.dtype == torch.bfloat16 else part


def _product(one: Tensor, other: Tensor, factor: float, out: Tensor | None = None) -> Tensor:
    """factor * one @ other, batched; the factor costs nothing."""
    if out is None:
        out = one.new_empty(one.shape[0], one.shape[1], other.shape[2])
    return torch.baddbmm(out, one, other, beta=0, alpha=factor, out=out)


class _Dropped(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx,
        packed: Tensor,
        spans: Sequence[Span],
        keep: Sequence[Tensor],
        scale: float,
        causal: bool,
    ) -> Tensor:
        out = torch.empty_like(packed[:, 0], memory_format=torch.contiguous_format)
        softer = packed.shape[-1] ** -0.5
        weights = []
        for span, kept in zip(spans, keep, strict=True):
            q, k, v = _operands(packed, span)
            scores = _full(_product(q, k.transpose(1, 2), softer))
            if causal:
                future = torch.ones(scores.shape[1:], dtype=torch.bool).triu_(1)
                scores.masked_fill_(future, float("-inf"))
            weights.append(torch.softmax(scores, -1))
            place = _place(out, span)
            place.copy_(_product((weights[-1] * kept).to(v.dtype), v, scale).view(place.shape))
        ctx.save_for_backward(packed, *weights)
        ctx.rest = (spans, keep, scale)  # type: ignore[attr-defined]
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        packed, *weights = ctx.saved_tensors
        spans, keep, scale = ctx.rest
        found = torch.empty_like(packed)
        softer = packed.shape[-1] ** -0.5
        for span, kept, weight in zip(spans, keep, weights, strict=True):
            place = _place(found, span)
            q, k, v = _operands(packed, span)
            g = _place(grads[0], span).flatten(0, 1).to(q.dtype)
            stack = q.new_empty(3, *q.shape)
            dropped = _full(_product(g, v.transpose(1, 2), scale)).mul_(kept)
            scores = torch._softmax_backward_data(dropped, weight, -1, weight.dtype).to(q.dtype)
            _product(scores, k, softer, stack[0])
            _product(scores.transpose(1, 2), q, softer, stack[1])
            _product((weight * kept).to(q.dtype).transpose(1, 2), g, scale, stack[2])
            place.copy_(stack.view(place.shape))
        return (found, None, None, None, None)
