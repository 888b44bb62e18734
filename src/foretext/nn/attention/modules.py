"""Multi-head attention with its projections, of a sequence to itself or to another.

Paper: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, section 3.2.2.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from foretext.core.layout import Layout
from foretext.core.masks import Full, Mask
from foretext.nn.attention.api import attend
from foretext.nn.attention.bias import Bias
from foretext.nn.cache import LayerCache
from foretext.nn.dropout import Dropout
from foretext.nn.linear import Linear, linear_maps


class _MultiHead(nn.Module):
    """The four projections and the rules that both kinds share.

    Args:
        hidden_size: of the states that ask, and of the result.
        num_heads: attention heads.
        head_size: of queries, keys and values of a head; None is hidden_size / num_heads.
        source_size: of the states that are asked; None is hidden_size.
        dropout: probability, on the attention weights.
        projection_bias: whether the four projections have biases.
        scale: factor of the products of queries and keys; None is head_size ** -0.5 (T5: 1).
    """

    def __init__(
        self,
        hidden_size: int,
        num_heads: int,
        *,
        head_size: int | None = None,
        source_size: int | None = None,
        dropout: float,
        projection_bias: bool = True,
        scale: float | None = None,
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.head_size = head_size or hidden_size // num_heads
        self.scale = scale
        inner, source = num_heads * self.head_size, source_size or hidden_size
        self.query = Linear(hidden_size, inner, projection_bias)
        self.key = Linear(source, inner, projection_bias)
        self.value = Linear(source, inner, projection_bias)
        self.output = Linear(inner, hidden_size, projection_bias)
        self.dropout = Dropout(dropout)

    def heads(self, projected: Tensor) -> Tensor:
        """[rows, heads * head_size] -> [rows, heads, head_size]."""
        return projected.unflatten(1, (self.num_heads, self.head_size))


class SelfAttention(_MultiHead):
    """Multi-head attention of a sequence to itself; Args: as _MultiHead's."""

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
        """[tokens, hidden] -> [tokens, hidden], or of some tokens alone [rows, hidden].

        Args:
            hidden: with a cache, states of the tokens after those it holds.
            layout: of the batch; with a cache KeyValueCache.extend's.
            mask: which tokens a token sees.
            bias: added to the scores; None is nothing.
            cache: keys and values so far.
            rows: the tokens whose result is wanted, [rows]; None is all.
        """
        if rows is not None and (few := self._few_queries(layout, mask, bias, rows)):
            query = self.heads(self.query(hidden.index_select(0, rows)))
            key, value = self.heads(self.key(hidden)), self.heads(self.value(hidden))
            return self.output(attend(query, key, value, few, mask, scale=self.scale).flatten(1))
        query, key, value = map(self.heads, linear_maps(hidden, (self.query, self.key, self.value)))
        keys, values = (key, value) if cache is None else cache.append(key, value, layout)
        mixed = attend(
            query, keys, values, layout, mask, bias=bias, dropout=self.dropout, scale=self.scale
        ).flatten(1)
        return self.output(mixed if rows is None else mixed.index_select(0, rows))

    def _few_queries(
        self, layout: Layout, mask: Mask, bias: Bias | None, rows: Tensor
    ) -> Layout | None:
        """Where one token of each sequence is wanted, as for a label, a layout of them alone.

        In training all attend together; a causal mask or a bias has queries at the end.
        """
        seen = not isinstance(mask, Full) or bias is not None or self.dropout.active
        if seen or torch.is_grad_enabled() or rows.device.type != "cpu":
            return None
        return layout.with_queries_at(rows)


class CrossAttention(_MultiHead):
    """Multi-head attention of one sequence to another; Args: as _MultiHead's."""

    def forward(
        self,
        hidden: Tensor,
        source: Tensor | None,
        layout: Layout,
        *,
        mask: Mask | None = None,
        bias: Bias | None = None,
        cache: LayerCache | None = None,
    ) -> Tensor:
        """[tokens, hidden] -> [tokens, hidden].

        Args:
            hidden: states of the tokens that ask.
            source: states of the tokens that are asked, [keys, source]; None where the cache has
                their keys and values.
            layout: of both, Layout.cross's; with a cache KeyValueCache.cross's.
            mask: which of the source's tokens a token sees; None is all.
            bias: added to the scores; None is nothing.
            cache: keeps the source's keys and values, which are computed once.
        """
        query = self.heads(self.query(hidden))
        keys = None if cache is None else cache.source
        if keys is None:
            assert source is not None
            keys = self._project(source)
            if cache is not None:
                cache.source = keys
        mixed = attend(
            query, *keys, layout, mask or Full(), bias=bias, dropout=self.dropout, scale=self.scale
        )
        return self.output(mixed.flatten(1))

    def _project(self, source: Tensor) -> tuple[Tensor, Tensor]:
        key, value = linear_maps(source, (self.key, self.value))
        return self.heads(key), self.heads(value)
