"""Memory for a model whose parameters were made without it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


class LeaveMeta(TorchFunctionMode):
    """Skips in-place operations on the meta device.

    They change nothing there, but run kernels in Python whose import takes a second or two.
    """

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        target = args[0] if args else kwargs.get("tensor")  # nn.init passes it by name
        in_place = func.__name__.endswith("_") and not func.__name__.endswith("__")
        if in_place and isinstance(target, Tensor) and target.is_meta:
            return target
        return func(*args, **kwargs)


def materialise(model: nn.Module, names: set[str] | None = None) -> None:
    """Give parameters of the meta device memory, without values: those named, or all.

    A parameter that two modules share stays shared, unlike with to_empty().
    """
    assert not list(model.buffers()), "buffers have values of their own; compute them in forward"
    made: dict[int, nn.Parameter] = {}
    for name, old in list(model.named_parameters(remove_duplicate=False)):
        if old.is_meta and (names is None or name in names):
            owner, _, leaf = name.rpartition(".")
            if id(old) not in made:
                made[id(old)] = nn.Parameter(torch.empty(old.shape, dtype=old.dtype))
            setattr(model.get_submodule(owner), leaf, made[id(old)])
