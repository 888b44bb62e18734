"""The elements of an array inside a JSON object, one after another.

The file is never held whole: text is read until an element parses, so memory holds the largest
element. The elements must be objects or arrays, whose end shows.
"""

from __future__ import annotations

import codecs
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from foretext.data.decompress import DamagedArchive, read_blocks
from foretext.data.faults import Faults, shown, shown_path

MAX_ELEMENT = 2**26  # characters of an element, as MAX_LINE of lines.py
_SPACE = " \t\n\r"
_BLOCK = 2**16  # bytes decoded at once


class _Broken(Exception):
    """What is wrong, and at which character of the buffer."""

    def __init__(self, problem: str, at: int) -> None:
        super().__init__(problem)
        self.at = at


class Elements:
    """The elements of the array `key` of the file's object, once.

    What is broken ends the file: it is a fault named by line and column.
    """

    def __init__(self, path: Path, key: str, faults: Faults) -> None:
        self._name, self._key, self._faults = shown_path(path), key, faults
        self._decoder = json.JSONDecoder(parse_int=integer)
        self._chunks = _decoded(path, faults)
        self._text = ""
        self._at = 0  # of what was not yet parsed
        self._line = self._column = 1  # of the text's first character

    def place(self) -> str:
        """The file."""
        return self._name

    def __iter__(self) -> Iterator[Any]:
        try:
            yield from self._parse()
        except _Broken as fault:
            self._drop(fault.at)
            place = f"{self._name}:{self._line}:{self._column}"
            self._faults.skip("broken JSON", place, f"broken JSON ({fault})", "mend the file")
        except UnicodeDecodeError as error:
            problem = f"invalid UTF-8 (0x{error.object[error.start]:02x})"
            self._faults.skip("invalid UTF-8", self._name, problem, "convert the file to UTF-8")
        except DamagedArchive as damage:
            problem = f"the compressed file is damaged or cut short ({damage})"
            self._faults.skip("damaged archive", self._name, problem, "get the file again")

    def _parse(self) -> Iterator[Any]:
        if self._peek() != "{":
            raise _Broken(f'an object {{"{self._key}": [...]}} is expected', self._at)
        self._at += 1
        found = False
        while self._peek() != "}":
            key = self._value()
            if not isinstance(key, str) or self._peek() != ":":
                raise _Broken("a key and ':' are expected", self._at)
            self._at += 1
            if key == self._key and self._peek() == "[":
                found = True
                yield from self._array()
            else:
                self._value()
            self._separator("}")
        if not found:
            raise _Broken(f"there is no list {shown(self._key)}", self._at)
        self._at += 1
        if self._peek():
            raise _Broken("something follows the object", self._at)

    def _array(self) -> Iterator[Any]:
        self._at += 1
        while self._peek() != "]":
            yield self._value()
            self._separator("]")
        self._at += 1

    def _separator(self, end: str) -> None:
        """Pass a comma, or stand before the end."""
        if self._peek() == ",":
            self._at += 1
            if self._peek() == end:
                raise _Broken("a comma stands before the end", self._at)
        elif self._peek() != end:
            raise _Broken(f"',' or '{end}' is expected", self._at)

    def _peek(self) -> str:
        """The next character that is no space; "" at the end of the file."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in _SPACE:
                self._at += 1
            if self._at < len(self._text) or not self._more():
                return self._text[self._at : self._at + 1]

    def _value(self) -> Any:
        """The next value; more text is read, twice as much each time, until it is whole."""
        if not self._peek():
            raise _Broken("the file ends too early", self._at)
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except RecursionError:
                raise _Broken("nested too deeply", self._at) from None
            except json.JSONDecodeError as error:
                inside = error.pos - self._at  # growing moves the text
                if self._grow():
                    continue
                raise _Broken(error.msg, self._at + inside) from None
            # A number may go on in the text that was not read yet.
            if end < len(self._text) or not self._grow():
                self._at = end
                return value

    def _grow(self) -> bool:
        """Read as much as is held of the value; False at the end of the file."""
        self._drop(self._at)
        if len(self._text) > MAX_ELEMENT:
            raise _Broken(f"an element is longer than {MAX_ELEMENT:,} characters", self._at)
        return self._more(len(self._text))

    def _more(self, count: int = 1) -> bool:
        """Append at least some characters; False at the end of the file."""
        chunks, held = [self._text], 0
        while held < count and (chunk := next(self._chunks, None)) is not None:
            chunks.append(chunk)
            held += len(chunk)
        self._text = "".join(chunks)
        return held > 0

    def _drop(self, count: int) -> None:
        """Forget the text's first characters, and count their lines."""
        lines = self._text.count("\n", 0, count)
        self._line += lines
        last = self._text.rfind("\n", 0, count)
        self._column = count - last if lines else self._column + count
        self._text = self._text[count:]
        self._at -= count


def integer(digits: str) -> float:
    """A JSON integer; with more digits than Python reads it is infinite, as its 1e999 is.

    Whoever needs a number finds it at fault there; where nobody does, it harms nobody.
    """
    try:
        return int(digits)
    except ValueError:
        return -math.inf if digits.startswith("-") else math.inf


def _decoded(path: Path, faults: Faults) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    for block in read_blocks(path, faults.stats):
        for start in range(0, len(block), _BLOCK):
            yield decoder.decode(block[start : start + _BLOCK])
    yield decoder.decode(b"", final=True)
