"""The nearest known name to one that was mistyped."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher

_SECTION = 0.3  # weight of a path's section


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
    return repr(max(known, key=lambda each: _likeness(name, each)))


def _likeness(one: str, other: str) -> float:
    """Of two paths: what they end in says more than the section they are in."""
    (section, end), (their_section, their_end) = (p.rpartition(".")[::2] for p in (one, other))
    if not section:
        return max(_ratio(end, their_end), _ratio(end, their_section))
    return _ratio(end, their_end) + _SECTION * _ratio(section, their_section)


def _ratio(one: str, other: str) -> float:
    return SequenceMatcher(None, one, other).ratio()
