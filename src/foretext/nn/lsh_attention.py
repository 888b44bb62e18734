"""LSH attention, to tokens whose keys fall into the same buckets; and local attention.

Paper: Kitaev et al. 2020, "Reformer", https://arxiv.org/abs/2001.04451, section 2; buckets as in
Andoni et al. 2015, https://arxiv.org/abs/1509.02897. Queries and keys are the same vectors, a key
being the query at unit length. Tokens are sorted by bucket, and the sorted list is cut into chunks
of equal length (chunks.py).
As the official code (trax) and unlike the paper's equations 4 to 6, keys of other buckets that
fall into the chunk are seen, and a key that several rounds find counts in each of them.
Deviation: the official code drops the same attention weights for all tokens and chunks; here each
token has a mask of its own, as in the Hugging Face port.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import prod

import torch
from torch import Tensor, nn

from foretext.core import rng
from foretext.core.layout import Layout, Stack
from foretext.nn.cache import LayerCache
from foretext.nn.chunk_attention import Seen, attend_in_chunks, attend_some
from foretext.nn.chunks import Arrangement, Chunking, ChunkLayout, Places, arrangement, in_order
from foretext.nn.dropout import Dropout
from foretext.nn.linear import Linear, linear_maps

_EPS = 1e-6  # of the key's mean square, as in the official code


def unit_keys(queries: Tensor) -> Tensor:
    """Keys of shared queries [..., head_size]: at unit length, for scores without further scale."""
    square = queries.pow(2).mean(-1, keepdim=True)
    return queries * torch.rsqrt(square + _EPS) * queries.shape[-1] ** -0.5


def num_buckets(places: int, chunk: int, max_positions: int) -> tuple[int, ...]:
    """Buckets for a sequence of so many places: about two a chunk, a power of 2.

    Many are the pairs of a bucket of a first hash and one of a second, which costs their sum, not
    their product.

    Args:
        places: of the sequence, filled up to whole chunks.
        chunk: places of a chunk.
        max_positions: of the model; with the chunk it sets what is many, as in `transformers`.
    """
    power = (2 * (places // chunk)).bit_length() - 1
    many = 2 * max(int((max_positions // chunk) ** 0.5), chunk)
    if 2**power > many:
        return 2 ** (power // 2), 2 ** (power - power // 2)
    return (2**power,)


def rotations(
    seed: int | tuple[int, int],
    *,
    heads: int,
    head_size: int,
    rounds: int,
    buckets: Sequence[int],
) -> Tensor:
    """Random normal directions [heads, head_size, rounds, sum(buckets) / 2], on the CPU.

    Args:
        seed: a number draws what `transformers` draws for a config's hash_seed; a pair is a key of
            this run, step and layer, for which a round is the same however many there are.
        heads, head_size: of the attention.
        rounds: of hashing.
        buckets: factors of the number of buckets, each even.
    """
    half = sum(buckets) // 2
    if isinstance(seed, int):
        drawn = torch.Generator().manual_seed(seed)
        return torch.randn(heads, head_size, rounds, half, generator=drawn)
    keys = [rng.key(seed[0], seed[1], "rotations", number) for number in range(rounds)]
    parts = [torch.Generator().manual_seed(key % 2**63) for key in keys]
    return torch.stack([torch.randn(heads, head_size, half, generator=g) for g in parts], 2)


@torch.no_grad()
def hashed(queries: Tensor, directions: Tensor, buckets: Sequence[int]) -> Tensor:
    """Buckets of vectors: the number of the largest of their rotated coordinates and the negatives.

    Args:
        queries: [tokens, heads, head_size].
        directions: as rotations gives them.
        buckets: factors of the number of buckets.

    Returns:
        [heads, rounds, tokens] int64, below the product of the factors.
    """
    heads, _, rounds, half = directions.shape
    directions = directions.to(queries.device, torch.float32)
    flat = queries.float().transpose(0, 1) @ directions.flatten(2)  # [heads, tokens, rounds * half]
    rotated = flat.view(heads, -1, rounds, half)
    found = torch.zeros(rotated.shape[:3], dtype=torch.int64, device=queries.device)
    before, cut = 1, 0
    for factor in buckets:
        part = rotated[..., cut : cut + factor // 2]
        highest, lowest = part.max(-1), part.min(-1)
        opposite = -lowest.values > highest.values
        found += before * torch.where(opposite, lowest.indices + factor // 2, highest.indices)
        before, cut = before * factor, cut + factor // 2
    return found.transpose(1, 2)


def sorted_places(places: Places, buckets: Tensor, number: int) -> Tensor:
    """Places sorted by bucket, then by position; the filling last; sequences stay where they are.

    Args:
        places: of the sequences.
        buckets: of their tokens, [heads, rounds, own tokens].
        number: of buckets.

    Returns:
        [heads, rounds, places] int64.
    """
    shape = (*buckets.shape[:2], places.size)
    keys = torch.full(shape, number, dtype=torch.int64, device=buckets.device)
    keys[:, :, places.places] = buckets
    return (keys + places.sequences * (number + 1)).argsort(dim=-1, stable=True)


class _ChunkAttention(nn.Module):
    """What LSH and local attention share: projections without biases, and chunks.

    Args:
        hidden_size: of the states.
        num_heads: attention heads.
        head_size: of a head's vectors, whatever the hidden size is.
        chunking: of the sequences.
        dropout: probability, on the attention weights.
        causal: a token sees itself and what is before it.
    """

    shuns_itself = False  # see Seen

    def __init__(
        self,
        hidden_size: int,
        num_heads: int,
        head_size: int,
        *,
        chunking: Chunking,
        dropout: float,
        causal: bool,
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.chunking = chunking
        self.causal = causal
        self.value = Linear(hidden_size, num_heads * head_size, bias=False)
        self.output = Linear(num_heads * head_size, hidden_size, bias=False)
        self.dropout = Dropout(dropout)

    def forward(self, hidden: Tensor, layout: Layout, cache: LayerCache | None = None) -> Tensor:
        """[tokens, hidden] -> [tokens, hidden].

        Args:
            hidden: with a cache, states of the tokens after those it holds.
            layout: of the batch; with a cache KeyValueCache.extend's.
            cache: keys and values so far; of a causal model outside training.
        """
        query, key, value = self.vectors(hidden)
        kept = None if cache is None else cache.append(key, value, layout)
        if kept is None or all(stack.length == stack.key_length for stack in layout.stacks):
            mixed = self._attend(query, key, value, layout)
        else:
            parts = zip(layout.stacks, *kept, strict=True)
            mixed = torch.cat([self._newest(query, *part) for part in parts])
        return self.output(mixed.flatten(1))

    def vectors(self, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, what is kept as keys, and values, each [tokens, heads, head_size]."""
        raise NotImplementedError

    def keys_of(self, kept: Tensor) -> Tensor:
        """Keys of what is kept as keys, [..., head_size], scaled."""
        raise NotImplementedError

    def order(self, kept: Tensor, places: Places) -> Tensor:  # noqa: ARG002
        """Places of sequences that are cut as they are cut: [heads, rounds, places]."""
        return in_order(places, self.num_heads)

    def split(self, states: Tensor) -> Tensor:
        """[tokens, heads * head_size] -> [tokens, heads, head_size]."""
        return states.unflatten(1, (self.num_heads, -1))

    def _arranged(self, kept: Tensor, layout: ChunkLayout) -> Iterator[tuple[Places, Arrangement]]:
        """The sequences that are cut, and those that are not."""
        offsets = tuple(range(-self.chunking.before, self.chunking.after + 1))
        if layout.cut is not None:
            yield layout.cut, arrangement(layout.cut, self.order(kept, layout.cut), offsets)
        if layout.whole is not None:
            whole = layout.whole
            yield whole, arrangement(whole, in_order(whole, self.num_heads), (0,))

    def _attend(self, query: Tensor, kept: Tensor, value: Tensor, layout: Layout) -> Tensor:
        """All tokens of a batch, [tokens, heads, head_size]."""
        device, parts = query.device, []
        chunks = layout.derived(
            self.chunking, lambda: ChunkLayout.of(layout.lengths, self.chunking, device)
        )
        key = self.keys_of(kept).to(query.dtype)
        for places, where in self._arranged(kept, chunks):
            seen = Seen(
                where=where,
                causal=self.causal,
                shuns_itself=self.shuns_itself,
                keep=self._keep(places, where) if self.dropout.active else None,
                scale=self.dropout.scale,
            )
            parts.append((places.rows, attend_in_chunks(query, key, value, places.rows, seen)))
        if len(parts) == 1:
            return parts[0][1]
        rows = torch.cat([rows for rows, _ in parts])
        return torch.cat([mixed for _, mixed in parts]).index_select(0, rows.argsort())

    def _newest(self, query: Tensor, stack: Stack, kept: Tensor, value: Tensor) -> Tensor:
        """The newest tokens of sequences of one length, sorted among all that is there.

        Args:
            query: of the newest tokens of all stacks, [tokens, heads, head_size].
            stack: which of them.
            kept, value: of the stack, [count, heads, key_length, head_size].
        """
        count, length = stack.count, stack.key_length
        kept, value = (states.transpose(1, 2).flatten(0, 1) for states in (kept, value))
        chunks = ChunkLayout.of([length] * count, self.chunking, query.device)
        ((_, where),) = self._arranged(kept, chunks)
        numbers = torch.arange(count * length, device=query.device).view(count, length)
        return attend_some(
            query[stack.start : stack.start + stack.tokens],
            self.keys_of(kept),
            value,
            numbers[:, length - stack.length :].flatten(),
            Seen(where=where, causal=self.causal, shuns_itself=self.shuns_itself),
        )

    def _keep(self, places: Places, where: Arrangement) -> Tensor:
        """The dropout's mask, [chunks of all heads and rounds, chunk, looked * chunk].

        A token's bytes go to the token of its sequence that stands in its place after sorting,
        which is as random, and needs no sorting of the mask.
        """
        count, width = int(places.rows[-1]) + 1, where.neighbours.shape[1] * where.chunk
        lanes = where.heads * where.rounds
        size = torch.Size((count, lanes, width))
        start = self.dropout.first_token * lanes * width
        keep = self.dropout.keep_mask(size, start, stream=width)
        keep = keep.to(places.rows.device)[places.rows].transpose(0, 1)
        whole = keep.new_ones(lanes, places.size, width)
        whole[:, places.places] = keep
        return whole.view(-1, where.chunk, width)


class LocalSelfAttention(_ChunkAttention):
    """A chunk of the text attends to itself and its neighbours. Args: as _ChunkAttention."""

    def __init__(
        self,
        hidden_size: int,
        num_heads: int,
        head_size: int,
        *,
        chunking: Chunking,
        dropout: float,
        causal: bool,
    ) -> None:
        shape = (hidden_size, num_heads, head_size)
        super().__init__(*shape, chunking=chunking, dropout=dropout, causal=causal)
        self.query = Linear(hidden_size, num_heads * head_size, bias=False)
        self.key = Linear(hidden_size, num_heads * head_size, bias=False)

    def vectors(self, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Three projections."""
        query, key, value = linear_maps(hidden, (self.query, self.key, self.value))
        return self.split(query), self.split(key), self.split(value)

    def keys_of(self, kept: Tensor) -> Tensor:
        """Scaled by the root of head_size."""
        return kept * kept.shape[-1] ** -0.5


@dataclass(frozen=True, kw_only=True)
class Hashing:
    """How a layer finds buckets.

    Attributes:
        layer: its number; outside training its rotations are a function of it.
        rounds: of hashing.
        buckets: factors of the number of buckets; None takes what num_buckets says.
        max_positions: of the model, for num_buckets.
        seed: of the rotations, the same in all layers and steps; None draws others in every step
            of training.
    """

    layer: int
    rounds: int
    buckets: tuple[int, ...] | None = None
    max_positions: int
    seed: int | None = None

    def buckets_of(self, places: int, chunk: int) -> tuple[int, ...]:
        """Factors of the number of buckets of a sequence of so many places."""
        return self.buckets or num_buckets(places, chunk, self.max_positions)


class LshSelfAttention(_ChunkAttention):
    """A token attends to tokens whose vectors point where its own does.

    Args:
        hidden_size, num_heads, head_size, chunking, dropout, causal: as _ChunkAttention.
        hashing: how; may be replaced at any time, such as by one of more rounds.
    """

    shuns_itself = True

    def __init__(
        self,
        hidden_size: int,
        num_heads: int,
        head_size: int,
        *,
        chunking: Chunking,
        dropout: float,
        causal: bool,
        hashing: Hashing,
    ) -> None:
        shape = (hidden_size, num_heads, head_size)
        super().__init__(*shape, chunking=chunking, dropout=dropout, causal=causal)
        self.query_key = Linear(hidden_size, num_heads * head_size, bias=False)
        self.hashing = hashing

    def vectors(self, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries are kept as keys."""
        shared, value = linear_maps(hidden, (self.query_key, self.value))
        return self.split(shared), self.split(shared), self.split(value)

    def keys_of(self, kept: Tensor) -> Tensor:
        """Of unit length."""
        return unit_keys(kept)

    @property
    def seed(self) -> int | tuple[int, int]:
        """Of the rotations, now."""
        if self.hashing.seed is not None:
            return self.hashing.seed
        return self.dropout.key if self.training else (0, self.hashing.layer)

    def order(self, kept: Tensor, places: Places) -> Tensor:
        """Places of the sequences that are cut, sorted by bucket: [heads, rounds, places]."""
        rounds = self.hashing.rounds
        kinds = [self.hashing.buckets_of(length, places.chunk) for length in places.lengths]
        found = kept.new_empty(self.num_heads, rounds, len(places.rows), dtype=torch.int64)
        starts = [0, *accumulate(places.counts)]
        highest = 0
        for kind in dict.fromkeys(kinds):
            same = [range(starts[i], starts[i + 1]) for i, k in enumerate(kinds) if k == kind]
            own = torch.tensor([n for part in same for n in part], device=kept.device)
            directions = rotations(
                self.seed,
                heads=self.num_heads,
                head_size=kept.shape[-1],
                rounds=rounds,
                buckets=kind,
            )
            found[:, :, own] = hashed(kept[places.rows[own]], directions, kind)
            highest = max(highest, prod(kind))
        return sorted_places(places, found, highest)
