"""Where the sequences of a ragged batch lie: made once with the batch, read by every layer.

Queries and keys may have lengths of their own. With a key/value cache the keys are those of the
whole sequence and the queries those of its newest tokens; in cross-attention the keys are another
text's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import accumulate, groupby
from typing import Any, Self, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Stack:
    """Neighbouring sequences of one length, and of one number of keys."""

    first: int  # number of the first sequence
    count: int  # sequences
    start: int  # first token
    length: int  # tokens each
    key_start: int  # first key
    key_length: int  # keys each; that of the tokens in self-attention without a cache

    @property
    def tokens(self) -> int:
        return self.count * self.length

    @property
    def keys(self) -> int:
        return self.count * self.key_length


@dataclass(frozen=True, kw_only=True, eq=False)
class Layout:
    """Sequences of queries, and of the keys that each of them attends to."""

    stacks: tuple[Stack, ...]
    offsets: Tensor  # [sequences + 1] int32, of the queries, on the batch's device
    key_offsets: Tensor  # [sequences + 1] int32; `offsets` itself in self-attention
    # What an attention backend derives from the lengths, by what makes it, so that it is made once.
    _derived: dict[object, Any] = field(default_factory=dict, repr=False)

    @cached_property
    def lengths(self) -> tuple[int, ...]:
        """Tokens of each sequence."""
        return tuple(stack.length for stack in self.stacks for _ in range(stack.count))

    @cached_property
    def key_lengths(self) -> tuple[int, ...]:
        """Keys of each sequence."""
        return tuple(stack.key_length for stack in self.stacks for _ in range(stack.count))

    @cached_property
    def longest(self) -> int:
        """Tokens of the longest sequence."""
        return max(stack.length for stack in self.stacks)

    @cached_property
    def longest_key(self) -> int:
        """Keys of the sequence with most."""
        return max(stack.key_length for stack in self.stacks)

    @property
    def tokens(self) -> int:
        """Of all sequences; states may have rows after them, see nn/cpu/rows.py."""
        last = self.stacks[-1]
        return last.start + last.tokens

    @property
    def keys(self) -> int:
        """Of all sequences."""
        last = self.stacks[-1]
        return last.key_start + last.keys

    @property
    def is_self(self) -> bool:
        """Whether the keys are the queries' own tokens and no others."""
        return self.key_offsets is self.offsets

    def derived(self, key: object, make: Callable[[], T]) -> T:
        """What `make` gives; made once for a key."""
        if key not in self._derived:
            self._derived[key] = make()
        found: T = self._derived[key]
        return found

    def with_queries_at(self, tokens: Tensor) -> Layout | None:
        """The layout of queries of these tokens alone, if every sequence has one of them.

        Args:
            tokens: ascending, on a CPU; of the last sequence there may be more.
        """
        ends = torch.searchsorted(tokens, self.offsets.to(tokens))
        counts = ends.diff()
        if bool((counts[:-1] != 1).any()) or counts[-1] < 1:
            return None
        return Layout.of(ends, self.offsets)

    def to(self, device: torch.device | str) -> Self:
        """The same layout on another device."""
        if self.offsets.device == torch.device(device):
            return self
        offsets = self.offsets.to(device, non_blocking=True)
        keys = offsets if self.is_self else self.key_offsets.to(device, non_blocking=True)
        return replace(self, offsets=offsets, key_offsets=keys, _derived={})

    @classmethod
    def of(cls, offsets: Tensor, key_offsets: Tensor | None = None) -> Layout:
        """The layout of sequences with these offsets, best on a CPU: their values are read.

        Args:
            offsets: [sequences + 1], of the queries.
            key_offsets: [sequences + 1], of the keys; None where they are the queries' own tokens.
        """
        lengths = offsets.diff().tolist()
        key_lengths = lengths if key_offsets is None else key_offsets.diff().tolist()
        runs = [
            (len(list(run)), *pair) for pair, run in groupby(zip(lengths, key_lengths, strict=True))
        ]
        queries = offsets.int()
        keys = queries if key_offsets is None else key_offsets.int()
        return cls(stacks=stacks_of(runs), offsets=queries, key_offsets=keys)

    @classmethod
    def of_lengths(cls, lengths: Sequence[int], key_lengths: Sequence[int] | None = None) -> Layout:
        """As `of`, from the lengths of the sequences."""
        keys = None if key_lengths is None else torch.tensor([0, *accumulate(key_lengths)])
        return cls.of(torch.tensor([0, *accumulate(lengths)]), keys)

    @classmethod
    def cross(cls, target: Layout, source: Layout) -> Layout:
        """The target's tokens as queries, the source's as keys, a pair of sequences each.

        Raises:
            ValueError: there are not as many targets as sources.
        """
        if len(target.lengths) != len(source.lengths):
            raise ValueError(
                f"there are {len(target.lengths)} targets, but {len(source.lengths)} sources; "
                "each target needs one"
            )
        pairs = zip(target.lengths, source.lengths, strict=True)
        runs = [(len(list(run)), *pair) for pair, run in groupby(pairs)]
        return cls(stacks=stacks_of(runs), offsets=target.offsets, key_offsets=source.offsets)


def stacks_of(runs: Iterable[tuple[int, int, int]]) -> tuple[Stack, ...]:
    """Stacks one after another, of (count, length, key length) each."""
    stacks, first, start, key_start = [], 0, 0, 0
    for count, length, key_length in runs:
        stacks.append(
            Stack(
                first=first,
                count=count,
                start=start,
                length=length,
                key_start=key_start,
                key_length=key_length,
            )
        )
        first += count
        start += count * length
        key_start += count * key_length
    return tuple(stacks)
