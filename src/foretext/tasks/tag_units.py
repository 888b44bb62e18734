"""The units that tagging labels, words or characters, and the tokens that stand for them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from foretext.metrics.tag_schemes import OUTSIDE
from foretext.objectives.base import Ints

_WORD = re.compile(r"\S+")


@dataclass(frozen=True, slots=True)
class TagExample:
    """Units of a text, perhaps with a tag each in the scheme that is learned."""

    text: str
    starts: tuple[int, ...]  # of each unit, in characters
    units: tuple[str, ...]
    tags: tuple[str, ...] | None = None
    characters: bool = False  # the units are the characters of the text, white space included


def split_text(text: str, unit: str) -> TagExample:
    """The words of a text, what white space separates, or its characters."""
    if unit == "character":
        return TagExample(text, tuple(range(len(text))), tuple(text), characters=True)
    found = list(_WORD.finditer(text))
    return TagExample(text, tuple(m.start() for m in found), tuple(m.group() for m in found))


def joined(units: tuple[str, ...], tags: tuple[str, ...] | None, *, characters: bool) -> TagExample:
    """An example of words, joined by a space, or of characters, joined by nothing."""
    between = "" if characters else " "
    ends = accumulate((len(unit) + len(between) for unit in units), initial=0)
    return TagExample(between.join(units), tuple(ends)[:-1], units, tags, characters)


def label_tokens(example: TagExample, starts: Ints, *, last: bool) -> tuple[Ints, Ints]:
    """Units that have a token of their own, in order, and the token that stands for each.

    Args:
        example: its units.
        starts: where each token of its text starts, [tokens].
        last: a unit's last token instead of its first.
    """
    begins = np.array(example.starts, np.int64)
    ends = begins + np.array([len(unit) for unit in example.units], np.int64)
    unit = np.searchsorted(begins, starts, side="right") - 1
    # A token that starts between two words, such as a byte-level space alone, is of neither.
    inside = np.flatnonzero((unit >= 0) & (starts < ends[unit]))
    if last:
        inside = inside[::-1]
    units, chosen = np.unique(unit[inside], return_index=True)
    return units, inside[chosen]


class WindowTokens(NamedTuple):
    """A window of a sentence's tokens and which of the labelled ones it answers for."""

    begin: int  # first token of the window
    owned: slice  # of the labelled tokens


def windows(
    tokens: Ints, total: int, *, max_tokens: int, stride: int, look_left: bool
) -> Iterator[WindowTokens]:
    """Overlapping windows that cover all tokens; each labelled one is owned once.

    Of two neighbouring windows the one with more context on its shorter side owns a token; or, if
    only the left side is seen, the first that holds it.

    Args:
        tokens: the labelled ones, ascending.
        total: of the sentence.
        max_tokens: tokens of a window.
        stride: tokens from one window to the next, at most max_tokens.
        look_left: the model reads left to right.
    """
    begins = np.array([*range(0, total - max_tokens, stride), max(total - max_tokens, 0)], np.int64)
    last_tokens = begins[:-1] + max_tokens - 1
    cuts = last_tokens if look_left else (last_tokens + begins[1:]) // 2
    borders = [0, *np.searchsorted(tokens, cuts, side="right").tolist(), len(tokens)]
    for begin, first, stop in zip(begins.tolist(), borders, borders[1:], strict=False):
        if stop > first:
            yield WindowTokens(begin, slice(first, stop))


def fill_characters(text: Sequence[str], tags: list[str | None], *, plain: bool) -> list[str]:
    """The tags of all characters, from those in which a token begins.

    A character inside a token goes on with its tag, B-X as I-X. White space without a token is
    I-X between X and I-X, else O; plain tags go on over it.

    Args:
        text: the characters.
        tags: in IOB2 or plain; None where no token begins.
        plain: the tags mark no spans.
    """
    filled: list[str] = []
    before = OUTSIDE
    following = _following(tags)
    for character, tag, after in zip(text, tags, following, strict=True):
        if tag is not None:
            now = tag
        elif plain:
            now = before if filled else after or OUTSIDE
        else:
            now = "I" + before[1:] if before != OUTSIDE else OUTSIDE
            if character.isspace() and now != after:
                now = OUTSIDE
        filled.append(now)
        before = now
    return filled


def _following(tags: Sequence[str | None]) -> list[str | None]:
    """The next tag that is known after each."""
    found: list[str | None] = []
    upcoming: str | None = None
    for tag in reversed(tags):
        found.append(upcoming)
        upcoming = upcoming if tag is None else tag
    return found[::-1]
