"""Running a stack of layers over a ragged batch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import Tensor, nn

from foretext.core.layout import Layout
from foretext.core.masks import Mask
from foretext.nn.attention.bias import Bias
from foretext.nn.cpu.product import filled_up, filled_up_indices


def through(
    layers: Iterable[nn.Module],
    hidden: Tensor,
    layout: Layout,
    mask: Mask | Sequence[Mask],
    used: Tensor | None = None,
    *,
    bias: Bias | None = None,
) -> Tensor:
    """States after all layers, [tokens, hidden].

    Nothing but attention looks from one token to another, so the last layer computes the rest of
    itself for the tokens whose states are used, and the result is the same. That is most of a layer
    where masked tokens or a sequence's first one are all that is read. Between the layers, rows may
    be filled up (nn/cpu/product.py).

    Args:
        layers: one at least.
        hidden: states before them, [tokens, hidden].
        layout: of the batch.
        mask: which tokens a token sees, in all layers or in each.
        used: tokens whose states are read, ascending, each once; the others' are zero. None is all.
        bias: of the attention scores in all layers; None is nothing.
    """
    *lower, last = _with_masks(layers, mask)
    states = filled_up(hidden)
    for layer, seen in lower:
        states = layer(states, layout, seen, bias=bias)
    layer, seen = last
    if used is None:
        return layer(states, layout, seen, bias=bias)[
            : hidden.shape[0]
        ]  # no len: a graph is for any
    found = layer(states, layout, seen, bias=bias, rows=filled_up_indices(used))[: len(used)]
    return found.new_zeros(hidden.shape).index_copy(0, used, found)


def through_all(
    layers: Iterable[nn.Module],
    hidden: Tensor,
    layout: Layout,
    mask: Mask | Sequence[Mask],
    *,
    bias: Bias | None = None,
) -> list[Tensor]:
    """States before the first layer and after each, [tokens, hidden]; Args: as through's."""
    states, found = filled_up(hidden), [hidden]
    for layer, seen in _with_masks(layers, mask):
        states = layer(states, layout, seen, bias=bias)
        found.append(states[: hidden.shape[0]])
    return found


def _with_masks(
    layers: Iterable[nn.Module], mask: Mask | Sequence[Mask]
) -> list[tuple[nn.Module, Mask]]:
    several = list(layers)
    masks = [mask] * len(several) if isinstance(mask, Mask) else mask
    return list(zip(several, masks, strict=True))
