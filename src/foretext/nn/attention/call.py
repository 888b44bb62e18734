"""One call of attention, and what a backend says that it takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from foretext.core.layout import Layout, Stack
from foretext.core.masks import Mask
from foretext.nn.attention.bias import Bias
from foretext.nn.dropout import Dropout

# Keys or values [keys, heads, head_size]; or, from a cache, a tensor for each of the layout's
# stacks, [count, heads, key length, head_size].
Keys = Tensor | Sequence[Tensor]


@dataclass(frozen=True, kw_only=True, eq=False)
class Call:
    """The arguments of attend, with its defaults filled in."""

    query: Tensor  # [tokens, heads, head_size]; rows after the layout's tokens give zeros
    key: Keys
    value: Keys
    layout: Layout
    mask: Mask
    bias: Bias | None
    dropout: Dropout | None  # None where nothing is dropped
    scale: float

    @property
    def is_cached(self) -> bool:
        """Whether keys and values come from a cache."""
        return not isinstance(self.key, Tensor)

    @property
    def needs_gradient(self) -> bool:
        """Whether a gradient of queries, keys or values is recorded."""
        keys = [self.key] if isinstance(self.key, Tensor) else list(self.key)
        values = [self.value] if isinstance(self.value, Tensor) else list(self.value)
        several = [self.query, *keys, *values]
        return torch.is_grad_enabled() and any(part.requires_grad for part in several)

    @property
    def keys_by_stack(self) -> list[Tensor]:
        """Keys of each stack, [count, heads, key length, head_size]."""
        return _by_stack(self.key, self.layout.stacks)

    @property
    def values_by_stack(self) -> list[Tensor]:
        """Values of each stack, [count, heads, key length, head_size]."""
        return _by_stack(self.value, self.layout.stacks)


def _by_stack(keys: Keys, stacks: Sequence[Stack]) -> list[Tensor]:
    if not isinstance(keys, Tensor):
        return list(keys)
    sizes = [stack.keys for stack in stacks]
    parts = zip(stacks, keys[: sum(sizes)].split(sizes), strict=True)
    return [
        part.reshape(stack.count, stack.key_length, *part.shape[1:]).transpose(1, 2)
        for stack, part in parts
    ]


def _takes_all(call: Call) -> str | None:  # noqa: ARG001  (the signature of `refuses`)
    return None


@dataclass(frozen=True, kw_only=True)
class Backend:
    """A way to compute attention, and the calls that it takes."""

    name: str
    run: Callable[[Call], Tensor]  # [tokens, heads, head_size]
    masks: tuple[type[Mask], ...]
    biases: tuple[type[Bias], ...] = ()
    devices: tuple[str, ...] | None = None  # None is all
    dtypes: tuple[torch.dtype, ...] | None = None  # None is all
    dropout: bool = True  # whether it drops attention weights
    cross: bool = True  # whether queries and keys may be others
    cached: bool = True  # whether it takes keys from a cache
    compiles: bool = True  # whether torch.compile can trace it
    other: Callable[[Call], str | None] = _takes_all  # a further reason to refuse

    def refuses(self, call: Call) -> str | None:
        """Why it does not take the call, as a few words; None if it does."""
        query, layout = call.query, call.layout
        if self.devices is not None and query.device.type not in self.devices:
            return f"device {query.device.type} is not {' or '.join(self.devices)}"
        if self.dtypes is not None and query.dtype not in self.dtypes:
            return f"{query.dtype} is not one of {', '.join(map(str, self.dtypes))}"
        if not isinstance(call.mask, self.masks):
            return f"mask {type(call.mask).__name__} is unknown to it"
        if call.bias is not None and not isinstance(call.bias, self.biases):
            return f"bias {type(call.bias).__name__} is unknown to it"
        if call.dropout is not None and not self.dropout:
            return "it drops no weights"
        if call.is_cached and not self.cached:
            return "it takes no cached keys"
        if not self.cross and not layout.is_self:
            return "queries and keys are not the same tokens"
        if not self.compiles and torch.compiler.is_compiling():
            return "torch.compile cannot trace it"
        return self.other(call)
