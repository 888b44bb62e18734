"""The ragged batch: sequences one after another and their offsets. There is no padding anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Self, cast

import torch
from torch import Tensor

from foretext.core.layout import Layout
from foretext.core.masks import Mask
from foretext.core.words import Words

IGNORE_INDEX = -100  # a label that is no target; the value PyTorch's cross-entropy skips


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Sequences laid end to end.

    Objectives and tasks extend it with their labels, which are tensors.
    """

    input_ids: Tensor  # [tokens] int64
    position_ids: Tensor  # [tokens] int64, restart at 0 in every sequence
    token_type_ids: Tensor  # [tokens] int64, 0 in segment A, 1 in segment B
    special_mask: Tensor  # [tokens] bool, True at [CLS], [SEP] and their like
    offsets: Tensor  # [sequences + 1] int64; sequence s is tokens offsets[s]:offsets[s + 1]
    # Made of the offsets where it is not given: where a batch is collated, on the CPU.
    layout: Layout = field(default=cast(Layout, None), repr=False)
    mask: Mask | None = None  # which tokens a token sees; None is the model's own mask
    words: Words | None = None  # characters, for models that read words by them

    def __post_init__(self) -> None:
        if not isinstance(self.layout, Layout):
            object.__setattr__(self, "layout", Layout.of(self.offsets))

    @property
    def num_tokens(self) -> int:
        return self.input_ids.shape[0]

    @property
    def tokens_of_sides(self) -> tuple[int, int]:
        """Tokens that are read, and of targets: none."""
        return self.num_tokens, 0

    @property
    def num_sequences(self) -> int:
        return self.offsets.shape[0] - 1

    @property
    def first(self) -> Tensor:
        """Index of every sequence's first token ([CLS]), [sequences]."""
        return self.offsets[:-1]

    @property
    def last(self) -> Tensor:
        """Index of every sequence's last token (GPT-1's extract token), [sequences]."""
        return self.offsets[1:] - 1

    def to(self, device: torch.device | str) -> Self:
        """The same batch on another device; copies of pinned memory do not block."""
        moved: dict[str, Any] = {}
        for f in fields(self):
            value = getattr(self, f.name)
            if isinstance(value, Tensor):
                moved[f.name] = value.to(device, non_blocking=True)
            else:
                moved[f.name] = None if value is None else value.to(device)
        return type(self)(**moved)

    @classmethod
    def of(
        cls,
        sequences: Sequence[Sequence[int]],
        token_type_ids: Sequence[Sequence[int]] | None = None,
        special_ids: Sequence[int] = (),
    ) -> Batch:
        """A batch of plain token id lists.

        Args:
            sequences: token ids of each sequence, none empty.
            token_type_ids: segments in the same shape; None is segment 0 throughout.
            special_ids: ids that count as special ([CLS], [SEP], ...).

        Raises:
            ValueError: there is no sequence, or one is empty.
        """
        lengths = torch.tensor([len(s) for s in sequences], dtype=torch.int64)
        if not len(lengths) or not bool((lengths > 0).all()):
            raise ValueError("a batch needs at least one sequence and every sequence one token")
        input_ids = torch.tensor([i for s in sequences for i in s], dtype=torch.int64)
        types = torch.zeros_like(input_ids)
        if token_type_ids is not None:
            types = torch.tensor([i for s in token_type_ids for i in s], dtype=torch.int64)
        return Batch(
            input_ids=input_ids,
            position_ids=positions(lengths),
            token_type_ids=types,
            special_mask=torch.isin(input_ids, torch.tensor(list(special_ids), dtype=torch.int64)),
            offsets=offsets_of(lengths),
        )


@dataclass(frozen=True, kw_only=True)
class Seq2SeqBatch:
    """Sources and targets, a pair of sequences each, neither of them padded.

    Objectives and tasks extend it with their labels, which are tensors.
    """

    source: Batch
    target: Batch

    @property
    def num_tokens(self) -> int:
        """Of both."""
        return sum(self.tokens_of_sides)

    @property
    def tokens_of_sides(self) -> tuple[int, int]:
        """Tokens of the sources, and of the targets."""
        return self.source.num_tokens, self.target.num_tokens

    @property
    def num_sequences(self) -> int:
        """Pairs."""
        return self.source.num_sequences

    def to(self, device: torch.device | str) -> Self:
        """The same batch on another device; copies of pinned memory do not block."""
        moved: dict[str, Any] = {}
        for f in fields(self):
            value: Tensor | Batch = getattr(self, f.name)
            if isinstance(value, Tensor):
                moved[f.name] = value.to(device, non_blocking=True)
            else:
                moved[f.name] = value.to(device)
        return type(self)(**moved)


def offsets_of(lengths: Tensor) -> Tensor:
    """Offsets [sequences + 1] of sequences with these lengths [sequences]."""
    return torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])


def positions(lengths: Tensor) -> Tensor:
    """Positions [tokens] that restart at 0 in every sequence, from lengths [sequences]."""
    starts = lengths.cumsum(0) - lengths
    return torch.arange(int(lengths.sum())) - torch.repeat_interleave(starts, lengths)
