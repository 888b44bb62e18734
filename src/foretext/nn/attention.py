"""Attention over ragged sequences: one function, one layout, no padding.

Paper: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, section 3.2. On a CPU, neighbours of
equal length are stacked and attend a stack at a time (batches are sorted by length, so a stack is a
view, not a copy); on a GPU, PyTorch's variable-length kernel takes the offsets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from inspect import signature
from itertools import groupby

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foretext.nn.dropout import Dropout, apply_mask


@dataclass(frozen=True, kw_only=True)
class Stack:
    """Neighbouring sequences of one length."""

    start: int  # first token
    count: int  # sequences
    length: int  # tokens each

    @property
    def tokens(self) -> int:
        return self.count * self.length


@dataclass(frozen=True, kw_only=True)
class AttentionLayout:
    """Where sequences lie in a ragged batch; computed once, used by every layer."""

    stacks: tuple[Stack, ...]
    offsets: Tensor  # [sequences + 1] int32, on the batch's device
    longest: int  # tokens of the longest sequence

    @classmethod
    def of(cls, offsets: Tensor) -> AttentionLayout:
        """The layout of sequences with these offsets [sequences + 1]."""
        lengths = offsets.diff().tolist()
        stacks, start = [], 0
        for length, run in groupby(lengths):
            stacks.append(Stack(start=start, count=len(list(run)), length=length))
            start += stacks[-1].tokens
        return cls(stacks=tuple(stacks), offsets=offsets.int(), longest=max(lengths))


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    layout: AttentionLayout,
    *,
    dropout: Dropout,
    causal: bool = False,
) -> Tensor:
    """Scaled dot-product attention within each sequence.

    Args:
        query, key, value: [tokens, heads, head_dim].
        layout: of the batch.
        dropout: of the attention weights.
        causal: a token sees itself and what is before it.

    Returns:
        [tokens, heads, head_dim].
    """
    half = query.dtype in (torch.float16, torch.bfloat16)  # all that the flash kernel takes
    if query.is_cuda and half and not dropout.active and (kernel := _varlen_kernel()):
        offsets, longest = layout.offsets, layout.longest
        window = (-1, 0) if causal else (-1, -1)
        return kernel(query, key, value, offsets, offsets, longest, longest, window_size=window)
    sizes = [stack.tokens for stack in layout.stacks]
    call = dropout.next_call() if dropout.active else 0
    parts = zip(layout.stacks, *(t.split(sizes) for t in (query, key, value)), strict=True)
    return torch.cat(
        [
            _attend_stack(stack, q, k, v, dropout=dropout, call=call, causal=causal)
            for stack, q, k, v in parts
        ]
    )


def _attend_stack(
    stack: Stack, q: Tensor, k: Tensor, v: Tensor, *, dropout: Dropout, call: int, causal: bool
) -> Tensor:
    shape = (stack.count, stack.length, *q.shape[1:])
    q, k, v = (t.reshape(shape).transpose(1, 2) for t in (q, k, v))
    if not dropout.active:
        out = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    elif q.device.type != "cpu":
        out = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout.rate, is_causal=causal)
    else:
        # With dropout SDPA leaves its fast path on a CPU; this is faster than where it goes.
        weights = _attention_weights(q, k, causal=causal)
        heads, length = shape[2], stack.length
        start = (dropout.first_token + stack.start) * heads * length
        keep = dropout.keep_mask(weights.shape, start, call=call, stream=length)
        out = apply_mask(weights, keep, dropout.scale) @ v
    return out.transpose(1, 2).reshape(stack.tokens, *shape[2:])


def _attention_weights(q: Tensor, k: Tensor, *, causal: bool) -> Tensor:
    """Softmax weights [count, heads, length, length] of q, k [count, heads, length, head_dim]."""
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    if causal:
        length = q.shape[-2]
        future = torch.ones(length, length, dtype=torch.bool, device=q.device).triu(1)
        scores = scores.masked_fill(future, float("-inf"))
    return scores.softmax(-1)


@cache
def _varlen_kernel() -> Callable[..., Tensor] | None:
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
    """

    def __init__(
        self, hidden_size: int, num_heads: int, *, dropout: float, causal: bool = False
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.causal = causal
        self.query = nn.Linear(hidden_size, hidden_size)
        self.key = nn.Linear(hidden_size, hidden_size)
        self.value = nn.Linear(hidden_size, hidden_size)
        self.output = nn.Linear(hidden_size, hidden_size)
        self.dropout = Dropout(dropout)

    def forward(self, hidden: Tensor, layout: AttentionLayout) -> Tensor:
        """[tokens, hidden] -> [tokens, hidden]."""
        query, key, value = self.project(hidden)
        mixed = attend(query, key, value, layout, dropout=self.dropout, causal=self.causal)
        return self.output(mixed.flatten(1))

    def project(self, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Query, key and value [tokens, heads, head_dim] of hidden [tokens, hidden]."""
        heads = (self.num_heads, -1)
        return (
            self.query(hidden).unflatten(-1, heads),
            self.key(hidden).unflatten(-1, heads),
            self.value(hidden).unflatten(-1, heads),
        )
