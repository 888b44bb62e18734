"""Attention over short sequences on a CPU: groups of near-equal length, one autograd node for all.

Neighbours of up to 64 tokens whose lengths are equal when rounded up to a multiple of 8 are filled
up to it and attend as one batch of matrices; beyond, those of equal length do. A product of few
rows costs more in its call than in its arithmetic, does not spread over cores, and is slow where a
length is odd. What is filled up is hidden as keys and gets no gradient, so that results are those
of the sequences alone. A group has few enough tokens, and a product few enough scores, to stay in a
core's cache between its steps.

Nothing is recorded between the products; on short sequences the record would cost more than they.
Kept for the gradient are queries, keys, values and weights, the negative of those that are dropped.

Under autocast the softmax is fp32, and so are products of small groups: oneDNN, which multiplies
bf16, compiles a kernel for every new shape.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from foretext.core.masks import Causal, Full, Mask, Positions
from foretext.nn.cpu.product import side_by_side

_GRANULE = 8  # lengths are rounded up to a multiple of it,
_LONG = 64  # up to this one; beyond, filling up costs more than calls
_MOST_PLACES = 1024  # of a group, unless a sequence alone has more
_MOST_SCORES = 2**18  # of a product, unless a head alone has more
_LEAST = 2**22  # multiplications of a group's product that pay for a kernel of its own


@dataclass(frozen=True, kw_only=True, eq=False)
class Order:
    """How [tokens, parts, heads] of a group become [parts, count, heads, length], and back."""

    rows: Tensor  # which of the former each of the latter is; a sequence's last token fills it up
    places: Tensor  # which of the latter each of the former is


@dataclass(frozen=True, kw_only=True, eq=False)
class Group:
    """Neighbouring sequences that are filled up to one length."""

    first: int  # number of the first sequence
    start: int  # first token
    tokens: int
    count: int  # sequences
    length: int  # places of each
    lengths: Tensor  # tokens of each, [count]
    # What all layers with as many heads share, so it is made once.
    orders: dict[tuple[int, int], Order] = field(default_factory=dict)  # by parts and heads
    hidden: dict[tuple[int, Mask], Tensor | None] = field(default_factory=dict)  # by heads and mask

    @property
    def stop(self) -> int:
        return self.start + self.tokens

    @property
    def is_filled_up(self) -> bool:
        return self.tokens < self.count * self.length

    @cached_property
    def used(self) -> Tensor:
        """Places that are not filled up, [count, length] bool."""
        return torch.arange(self.length) < self.lengths[:, None]

    def order(self, parts: int, heads: int) -> Order:
        """Of rows with these parts and heads."""
        key = (parts, heads)
        if key not in self.orders:
            self.orders[key] = self._order(*key)
        return self.orders[key]

    def hidden_by(self, mask: Mask, heads: int) -> Tensor | None:
        """What is added to scores, -inf where a key is hidden; None hides none.

        [1, length, length]; [count * heads, 1, length] of Full; else [count, length, length].
        """
        key = (heads, mask)
        if key not in self.hidden:
            self.hidden[key] = self._hidden_by(mask, heads)
        return self.hidden[key]

    def _hidden_by(self, mask: Mask, heads: int) -> Tensor | None:
        if isinstance(mask, Causal):  # what is filled up lies after the last token
            seen = torch.ones(1, self.length, self.length, dtype=torch.bool).tril_()
        elif not isinstance(mask, Full):
            seen = self._seen(mask) & self.used[:, None]
        elif self.is_filled_up:
            seen = self.used[:, None].repeat_interleave(heads, 0)
        else:
            return None
        return torch.zeros(seen.shape).masked_fill_(~seen, float("-inf"))

    def _seen(self, mask: Mask) -> Tensor:
        """[count, length, length]; what is filled up asks as its sequence's last token."""
        place, last = torch.arange(self.length), (self.lengths - 1)[:, None, None]
        query = torch.minimum(place[:, None], last)
        start = self.start + (self.lengths.cumsum(0) - self.lengths)[:, None, None]
        return mask.sees(
            Positions(
                query=query,
                key=place,
                sequence=self.first + torch.arange(self.count)[:, None, None],
                query_index=start + query,
                key_start=start,
            )
        )

    def _order(self, parts: int, heads: int) -> Order:
        first, place = self.lengths.cumsum(0) - self.lengths, torch.arange(self.length)
        token = first[:, None] + torch.minimum(place, self.lengths[:, None] - 1)
        lane = torch.arange(parts * heads).view(parts, 1, heads, 1)
        rows = (token[None, :, None] * (parts * heads) + lane).int()
        every = torch.arange(rows.numel(), dtype=torch.int).view(rows.shape).permute(1, 3, 0, 2)
        return Order(rows=rows.flatten(), places=every[self.used].flatten())

    def gather(self, rows: Tensor) -> Tensor:
        """[tokens of the batch, parts, heads, size] -> [parts, count * heads, length, size]."""
        parts, heads, size = rows.shape[1:]
        flat = rows[self.start : self.stop].view(-1, size)
        found = flat.index_select(0, self.order(parts, heads).rows)
        return found.view(parts, self.count * heads, self.length, size)

    def scatter(self, places: Tensor, rows: Tensor) -> None:
        """Write places [parts, count * heads, length, size] to the rows of the group's tokens."""
        parts, heads, size = rows.shape[1:]
        flat = rows[self.start : self.stop].view(-1, size)
        order = self.order(parts, heads).places
        torch.index_select(places.to(rows.dtype).view(-1, size), 0, order, out=flat)


def groups_of(lengths: Sequence[int]) -> tuple[Group, ...]:
    """The groups of neighbouring sequences with these lengths, in their order."""
    groups: list[Group] = []
    first = start = 0
    for length, run in groupby(lengths, padded):
        rest, most = list(run), max(1, _MOST_PLACES // length)
        for begin in range(0, len(rest), most):
            part = torch.tensor(rest[begin : begin + most])
            tokens = int(part.sum())
            group = Group(
                first=first,
                start=start,
                tokens=tokens,
                count=len(part),
                length=length,
                lengths=part,
            )
            groups.append(group)
            first, start = first + len(part), start + tokens
    return tuple(groups)


def padded(length: int) -> int:
    """A sequence's places, a function of its length alone: dropout's draws depend on it."""
    return length if length > _LONG else -(-length // _GRANULE) * _GRANULE


@dataclass(frozen=True, kw_only=True, eq=False)
class _Rules:
    """What all groups have in common."""

    mask: Mask
    softer: float  # factor of the products of queries and keys
    kept: float  # factor of the weights that dropout keeps


def grouped_attention(
    parts: tuple[Tensor, Tensor, Tensor],
    groups: Sequence[Group],
    *,
    mask: Mask,
    scale: float,
    biases: Sequence[Tensor] = (),
    keep: Sequence[Tensor] | None = None,
    kept_scale: float = 1.0,
) -> Tensor:
    """Attention within each sequence; differentiable once.

    Args:
        parts: queries, keys and values, [rows, heads, head_dim]; best as neighbours in the rows of
            one tensor [rows, 3, heads, head_dim], as nn/cpu/product.py makes them.
        groups: all of the batch; rows after their tokens give zeros.
        mask: which keys a query sees, one at least.
        scale: factor of the products of queries and keys.
        biases: of each group what is added to its scores, [heads, length, length]; none is nothing.
        keep: of each group, the weights that stay, bool [tokens, heads, length]; None is all.
        kept_scale: factor of the weights that stay.

    Returns:
        [rows, heads, head_dim].
    """
    rules = _Rules(mask=mask, softer=scale, kept=kept_scale)
    return _Grouped.apply(*parts, groups, keep, rules, *biases)


class _Grouped(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        groups: Sequence[Group],
        keep: Sequence[Tensor] | None,
        rules: _Rules,
        *biases: Tensor,
    ) -> Tensor:
        columns = side_by_side([part.flatten(1) for part in (query, key, value)])
        packed = columns.contiguous().view(len(query), 3, *query.shape[1:])
        out = packed.new_empty(packed.shape[0], 1, *packed.shape[2:])
        out[groups[-1].stop :] = 0.0
        saved = []
        for number, group in enumerate(groups):
            stack = group.gather(packed)
            kept = None if keep is None else _by_head(group, keep[number])
            bias = biases[number] if biases else None
            mixed, weights = _mix(group, _full(stack), kept, bias, rules)
            group.scatter(mixed[None], out)
            saved += [stack, weights]
        ctx.save_for_backward(*saved)
        ctx.rest = (groups, keep is not None, rules, packed.shape)  # type: ignore[attr-defined]
        return out[:, 0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        groups, dropped, rules, shape = ctx.rest
        saved, learned = ctx.saved_tensors, any(ctx.needs_input_grad[6:])
        found = grads[0].new_empty(shape)
        of_biases: list[Tensor | None] = []
        found[groups[-1].stop :] = 0.0
        of_mix = grads[0].contiguous()[:, None]
        for group, stack, weights in zip(groups, saved[::2], saved[1::2], strict=True):
            operands = _full(stack)
            grad = group.gather(of_mix)[0].to(operands.dtype)
            if group.is_filled_up:
                grad.unflatten(0, (group.count, -1)).mul_(group.used[:, None, :, None].to(grad))
            of_bias = weights.new_zeros(shape[2], *weights.shape[1:]) if learned else None
            of_rows = _gradients(grad, operands, weights, rules, of_bias, dropped=dropped)
            group.scatter(of_rows, found)
            of_biases.append(of_bias)
        rest = of_biases if learned else [None] * (len(ctx.needs_input_grad) - 6)
        return (*found.unbind(1), None, None, None, *rest)


def _by_head(group: Group, keep: Tensor) -> Tensor:
    """[tokens of the group, heads, length] -> [count * heads, length, length], 1 or -1: dropped."""
    _, heads, length = keep.shape
    signs = keep.view(torch.int8) * 2 - 1
    if not group.is_filled_up:
        return signs.unflatten(0, (-1, length)).transpose(1, 2).flatten(0, 1)
    # Rows of bytes would be copied a byte at a time; what is filled up has a multiple of 8 places.
    words = signs.view(torch.int64).flatten(0, 1)
    found = words.index_select(0, group.order(1, heads).rows)
    return found.view(torch.int8).view(-1, length, length)


def _full(stack: Tensor) -> Tensor:
    """What to compute in: bf16 as fp32 where a product is small, anything else as it is."""
    small = stack[0].numel() * stack.shape[2] < _LEAST
    return stack.float() if small and stack.dtype == torch.bfloat16 else stack


def _parts(weights: Tensor) -> Iterator[slice]:
    """Heads that are computed together, of [count * heads, length, length]."""
    step = max(1, _MOST_SCORES // weights[0].numel())
    return (slice(first, first + step) for first in range(0, len(weights), step))


def _mix(
    group: Group, stack: Tensor, keep: Tensor | None, bias: Tensor | None, rules: _Rules
) -> tuple[Tensor, Tensor]:
    """Values mixed, [count * heads, length, head_dim], and the weights, negative where dropped."""
    q, k, v = stack.unbind()
    weights = q.new_empty(*q.shape[:2], q.shape[1], dtype=torch.promote_types(q.dtype, torch.float))
    mixed = q.new_empty(q.shape)  # contiguous, or products would go one by one
    heads = len(q) // group.count
    hidden = group.hidden_by(rules.mask, heads)
    for part in _parts(weights):
        scores = _product(q[part], k[part].mT, rules.softer).to(weights.dtype)
        if bias is not None:
            scores += bias[_lanes(part, weights) % heads]
        if hidden is not None:
            scores += _of_lanes(hidden, part, weights, heads)
        found = torch.softmax(scores, -1, out=weights[part])
        if keep is not None:
            found.mul_(keep[part])
            found = torch.clamp_min(found, 0, out=scores)
        _product(found.to(v.dtype), v[part], rules.kept, mixed[part])
    return mixed, weights


def _lanes(part: slice, weights: Tensor) -> Tensor:
    """Numbers of the part's heads among [count * heads]."""
    return torch.arange(part.start, min(part.stop, len(weights)))


def _of_lanes(hidden: Tensor, part: slice, weights: Tensor, heads: int) -> Tensor:
    if len(hidden) == 1:
        return hidden
    if len(hidden) == len(weights):
        return hidden[part]
    return hidden[_lanes(part, weights) // heads]


def _gradients(
    grad: Tensor,
    stack: Tensor,
    weights: Tensor,
    rules: _Rules,
    of_bias: Tensor | None,
    *,
    dropped: bool,
) -> Tensor:
    """Of queries, keys and values, [3, count * heads, length, head_dim]; grad is of their mix.

    of_bias: the gradient of [heads, length, length], added to in place; None is not wanted.
    """
    found = stack.new_empty(stack.shape)
    for part in _parts(weights):
        (q, k, v), g, weight = stack[:, part], grad[part], weights[part]
        kept, of_weights = weight, _product(g, v.mT, rules.kept).to(weight.dtype)
        if dropped:
            of_weights = torch.ops.aten.threshold_backward(of_weights, weight, 0.0)
            kept, weight = weight.clamp_min(0.0), weight.abs()
        scores = torch._softmax_backward_data(of_weights, weight, -1, weight.dtype)
        if of_bias is not None:
            of_bias.index_add_(0, _lanes(part, weights) % len(of_bias), scores)
        scores = scores.to(g.dtype)
        _product(scores, k, rules.softer, found[0, part])
        _product(scores.mT, q, rules.softer, found[1, part])
        _product(kept.to(g.dtype).mT, g, rules.kept, found[2, part])
    return found


def _product(one: Tensor, other: Tensor, factor: float, out: Tensor | None = None) -> Tensor:
    """factor * one @ other, batched; the factor costs nothing."""
    if out is None:
        out = one.new_empty(one.shape[0], one.shape[1], other.shape[2])
    return torch.baddbmm(out, one, other, beta=0, alpha=factor, out=out)
