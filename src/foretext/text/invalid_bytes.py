"""Bytes that are no text, as marks in the text until it is known which record holds them.

JSON's records are no lines, so that a line at fault cannot be left out for its record. Its readers
take each byte that is no UTF-8 as the lone surrogate U+DC00 + byte (Python's surrogateescape),
which no UTF-8 file can hold, and a NUL as U+DC00.
"""

from __future__ import annotations

import json
import re
from typing import Any

MARK = re.compile("[\udc00\udc80-\udcff]")
ESCAPE = "surrogateescape"  # errors= of the decoder whose text is marked
_NUL = "\udc00"


def marked(text: str) -> str:
    """Text decoded with errors=ESCAPE, its NULs marked too."""
    return text.replace("\0", _NUL)


def mended(text: str) -> str:
    """Marked text with U+FFFD for invalid UTF-8 and without NULs."""
    return text.replace(_NUL, "").encode(errors=ESCAPE).decode(errors="replace")


def unmarked(text: str) -> bytes:
    """The bytes that marked text was made of."""
    return text.replace(_NUL, "\0").encode(errors=ESCAPE)


def fault_of(mark: str) -> tuple[str, str]:
    """Kind and problem of a mark."""
    if mark == _NUL:
        return "NUL", "NUL character in the text"
    return "invalid UTF-8", f"invalid UTF-8 (0x{ord(mark) & 0xFF:02x})"


def mark_in(*values: Any) -> str | None:
    """The first mark in the strings of JSON values."""
    found = MARK.search(json.dumps(values, ensure_ascii=False))
    return found and found[0]
