"""How tags mark spans of tokens: IOB1, IOB2, BIOES and BILOU read, checked, converted and detected.

    iob1   I-X inside; B-X only where a span follows another of its type
    iob2   B-X begins every span, I-X goes on
    bioes  B-X first, I-X inside, E-X last, S-X the only token; bilou spells E and S as L and U

O is outside all of them. With `-suffix` the letter stands last, as in PER-B. "plain" tags mark no
spans.

Papers: Tjong Kim Sang and Veenstra 1999, "Representing Text Chunks", section 2 (IOB1 and IOB2);
Ratinov and Roth 2009, section 3.2 (BILOU). Tags that break a scheme are read as conlleval does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

OUTSIDE, PLAIN = "O", "plain"
_SUFFIX = "-suffix"
_LETTERS = {"iob1": "BI", "iob2": "BI", "bioes": "BIES", "bilou": "BILU"}
SCHEMES = (*_LETTERS, *(name + _SUFFIX for name in _LETTERS), PLAIN)
_MEANING = {"L": "E", "U": "S"}
_OUTSIDE = (OUTSIDE, "")


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Tokens start up to stop of one type."""

    start: int
    stop: int
    type: str


@dataclass(frozen=True, slots=True)
class Problem:
    """A tag that its scheme does not allow."""

    index: int  # of the tag
    text: str
    mendable: bool  # it can be read all the same, as conlleval does


@lru_cache(maxsize=65536)
def split_tag(tag: str, scheme: str) -> tuple[str, str] | None:
    """Letter among O, B, I, E, S and type of a tag; None: the scheme has no such tag."""
    if tag == OUTSIDE:
        return _OUTSIDE
    letter, _, kind = tag.partition("-")
    if scheme.endswith(_SUFFIX):
        kind, _, letter = tag.rpartition("-")
    if not kind or len(letter) != 1 or letter not in _LETTERS[scheme.removesuffix(_SUFFIX)]:
        return None
    return _MEANING.get(letter, letter), kind


def letters_of(scheme: str) -> str:
    """The letters that a scheme writes, among SCHEMES but "plain"."""
    return _LETTERS[scheme.removesuffix(_SUFFIX)]


def read_spans(tags: Sequence[str], scheme: str) -> list[Span]:
    """The spans of tags, by conlleval's rules where they break the scheme.

    A span begins at B and S; at any letter after O, E or S; and where the type changes.

    Args:
        tags: of a sentence; each is one of the scheme's.
        scheme: among SCHEMES but "plain".
    """
    spans: list[Span] = []
    before, kind_before, start = "O", "", 0
    for i, tag in enumerate(tags):
        letter, kind = split_tag(tag, scheme) or _OUTSIDE
        if letter == "O" and before == "O":
            continue
        begins = letter in "BS" or before in "OES" or kind != kind_before
        if before != "O" and (begins or letter == "O"):
            spans.append(Span(start, i, kind_before))
        if begins:
            start = i
        before, kind_before = letter, kind
    if before != "O":
        spans.append(Span(start, len(tags), kind_before))
    return spans


def write_tags(spans: Sequence[Span], length: int, scheme: str) -> list[str]:
    """The tags of `length` tokens with these spans, which do not overlap."""
    name, suffixed = scheme.removesuffix(_SUFFIX), scheme.endswith(_SUFFIX)
    tags = [OUTSIDE] * length
    last: Span | None = None
    for span in sorted(spans):
        size = span.stop - span.start
        letters = "B" + "I" * (size - 1)
        if name == "iob1" and not (last and (last.stop, last.type) == (span.start, span.type)):
            letters = "I" * size
        elif name in ("bioes", "bilou"):
            end, single = _LETTERS[name][2], _LETTERS[name][3]
            letters = single if size == 1 else "B" + "I" * (size - 2) + end
        for at, letter in enumerate(letters, span.start):
            tags[at] = f"{span.type}-{letter}" if suffixed else f"{letter}-{span.type}"
        last = span
    return tags


def convert(tags: Sequence[str], source: str, target: str) -> list[str]:
    """The same spans in another scheme."""
    return write_tags(read_spans(tags, source), len(tags), target)


def scheme_tags(types: Sequence[str], scheme: str) -> list[str]:
    """All tags of a scheme over these types: O, then B-X, I-X, ... of each."""
    letters = _LETTERS[scheme]
    return [OUTSIDE, *(f"{letter}-{kind}" for kind in types for letter in letters)]


def problem(tags: Sequence[str], scheme: str) -> Problem | None:
    """The first tag of a sentence that its scheme does not allow."""
    name = scheme.removesuffix(_SUFFIX)
    before = _OUTSIDE
    shown = "the sentence's beginning"
    for i, tag in enumerate(tags):
        now = split_tag(tag, scheme)
        if now is None:
            return Problem(i, f"{tag!r} is no tag of {_spelled(scheme)}", mendable=False)
        if not _may_follow(before, now, name):
            text = f"{tag!r} cannot follow {shown} in {_spelled(scheme)}"
            return Problem(i, text, mendable=True)
        before, shown = now, repr(tag)
    if not _may_follow(before, _OUTSIDE, name):
        text = f"{tags[-1]!r} cannot end a sentence in {_spelled(scheme)}"
        return Problem(len(tags) - 1, text, mendable=True)
    return None


def _may_follow(before: tuple[str, str], now: tuple[str, str], name: str) -> bool:
    inside = before[0] in "BI" and before[1] == now[1]
    if name == "iob1":
        return now[0] != "B" or inside
    if name == "iob2":
        return now[0] != "I" or inside
    return inside == (now[0] in "IE") and (inside or before[0] not in "BI")


def _spelled(scheme: str) -> str:
    name = scheme.removesuffix(_SUFFIX)
    letters = ", ".join(f"X-{c}" if scheme.endswith(_SUFFIX) else f"{c}-X" for c in _LETTERS[name])
    return f"{name.upper()} ({letters}, O)"


class SchemeCounts:
    """Which scheme the tags of a file follow; constant memory, given few different tags."""

    def __init__(self) -> None:
        self._marked = 0  # tags other than O
        self._letters = {"": Counter[str](), _SUFFIX: Counter[str]()}
        self._breaks = {"": Counter[str](), _SUFFIX: Counter[str]()}

    def add(self, tags: Sequence[str]) -> None:
        """Count a sentence."""
        self._marked += sum(tag != OUTSIDE for tag in tags)
        for style in self._letters:
            before = _OUTSIDE
            for tag in tags:
                now = _any_split(tag, style) or _OUTSIDE
                if now[0] != "O":
                    self._letters[style][now[0]] += 1
                    if now[0] in "BI":
                        broken = "iob1" if now[0] == "B" else "iob2"
                        follows = before[0] in "BI" and before[1] == now[1]
                        self._breaks[style][broken] += not follows
                before = now

    def scheme(self) -> str:
        """The name of the scheme that fits best; of two that fit as well, IOB2."""
        style = max(self._letters, key=lambda name: self._letters[name].total())
        count, breaks = self._letters[style], self._breaks[style]
        if 2 * count.total() <= self._marked or not self._marked:
            return PLAIN
        # Every B has its E or L where spans end with one.
        if max(count["E"], count["L"]) + count["S"] + count["U"] > count["B"] / 2:
            name = "bioes" if count["E"] + count["S"] >= count["L"] + count["U"] else "bilou"
        else:
            name = "iob1" if breaks["iob1"] < breaks["iob2"] else "iob2"
        return name + style


@lru_cache(maxsize=65536)
def _any_split(tag: str, style: str) -> tuple[str, str] | None:
    """Letter as it is written and type, whatever the scheme."""
    letter, _, kind = tag.partition("-")
    if style:
        kind, _, letter = tag.rpartition("-")
    return (letter, kind) if kind and len(letter) == 1 and letter in "BIESLU" else None
