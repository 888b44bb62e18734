"""Modules with the same weights and dropout of their own."""

from __future__ import annotations

from torch import nn

from foretext.nn.dropout import Dropout


def share_weights(module: nn.Module, owner: nn.Module) -> None:
    """Give a module the owner's parameters and parts, but for dropout layers, which it keeps.

    Their masks then differ, as do those of layers that share nothing.

    Args:
        module: made as the owner was, perhaps on the device "meta".
        owner: of the weights.
    """
    for name, weight in owner.named_parameters(recurse=False):
        setattr(module, name, weight)
    for name, part in owner.named_children():
        if not any(isinstance(inner, Dropout) for inner in part.modules()):
            setattr(module, name, part)
        elif not isinstance(part, Dropout):
            share_weights(getattr(module, name), part)
