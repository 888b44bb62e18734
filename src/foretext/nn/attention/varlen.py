"""PyTorch's variable-length flash attention: on a GPU, in half precision, without padding."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from inspect import signature
from typing import Any

import torch
from torch import Tensor

from foretext.core.masks import Causal, Full
from foretext.nn.attention.call import Backend, Call


def _attend_varlen(call: Call) -> Tensor:
    layout, kernel = call.layout, _kernel()
    assert kernel is not None
    reach = (-1, -1)  # keys before and after a query's own; aligned at the last query and key
    if isinstance(call.mask, Causal):
        reach = (-1 if call.mask.window is None else call.mask.window - 1, 0)
    offsets, keys = layout.offsets, layout.key_offsets
    sizes = (layout.longest, layout.longest_key)
    out: Tensor = kernel(
        call.query, call.key, call.value, offsets, keys, *sizes, scale=call.scale, window_size=reach
    )
    return out


def _refuses(call: Call) -> str | None:  # noqa: ARG001  (the signature of Backend.other)
    return "this PyTorch has no varlen_attn with windows" if _kernel() is None else None


@cache
def _kernel() -> Callable[..., Any] | None:
    """The kernel, where this version of PyTorch has it."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    return varlen_attn if "window_size" in signature(varlen_attn).parameters else None


VARLEN = Backend(
    name="varlen",
    run=_attend_varlen,
    masks=(Full, Causal),
    devices=("cuda",),
    dtypes=(torch.bfloat16, torch.float16),
    dropout=False,  # the kernel has none
    cached=False,
    other=_refuses,
)
