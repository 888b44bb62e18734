"""Transformer blocks: attention, then a feed-forward network, each with a residual.

Papers: post-norm, Vaswani et al. 2017, section 3.1; pre-norm, Radford et al. 2019 (GPT-2), section
2.3.
"""

from __future__ import annotations

from torch import Tensor, nn

from foretext.core.layout import Layout
from foretext.core.masks import Mask
from foretext.nn.attention.bias import Bias
from foretext.nn.attention.modules import SelfAttention
from foretext.nn.cache import LayerCache
from foretext.nn.dropout import Dropout
from foretext.nn.linear import Linear
from foretext.nn.norm import LayerNorm


class FeedForward(nn.Module):
    """Two linear maps with an activation between them, a token at a time."""

    def __init__(self, hidden_size: int, intermediate_size: int, *, activation: str) -> None:
        super().__init__()
        self.up = Linear(hidden_size, intermediate_size)
        self.down = Linear(intermediate_size, hidden_size)
        self.activation = activation

    def forward(self, hidden: Tensor) -> Tensor:
        """[tokens, hidden] -> [tokens, hidden]."""
        return self.down(self.up(hidden, self.activation))


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
    ) -> None:
        super().__init__()
        self.attention = SelfAttention(hidden_size, num_heads, dropout=attention_dropout)
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
    """

    def forward(
        self,
        hidden: Tensor,
        layout: Layout,
        mask: Mask,
        *,
        bias: Bias | None = None,
        cache: LayerCache | None = None,
        rows: Tensor | None = None,
    ) -> Tensor:
        """[tokens, hidden] -> [tokens or rows, hidden]; Args: as SelfAttention's."""
        attended = self.attention(hidden, layout, mask, bias=bias, cache=cache, rows=rows)
        added = self.attention_residual(attended, rows)
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
        layout: Layout,
        mask: Mask,
        *,
        bias: Bias | None = None,
        cache: LayerCache | None = None,
        rows: Tensor | None = None,
    ) -> Tensor:
        """[tokens, hidden] -> [tokens or rows, hidden]; Args: as SelfAttention's."""
        normed = self.attention_norm(hidden)
        attended = self.attention(normed, layout, mask, bias=bias, cache=cache, rows=rows)
        hidden = _chosen(hidden, rows) + self.attention_residual(attended, rows)
        transformed = self.feed_forward(self.feed_forward_norm(hidden))
        return hidden + self.feed_forward_residual(transformed, rows)


def _chosen(hidden: Tensor, rows: Tensor | None) -> Tensor:
    return hidden if rows is None else hidden.index_select(0, rows)
