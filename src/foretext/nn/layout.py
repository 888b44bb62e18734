"""Where the sequences of a ragged batch lie, for attention of every kind."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

import torch
from torch import Tensor

from foretext.nn.grouped_attention import Group, groups_of


@dataclass(frozen=True, kw_only=True)
class Stack:
    """Neighbouring sequences of one length, and of one number of keys."""

    start: int  # first token
    count: int  # sequences
    length: int  # tokens each
    key_length: int  # keys each; that of the tokens in self-attention without a cache

    @property
    def tokens(self) -> int:
        return self.count * self.length

    @property
    def keys(self) -> int:
        return self.count * self.key_length


@dataclass(frozen=True, kw_only=True)
class AttentionLayout:
    """Where sequences lie in a ragged batch; computed once, used by every layer."""

    stacks: tuple[Stack, ...]
    offsets: Tensor  # [sequences + 1] int32, on the batch's device
    longest: int  # tokens of the longest sequence
    key_offsets: Tensor  # [sequences + 1] int32; `offsets` itself in self-attention
    longest_key: int  # keys of the sequence with most

    @property
    def tokens(self) -> int:
        """Of all sequences; states may have rows after them, see nn/linear.py."""
        last = self.stacks[-1]
        return last.start + last.tokens

    @property
    def is_self(self) -> bool:
        """Whether the keys are the queries' own tokens and no others."""
        return self.key_offsets is self.offsets

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """Neighbours of near-equal length, in self-attention on a CPU."""
        return groups_of(self.offsets.diff().tolist())

    def with_queries_at(self, tokens: Tensor) -> AttentionLayout | None:
        """The layout of queries of these tokens alone, if every sequence has one of them.

        Args:
            tokens: ascending, on a CPU; of the last sequence there may be more.
        """
        ends = torch.searchsorted(tokens, self.offsets.to(tokens))
        counts = ends.diff()
        if bool((counts[:-1] != 1).any()) or counts[-1] < 1:
            return None
        return AttentionLayout.of(ends, self.offsets)

    @classmethod
    def of(cls, offsets: Tensor, key_offsets: Tensor | None = None) -> AttentionLayout:
        """The layout of sequences with these offsets.

        Args:
            offsets: [sequences + 1], of the queries.
            key_offsets: [sequences + 1], of the keys; None where they are the queries' own tokens.
        """
        lengths = offsets.diff().tolist()
        key_lengths = lengths if key_offsets is None else key_offsets.diff().tolist()
        stacks, start = [], 0
        for (length, keys), run in groupby(zip(lengths, key_lengths, strict=True)):
            count = len(list(run))
            stacks.append(Stack(start=start, count=count, length=length, key_length=keys))
            start += stacks[-1].tokens
        queries = offsets.int()
        return cls(
            stacks=tuple(stacks),
            offsets=queries,
            longest=max(lengths),
            key_offsets=queries if key_offsets is None else key_offsets.int(),
            longest_key=max(key_lengths),
        )
