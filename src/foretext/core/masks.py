"""Which keys a query sees: a small closed set of attention masks, as data.

A mask says for two positions of one sequence whether the query at one sees the key at the other;
its dense form, a bool matrix [query, key] of one sequence, follows. Where there are fewer queries
than keys, the queries are the last of the keys: the newest tokens after a cache, a segment after a
memory. A query that sees no key gets zeros from attention.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from foretext.core.layout import Layout, Stack


@dataclass(frozen=True, eq=False)
class Positions:
    """Queries and keys of some sequences; the tensors broadcast to [sequences, query, key]."""

    query: Tensor  # position of the query among its sequence's keys
    key: Tensor  # position of the key
    sequence: Tensor  # number of the sequence in the batch
    query_index: Tensor  # number of the query among all of the batch
    key_start: Tensor  # number of the sequence's first key among all of the batch


class Mask(ABC):
    """Which keys a query sees within its sequence."""

    @abstractmethod
    def sees(self, at: Positions) -> Tensor:
        """Whether the query sees the key, bool; broadcasts like the positions."""

    @property
    def is_aligned(self) -> bool:
        """Whether it compares the positions of queries and keys."""
        return True

    def check(self, layout: Layout) -> None:
        """Raise a ValueError where the mask belongs to other sequences than the layout's."""
        if layout.is_self or not self.is_aligned:
            return
        for stack in layout.stacks:
            if stack.length > stack.key_length:
                raise ValueError(
                    f"a sequence has {stack.length} queries, but {stack.key_length} keys; with the "
                    f"mask {type(self).__name__} the queries are the last of the keys"
                )

    def to(self, device: torch.device | str) -> Self:  # noqa: ARG002  (most hold no tensor)
        """The same mask on another device."""
        return self

    def dense(self, layout: Layout, sequence: int) -> Tensor:
        """The matrix of one sequence, bool [query, key], True where the query sees the key."""
        queries, keys = layout.lengths[sequence], layout.key_lengths[sequence]
        alone = Stack(
            first=sequence,
            count=1,
            start=sum(layout.lengths[:sequence]),
            length=queries,
            key_start=sum(layout.key_lengths[:sequence]),
            key_length=keys,
        )
        return self.dense_stack(alone, layout.offsets.device)[0].expand(queries, keys)

    def dense_stack(self, stack: Stack, device: torch.device) -> Tensor:
        """The matrices of a stack's sequences, bool [count or 1, query or 1, key]."""
        past = stack.key_length - stack.length
        number = torch.arange(stack.count, device=device)[:, None, None]
        query = torch.arange(stack.length, device=device)[:, None]
        key = torch.arange(stack.key_length, device=device)
        seen = self.sees(
            Positions(
                query=past + query,
                key=key,
                sequence=stack.first + number,
                query_index=stack.start + number * stack.length + query,
                key_start=stack.key_start + number * stack.key_length,
            )
        )
        return seen.view((1,) * (3 - seen.ndim) + seen.shape)


@dataclass(frozen=True)
class Full(Mask):
    """Every key: BERT, an encoder, cross-attention."""

    @property
    def is_aligned(self) -> bool:
        """No."""
        return False

    def sees(self, at: Positions) -> Tensor:
        """True."""
        return torch.ones_like(at.key, dtype=torch.bool)


@dataclass(frozen=True)
class Causal(Mask):
    """A query's own key and those before it: GPT.

    window: keys that a query sees at most, its own and those next before it (Child et al. 2019,
        section 4.2); None is all.
    """

    window: int | None = None

    def __post_init__(self) -> None:
        if self.window is not None and self.window < 1:
            raise ValueError(f"window={self.window} must be at least 1, a token's own key")

    def sees(self, at: Positions) -> Tensor:
        """query - window < key <= query."""
        past = at.key <= at.query
        return past if self.window is None else past & (at.key > at.query - self.window)


@dataclass(frozen=True)
class RightToLeft(Mask):
    """A query's own key and those after it: the backward language model of UniLM."""

    def sees(self, at: Positions) -> Tensor:
        """key >= query."""
        return at.key >= at.query


@dataclass(frozen=True, eq=False)
class Prefix(Mask):
    """The first keys of a sequence, and beyond them a query's own and those before it.

    A prefix language model (T5, section 3.2.1); UniLM's source and target in one sequence.

    lengths: [sequences] int64, keys of each prefix. With 0 it is Causal; with the sequence's
        length it is Full.
    """

    lengths: Tensor

    def sees(self, at: Positions) -> Tensor:
        """key < length of the prefix, or key <= query."""
        return (at.key < self.lengths[at.sequence]) | (at.key <= at.query)

    def check(self, layout: Layout) -> None:
        """Raise a ValueError unless there is a length for each sequence."""
        super().check(layout)
        count = len(layout.lengths)
        if self.lengths.shape != (count,):
            raise ValueError(
                f"the mask has prefixes of shape {list(self.lengths.shape)}, but the batch has "
                f"{count} sequences; give one length for each"
            )

    def to(self, device: torch.device | str) -> Self:
        """The same mask on another device."""
        return replace(self, lengths=self.lengths.to(device, non_blocking=True))


@dataclass(frozen=True, eq=False)
class Order(Mask):
    """The keys that come earlier in an order of the sequence's tokens (XLNet, section 2.2).

    Keys of equal rank see each other where sees_itself; give tokens that are no targets, or a
    memory's, one lower rank than any target, and every target a rank of its own. Then `sees_itself`
    is the content stream and not `sees_itself` the query stream of section 2.3.

    ranks: [keys] int64 of all sequences, compared only within a sequence.
    sees_itself: whether keys of the query's own rank are seen.
    query_ranks: [queries] int64; None where the queries are the last of the keys.
    """

    ranks: Tensor
    sees_itself: bool
    query_ranks: Tensor | None = None

    @property
    def is_aligned(self) -> bool:
        """Where queries have no ranks of their own."""
        return self.query_ranks is None

    def sees(self, at: Positions) -> Tensor:
        """rank of the key < rank of the query, or <=."""
        key = self.ranks[at.key_start + at.key]
        if self.query_ranks is None:  # that of the key at the query's position
            query = self.ranks[at.key_start + at.query]
        else:
            query = self.query_ranks[at.query_index]
        return key <= query if self.sees_itself else key < query

    def check(self, layout: Layout) -> None:
        """Raise a ValueError unless there is a rank for each key, and for each query."""
        super().check(layout)
        ranks = [("keys", self.ranks, layout.keys)]
        if self.query_ranks is not None:
            ranks.append(("queries", self.query_ranks, layout.tokens))
        for name, given, count in ranks:
            if given.shape != (count,):
                raise ValueError(
                    f"the mask has ranks of shape {list(given.shape)}, but the batch has {count} "
                    f"{name}; give one rank for each"
                )

    def to(self, device: torch.device | str) -> Self:
        """The same mask on another device."""
        queries = self.query_ranks
        return replace(
            self,
            ranks=self.ranks.to(device, non_blocking=True),
            query_ranks=None if queries is None else queries.to(device, non_blocking=True),
        )
