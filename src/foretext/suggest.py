"""The nearest known name to one that was mistyped."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name most like this one, quoted; there is always one."""
    known = list(known)
    found = get_close_matches(name, known, n=1, cutoff=0.0)
    return repr(found[0] if found else known[0])
