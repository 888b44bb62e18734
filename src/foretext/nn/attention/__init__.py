"""Attention: masks and biases as data, one function, and backends that say what they take."""

from foretext.core.masks import Causal, Full, Mask, Order, Prefix, RightToLeft
from foretext.nn.attention.api import BACKENDS, attend, explain
from foretext.nn.attention.bias import Bias, DistanceBias, RelativePositionBias
from foretext.nn.attention.modules import CrossAttention, SelfAttention

__all__ = [
    "BACKENDS",
    "Bias",
    "Causal",
    "CrossAttention",
    "DistanceBias",
    "Full",
    "Mask",
    "Order",
    "Prefix",
    "RelativePositionBias",
    "RightToLeft",
    "SelfAttention",
    "attend",
    "explain",
]
