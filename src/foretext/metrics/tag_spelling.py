"""Tags spelled otherwise than B-PER: B_PER, B:PER, b-PER, PER_B, M-PER, o; recognised and mended.

A tag is a letter, a sign and a type, or the type first. Letters may be small; M (of BMES) stands
for I and W for S. Types that differ in case alone are one. A file keeps to one sign and one order:
with B-PER and B_LOC in it nobody knows which are types, so both are named and it is refused.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from foretext.metrics import tag_schemes as schemes

_SIGNS = "-_:/|."
_FIRST = re.compile(rf"([BIESLUMW])([{_SIGNS}])(.+)", re.IGNORECASE)
_LAST = re.compile(rf"(.+)([{_SIGNS}])([BIESLUMW])", re.IGNORECASE)
_LETTERS = {"M": "I", "W": "S"}
_SUFFIX = "-suffix"

Style = tuple[str, bool]  # the sign between letter and type, and whether the letter stands last
USUAL: Style = ("-", False)


@dataclass(frozen=True, slots=True)
class _Parts:
    letter: str  # in upper case, as it is written
    kind: str
    style: Style


def _read(tag: str, *, last: bool) -> _Parts | None:
    """The parts of a tag whose letter stands first or last."""
    match = (_LAST if last else _FIRST).fullmatch(tag)
    if match is None:
        return None
    letter, sign, kind = match.groups()[::-1] if last else match.groups()
    return _Parts(letter.upper(), kind, (sign, last))


class MixedSpelling(Exception):
    """Two tags of one file that are spelled in two ways."""


def style_of(tags: Mapping[str, int]) -> Style | None:
    """How most tags of a file are spelled; None: they mark no spans.

    Args:
        tags: how often each occurs.

    Raises:
        MixedSpelling: they are spelled in two ways that no single one outweighs, or some are; its
            arguments are a tag of each.
    """
    marked = {tag: count for tag, count in tags.items() if tag.upper() != schemes.OUTSIDE}
    votes: Counter[Style] = Counter()
    letters: dict[Style, set[str]] = {}
    for last in (False, True):
        for tag, count in marked.items():
            if parts := _read(tag, last=last):
                votes[parts.style] += count
                letters.setdefault(parts.style, set()).add(parts.letter)
    for style in list(votes):  # in other spellings spans have a B, or like IOB1's nothing but I
        if style[0] != "-" and "B" not in letters[style] and letters[style] != {"I"}:
            del votes[style]
    total = sum(marked.values())
    either = sum(
        count
        for tag, count in marked.items()
        if any((parts := _read(tag, last=last)) and parts.style in votes for last in (False, True))
    )
    if 2 * either <= total or not votes:
        return None
    best = max(votes, key=lambda style: (votes[style], style == USUAL, not style[1]))
    for tag in sorted(marked):
        if _fits(tag, best):
            continue
        if any((parts := _read(tag, last=last)) and parts.style in votes for last in (False, True)):
            raise MixedSpelling(next(one for one in sorted(marked) if _fits(one, best)), tag)
    return best if 2 * votes[best] > total else None


def _fits(tag: str, style: Style) -> bool:
    parts = _read(tag, last=style[1])
    return parts is not None and parts.style == style


def mended(tag: str, style: Style) -> str:
    """A tag in the usual spelling: B-PER, or PER-B where the letter stands last."""
    if tag == schemes.OUTSIDE.lower():
        return schemes.OUTSIDE
    parts = _read(tag, last=style[1])
    if parts is None or parts.style != style:
        return tag
    letter = _LETTERS.get(parts.letter, parts.letter)
    return f"{parts.kind}-{letter}" if style[1] else f"{letter}-{parts.kind}"


def common_types(tags: Iterable[tuple[str, int]], scheme: str) -> dict[str, str]:
    """By each type in lower case the commonest way to write it; tags of a scheme and counts."""
    found: dict[str, Counter[str]] = {}
    for tag, count in tags:
        parts = schemes.split_tag(tag, scheme)
        if parts is not None and parts[1]:
            found.setdefault(parts[1].lower(), Counter())[parts[1]] += count
    return {lower: min(ways, key=lambda way: (-ways[way], way)) for lower, ways in found.items()}


@dataclass
class Respelling:
    """Tags as a file has them to tags of a scheme over known types; counts what it changed.

    Raises (when called):
        MixedSpelling: a tag is spelled otherwise than an earlier one.
    """

    scheme: str  # of files; not plain
    types: Mapping[str, str]  # by their lower case
    notes: Counter[str]
    _first: dict[Style, str] = field(default_factory=dict)  # a tag of each style that was met
    _known: dict[str, tuple[str, str]] = field(default_factory=dict)  # tag -> mended, its note

    def __call__(self, tag: str) -> str:
        if tag not in self._known:
            self._known[tag] = self._spelled(tag)
        new, note = self._known[tag]
        if note:
            self.notes[note] += 1
        return new

    def _spelled(self, tag: str) -> tuple[str, str]:
        if tag.upper() == schemes.OUTSIDE:
            return schemes.OUTSIDE, "" if tag == schemes.OUTSIDE else f"tags {tag!r} read as 'O'"
        last = self.scheme.endswith(_SUFFIX)
        for parts in (_read(tag, last=last), _read(tag, last=not last)):
            if parts is not None and parts.kind.lower() in self.types:
                return self._accepted(tag, parts)
        return tag, ""

    def _accepted(self, tag: str, parts: _Parts) -> tuple[str, str]:
        letter, kind = parts.letter, self.types[parts.kind.lower()]
        if letter not in schemes.letters_of(self.scheme):
            letter = _LETTERS.get(letter, letter)
        other = next((one for style, one in self._first.items() if style != parts.style), None)
        if other is not None:
            raise MixedSpelling(other, tag)
        self._first.setdefault(parts.style, tag)
        new = f"{kind}-{letter}" if self.scheme.endswith(_SUFFIX) else f"{letter}-{kind}"
        return new, "" if new == tag else f"tags spelled like {tag!r} read as {new!r}"
