"""Transformer blocks: attention, then a feed-forward network, each with a residual.

Papers: post-norm, Vaswani et al. 2017, section 3.1; pre-norm, Radford et al. 2019 (GPT-2), section
2.3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from torch import Tensor, nn
from torch.nn import functional as F

from foretext.nn.attention import SelfAttention
from foretext.nn.cache import LayerCache
from foretext.nn.dropout import Dropout
from foretext.nn.layout import AttentionLayout
from foretext.nn.linear import Linear, filled_up, filled_up_indices, gelu_of
from foretext.nn.norm import LayerNorm

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,  # exact, by the error function
    "gelu_tanh": partial(F.gelu, approximate="tanh"),
    "relu": F.relu,
}


class FeedForward(nn.Module):
    """Two linear maps with an activation between them, a token at a time."""

    def __init__(self, hidden_size: int, intermediate_size: int, *, activation: str) -> None:
        super().__init__()
        self.up = Linear(hidden_size, intermediate_size)
        self.down = Linear(intermediate_size, hidden_size)
        self.activation = ACTIVATIONS[activation]
        self._is_gelu = activation == "gelu"

    def forward(self, hidden: Tensor) -> Tensor:
        """[tokens, hidden] -> [tokens, hidden]."""
        wide = gelu_of(hidden, self.up) if self._is_gelu else self.activation(self.up(hidden))
        return self.down(wide)


class _Block(nn.Module):
    """What both orders of normalisation share; where the norm stands is the subclass's."""

    def __init__(
        self,
        hidden_size: int,
        num_heads: int,
        intermediate_size: int,
        *,
        activation: str,
        eps: float,
        dropout: float,
        attention_dropout: float,
        causal: bool = False,
    ) -> None:
        super().__init__()
        self.attention = SelfAttention(
            hidden_size, num_heads, dropout=attention_dropout, causal=causal
        )
        self.attention_norm = LayerNorm(hidden_size, eps=eps)
        self.feed_forward = FeedForward(hidden_size, intermediate_size, activation=activation)
        self.feed_forward_norm = LayerNorm(hidden_size, eps=eps)
        self.attention_residual = Dropout(dropout)
        self.feed_forward_residual = Dropout(dropout)

    @property
    def row_weights(self) -> int:
        """Weights of the matrices that states pass which nothing but their own token reads."""
        used = self.attention.output, self.feed_forward.up, self.feed_forward.down
        return sum(linear.weight.numel() for linear in used)


class PostNormBlock(_Block):
    """LN(x + f(x)) for attention, then for the feed-forward network (GPT-1, BERT and its kin).

    Args:
        hidden_size: of the states.
        num_heads: attention heads.
        intermediate_size: of the feed-forward network.
        activation: a name in ACTIVATIONS.
        eps: of the layer norms.
        dropout: probability, on what each of the two adds to the states.
        attention_dropout: probability, on the attention weights.
        causal: a token sees itself and what is before it.
    """

    def forward(
        self,
        hidden: Tensor,
        layout: AttentionLayout,
        cache: LayerCache | None = None,
        rows: Tensor | None = None,
    ) -> Tensor:
        """[tokens, hidden] -> [tokens or rows, hidden]; cache, rows: as SelfAttention's."""
        added = self.attention_residual(self.attention(hidden, layout, cache, rows), rows)
        hidden = self.attention_norm(added + _chosen(hidden, rows))
        added = self.feed_forward_residual(self.feed_forward(hidden), rows)
        return self.feed_forward_norm(added + hidden)


class PreNormBlock(_Block):
    """x + f(LN(x)) for attention, then for the feed-forward network (GPT-2 and GPT-3).

    Args: as PostNormBlock.
    """

    def forward(
        self,
        hidden: Tensor,
        layout: AttentionLayout,
        cache: LayerCache | None = None,
        rows: Tensor | None = None,
    ) -> Tensor:
        """[tokens, hidden] -> [tokens or rows, hidden]; cache, rows: as SelfAttention's."""
        attended = self.attention(self.attention_norm(hidden), layout, cache, rows)
        hidden = _chosen(hidden, rows) + self.attention_residual(attended, rows)
        transformed = self.feed_forward(self.feed_forward_norm(hidden))
        return hidden + self.feed_forward_residual(transformed, rows)


def _chosen(hidden: Tensor, rows: Tensor | None) -> Tensor:
    return hidden if rows is None else hidden.index_select(0, rows)


def through(
    layers: Iterable[nn.Module],
    hidden: Tensor,
    layout: AttentionLayout,
    used: Tensor | None = None,
) -> Tensor:
    """States after all layers, [tokens, hidden].

    Nothing but attention looks from one token to another, so the last layer computes the rest of
    itself for the tokens whose states are used, and the result is the same. That is most of a layer
    where masked tokens or a sequence's first one are all that is read. Between the layers, rows may
    be filled up (nn/linear.py).

    Args:
        layers: one at least.
        hidden: states before them, [tokens, hidden].
        layout: of the batch.
        used: tokens whose states are read, ascending, each once; the others' are zero. None is all.
    """
    *lower, last = layers
    states = filled_up(hidden)
    for layer in lower:
        states = layer(states, layout)
    if used is None:
        return last(states, layout)[: len(hidden)]
    found = last(states, layout, rows=filled_up_indices(used))[: len(used)]
    return found.new_zeros(hidden.shape).index_copy(0, used, found)
