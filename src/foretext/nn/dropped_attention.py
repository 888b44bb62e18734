"""Attention with dropout on its weights, for a CPU: one autograd node for all stacks of a batch.

With dropout, PyTorch's scaled-dot-product attention leaves its fast path there. Here each stack
takes two matrix products forward and four backward, scaling included, and nothing is recorded
between them; on short sequences the record would cost more than the products.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

Span = tuple[int, int, int]  # first token, sequences, tokens of each


def dropped_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    spans: Sequence[Span],
    keep: Sequence[Tensor],
    *,
    scale: float,
    causal: bool,
) -> Tensor:
    """Attention within each sequence; differentiable once in query, key and value.

    Args:
        query, key, value: [tokens, heads, head_dim].
        spans: stacks of neighbouring sequences of one length.
        keep: of each stack, the weights that stay, bool [count * heads, length, length].
        scale: factor of the weights that stay.
        causal: a token sees itself and what is before it.

    Returns:
        [tokens, heads, head_dim].
    """
    return _Dropped.apply(query, key, value, spans, keep, scale, causal)


def _heads_first(tokens: Tensor, span: Span) -> Tensor:
    """A stack's [count * heads, length, head_dim] of [tokens, heads, head_dim]; a view of one."""
    start, count, length = span
    part = tokens[start : start + count * length]
    if count == 1:
        return part.transpose(0, 1)
    heads, size = part.shape[1:]
    return part.view(count, length, heads, size).transpose(1, 2).reshape(-1, length, size)


def _put(tokens: Tensor, span: Span, stack: Tensor) -> None:
    """Write a stack back to its place: the inverse of _heads_first."""
    start, count, length = span
    place = tokens[start : start + count * length]
    heads, size = place.shape[1:]
    place.view(count, length, heads, size).copy_(
        stack.view(count, heads, length, size).transpose(1, 2)
    )


def _product(one: Tensor, other: Tensor, factor: float) -> Tensor:
    """factor * one @ other, batched; the factor costs nothing."""
    return torch.baddbmm(one.new_empty(()), one, other, beta=0, alpha=factor)


class _Dropped(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        spans: Sequence[Span],
        keep: Sequence[Tensor],
        scale: float,
        causal: bool,
    ) -> Tensor:
        out = torch.empty_like(query)
        softer = query.shape[-1] ** -0.5
        weights = []
        for span, kept in zip(spans, keep, strict=True):
            q, k, v = (_heads_first(t, span) for t in (query, key, value))
            scores = _product(q, k.transpose(1, 2), softer)
            if causal:
                future = torch.ones(scores.shape[1:], dtype=torch.bool).triu_(1)
                scores.masked_fill_(future, float("-inf"))
            weights.append(torch.softmax(scores, -1))
            _put(out, span, _product(weights[-1] * kept, v, scale))
        ctx.save_for_backward(query, key, value, *weights)
        ctx.rest = (spans, keep, scale)  # type: ignore[attr-defined]
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, *weights = ctx.saved_tensors
        spans, keep, scale = ctx.rest
        grad = grads[0].contiguous()
        found = [torch.empty_like(t) for t in (query, key, value)]
        softer = query.shape[-1] ** -0.5
        for span, kept, weight in zip(spans, keep, weights, strict=True):
            q, k, v, g = (_heads_first(t, span) for t in (query, key, value, grad))
            dropped = _product(g, v.transpose(1, 2), scale).mul_(kept)
            scores = torch._softmax_backward_data(dropped, weight, -1, weight.dtype)
            _put(found[0], span, _product(scores, k, softer))
            _put(found[1], span, _product(scores.transpose(1, 2), q, softer))
            _put(found[2], span, _product((weight * kept).transpose(1, 2), g, scale))
        return (*found, None, None, None, None)
