"""The nearest known name to one that was mistyped."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name most like this one, quoted, or of which it has the initials.

    There is always one.
    """
    known = list(known)
    path, _, short = name.rpartition(".")
    for each in known:  # lr is learning_rate
        place, _, long = each.rpartition(".")
        if place == path and "_" in long and short == "".join(w[:1] for w in long.split("_")):
            return repr(each)
    found = get_close_matches(name, known, n=1, cutoff=0.0)
    return repr(found[0] if found else known[0])
