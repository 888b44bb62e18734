"""Tensors of a weight file that are left aside by patterns of their names."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence
from typing import TypeVar

from foretext.core.errors import ConfigError

T = TypeVar("T")


def without(tensors: dict[str, T], patterns: Sequence[str]) -> dict[str, T]:
    """The tensors whose names fit none of the patterns.

    Raises:
        ConfigError: a pattern fits none of them.
    """
    for pattern in patterns:
        if not fnmatch.filter(tensors, pattern):
            raise ConfigError(f"no tensor's name is like {pattern!r}; there is {_first(tensors)}")
    return {
        name: tensor
        for name, tensor in tensors.items()
        if not any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
    }


def _first(names: Iterable[str], limit: int = 5) -> str:
    """The first names of several."""
    every = sorted(names)
    return ", ".join(every[:limit]) + (f" and {len(every) - limit} more" if every[limit:] else "")
