"""Attention in chunks over ragged sequences: a chunk sees itself and its neighbours.

Paper: Kitaev et al. 2020, "Reformer", https://arxiv.org/abs/2001.04451, section 2: masks of the
future and of a token's own key, and rounds combined by their normalisers. Scores exist for some
chunks at a time, and are computed anew in the backward pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from foretext.nn.chunks import FILLING, Arrangement

HIDDEN, ITSELF = -1e9, -1e5  # scores: of what may not be seen, and of a token's own key
_ALONE = ITSELF / 2  # a row whose scores sum to less has nothing but itself to see
_HELD = {"cpu": 2**20}  # scores at once: 4 MB in fp32, which stay in a core's cache
_HELD_ELSEWHERE = 2**26


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a token sees, and what of it is dropped.

    Attributes:
        where: who stands where.
        causal: a token sees none that come after it.
        shuns_itself: a token sees itself only where it sees nothing else.
        keep: of the weights, [chunks of all heads and rounds, chunk, looked * chunk] bool; None is
            all.
        scale: of the weights that are kept.
    """

    where: Arrangement
    causal: bool
    shuns_itself: bool
    keep: Tensor | None = None
    scale: float = 1.0

    def parts(self, query: Tensor) -> list[slice]:
        """Chunks that are computed at once."""
        chunks, length, _ = query.shape
        held = _HELD.get(query.device.type, _HELD_ELSEWHERE)
        step = max(1, held // (length * length * self.where.neighbours.shape[1]))
        return [slice(start, min(start + step, chunks)) for start in range(0, chunks, step)]

    def looked(self, states: Tensor, part: slice) -> Tensor:
        """What chunks look at, [chunks, looked * length, ...] of [all chunks, length, ...]."""
        chunks = self.where.neighbours[part]
        found = states.index_select(0, chunks.flatten())
        return found.view(len(chunks), chunks.shape[1] * states.shape[1], *states.shape[2:])

    def add(self, total: Tensor, part: slice, grad: Tensor) -> None:
        """Add the gradient of `looked` to that of the states; a chunk is looked at by several."""
        seen = self.where.neighbours[part]
        grad = grad.view(*seen.shape, *total.shape[1:])
        for column in range(seen.shape[1]):  # within one, no chunk comes twice
            total.index_add_(0, seen[:, column], grad[:, column])

    def scores(self, query: Tensor, key: Tensor, part: slice) -> Tensor:
        """Products, what is not seen masked, [chunks, length, looked * length]; at least fp32."""
        scores = _precise(query[part] @ self.looked(key, part).transpose(1, 2))
        every = self.where.positions.view(-1, self.where.chunk)
        own, seen = every[part].unsqueeze(2), self.looked(every, part).unsqueeze(1)
        hidden = seen > own if self.causal else seen == FILLING
        scores.masked_fill_(hidden, HIDDEN)
        return scores.masked_fill_(seen == own, ITSELF) if self.shuns_itself else scores

    def dropped(self, shares: Tensor, part: slice) -> Tensor:
        """The weights after dropout, in place."""
        if self.keep is None:
            return shares
        return shares.mul_(self.keep[part]).mul_(self.scale)


def attend_in_chunks(query: Tensor, key: Tensor, value: Tensor, own: Tensor, seen: Seen) -> Tensor:
    """Attention of some sequences of a batch, each chunk to its neighbours, rounds combined.

    Round r gives o_r and z_r, the logarithm of its normaliser; the result is the sum of
    o_r * exp(z_r - logsumexp_r z).

    Args:
        query, key, value: [tokens, heads, head_size] of the whole batch; scores are query @ key.
        own: [own tokens], the sequences' tokens, ascending.
        seen: by each of them.

    Returns:
        [own tokens, heads, head_size].
    """
    where = seen.where
    heads, rounds, chunk = where.heads, where.rounds, where.chunk
    flat = [states.reshape(-1, states.shape[-1]) for states in (query, key, value)]
    mine = (own[:, None] * heads + torch.arange(heads, device=own.device)).flatten()
    slots = where.slots.reshape(len(mine), rounds)
    arranged = [
        _Arranged.apply(part, where.queries, mine, slots).view(-1, chunk, part.shape[-1])
        for part in flat
    ]
    mixed, weight = _Chunks.apply(*arranged, seen)
    found = _Taken.apply(mixed.flatten(0, 1), slots)  # [rows, rounds, head_size]
    if rounds == 1:
        return found.view(len(own), heads, -1)
    total = _Taken.apply(weight.view(-1, 1), slots)
    share = (total - total.logsumexp(1, keepdim=True)).exp()
    return (found * share.to(found.dtype)).sum(1).view(len(own), heads, -1)


def attend_some(query: Tensor, key: Tensor, value: Tensor, some: Tensor, seen: Seen) -> Tensor:
    """As attend_in_chunks, of some tokens alone and without dropout; for few of them.

    Args:
        query: [some, heads, head_size].
        key, value: [tokens, heads, head_size], of all tokens; all have places.
        some: [some], which tokens the queries are.
        seen: by each of the tokens.
    """
    where = seen.where
    slots = where.slots[some]  # [some, heads, rounds]
    chunks = where.neighbours[slots // where.chunk]  # and looked
    inside = torch.arange(where.chunk, device=some.device)
    looked = (chunks.unsqueeze(-1) * where.chunk + inside).flatten(-2)
    rows, positions = where.queries[looked], where.positions[looked]
    keys, values = (states.flatten(0, 1)[rows] for states in (key, value))
    scores = _precise((keys @ query[:, :, None, :, None]).squeeze(-1))
    own = where.positions[slots].unsqueeze(-1)
    scores.masked_fill_(positions > own if seen.causal else positions == FILLING, HIDDEN)
    if seen.shuns_itself:
        scores.masked_fill_(positions == own, ITSELF)
    total = scores.logsumexp(-1, keepdim=True)
    shares = (scores - total).exp() * (total - total.logsumexp(2, keepdim=True)).exp()
    return (shares.to(values.dtype).unsqueeze(-2) @ values).squeeze(-2).sum(2)


def _precise(values: Tensor) -> Tensor:
    """At least fp32: half precision has no room for -1e5 beside a score."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


class _Arranged(torch.autograd.Function):
    """states[queries]; every row stands in `rounds` slots, so its gradient is a sum of so many."""

    @staticmethod
    def forward(
        ctx: FunctionCtx, states: Tensor, queries: Tensor, mine: Tensor, slots: Tensor
    ) -> Tensor:
        ctx.save_for_backward(mine, slots)
        ctx.rows = states.shape[0]  # type: ignore[attr-defined]
        return states.index_select(0, queries)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        mine, slots = ctx.saved_tensors
        grad = grads[0]
        summed = grad.index_select(0, slots[:, 0])
        for number in range(1, slots.shape[1]):
            summed += grad.index_select(0, slots[:, number])
        if len(mine) == ctx.rows:  # ascending: all of them
            return summed, None, None, None
        return grad.new_zeros(ctx.rows, grad.shape[1]).index_copy(0, mine, summed), None, None, None


class _Taken(torch.autograd.Function):
    """states[slots]; no slot is taken twice, so the gradient is a copy."""

    @staticmethod
    def forward(ctx: FunctionCtx, states: Tensor, slots: Tensor) -> Tensor:
        ctx.save_for_backward(slots)
        ctx.rows = states.shape[0]  # type: ignore[attr-defined]
        return states.index_select(0, slots.flatten()).view(*slots.shape, states.shape[1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (slots,) = ctx.saved_tensors
        grad = grads[0].reshape(-1, grads[0].shape[-1])
        whole = grad.new_zeros(ctx.rows, grad.shape[1])
        return whole.index_copy_(0, slots.flatten(), grad), None


class _Chunks(torch.autograd.Function):
    """Attention of chunks; nothing of the size of the scores is kept."""

    @staticmethod
    def forward(
        ctx: FunctionCtx, query: Tensor, key: Tensor, value: Tensor, seen: Seen
    ) -> tuple[Tensor, Tensor]:
        mixed = torch.empty_like(query)
        weight = _precise(query.new_empty(query.shape[:2]))
        for part in seen.parts(query):
            scores = seen.scores(query, key, part)
            highest = scores.amax(-1, keepdim=True)
            scores = scores.sub_(highest).exp_()
            total = highest + scores.sum(-1, keepdim=True).log()
            weight[part] = total.squeeze(-1)
            # Not by the sum: at -1e5 fp32 rounds, which the official code's weights have in them.
            scores = seen.dropped(scores.mul_((highest - total).exp_()), part)
            mixed[part] = scores.to(value.dtype) @ seen.looked(value, part)
        ctx.save_for_backward(query, key, value, mixed, weight)
        ctx.seen = seen  # type: ignore[attr-defined]
        return mixed, weight

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, mixed, weight = ctx.saved_tensors
        seen: Seen = ctx.seen
        of_mixed, of_weight = grads[0].contiguous(), grads[1]
        of_query, of_key, of_value = (torch.zeros_like(states) for states in (query, key, value))
        for part in seen.parts(query):
            shares = seen.scores(query, key, part).sub_(weight[part].unsqueeze(-1)).exp_()
            used = seen.dropped(shares.clone() if seen.keep is not None else shares, part)
            grad = of_mixed[part]
            seen.add(of_value, part, used.to(grad.dtype).transpose(1, 2) @ grad)
            of_shares = _precise(grad @ seen.looked(value, part).transpose(1, 2))
            inner = (_precise(grad) * _precise(mixed[part])).sum(-1) - of_weight[part]
            of_scores = seen.dropped(of_shares, part).sub_(inner.unsqueeze(-1)).mul_(shares)
            if seen.shuns_itself:  # alone, its score is a constant
                of_scores.mul_((weight[part] > _ALONE).unsqueeze(-1))
            of_scores = of_scores.to(query.dtype)
            of_query[part] = of_scores @ seen.looked(key, part)
            seen.add(of_key, part, of_scores.transpose(1, 2) @ query[part])
        return of_query, of_key, of_value, None
