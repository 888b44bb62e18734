"""torch.compile where it pays: in the feed-forward networks.

A whole network is compiled anew for every ragged layout, since attention groups sequences by their
lengths in Python. A feed-forward network sees tokens alone, of which only the number changes, so
one compilation with a dynamic first size serves all batches.
"""

from __future__ import annotations

from torch import nn

from foretext.nn.blocks import FeedForward


def compile_feed_forward(model: nn.Module) -> int:
    """Compile every feed-forward network of a model, in place, when it is first used.

    Returns:
        How many there are.
    """
    found = [module for module in model.modules() if isinstance(module, FeedForward)]
    for module in found:
        module.compile(dynamic=True)
    return len(found)
