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

from foretext.text.decompress import DamagedArchive, read_blocks
from foretext.text.errors import Faults, OnError, shown, shown_path
from foretext.text.invalid_bytes import ESCAPE, MARK, fault_of, marked, mended, unmarked
from foretext.text.lines import other_encoding

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

    What is broken ends the file: it is a fault named by line and column. Invalid UTF-8 and NUL in a
    string are mended; under OnError.SKIP they stay as marks and `spoilt` says that the element has
    some, so that the reader can leave out as little as holds them.
    """

    def __init__(self, path: Path, key: str, faults: Faults) -> None:
        self._name, self._key, self._faults = shown_path(path), key, faults
        self._decoder = json.JSONDecoder(parse_int=integer)
        self._chunks = _decoded(path, faults)
        self._text = ""
        self._at = 0  # of what was not yet parsed
        self._line = self._column = 1  # of the text's first character
        self.spoilt = False
        self._damage: DamagedArchive | None = None  # behind the text that was read

    def place(self) -> str:
        """The file."""
        return self._name

    def __iter__(self) -> Iterator[Any]:
        try:
            yield from self._parse()
        except _Broken as fault:
            if self._damage is None:
                self._report(fault)
        if self._damage is not None:
            problem = f"the compressed file is damaged or cut short here ({self._damage})"
            place = self._place(len(self._text))
            self._faults.cut("damaged archive", place, problem, "get the file again")

    def _report(self, fault: _Broken) -> None:
        kind, problem, hint = "broken JSON", f"broken JSON ({fault})", "mend the file"
        if mark := MARK.match(self._text, fault.at):
            kind, problem = fault_of(mark[0])
            raw = unmarked(self._text[: fault.at + _BLOCK])
            hint = other_encoding(raw, self._line) or "convert the file to UTF-8"
        self._faults.cut(kind, self._place(fault.at), problem, hint)

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
            inside = end - self._at
            # A number may go on in the text that was not read yet.
            if end < len(self._text) or not self._grow():
                return self._sound(value, self._at + inside)

    def _sound(self, value: Any, end: int) -> Any:
        """Pass a value, which goes to `end`; what is no text in it is mended, or stays marked."""
        start, self._at = self._at, end
        mark = MARK.search(self._text, start, end)
        self.spoilt = mark is not None and self._faults.on_error is OnError.SKIP
        if mark is None or self.spoilt:
            return value
        text, place = self._text[start:end], self._place(mark.start())
        hint = other_encoding(unmarked(text), self._line)
        for line in text.split("\n"):
            if found := MARK.search(line):
                kind, problem = fault_of(found[0])
                self._faults.replace(kind, place, problem, hint)
        return self._decoder.decode(mended(text))

    def _grow(self) -> bool:
        """Read as much as is held of the value; False at the end of the file."""
        self._drop(self._at)
        if len(self._text) > MAX_ELEMENT:
            raise _Broken(f"an element is longer than {MAX_ELEMENT:,} characters", self._at)
        return self._more(len(self._text))

    def _more(self, count: int = 1) -> bool:
        """Append at least some characters; False at the end of the file."""
        chunks, held = [self._text], 0
        try:
            while held < count and (chunk := next(self._chunks, None)) is not None:
                chunks.append(chunk)
                held += len(chunk)
        except DamagedArchive as damage:  # what stands before it is read first
            self._damage = damage
        self._text = "".join(chunks)
        return held > 0

    def _position(self, at: int) -> tuple[int, int]:
        """Line and column of a character of the text."""
        lines = self._text.count("\n", 0, at)
        last = self._text.rfind("\n", 0, at)
        return self._line + lines, at - last if lines else self._column + at

    def _place(self, at: int) -> str:
        line, column = self._position(at)
        return f"{self._name}:{line}:{column}"

    def _drop(self, count: int) -> None:
        """Forget the text's first characters, and count their lines."""
        self._line, self._column = self._position(count)
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
    decoder = codecs.getincrementaldecoder("utf-8-sig")(ESCAPE)
    for block in read_blocks(path, faults.stats):
        for start in range(0, len(block), _BLOCK):
            yield marked(decoder.decode(block[start : start + _BLOCK]))
    yield marked(decoder.decode(b"", final=True))
