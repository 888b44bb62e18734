"""Texts as they were given, for models that read them in NFC and without NULs.

Answers are parts of a text, and whoever asked has the text that they gave: macOS writes Korean as
jamo (NFD), of which NFC makes one character of two or three.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foretext.text.normalise import nfc

Ints = NDArray[np.int64]
_JAMO = "\u1161-\u1175\u11a8-\u11c2"  # vowels and finals, which join by rule and not by table
_LAST = 0x30000  # beyond it no character is composed or combines


@dataclass(frozen=True, slots=True, eq=False)
class Original:
    """A text as it was given, and where the characters of its plain form lie in it."""

    text: str
    starts: Ints  # [characters of the plain text] the first character it was made of
    stops: Ints  # the one after the last

    def span(self, start: int, stop: int) -> tuple[int, int]:
        """The place of plain characters start to stop, which are one at least."""
        return int(self.starts[start]), int(self.stops[stop - 1])

    def plain_span(self, start: int, stop: int) -> tuple[int, int]:
        """The fewest plain characters that hold these, which are one at least."""
        first = int(np.searchsorted(self.stops, start, "right"))
        return first, max(int(np.searchsorted(self.starts, stop, "left")), first)


def plain(text: str) -> str:
    """The text in NFC and without NULs."""
    return nfc(text.replace("\0", ""))


def given(text: str) -> tuple[str, Original | None]:
    """The plain text, and how it was given where that is another."""
    bare = text.replace("\0", "")
    normal = nfc(bare)
    if normal is text:
        return text, None
    starts, stops = _composed(bare, normal)
    kept = np.flatnonzero(np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32))
    return normal, Original(text, kept[starts], kept[stops - 1] + 1)


def _composed(text: str, normal: str) -> tuple[Ints, Ints]:
    """Of each character of the NFC of a text, first and last + 1 of those it was made of."""
    if normal is text:
        places = np.arange(len(text) + 1)
        return places[:-1], places[1:]
    starts: list[int] = []
    stops: list[int] = []
    for found in _cluster().finditer(text):
        start, stop = found.span()
        made = nfc(found[0])
        if made == found[0]:
            starts += range(start, stop)
            stops += range(start + 1, stop + 1)
        else:  # marks may have changed places, so that all of it belongs together
            starts += [start] * len(made)
            stops += [stop] * len(made)
    assert len(starts) == len(normal), "clusters are normalised on their own"
    return np.array(starts, np.int64), np.array(stops, np.int64)


@functools.cache
def _cluster() -> re.Pattern[str]:
    """A character and all behind it that may join it: marks, and what some pair composes with."""
    joining = set()
    for code in range(0x80, _LAST):
        character = chr(code)
        parts = unicodedata.decomposition(character)
        if parts and not parts.startswith("<"):
            joining |= {chr(int(part, 16)) for part in parts.split()[1:]}
        if unicodedata.combining(unicodedata.normalize("NFD", character)[0]):
            joining.add(character)
    return re.compile(f".[{_JAMO}{re.escape(''.join(sorted(joining)))}]*", re.DOTALL)
