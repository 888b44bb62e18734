"""Attention of near-equal lengths together, with a backward pass of its own: training on a CPU."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from foretext.core.masks import Causal, Full, Prefix, RightToLeft
from foretext.nn.attention.bias import Bias, DistanceBias
from foretext.nn.attention.call import Backend, Call
from foretext.nn.cpu.grouped_attention import Group, grouped_attention, groups_of

# Tokens: without dropout PyTorch's kernel is faster beyond and keeps no weights. In bf16 it is half
# as fast as groups, and what is kept sets the limit.
_SHORT, _SHORT_BF16 = 128, 512


def _attend_grouped(call: Call) -> Tensor:
    layout, dropout = call.layout, call.dropout
    groups = layout.derived(groups_of, lambda: groups_of(layout.lengths))
    keep = None
    if dropout is not None:
        heads = call.query.shape[1]
        keep = [
            dropout.keep_mask(
                torch.Size((group.tokens, heads, group.length)),
                (dropout.first_token + group.start) * heads * group.length,
                stream=group.length,
            )
            for group in groups
        ]
    assert isinstance(call.key, Tensor)
    assert isinstance(call.value, Tensor)
    return grouped_attention(
        (call.query, call.key, call.value),
        groups,
        mask=call.mask,
        scale=call.scale,
        biases=_biases(call.bias, groups),
        keep=keep,
        kept_scale=1.0 if dropout is None else dropout.scale,
    )


def _biases(bias: Bias | None, groups: Sequence[Group]) -> list[Tensor]:
    """What is added to the scores of each group, [heads, length, length]; [] is nothing."""
    if bias is None:
        return []
    assert isinstance(bias, DistanceBias)
    found = []
    for group in groups:
        longest = int(group.lengths.max())
        more = group.length - longest
        found.append(F.pad(bias.between(longest, longest), (0, more, 0, more)))
    return found


def _refuses(call: Call) -> str | None:
    if isinstance(call.mask, Causal) and call.mask.window is not None:
        return "a window leaves most keys out, and it computes all"
    if call.dropout is not None:
        return None
    if not call.needs_gradient:
        return "without a gradient PyTorch's kernel is faster"
    short = _SHORT_BF16 if call.query.dtype == torch.bfloat16 else _SHORT
    if call.layout.longest > short:
        return f"without dropout PyTorch's kernel is faster beyond {short} tokens"
    return None


GROUPED = Backend(
    name="grouped",
    run=_attend_grouped,
    masks=(Full, Causal, Prefix, RightToLeft),  # of which every query sees a key
    biases=(DistanceBias,),
    devices=("cpu",),
    cross=False,
    cached=False,
    compiles=False,
    other=_refuses,
)
