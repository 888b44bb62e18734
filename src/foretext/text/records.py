"""Records that hold text: a JSON object a line, and strings without what UTF-8 cannot hold."""

from __future__ import annotations

import json
import re
from typing import Any

from foretext.text.errors import Faults, shown

_SURROGATES = re.compile("[\ud800-\udfff]")


def parse_object(line: str, place: str, faults: Faults) -> dict[str, Any] | None:
    """The JSON object of a line, or None when it is at fault and was skipped."""
    record: dict[str, Any] | None = parse_record(line, place, faults, (dict,))
    return record


def parse_record(line: str, place: str, faults: Faults, kinds: tuple[type, ...]) -> Any:
    """The JSON value of a line, of one of these types; None when it is at fault and was skipped."""
    try:
        record = json.loads(line)
    except RecursionError:
        faults.skip("broken JSON", place, "the JSON is nested too deeply", "flatten it")
    except ValueError as error:
        reason = str(error).splitlines()[0]
        faults.skip("broken JSON", place, f"broken JSON ({reason})", "mend the line")
    else:
        if isinstance(record, kinds):
            return record
        problem = f"a JSON object is expected, not {shown(record)}"
        faults.skip("not an object", place, problem, 'write {"text": "..."}')
    return None


def clean(text: str, place: str, faults: Faults) -> str | None:
    """A string of a record without NUL and lone surrogates; None when it is to be left out.

    JSON can spell both (backslash-u), and neither can be part of a UTF-8 text.
    """
    if "\0" in text:
        if not faults.replace("NUL", place, "NUL character in the text"):
            return None
        text = text.replace("\0", "")
    if not text.isascii() and _SURROGATES.search(text):
        if not faults.replace("lone surrogate", place, "half a surrogate pair in the text"):
            return None
        text = whole(text)
    return text


def whole(text: str) -> str:
    """The string with U+FFFD for lone surrogates; as long as it was."""
    return text if text.isascii() else _SURROGATES.sub("\ufffd", text)
