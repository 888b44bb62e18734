"""Attention over ragged sequences: one function, one layout, no padding.

Queries and keys may have lengths of their own: with a key/value cache (nn/cache.py) the keys are
those of the whole sequence and the queries those of its newest tokens.

Paper: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, section 3.2. On a CPU, neighbours of
near-equal length attend together in training (nn/grouped_attention.py; batches are sorted by
length); without a gradient, or with long sequences and no dropout, those of equal length do, by
PyTorch's own kernel. On a GPU, PyTorch's variable-length kernel takes the offsets. Locally banded
attention (Child et al. 2019, https://arxiv.org/abs/1904.10509, section 4.2) goes tile by tile, so
that what lies outside the window costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from inspect import signature
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foretext.nn.dropout import Dropout, apply_mask
from foretext.nn.grouped_attention import grouped_attention
from foretext.nn.layout import AttentionLayout, Stack
from foretext.nn.linear import Linear, joint_linear

if TYPE_CHECKING:
    from foretext.nn.cache import LayerCache

# Tokens: without dropout PyTorch's kernel is faster beyond and keeps no weights. In bf16 it is half
# as fast as groups, and what is kept sets the limit.
_SHORT, _SHORT_BF16 = 128, 512


def attend(
    query: Tensor,
    key: Tensor | Sequence[Tensor],
    value: Tensor | Sequence[Tensor],
    layout: AttentionLayout,
    *,
    dropout: Dropout,
    causal: bool = False,
    window: int | None = None,
) -> Tensor:
    """Scaled dot-product attention within each sequence.

    Args:
        query: [tokens, heads, head_dim].
        key, value: [keys, heads, head_dim]; or, from a cache, one tensor for each of the layout's
            stacks, [count, heads, key_length, head_dim].
        layout: of the batch.
        dropout: of the attention weights.
        causal: a token sees itself and what is before it; the queries are the last of the keys.
        window: tokens that a token sees at most, itself and those next before it; it makes
            attention causal. None is all.

    Returns:
        [tokens, heads, head_dim]; on a CPU rows after the layout's tokens give zeros.
    """
    causal, window = _seen(layout, causal=causal, window=window)
    half = query.dtype in (torch.float16, torch.bfloat16)  # all that the flash kernel takes
    ragged = isinstance(key, Tensor)
    if ragged and query.is_cuda and half and not dropout.active and (kernel := _varlen_kernel()):
        offsets, longest = layout.offsets, layout.longest
        keys, longest_key = layout.key_offsets, layout.longest_key
        # Aligned at the last query and the last key.
        reach = (-1 if window is None else window - 1, 0 if causal or window is not None else -1)
        return kernel(query, key, value, offsets, keys, longest, longest_key, window_size=reach)
    if layout.is_self and ragged and _is_grouped(query, layout, dropout, window):
        assert isinstance(key, Tensor)
        assert isinstance(value, Tensor)
        packed = torch.stack((query, key, value), 1)
        return _attend_grouped(packed, layout, dropout=dropout, causal=causal)
    stacks = layout.stacks
    more = query.shape[0] - layout.tokens
    queries = query[: layout.tokens].split([stack.tokens for stack in stacks])
    call = dropout.next_call() if dropout.active else 0
    parts = zip(stacks, queries, _by_stack(key, stacks), _by_stack(value, stacks), strict=True)
    mixed = [
        _attend_stack(stack, q, k, v, dropout=dropout, call=call, causal=causal, window=window)
        for stack, q, k, v in parts
    ]
    if more:
        mixed.append(query.new_zeros(more, *query.shape[1:]))
    return mixed[0] if len(mixed) == 1 else torch.cat(mixed)


def attend_packed(
    packed: Tensor,
    layout: AttentionLayout,
    *,
    dropout: Dropout,
    causal: bool = False,
    window: int | None = None,
) -> Tensor:
    """As attend; queries, keys and values lie in one tensor [rows, 3, heads, head_dim].

    Rows after the batch's tokens give zeros.
    """
    causal, window = _seen(layout, causal=causal, window=window)
    if _is_grouped(packed, layout, dropout, window):
        return _attend_grouped(packed, layout, dropout=dropout, causal=causal)
    query, key, value = packed.unbind(1)
    return attend(query, key, value, layout, dropout=dropout, causal=causal, window=window)


def _seen(layout: AttentionLayout, *, causal: bool, window: int | None) -> tuple[bool, int | None]:
    """The same without a window that no sequence reaches beyond."""
    reached = window is not None and layout.longest_key > window
    return causal or window is not None, window if reached else None


def _is_grouped(
    states: Tensor, layout: AttentionLayout, dropout: Dropout, window: int | None
) -> bool:
    """Whether sequences attend in groups: in training, but for long ones without dropout."""
    if states.device.type != "cpu" or window is not None or torch.compiler.is_compiling():
        return False
    short = _SHORT_BF16 if states.dtype == torch.bfloat16 else _SHORT
    return dropout.active or (states.requires_grad and layout.longest <= short)


def _attend_grouped(
    packed: Tensor, layout: AttentionLayout, *, dropout: Dropout, causal: bool
) -> Tensor:
    groups = layout.groups
    if not dropout.active:
        return grouped_attention(packed, groups, causal=causal)
    heads, call = packed.shape[2], dropout.next_call()
    keep = [
        dropout.keep_mask(
            torch.Size((group.tokens, heads, group.length)),
            (dropout.first_token + group.start) * heads * group.length,
            call=call,
            stream=group.length,
        )
        for group in groups
    ]
    return grouped_attention(packed, groups, keep=keep, scale=dropout.scale, causal=causal)


def _by_stack(keys: Tensor | Sequence[Tensor], stacks: Sequence[Stack]) -> Sequence[Tensor]:
    """Keys or values of each stack, [count, heads, key_length, head_dim]."""
    if not isinstance(keys, Tensor):
        return keys
    sizes = [stack.keys for stack in stacks]
    parts = zip(stacks, keys[: sum(sizes)].split(sizes), strict=True)
    return [
        part.reshape(stack.count, stack.key_length, *part.shape[1:]).transpose(1, 2)
        for stack, part in parts
    ]


def _attend_stack(
    stack: Stack,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    dropout: Dropout,
    call: int,
    causal: bool,
    window: int | None,
) -> Tensor:
    shape = (stack.count, stack.length, *q.shape[1:])
    q = q.reshape(shape).transpose(1, 2)
    tiles = [(0, stack.length, 0)]  # one for all, unless a window leaves keys out
    if window is not None and stack.key_length > window:
        tiles = _tiles(stack, window)
    keep: tuple[Tensor | None, ...] = (None,) * len(tiles)
    if dropout.active and q.device.type == "cpu":
        past = stack.key_length - stack.length
        widths = [past + stop - key for _, stop, key in tiles]
        size = torch.Size((*q.shape[:3], max(widths)))
        start = (dropout.first_token + stack.start) * shape[2] * max(widths)
        mask = dropout.keep_mask(size, start, call=call, stream=stack.key_length)
        rows = mask.split([stop - begin for begin, stop, _ in tiles], 2)
        keep = tuple(part[..., :width] for part, width in zip(rows, widths, strict=True))
    causal = causal or window is not None
    parts = zip(*_cut(stack, q, k, v, tiles), keep, strict=True)
    mixed = [_mix(*part, dropout=dropout, causal=causal, window=window) for part in parts]
    out = mixed[0] if len(mixed) == 1 else torch.cat(mixed, 2)
    return out.transpose(1, 2).reshape(stack.tokens, *shape[2:])


def _tiles(stack: Stack, window: int) -> list[tuple[int, int, int]]:
    """Cut queries so that neighbours share most of their keys: (query, last query + 1, key).

    A tile's keys go from `key` to its last query's own. The first tile is the part of the sequence
    that sees all before it.
    """
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
    stack: Stack, q: Tensor, k: Tensor, v: Tensor, tiles: Sequence[tuple[int, int, int]]
) -> tuple[Sequence[Tensor], ...]:
    """Queries, keys and values of each tile, [count, heads, ., head_dim]."""
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
    q: Tensor,
    k: Tensor,
    v: Tensor,
    keep: Tensor | None,
    *,
    dropout: Dropout,
    causal: bool,
    window: int | None,
) -> Tensor:
    """Attention of q [count, heads, length, head_dim] to k and v [count, heads, key_length, .].

    keep: of the weights, where dropout is ours; [count, heads, length, key_length] bool.
    """
    length, key_length = q.shape[2], k.shape[2]
    narrow = window is not None and key_length > window
    # One query, the newest, sees all keys. Without a cache there are as many keys as queries, and
    # SDPA needs no mask to be told which of them are in the past.
    square = causal and not narrow and length == key_length
    masked = causal and not square and (narrow or length > 1)
    if keep is not None:
        # With dropout SDPA leaves its fast path on a CPU; this is faster than where it goes.
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
        if square or masked:
            scores = scores.masked_fill(~_visible(q, k, window), float("-inf"))
        return apply_mask(scores.softmax(-1), keep, dropout.scale) @ v
    seen = _visible(q, k, window) if masked else None
    rate = dropout.rate if dropout.active else 0.0
    return F.scaled_dot_product_attention(q, k, v, attn_mask=seen, dropout_p=rate, is_causal=square)


def _visible(q: Tensor, k: Tensor, window: int | None) -> Tensor:
    """Which keys a query sees, [length, key_length] bool: the last query's own is the last key."""
    length, key_length = q.shape[2], k.shape[2]
    past = key_length - length
    every = torch.ones(length, key_length, dtype=torch.bool, device=q.device).tril(past)
    return every if window is None else every.triu(past - window + 1)


@cache
def _varlen_kernel() -> Callable[..., Any] | None:
    """PyTorch's variable-length flash attention, where this version has it."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    return varlen_attn if "window_size" in signature(varlen_attn).parameters else None


class SelfAttention(nn.Module):
    """Multi-head attention of a sequence to itself, with separate projections and biases.

    Args:
        hidden_size: of the states; a multiple of num_heads.
        num_heads: attention heads.
        dropout: probability, on the attention weights.
        causal: a token sees itself and what is before it.
        window: tokens that a token sees at most, see attend; None is all.
    """

    def __init__(
        self,
        hidden_size: int,
        num_heads: int,
        *,
        dropout: float,
        causal: bool = False,
        window: int | None = None,
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.causal = causal
        self.window = window
        self.query = Linear(hidden_size, hidden_size)
        self.key = Linear(hidden_size, hidden_size)
        self.value = Linear(hidden_size, hidden_size)
        self.output = Linear(hidden_size, hidden_size)
        self.dropout = Dropout(dropout)

    def forward(
        self,
        hidden: Tensor,
        layout: AttentionLayout,
        cache: LayerCache | None = None,
        rows: Tensor | None = None,
    ) -> Tensor:
        """[tokens, hidden] -> [tokens, hidden], or of some tokens alone [rows, hidden].

        Args:
            hidden: with a cache, states of the tokens after those it holds.
            layout: of the batch; with a cache KeyValueCache.extend's.
            cache: keys and values so far.
            rows: the tokens whose result is wanted, [rows]; None is all.
        """
        if cache is None and rows is not None and (few := self._few_queries(layout, rows)):
            return self.output(self._attend_at(hidden, few, rows).flatten(1))
        rules: dict[str, Any] = {"causal": self.causal, "window": self.window}
        if cache is None and torch.is_grad_enabled():
            # One product instead of three. Joining the weights pays where rows are many.
            joint = joint_linear(hidden, (self.query, self.key, self.value))
            packed = joint.view(hidden.shape[0], 3, self.num_heads, -1)
            mixed = attend_packed(packed, layout, dropout=self.dropout, **rules)
        else:
            query, key, value = self.project(hidden)
            keys, values = (key, value) if cache is None else cache.append(key, value, layout)
            mixed = attend(query, keys, values, layout, dropout=self.dropout, **rules)
        mixed = mixed.flatten(1)
        return self.output(mixed if rows is None else mixed.index_select(0, rows))

    def _few_queries(self, layout: AttentionLayout, rows: Tensor) -> AttentionLayout | None:
        """Where one token of each sequence is wanted, as for a label, a layout of them alone.

        In training all attend as one packed tensor; a causal mask has queries at the end.
        """
        seen = self.causal or self.window is not None or self.dropout.active
        if seen or torch.is_grad_enabled() or rows.device.type != "cpu":
            return None
        return layout.with_queries_at(rows)

    def _attend_at(self, hidden: Tensor, few: AttentionLayout, rows: Tensor) -> Tensor:
        shape = (-1, self.num_heads, hidden.shape[1] // self.num_heads)
        query = self.query(hidden.index_select(0, rows)).view(shape)
        key, value = self.key(hidden).view(shape), self.value(hidden).view(shape)
        return attend(query, key, value, few, dropout=self.dropout)

    def project(self, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Query, key and value [tokens, heads, head_dim] of hidden [tokens, hidden]."""
        shape = (hidden.shape[0], self.num_heads, -1)
        return (
            self.query(hidden).view(shape),
            self.key(hidden).view(shape),
            self.value(hidden).view(shape),
        )
