"""Attention by relative positions and relative segments, of Transformer-XL and XLNet.

Papers: Dai et al. 2019, https://arxiv.org/abs/1901.02860, section 3.3; Yang et al. 2019,
https://arxiv.org/abs/1906.08237, sections 2.3 to 2.5. With d the size of a head,

    score(i, j) = ((q_i + u) k_j + (q_i + v) W_R R_(i - j) + (q_i + w) s_(i, j)) / sqrt(d)

where R_n is the sinusoid of a distance and s one of two vectors: i and j in one segment, or not.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from foretext.core.layout import Layout, Stack
from foretext.core.masks import Mask
from foretext.nn.attention.api import attend
from foretext.nn.attention.bias import Bias
from foretext.nn.dropout import Dropout
from foretext.nn.linear import Linear


def sinusoids(distances: Tensor, size: int) -> Tensor:
    """R of distances [n]: sines, then cosines, of 10000^(-2k / size) times each, [n, size]."""
    rates = 10000.0 ** (-torch.arange(0, size, 2.0, device=distances.device) / size)
    angles = distances.float()[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], -1)


@dataclass(frozen=True, kw_only=True, eq=False)
class Relative:
    """Where queries stand, and what each segment is: what the bias of all layers depends on."""

    layout: Layout
    table: Tensor  # R of the distances -reach to reach, [2 * reach + 1, hidden]
    reach: int
    backwards: Tensor  # [sequences] bool: the text runs backwards, so distances change their sign
    segments: Tensor  # [queries]
    key_segments: Tensor  # [keys]
    places: Tensor | None = None  # [queries], among its sequence's keys; None: the last of the keys

    @classmethod
    def of(
        cls,
        layout: Layout,
        size: int,
        *,
        segments: Tensor,
        key_segments: Tensor,
        backwards: Tensor | None = None,
        places: Tensor | None = None,
    ) -> Relative:
        """Of a layout of queries and keys; size: of the states."""
        reach, device = max(layout.longest_key, layout.longest), segments.device
        distances = torch.arange(-reach, reach + 1, device=device)
        if backwards is None:
            backwards = torch.zeros(len(layout.lengths), dtype=torch.bool, device=device)
        return cls(
            layout=layout,
            table=sinusoids(distances, size),
            reach=reach,
            backwards=backwards,
            segments=segments,
            key_segments=key_segments,
            places=places,
        )

    def rows(self, stack: Stack) -> Tensor:
        """Rows of the table for every query and key of a stack, [count, query, key]."""
        device = self.segments.device
        key = torch.arange(stack.key_length, device=device)
        if self.places is None:
            place = key[stack.key_length - stack.length :].expand(stack.count, -1)
        else:
            place = self.places[stack.start : stack.start + stack.tokens].view(stack.count, -1)
        distance = place[:, :, None] - key
        turned = self.backwards[stack.first : stack.first + stack.count, None, None]
        return torch.where(turned, -distance, distance) + self.reach

    def apart(self, stack: Stack) -> Tensor:
        """Whether a query and a key are in different segments, [count, 1, query, key]."""
        query = self.segments[stack.start : stack.start + stack.tokens].view(stack.count, -1)
        keys = self.key_segments[stack.key_start : stack.key_start + stack.keys]
        return (query[:, :, None] != keys.view(stack.count, 1, -1))[:, None]


class _RelativeBias(Bias):
    """The second and third term of the score, of one layer's queries."""

    def __init__(self, at: Relative, by_place: Tensor, by_segment: Tensor) -> None:
        self.at = at
        self.by_place = by_place  # [queries, heads, 2 * reach + 1]
        self.by_segment = by_segment  # [queries, heads, 2], scaled

    def of(self, stack: Stack) -> Tensor:
        """[count, heads, query, key]."""
        part = slice(stack.start, stack.start + stack.tokens)
        places = self.by_place[part].unflatten(0, (stack.count, -1)).transpose(1, 2)
        rows = self.at.rows(stack)[:, None].expand(-1, places.shape[1], -1, -1)
        segments = self.by_segment[part].unflatten(0, (stack.count, -1)).transpose(1, 2)
        same, other = segments[..., 0:1], segments[..., 1:2]
        return places.gather(-1, rows) + torch.where(self.at.apart(stack), other, same)


class RelativeAttention(nn.Module):
    """Multi-head attention whose scores know how far apart tokens are, and whether in one segment.

    Args:
        hidden_size: of the states.
        num_heads: attention heads.
        head_size: of queries, keys and values of a head.
        dropout: probability, on the attention weights.
    """

    def __init__(self, hidden_size: int, num_heads: int, head_size: int, *, dropout: float) -> None:
        super().__init__()
        self.shape = (num_heads, head_size)
        inner = num_heads * head_size
        self.query = Linear(hidden_size, inner, bias=False)
        self.key = Linear(hidden_size, inner, bias=False)
        self.value = Linear(hidden_size, inner, bias=False)
        self.position = Linear(hidden_size, inner, bias=False)
        self.output = Linear(inner, hidden_size, bias=False)
        self.content_bias = nn.Parameter(torch.zeros(num_heads, head_size))  # u
        self.position_bias = nn.Parameter(torch.zeros(num_heads, head_size))  # v
        self.segment_bias = nn.Parameter(torch.zeros(num_heads, head_size))  # w
        self.segment = nn.Parameter(torch.zeros(2, num_heads, head_size))  # same, different
        self.dropout = Dropout(dropout)

    def keys(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values [keys, heads, head_size] of states [keys, hidden]; both streams'."""
        return self.key(states).unflatten(1, self.shape), self.value(states).unflatten(
            1, self.shape
        )

    def forward(
        self,
        hidden: Tensor,
        keys: tuple[Tensor, Tensor],
        at: Relative,
        mask: Mask,
        dropout: Dropout | None = None,
    ) -> Tensor:
        """[queries, hidden] -> [queries, hidden].

        Args:
            hidden: states that ask.
            keys: as `keys` gives them, of the states that are asked.
            at: where they all stand.
            mask: which keys a query sees.
            dropout: in place of the module's own, where queries are not all of the tokens.
        """
        query = self.query(hidden).unflatten(1, self.shape)
        scale = float(self.shape[1] ** -0.5)
        position = self.position(at.table).unflatten(1, self.shape)
        by_place = torch.einsum("qhd,nhd->qhn", (query + self.position_bias) * scale, position)
        by_segment = torch.einsum("qhd,nhd->qhn", (query + self.segment_bias) * scale, self.segment)
        mixed = attend(
            query + self.content_bias,
            *keys,
            at.layout,
            mask,
            bias=_RelativeBias(at, by_place, by_segment),
            dropout=dropout or self.dropout,
        )
        return self.output(mixed.flatten(1))
