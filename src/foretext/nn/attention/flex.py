"""PyTorch's FlexAttention: on a GPU, masks and biases that its other kernels do not know.

Dong et al. 2024, https://arxiv.org/abs/2412.05496. All sequences are one long row; a block of it
in which nothing is seen is skipped, so sequences do not cost each other. No padding. A bias that is
being learned goes to `stacked`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

from foretext.core.layout import Layout
from foretext.core.masks import Causal, Full, Mask, Order, Positions, Prefix, RightToLeft
from foretext.nn.attention.bias import DistanceBias
from foretext.nn.attention.call import Backend, Call

Index = Callable[[Tensor], Tensor]


def attend_flex(call: Call, kernel: Callable[..., Any]) -> Tensor:
    """Attention by flex_attention, or by what torch.compile made of it."""
    layout = call.layout
    assert isinstance(call.key, Tensor)
    assert isinstance(call.value, Tensor)
    seen = layout.derived(("flex", call.mask), lambda: _block_mask(layout, call.mask))
    rows = [part.transpose(0, 1)[None] for part in (call.query, call.key, call.value)]
    out: Tensor = kernel(*rows, score_mod=_score(call), block_mask=seen, scale=call.scale)
    return out[0].transpose(0, 1)


def _score(call: Call) -> Callable[..., Tensor] | None:
    """Adds the bias to a score; the positions are numbers in the long row."""
    if call.bias is None:
        return None
    assert isinstance(call.bias, DistanceBias)
    values, zero = call.bias.values, call.bias.most_before
    at = _positions(call.layout)

    def score(score: Tensor, batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:  # noqa: ARG001
        where = at(query, key)
        # Pairs of two sequences, which the mask hides, may lie outside of the table.
        column = (zero + where.key - where.query).clamp(0, values.shape[1] - 1)
        return score + values[head, column]

    return score


def _block_mask(layout: Layout, mask: Mask) -> BlockMask:
    at, sequence = _positions(layout), _sequences(layout.key_offsets, layout.keys)

    def sees(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:  # noqa: ARG001
        where = at(query, key)
        return (where.sequence == sequence[key]) & mask.sees(where)

    device = layout.offsets.device
    sizes = (layout.tokens, layout.keys)
    return create_block_mask(sees, None, None, *sizes, device=device)


def _positions(layout: Layout) -> Callable[[Tensor, Tensor], Positions]:
    """What a mask asks of two numbers in the long rows; keys count from the query's sequence."""
    starts, key_starts = layout.offsets, layout.key_offsets
    sequence = _sequences(starts, layout.tokens)
    past = key_starts.diff() - starts.diff()

    def at(query: Tensor, key: Tensor) -> Positions:
        number = sequence[query]
        return Positions(
            query=query - starts[number] + past[number],
            key=key - key_starts[number],
            sequence=number,
            query_index=query,
            key_start=key_starts[number],
        )

    return at


def _sequences(offsets: Tensor, count: int) -> Tensor:
    """Number of the sequence that each token belongs to, [count]."""
    numbers = torch.arange(len(offsets) - 1, device=offsets.device)
    return numbers.repeat_interleave(offsets.diff(), output_size=count)


def _refuses(call: Call) -> str | None:
    if call.bias is None and isinstance(call.mask, (Full, Causal)):
        return "PyTorch's other kernels know this mask"
    if isinstance(call.bias, DistanceBias) and call.bias.values.requires_grad:
        return "the bias is learned, and its gradient here is not tested yet"
    return None


@cache
def _compiled() -> Callable[..., Any]:
    return torch.compile(flex_attention, dynamic=True)


FLEX = Backend(
    name="flex",
    run=lambda call: attend_flex(call, _compiled()),
    masks=(Full, Causal, Prefix, RightToLeft, Order),
    biases=(DistanceBias,),
    devices=("cuda",),
    dtypes=(torch.float32, torch.bfloat16, torch.float16),
    dropout=False,  # it has none
    cached=False,
    other=_refuses,
)
