"""Objects of a file that holds one JSON list of them, or one a line, streamed.

Of a list lines are joined until they hold a whole object, whatever the file's indentation is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from foretext.text.errors import Faults, shown
from foretext.text.invalid_bytes import MARK, fault_of
from foretext.text.json_array import integer
from foretext.text.lines import MAX_LINE, Lines
from foretext.text.records import parse_record

_DECODER = json.JSONDecoder()
_LENIENT = json.JSONDecoder(parse_int=integer)
_ENDS = ("}", "},", "]", "],", "}]")  # an object may end with such a line
_BETWEEN = " \t\r\n,"


class _Broken(Exception):
    """What is wrong with the text at the line that the reader has reached."""


@dataclass(frozen=True, slots=True)
class _Unusable:
    """A whole record that cannot be used."""

    kind: str
    problem: str
    at: int  # which character of the text is at fault


class _Text:
    """Text that was read and not yet used, and the line in which it begins."""

    def __init__(self, kinds: tuple[type, ...]) -> None:
        self.text, self.line = "", 1
        self._kinds = (*kinds, _Unusable)
        self.opened = False  # whether the list has begun

    def add(self, line: str) -> None:
        self.text += line + "\n"
        if not self.opened and self._drop(" \t\r\n"):
            if not self.text.startswith("["):
                raise _Broken(f"a list of objects is expected, not {shown(self.text.strip())}")
            self.text, self.opened = self.text[1:], True

    def objects(self) -> Iterator[tuple[int, Any]]:
        """Take the whole objects that there are, each with its line."""
        text, at, counted, line = self.text, 0, 0, self.line
        try:
            while True:
                while at < len(text) and text[at] in _BETWEEN:
                    at += 1
                line, counted = line + text.count("\n", counted, at), at
                if at == len(text) or text[at] == "]":
                    return
                record, at = _record(text, at)
                if not isinstance(record, self._kinds):
                    raise _Broken(f"a JSON object is expected, not {shown(record)}")
                inside = record.at if isinstance(record, _Unusable) else counted
                yield line + text.count("\n", counted, inside), record
        except json.JSONDecodeError as error:
            # Where the text ends inside of an object, more of it comes; strings end with the line.
            if error.pos < len(text.rstrip()) - 1 or len(text) - at > MAX_LINE:
                raise _Broken(f"broken JSON ({error.msg})") from None
        except RecursionError:
            raise _Broken("the JSON is nested too deeply") from None
        finally:
            self.text, self.line = text[counted:], line

    def _drop(self, characters: str) -> str:
        """The text without these at its beginning."""
        rest = self.text.lstrip(characters)
        self.line += self.text.count("\n", 0, len(self.text) - len(rest))
        self.text = rest
        return rest


def _record(text: str, at: int) -> tuple[Any, int]:
    """The value that begins there, and where it ends."""
    try:
        record, end = _DECODER.raw_decode(text, at)
    except json.JSONDecodeError:
        raise
    except ValueError as error:  # an integer with more digits than Python reads
        _, end = _LENIENT.raw_decode(text, at)
        problem = f"broken JSON ({str(error).partition(';')[0]})"
        return _Unusable("broken JSON", problem, at), end
    if mark := MARK.search(text, at, end):
        return _Unusable(*fault_of(mark[0]), mark.start()), end
    return record, end


def json_list(
    lines: Lines, faults: Faults, kinds: tuple[type, ...] = (dict,)
) -> Iterator[tuple[int, Any]]:
    """The objects (or values of other kinds) of a list, each with the line it begins in.

    Broken JSON ends the file, since nobody knows where the next object begins; it is counted once.
    Of lines with mark_bad, an object that holds bytes that are no text is left out alone.

    Raises:
        DataError: broken JSON, or something else than a list of objects (file:line).
    """
    held = _Text(kinds)
    try:
        for _, line in lines:
            held.add(line)
            if line.rstrip().endswith(_ENDS) or len(held.text) > MAX_LINE:
                for at, record in held.objects():
                    if isinstance(record, _Unusable):
                        faults.skip(record.kind, lines.place(at), record.problem)
                    else:
                        yield at, record
        if held.opened and held.text.strip() != "]" and not lines.cut_short:
            raise _Broken("the file ends before its list does")
    except _Broken as fault:
        hint = "mend the file, or write .jsonl: an object a line"
        faults.cut("broken JSON", lines.place(held.line), str(fault), hint)


def json_lines(
    lines: Lines, faults: Faults, kinds: tuple[type, ...] = (dict,)
) -> Iterator[tuple[int, Any]]:
    """The objects of a file that has one a line, each with its line; blank lines are passed over.

    Raises:
        DataError: as json_list.
    """
    for number, line in lines:
        if not line or line.isspace():
            continue
        record = parse_record(line, lines.place(number), faults, kinds)
        if record is not None:
            yield number, record
