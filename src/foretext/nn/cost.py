"""What reading a token takes, about: for estimates of FLOPs and of memory.

Paper: Kaplan et al. 2020, https://arxiv.org/abs/2001.08361, section 2.1: a weight is a multiply and
an add forward and twice that backward, and so is a number of a state that attention reads.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from torch import nn

_BYTES = 4  # of a number in fp32


class TokenCost(NamedTuple):
    """What one token takes in training."""

    weights: float  # that it is multiplied by, the vocabulary's among them
    attention: float  # numbers of other tokens that it is multiplied with, halved as weights are
    kept: float  # bytes left for the backward pass


class Sizes(Protocol):
    """Those of a Transformer."""

    @property
    def num_layers(self) -> int: ...

    @property
    def num_heads(self) -> int: ...

    @property
    def hidden_size(self) -> int: ...

    @property
    def intermediate_size(self) -> int: ...


def layer_weights(network: nn.Module) -> int:
    """Weights of the matrices in a network's layers; of a layer used often, as often."""
    return sum(
        m.weight.numel()
        for name, m in network.named_modules(remove_duplicate=False)
        if isinstance(m, nn.Linear) and ".layers." in f".{name}"
    )


def kept_bytes(sizes: Sizes, attended: float) -> float:
    """Bytes that one token leaves for the backward pass in all layers."""
    states = 14 * sizes.hidden_size + 2 * sizes.intermediate_size
    return sizes.num_layers * (_BYTES * states + (2 * _BYTES + 1) * sizes.num_heads * attended)


def transformer_cost(
    network: nn.Module, sizes: Sizes, attended: float, *, head: float, seen: float | None = None
) -> TokenCost:
    """Of a stack of layers in which every token passes every layer.

    Args:
        network: whose layers are called so.
        sizes: its config.
        attended: tokens of a token's sequence, on average.
        head: weights beside the layers' that a token passes on average, such as the vocabulary's.
        seen: tokens that one is compared with, where they are fewer than its sequence's.
    """
    compared = attended if seen is None else seen
    return TokenCost(
        weights=layer_weights(network) + head,
        attention=2 * sizes.num_layers * sizes.hidden_size * compared,
        kept=kept_bytes(sizes, attended),
    )
