"""Chunks of ragged sequences: who stands where, and which chunks a chunk looks at.

Paper: Kitaev et al. 2020, "Reformer", https://arxiv.org/abs/2001.04451, section 2, as the official
code (trax, layers/research/efficient_attention.py) computes it. The chunks of a sequence, and of
its hash rounds one after another, form a ring: the first looks back to the last, and what may not
be seen is masked there like anywhere else. A sequence is filled up to whole chunks for
chunk_attention.py alone; the filling is seen by nothing and gives nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import numpy as np
import torch
from torch import Tensor

FILLING = 2**31 - 1  # position of a place that no token takes


@dataclass(frozen=True, kw_only=True)
class Chunking:
    """How sequences are cut.

    Attributes:
        length: places of a chunk.
        before, after: chunks that a chunk looks at beside itself.
        multiple: a sequence is filled up to a multiple of this, which is one of `length`.
        shortest: a sequence of at most this many tokens stays as it is, one chunk for itself.
    """

    length: int
    before: int = 1
    after: int = 0
    multiple: int
    shortest: int

    def filled(self, tokens: int) -> int:
        """Places of a sequence of so many tokens."""
        return tokens if tokens <= self.shortest else -(-tokens // self.multiple) * self.multiple

    def is_cut(self, tokens: int) -> bool:
        """Whether such a sequence has several chunks; else each of its tokens sees all others."""
        return self.filled(tokens) > self.length


@dataclass(frozen=True, kw_only=True)
class Places:
    """The places of some sequences of a batch, filled up to whole chunks, in the text's order."""

    chunk: int  # places of a chunk
    tokens: Tensor  # [places], which token; of a filling place some token
    positions: Tensor  # [places] int32, within the sequence; FILLING for the filling
    sequences: Tensor  # [places], which of these sequences
    rows: Tensor  # [own tokens], tokens of these sequences, ascending
    places: Tensor  # [own tokens], the place of each
    lengths: tuple[int, ...]  # places of each sequence
    counts: tuple[int, ...]  # tokens of each sequence

    @property
    def size(self) -> int:
        return self.tokens.shape[0]

    def to(self, device: torch.device | str) -> Places:
        """The same on another device."""
        return replace(
            self,
            tokens=self.tokens.to(device),
            positions=self.positions.to(device),
            sequences=self.sequences.to(device),
            rows=self.rows.to(device),
            places=self.places.to(device),
        )

    def neighbours(self, offsets: Sequence[int], rounds: int) -> Tensor:
        """Chunks that each chunk looks at on its ring, [rounds * chunks, offsets]."""
        counts = np.array([length // self.chunk for length in self.lengths])
        firsts = np.cumsum(counts) - counts
        number = np.arange(counts.sum())
        first, count = np.repeat(firsts, counts), np.repeat(counts, counts)
        on_ring = np.arange(rounds)[:, None] * count + number - first
        seen = (on_ring[..., None] + np.array(offsets)) % (rounds * count)[:, None]
        round_of, place = np.divmod(seen, count[:, None])
        flat = round_of * len(number) + first[:, None] + place
        return torch.from_numpy(flat.reshape(-1, len(offsets)))


def places_of(
    lengths: Sequence[int], filled: Sequence[int], chosen: Sequence[int], chunk: int
) -> Places:
    """The places of some sequences of a batch.

    Args:
        lengths: tokens of every sequence of the batch.
        filled: places of every chosen sequence, at least its tokens.
        chosen: numbers of the sequences, ascending.
        chunk: places of a chunk; divides every `filled`.
    """
    starts = np.array([0, *accumulate(lengths)])[list(chosen)]
    own, sizes = np.array([lengths[s] for s in chosen]), np.array(filled)
    begins = np.cumsum(sizes) - sizes
    inside = np.arange(sizes.sum()) - np.repeat(begins, sizes)
    real = inside < np.repeat(own, sizes)
    tokens = np.repeat(starts, sizes) + np.where(real, inside, 0)
    return Places(
        chunk=chunk,
        tokens=torch.from_numpy(tokens),
        positions=torch.from_numpy(np.where(real, inside, FILLING).astype(np.int32)),
        sequences=torch.from_numpy(np.repeat(np.arange(len(sizes)), sizes)),
        rows=torch.from_numpy(tokens[real]),
        places=torch.from_numpy(np.flatnonzero(real)),
        lengths=tuple(filled),
        counts=tuple(int(n) for n in own),
    )


@dataclass(frozen=True, kw_only=True)
class ChunkLayout:
    """The sequences of a batch that are cut into chunks, and those that are not."""

    chunking: Chunking
    cut: Places | None
    whole: Places | None  # one chunk a sequence, as wide as the longest of them

    @classmethod
    def of(
        cls, lengths: Sequence[int], chunking: Chunking, device: torch.device | str = "cpu"
    ) -> ChunkLayout:
        """The layout of sequences of these lengths, in tokens."""
        cut = [s for s, n in enumerate(lengths) if chunking.is_cut(n)]
        whole = [s for s, n in enumerate(lengths) if not chunking.is_cut(n)]
        widest = max((lengths[s] for s in whole), default=0)
        parts = (
            places_of(lengths, [chunking.filled(lengths[s]) for s in cut], cut, chunking.length)
            if cut
            else None,
            places_of(lengths, [widest] * len(whole), whole, widest) if whole else None,
        )
        moved = [None if part is None else part.to(device) for part in parts]
        return cls(chunking=chunking, cut=moved[0], whole=moved[1])


@dataclass(frozen=True, kw_only=True)
class Arrangement:
    """Which token, of which head, stands where, and what its chunk looks at.

    A row is a token of a head: token * heads + head. A slot is a place of a chunk, of a round, of a
    head: (head * rounds + round) * places + place.
    """

    heads: int
    rounds: int
    chunk: int
    queries: Tensor  # [slots], the row in each
    positions: Tensor  # [slots] int32, of the row's token
    neighbours: Tensor  # [heads * rounds * chunks, looked], chunks that each looks at
    slots: Tensor  # [own tokens, heads, rounds], where each row stands


def arrangement(places: Places, order: Tensor, offsets: Sequence[int]) -> Arrangement:
    """Tokens in an order of their own for each head and round.

    Args:
        places: of the sequences.
        order: [heads, rounds, places], which place's token comes first, second and so on; each
            sequence stays where it is and its filling at its end.
        offsets: neighbours that a chunk looks at, 0 for itself.
    """
    heads, rounds, size = order.shape
    device = order.device
    head = torch.arange(heads, device=device)[:, None, None]
    numbers = torch.arange(size, device=device).expand_as(order)
    ranks = torch.empty_like(order).scatter_(2, order, numbers)
    first = torch.arange(heads * rounds, device=device).view(heads, rounds, 1) * size
    looked = places.neighbours(offsets, rounds).to(device)
    base = torch.arange(heads, device=device)[:, None, None] * looked.shape[0]
    return Arrangement(
        heads=heads,
        rounds=rounds,
        chunk=places.chunk,
        queries=(places.tokens[order] * heads + head).flatten(),
        positions=places.positions[order].flatten(),
        neighbours=(base + looked).flatten(0, 1),
        slots=(first + ranks)[:, :, places.places].permute(2, 0, 1),
    )


def in_order(places: Places, heads: int) -> Tensor:
    """The text's own order, for `arrangement`: [heads, 1, places]."""
    return torch.arange(places.size, device=places.tokens.device).expand(heads, 1, -1)
