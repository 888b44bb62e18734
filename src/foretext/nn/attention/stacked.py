"""Attention of neighbouring sequences of one length together, by PyTorch's own kernel.

Takes every mask and bias. Locally banded attention (Child et al. 2019,
https://arxiv.org/abs/1904.10509, section 4.2) goes tile by tile, so that what lies outside the
window costs nothing. With dropout on a CPU the products are written out: PyTorch's kernel leaves
its fast path there, and its draws depend on what was drawn before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F

from foretext.core.layout import Stack
from foretext.core.masks import Causal, Full, Order, Prefix, RightToLeft
from foretext.nn.attention.bias import Bias
from foretext.nn.attention.call import Backend, Call
from foretext.nn.cpu.dropout import apply_mask
from foretext.nn.cpu.grouped_attention import padded

_TILED = 1 << 32  # streams of dropout's draws for sequences in tiles
Tile = tuple[int, int, int]  # first query, last query + 1, first key; the last key is the query's


def _attend_stacked(call: Call) -> Tensor:
    layout = call.layout
    more = call.query.shape[0] - layout.tokens
    queries = call.query[: layout.tokens].split([stack.tokens for stack in layout.stacks])
    parts = zip(layout.stacks, queries, call.keys_by_stack, call.values_by_stack, strict=True)
    mixed = [_attend_stack(call, stack, q, k, v) for stack, q, k, v in parts]
    if more:
        mixed.append(call.query.new_zeros(more, *call.query.shape[1:]))
    return mixed[0] if len(mixed) == 1 else torch.cat(mixed)


def _attend_stack(call: Call, stack: Stack, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    shape = (stack.count, stack.length, *q.shape[1:])
    q = q.reshape(shape).transpose(1, 2)
    tiles = _tiles(stack, call.mask)
    keep = _keep(call, stack, tiles, shape[2])
    allowed = [_allowed(call, stack, tile, q) for tile in tiles]
    parts = zip(*_cut(stack, q, k, v, tiles), allowed, keep, strict=True)
    mixed = [_mix(call, *part) for part in parts]
    out = mixed[0] if len(mixed) == 1 else torch.cat(mixed, 2)
    return out.transpose(1, 2).reshape(stack.tokens, *shape[2:])


def _keep(call: Call, stack: Stack, tiles: Sequence[Tile], heads: int) -> Sequence[Tensor | None]:
    """Of each tile the weights that stay, bool [count, heads, query, key]; None: all, or SDPA's."""
    dropout = call.dropout
    if dropout is None:
        return [None] * len(tiles)
    if call.query.device.type != "cpu":
        dropout.seed_kernels(stack.start)
        return [None] * len(tiles)
    if len(tiles) == 1:  # as in groups, which others of the batch may decide for
        slots = padded(stack.key_length)
        size = torch.Size((stack.tokens, heads, slots))
        start = (dropout.first_token + stack.start) * heads * slots
        by_token = dropout.keep_mask(size, start, stream=slots)[..., : stack.key_length]
        return [by_token.unflatten(0, (stack.count, stack.length)).transpose(1, 2)]
    past = stack.key_length - stack.length
    widths = [past + stop - key for _, stop, key in tiles]
    size = torch.Size((stack.count, heads, stack.length, max(widths)))
    start = (dropout.first_token + stack.start) * heads * max(widths)
    mask = dropout.keep_mask(size, start, stream=_TILED + stack.key_length)
    rows = mask.split([stop - begin for begin, stop, _ in tiles], 2)
    return [part[..., :width] for part, width in zip(rows, widths, strict=True)]


@dataclass(frozen=True, eq=False)
class _Allowed:
    """What a tile's scores meet before the softmax."""

    is_causal: bool = False  # as many queries as keys, each sees its own and those before it
    seen: Tensor | None = None  # bool, broadcasts to [count, heads, query, key]; None is all
    bias: Tensor | None = None  # added to the scores, [count or 1, heads, query, key]
    some_see_nothing: bool = False


def _allowed(call: Call, stack: Stack, tile: Tile, q: Tensor) -> _Allowed:
    begin, stop, first = tile
    past = stack.key_length - stack.length
    bias = None if call.bias is None else call.bias.of(stack)
    if bias is not None:
        bias = bias[:, :, begin:stop, first : past + stop].to(q.dtype)
    mask = call.mask
    if isinstance(mask, Causal):
        queries, keys = stop - begin, past + stop - first
        narrow = mask.window is not None and keys > mask.window
        if not narrow and queries == keys:  # SDPA needs no mask to be told which are in the past
            return _Allowed(is_causal=True, bias=bias)
        # One query, the newest, sees all keys.
        seen = _band(queries, keys, mask.window, q.device) if narrow or queries > 1 else None
        return _Allowed(seen=seen, bias=bias)
    if isinstance(mask, Full):
        return _Allowed(bias=bias)
    seen = mask.dense_stack(stack, q.device)[:, None]
    return _Allowed(seen=seen, bias=bias, some_see_nothing=isinstance(mask, Order))


def _band(queries: int, keys: int, window: int | None, device: torch.device) -> Tensor:
    """Which keys a query of a tile sees, bool [query, key]: the last query's own is the last."""
    past = keys - queries
    every = torch.ones(queries, keys, dtype=torch.bool, device=device).tril(past)
    return every if window is None else every.triu(past - window + 1)


def _tiles(stack: Stack, mask: object) -> list[Tile]:
    """Queries cut so that neighbours share most of their keys.

    One for all, unless a window leaves keys out. A tile's keys go from its first to its last
    query's own; the first tile is the part of the sequence that sees all before it.
    """
    window = mask.window if isinstance(mask, Causal) else None
    if window is None or stack.key_length <= window:
        return [(0, stack.length, 0)]
    past = stack.key_length - stack.length
    step = max(64, min(window, 128))  # measured: smaller tiles feed the kernel too little
    whole = max(window // step, 1) * step
    cuts = [n - past for n in range(whole, stack.key_length, step) if n > past]
    return [
        # Keys begin at a multiple of the step, as _cut needs them.
        (begin, stop, max(0, past + begin - window + 1) // step * step)
        for begin, stop in pairwise((0, *cuts, stack.length))
    ]


def _cut(
    stack: Stack, q: Tensor, k: Tensor, v: Tensor, tiles: Sequence[Tile]
) -> tuple[Sequence[Tensor], ...]:
    """Queries, keys and values of each tile, [count, heads, ., head_size]."""
    if len(tiles) == 1:
        first = tiles[0][2]
        return (q,), (k[:, :, first:],), (v[:, :, first:],)
    past = stack.key_length - stack.length
    cuts = sorted({0, *(past + stop for _, stop, _ in tiles), *(key for _, _, key in tiles)})
    sizes = [stop - begin for begin, stop in pairwise(cuts)]
    places = [(cuts.index(key), cuts.index(past + stop)) for _, stop, key in tiles]
    # Pieces joined again, not slices: a slice's gradient is as large as the whole sequence.
    keys, values = (
        [torch.cat(pieces[begin:stop], 2) for begin, stop in places]
        for pieces in (k.split(sizes, 2), v.split(sizes, 2))
    )
    return q.split([stop - begin for begin, stop, _ in tiles], 2), keys, values


def _mix(
    call: Call, q: Tensor, k: Tensor, v: Tensor, allowed: _Allowed, keep: Tensor | None
) -> Tensor:
    """Attention of q [count, heads, query, head_size] to k and v [count, heads, key, .]."""
    seen, bias, is_causal = allowed.seen, allowed.bias, allowed.is_causal
    if is_causal and (bias is not None or keep is not None):
        seen, is_causal = _band(q.shape[2], k.shape[2], None, q.device), False
    blind = None
    if allowed.some_see_nothing and seen is not None:  # they see all, and give zeros
        blind = ~seen.any(-1, keepdim=True)
        seen = seen | blind
    if keep is not None and call.dropout is not None:
        # With dropout SDPA leaves its fast path on a CPU; this is faster than where it goes.
        scores = (q * call.scale) @ k.transpose(-1, -2)
        if bias is not None:
            scores = scores + bias
        if seen is not None:
            scores = scores.masked_fill(~seen, float("-inf"))
        out = apply_mask(scores.softmax(-1), keep, call.dropout.scale) @ v
    else:
        if bias is not None:
            seen = bias if seen is None else bias.masked_fill(~seen, float("-inf"))
        rate = 0.0 if call.dropout is None else call.dropout.rate
        out = F.scaled_dot_product_attention(
            q, k, v, attn_mask=seen, dropout_p=rate, is_causal=is_causal, scale=call.scale
        )
    return out if blind is None else out.masked_fill(blind, 0.0)


STACKED = Backend(
    name="stacked",
    run=_attend_stacked,
    masks=(Full, Causal, Prefix, RightToLeft, Order),
    biases=(Bias,),
)
