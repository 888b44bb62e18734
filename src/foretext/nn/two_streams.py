"""Two streams of states with the same weights, and the memory behind them: XLNet's.

Paper: Yang et al. 2019, https://arxiv.org/abs/1906.08237, section 2.3, equation 5, and section 2.4.
The content stream knows its own token; the query stream, at the tokens to be predicted alone, does
not, and takes its keys and values from the content stream.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from foretext.core.batch import Batch
from foretext.core.layout import Layout
from foretext.core.masks import Mask
from foretext.nn.attention.relative import Relative, RelativeAttention
from foretext.nn.blocks import FeedForward
from foretext.nn.dropout import Dropout
from foretext.nn.norm import LayerNorm


class TwoStreamBlock(nn.Module):
    """LN(x + attention), then LN(x + feed-forward), for either stream.

    Args:
        hidden_size: of the states.
        num_heads: attention heads.
        head_size: of queries, keys and values of a head.
        intermediate_size: of the feed-forward network.
        activation: a name in ACTIVATIONS.
        eps: of the layer norms.
        dropout: probability, on what is added to the states, and inside the feed-forward network.
        attention_dropout: probability, on the attention weights.
    """

    def __init__(
        self,
        hidden_size: int,
        num_heads: int,
        head_size: int,
        intermediate_size: int,
        *,
        activation: str,
        eps: float,
        dropout: float,
        attention_dropout: float,
    ) -> None:
        super().__init__()
        self.attention = RelativeAttention(
            hidden_size, num_heads, head_size, dropout=attention_dropout
        )
        self.attention_norm = LayerNorm(hidden_size, eps=eps)
        self.feed_forward = FeedForward(hidden_size, intermediate_size, activation=activation)
        self.feed_forward_norm = LayerNorm(hidden_size, eps=eps)
        self.content_dropouts = nn.ModuleList(Dropout(dropout) for _ in range(3))
        self.query_dropouts = nn.ModuleList(Dropout(dropout) for _ in range(3))
        self.query_attention_dropout = Dropout(attention_dropout)

    def content(
        self, hidden: Tensor, keys: tuple[Tensor, Tensor], at: Relative, mask: Mask
    ) -> Tensor:
        """[tokens, hidden] -> [tokens, hidden]."""
        return self._after(hidden, self.attention(hidden, keys, at, mask), self.content_dropouts)

    def query(
        self,
        hidden: Tensor,
        keys: tuple[Tensor, Tensor],
        at: Relative,
        mask: Mask,
        targets: Targets,
    ) -> Tensor:
        """[targets, hidden] -> [targets, hidden]; keys are the content stream's."""
        dropout = targets.dropout(self.query_attention_dropout)
        mixed = self.attention(hidden, keys, at, mask, dropout)
        return self._after(hidden, mixed, self.query_dropouts, targets.tokens)

    def _after(
        self, hidden: Tensor, mixed: Tensor, dropouts: nn.ModuleList, rows: Tensor | None = None
    ) -> Tensor:
        hidden = self.attention_norm(hidden + dropouts[0](mixed, rows))
        wide = dropouts[1](self.feed_forward.up(hidden, self.feed_forward.activation), rows)
        return self.feed_forward_norm(hidden + dropouts[2](self.feed_forward.down(wide), rows))


@dataclass(frozen=True, eq=False)
class Targets:
    """The tokens that the query stream stands for."""

    tokens: Tensor  # [targets], ascending
    firsts: tuple[int, ...]  # the first token of each sequence
    starts: tuple[int, ...]  # the first target of each sequence

    def dropout(self, base: Dropout) -> Dropout | None:
        """Draws of a sequence's own, whatever other targets its batch has; None where none is."""
        return _OfSequences(base, self) if base.active else None


class _OfSequences(Dropout):
    """A sequence's draws begin at its first token's number, of which it has more than targets."""

    def __init__(self, base: Dropout, targets: Targets) -> None:
        super().__init__(base.rate)
        self._base = (base,)  # in a tuple, so that it is no part of this module
        self.targets = targets

    def keep_mask(self, shape: torch.Size, start: int, *, stream: int = 0) -> Tensor:
        """See Dropout; [queries, heads, keys], start counts queries from a sequence's first."""
        (base,), (firsts, starts) = self._base, (self.targets.firsts, self.targets.starts)
        row, left, parts = shape[1:].numel(), shape[0], []
        number = starts.index(start // row)
        while left:
            queries = left
            if number + 1 < len(starts):
                queries = min(starts[number + 1] - starts[number], left)
            size = torch.Size((queries, *shape[1:]))
            first = base.first_token + firsts[number]
            parts.append(base.keep_mask(size, first * row, stream=stream))
            left, number = left - queries, number + 1
        return torch.cat(parts)


class Places:
    """Where both streams stand, behind the memories of their sequences.

    Args:
        batch: sequences.
        targets: where the query stream stands.
        memories: of each sequence, [layers, remembered, hidden]; None is none.
    """

    def __init__(self, batch: Batch, targets: Targets, memories: list[Tensor | None]) -> None:
        self.batch = batch
        self.targets = targets
        self.memories = memories
        self.past = [0 if old is None else old.shape[1] for old in memories]

    @classmethod
    def of(cls, batch: Batch, tokens: Tensor, memories: list[Tensor | None]) -> Places:
        """Of a batch and the tokens to be predicted."""
        starts = torch.searchsorted(tokens.cpu(), batch.layout.offsets[:-1].cpu().long())
        firsts = tuple(batch.layout.offsets[:-1].tolist())
        return cls(batch, Targets(tokens, firsts, tuple(starts.tolist())), memories)

    def relative(
        self, size: int, batch: Batch, tokens: Tensor, backwards: Tensor
    ) -> tuple[Relative, Relative]:
        """Of the content stream and of the query stream."""
        lengths = batch.layout.lengths
        keys = [past + length for past, length in zip(self.past, lengths, strict=True)]
        counts = [*self.targets.starts[1:], len(tokens)]
        counts = [stop - start for start, stop in zip(self.targets.starts, counts, strict=True)]
        types = batch.token_type_ids
        key_types = self.keys(types, 0)
        shift = torch.tensor(self.past, device=tokens.device)
        sequence = torch.repeat_interleave(torch.tensor(counts, device=tokens.device))
        places = batch.position_ids.index_select(0, tokens) + shift[sequence]
        content = Relative.of(
            Layout.of_lengths(lengths, keys),
            size,
            segments=types,
            key_segments=key_types,
            backwards=backwards,
        )
        query = Relative.of(
            Layout.of_lengths(counts, keys),
            size,
            segments=types.index_select(0, tokens),
            key_segments=key_types,
            backwards=backwards,
            places=places,
        )
        return content, query

    def keys(self, values: Tensor, before: int) -> Tensor:
        """Values [tokens] with `before` for each remembered token in front, [keys]."""
        parts = values.split(list(self.batch.layout.lengths))
        filled = [
            torch.cat([part.new_full((past,), before), part])
            for past, part in zip(self.past, parts, strict=True)
        ]
        return torch.cat(filled)

    def states(self, hidden: Tensor, layer: int) -> Tensor:
        """States [keys, hidden] before a layer, remembered ones in front of each sequence's."""
        if not any(self.past):
            return hidden
        parts = hidden.split(list(self.batch.layout.lengths))
        pairs = zip(self.memories, parts, strict=True)
        return torch.cat([p for old, new in pairs for p in
                          ((new,) if old is None else (old[layer], new))])  # fmt: skip
