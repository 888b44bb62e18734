"""What training.compile compiles: feed-forward networks, whose shapes are dynamic, and no more."""

from __future__ import annotations

from typing import Any

import pytest
from torch import nn

from foretext.nn.blocks import FeedForward
from foretext.training.step import compile_feed_forward
from tests.tasks.tiny import MODELS, model_of


@pytest.mark.parametrize("model_type", MODELS)
def test_every_feed_forward_network_is_compiled_and_nothing_else(
    model_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attention groups sequences by length in Python, so it would be compiled for every batch."""
    seen: list[tuple[nn.Module, dict[str, Any]]] = []
    monkeypatch.setattr(nn.Module, "compile", lambda self, **how: seen.append((self, how)))
    model = model_of(model_type, 90)
    wanted = [module for module in model.modules() if isinstance(module, FeedForward)]
    assert compile_feed_forward(model) == len(wanted) > 0
    assert [module for module, _ in seen] == wanted
    assert all(how == {"dynamic": True} for _, how in seen)
