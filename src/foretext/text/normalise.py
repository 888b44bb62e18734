"""Unicode NFC in linear time: composed characters, so Hangul is syllables and never jamo."""

from __future__ import annotations

import itertools
import re
import unicodedata

MAX_MARKS = 256  # combining marks in a row; real text has a handful

_LONG_FOREIGN = re.compile(rf"[^\x00-\x7f]{{{MAX_MARKS},}}")


def nfc(text: str) -> str:
    """The text in Unicode normalisation form C; the same object when it is in that form already.

    The standard library sorts combining marks in quadratic time: a line of a million would take
    hours. A run of more than MAX_MARKS, which no script writes, is therefore normalised in pieces
    of that length (Unicode's own Stream-Safe Text Format, UAX #15, allows 30).
    """
    if text.isascii() or unicodedata.is_normalized("NFC", text):
        return text
    cuts = [cut for run in _LONG_FOREIGN.finditer(text) for cut in _cuts(text, *run.span())]
    bounds = [0, *cuts, len(text)]
    return "".join(
        unicodedata.normalize("NFC", text[start:stop]) for start, stop in itertools.pairwise(bounds)
    )


def _cuts(text: str, start: int, stop: int) -> list[int]:
    """Where to cut the runs of combining marks in text[start:stop] that are too long."""
    cuts = []
    marks = 0
    for at in range(start, stop):
        marks = marks + 1 if unicodedata.combining(text[at]) else 0
        if marks > MAX_MARKS:
            cuts.append(at)
            marks = 1
    return cuts
