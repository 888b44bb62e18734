"""What is added to attention's scores before the softmax, with a gradient.

A bias is an object of one forward pass: it gives a tensor for each stack of sequences. One of equal
distances, as T5's, depends on key - query alone; one that depends on the tokens (XLNet's relative
terms) is a subclass of Bias that holds what it needs of the batch and computes `of` from it.

Paper of the buckets: Raffel et al. 2020, https://arxiv.org/abs/1910.10683, section 2.1; the
logarithm's constants are the official code's (mesh_tensorflow, transformer_layers.py).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import log

import torch
from torch import Tensor, nn

from foretext.core.layout import Layout, Stack


class Bias(ABC):
    """Scores that depend on more than queries and keys."""

    @abstractmethod
    def of(self, stack: Stack) -> Tensor:
        """What is added to the scores of a stack, [count or 1, heads, query, key].

        stack: its sequences are numbers first to first + count, its queries the rows start to
            start + tokens of the batch, its keys the rows key_start to key_start + keys.
        """


class DistanceBias(Bias):
    """One value for each head and each distance key - query; the queries are the last of the keys.

    Args:
        values: [heads, distances], of all distances from -most_before upwards.
        most_before: distance from a query back to the first of its keys, at most.
    """

    def __init__(self, values: Tensor, most_before: int) -> None:
        self.values = values
        self.most_before = most_before
        self._made: dict[tuple[int, int], Tensor] = {}

    def between(self, queries: int, keys: int) -> Tensor:
        """[heads, queries, keys] of a sequence; computed once, its gradients add up."""
        size = (queries, keys)
        if size not in self._made:
            first = self.most_before - (keys - 1)  # the last query's to the first key
            used = self.values[:, first : first + queries + keys - 1]
            self._made[size] = used.unfold(1, keys, 1).flip(1)
        return self._made[size]

    def of(self, stack: Stack) -> Tensor:
        """[1, heads, query, key], the same for all of its sequences."""
        return self.between(stack.length, stack.key_length)[None]


class RelativePositionBias(nn.Module):
    """A learned scalar for each head and each bucket of distances.

    Half of the buckets (of each direction) hold one distance each, the others hold ranges that grow
    logarithmically up to max_distance, beyond which all distances share the last bucket.

    Args:
        num_heads: attention heads.
        num_buckets: rows of the table.
        max_distance: tokens; further ones are not told apart.
        bidirectional: keys after the query have buckets of their own, a half of all; otherwise they
            share bucket 0, for causal attention.
    """

    def __init__(
        self,
        num_heads: int,
        *,
        num_buckets: int = 32,
        max_distance: int = 128,
        bidirectional: bool,
    ) -> None:
        super().__init__()
        self.table = nn.Embedding(num_buckets, num_heads)
        self.max_distance = max_distance
        self.bidirectional = bidirectional

    def forward(self, layout: Layout) -> DistanceBias:
        """The bias of a forward pass, for attention of these lengths in any number of layers."""
        before = layout.longest_key - 1
        device = self.table.weight.device
        distances = torch.arange(-before, layout.longest, device=device)
        return DistanceBias(self.table(self.buckets(distances)).T, before)

    def buckets(self, distances: Tensor) -> Tensor:
        """Rows of the table, int64 like the distances key - query."""
        count = self.table.num_embeddings
        if self.bidirectional:
            count //= 2
            first = (distances > 0).long() * count
            far = distances.abs()
        else:
            first = torch.zeros_like(distances)
            far = (-distances).clamp_min(0)
        exact = count // 2
        share = (far.clamp_min(exact).float() / exact).log() / log(self.max_distance / exact)
        ranged = (exact + (share * (count - exact)).long()).clamp_max(count - 1)
        return first + torch.where(far < exact, far, ranged)
