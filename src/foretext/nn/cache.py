"""Key/value cache: what each sequence has read, so that its next token costs one token's work.

Ragged like all else: neighbours of equal length share a tensor, sequences of other lengths have
their own, and nothing is padded. A sequence's keys are the same alone and in a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, groupby

import torch
from torch import Tensor

from foretext.core.batch import Batch
from foretext.core.layout import Layout, Stack, stacks_of

_CAPACITY = 64  # tokens a buffer has at least


class LayerCache:
    """A layer's keys and values: a buffer [2, count, heads, capacity, head_size] for each stack.

    With cross-attention `source` has those of the source's tokens, [keys, heads, head_size].
    """

    def __init__(self) -> None:
        self.buffers: list[Tensor] = []
        self.source: tuple[Tensor, Tensor] | None = None

    def append(
        self, key: Tensor, value: Tensor, layout: Layout
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Store new keys and values; return all of them, a view for each stack.

        Args:
            key, value: [tokens, heads, head_size], of the new tokens.
            layout: KeyValueCache.extend's.
        """
        # Both at once: with sequences of mixed lengths the number of small copies is what costs.
        parts = torch.stack((key, value)).split([stack.tokens for stack in layout.stacks], dim=1)
        keys, values = [], []
        for i, (stack, part) in enumerate(zip(layout.stacks, parts, strict=True)):
            rows = part.view(2, stack.count, stack.length, *key.shape[1:]).transpose(2, 3)
            old, end = stack.key_length - stack.length, stack.key_length
            if not old:
                self.buffers.append(_with_capacity(rows, rows[:, :, :, :0], end))
            elif self.buffers[i].shape[3] < end:
                self.buffers[i] = _with_capacity(rows, self.buffers[i][:, :, :, :old], end)
            self.buffers[i].narrow(3, old, stack.length).copy_(rows)
            both = self.buffers[i].narrow(3, 0, end).unbind()
            keys.append(both[0])
            values.append(both[1])
        return keys, values


def _with_capacity(like: Tensor, old: Tensor, needed: int) -> Tensor:
    """A buffer that begins with the old tokens; it doubles, so that copies are rare."""
    _, count, heads, _, size = like.shape
    buffer = like.new_empty(2, count, heads, max(_CAPACITY, 2 * needed), size)
    buffer[:, :, :, : old.shape[3]] = old
    return buffer


class KeyValueCache:
    """Keys and values of all layers for the sequences of a batch.

    Args:
        num_layers: of the model.
    """

    def __init__(self, num_layers: int) -> None:
        self.layers = [LayerCache() for _ in range(num_layers)]
        self._groups: list[tuple[int, int]] = []  # (count, tokens each), one for each buffer
        self._steady: tuple[Tensor, Tensor, Layout] | None = None  # of a step of one token each
        self._source: Layout | None = None  # of the tokens that cross-attention asks
        self._source_rows: list[int] = []  # which of the first call's sources each sequence has

    @property
    def lengths(self) -> list[int]:
        """Tokens read of each sequence."""
        return [length for count, length in self._groups for _ in range(count)]

    def batch(self, sequences: Sequence[Sequence[int]], device: torch.device | str) -> Batch:
        """The next tokens of each sequence, as a batch whose positions go on where it stands."""
        past = self.lengths or [0] * len(sequences)
        numbers = [len(s) for s in sequences]
        if self._steady is None or self._steady[0].shape[0] != len(past) + 1:
            steps = torch.arange(len(past) + 1)
            zeros = torch.zeros(len(past), dtype=torch.int64, device=device)
            self._steady = steps.to(device), zeros, Layout.of(steps).to(device)
        offsets, zeros, layout = self._steady
        if max(numbers) > 1:
            offsets = torch.tensor([0, *accumulate(numbers)])
            zeros, layout = zeros.new_zeros(sum(numbers)), Layout.of(offsets).to(device)
            offsets = offsets.to(device)
        places = [p + i for p, n in zip(past, numbers, strict=True) for i in range(n)]
        return Batch(
            input_ids=torch.tensor([i for s in sequences for i in s], device=device),
            position_ids=torch.tensor(places, device=device),
            token_type_ids=zeros,
            special_mask=zeros.bool(),
            offsets=offsets,
            layout=layout,
        )

    def extend(self, layout: Layout, *, limit: int | None = None) -> Layout:
        """Make place for the next tokens of each sequence: their layout, with all keys so far.

        Args:
            layout: of the new tokens alone; every sequence has at least one.
            limit: tokens that a sequence may have; None is any number.

        Raises:
            ValueError: a sequence would be longer than the limit, or the number of sequences is
                not the cache's.
        """
        new = layout.lengths
        if not self._groups:
            self._groups = [(len(list(run)), 0) for _, run in groupby(new)]
        past = self.lengths
        if len(past) != len(new):
            raise ValueError(f"the batch has {len(new)} sequences, the cache {len(past)}")
        longest = max(p + n for p, n in zip(past, new, strict=True))
        if limit is not None and longest > limit:
            raise ValueError(
                f"a sequence has {longest} tokens, but the model has {limit} positions"
            )
        stacks = self._split(new)
        self._groups = [(stack.count, stack.key_length) for stack in stacks]
        keys = torch.tensor([0, *accumulate(self.lengths)], dtype=torch.int32)
        offsets = layout.offsets
        return Layout(
            stacks=stacks,
            offsets=offsets,
            key_offsets=keys.to(offsets.device, non_blocking=True),
        )

    def cross(self, target: Layout, source: Layout | None) -> Layout:
        """The layout of cross-attention from new tokens to sources, whose keys are kept.

        Args:
            target: of the new tokens alone.
            source: of the sources as they were first given, one for each sequence; later calls
                take the kept ones, in the order of `select`, and may give None.
        """
        if self._source is None:
            assert source is not None
            self._source = source
            self._source_rows = list(range(len(source.lengths)))
        return Layout.cross(target, self._source)

    def _split(self, new: Sequence[int]) -> tuple[Stack, ...]:
        """The stacks after the new tokens; a group whose members part ways becomes several."""
        found, cuts, first = [], [], 0
        for count, old in self._groups:
            runs = [(n, len(list(run))) for n, run in groupby(new[first : first + count])]
            cuts.append([size for _, size in runs])
            found += [(size, length, old + length) for length, size in runs]
            first += count
        if any(len(cut) > 1 for cut in cuts):
            for layer in self.layers:
                layer.buffers = _cut(layer.buffers, cuts)
        return stacks_of(found)

    def select(self, rows: Sequence[int]) -> None:
        """Keep these sequences, in this order; one may be named again, which copies it.

        Beam search reorders with it, sampling multiplies a prompt, a finished sequence goes.
        """
        group_of = [g for g, (count, _) in enumerate(self._groups) for _ in range(count)]
        first = [0, *accumulate(count for count, _ in self._groups)]
        if list(rows) == list(range(len(group_of))):
            return
        picked = [
            (group, [row - first[group] for row in run])
            for group, run in ((g, list(r)) for g, r in groupby(rows, group_of.__getitem__))
        ]
        for layer in self.layers:
            layer.buffers = _pick(layer.buffers, picked)
        if self._source is not None:
            self._select_sources(self._source, rows)
        self._groups = [(len(inside), self._groups[group][1]) for group, inside in picked]

    def _select_sources(self, source: Layout, rows: Sequence[int]) -> None:
        kept = [self._source_rows[row] for row in rows]
        if not kept:  # all are finished
            return
        if kept == self._source_rows:  # beams of a source change places among themselves
            return
        ends = list(accumulate(source.lengths, initial=0))
        device = source.offsets.device
        tokens = torch.cat([torch.arange(ends[row], ends[row + 1]) for row in rows]).to(device)
        self._source = Layout.of_lengths([source.lengths[row] for row in rows]).to(device)
        self._source_rows = kept
        for layer in self.layers:
            if layer.source is not None:
                key, value = layer.source
                layer.source = key.index_select(0, tokens), value.index_select(0, tokens)


def _cut(buffers: list[Tensor], cuts: list[list[int]]) -> list[Tensor]:
    if not buffers:
        return buffers
    return [
        part for buffer, cut in zip(buffers, cuts, strict=True) for part in buffer.split(cut, 1)
    ]


def _pick(buffers: list[Tensor], picked: list[tuple[int, list[int]]]) -> list[Tensor]:
    """Rows of buffers; one that stays whole is not copied, unless it is named again."""
    result, seen = [], set()
    for group, rows in picked:
        buffer = buffers[group]
        if group in seen or rows != list(range(buffer.shape[1])):
            buffer = buffer.index_select(1, torch.tensor(rows, device=buffer.device))
        seen.add(group)
        result.append(buffer)
    return result
