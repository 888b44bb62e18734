"""RACE as it is published: folders of files, each an article with its questions.

RACE/train/high/1.txt   {"article", "questions": [...], "options": [[...], ...],
                        "answers": ["B", ...], "id"}, .txt or .json
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from foretext.core.errors import DataError
from foretext.text.errors import Faults, listed, shown, shown_path
from foretext.text.lines import Lines
from foretext.text.normalise import nfc
from foretext.text.records import clean, parse_object

COLUMNS = ("article", "question", "options", "answer")  # of a question
_SUFFIXES = (".txt", ".json")


def is_race(path: Path) -> bool:
    """Whether it is a folder, or a .txt or .json file that begins as an object does."""
    if path.is_dir():
        return True
    if path.suffix.lower() not in _SUFFIXES or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")


def race_files(path: Path) -> list[Path]:
    """The files of a folder and those below it, 2.txt before 10.txt; or the file itself.

    Raises:
        DataError: there is none.
    """
    found = [path] if path.is_file() else [p for p in path.rglob("*") if p.suffix in _SUFFIXES]
    if not found:
        raise DataError(f"{shown_path(path)}: there is no file {' or '.join(_SUFFIXES)} in it")
    return sorted(found, key=lambda p: (p.parent, len(p.stem), p.stem))


def race_rows(
    path: Path, faults: Faults, *, labelled: bool
) -> Iterator[tuple[str, dict[str, str]]]:
    """Where each question stands, and its article, question, options (as JSON) and answer."""
    for file in race_files(path):
        place = shown_path(file)
        text = "\n".join(line for _, line in Lines(file, faults))
        record = parse_object(text, place, faults)
        if record is not None:
            for number, values in enumerate(_questions(record, place, faults, labelled), 1):
                mended = {k: clean(value, place, faults) for k, value in values.items()}
                if None not in mended.values():
                    normal = {k: nfc(value or "") for k, value in mended.items()}
                    yield f"{place}: question {number}", normal


def _questions(
    record: dict[str, Any], place: str, faults: Faults, labelled: bool
) -> Iterator[dict[str, str]]:
    lists = [record.get(name) for name in ("questions", "options", *["answers"] * labelled)]
    sizes = {len(one) if isinstance(one, list) else -1 for one in lists}
    if not isinstance(record.get("article"), str) or len(sizes) > 1 or -1 in sizes:
        problem = f"no RACE article but an object of {listed(record)}"
        hint = "it needs an article and questions, options and answers of one length"
        faults.skip("not RACE", place, problem, hint)
        return
    for question, options, *answer in zip(*lists, strict=True):
        if not isinstance(question, str):
            faults.skip("not a value", place, f"a question must be text, but is {shown(question)}")
            continue
        texts = (record["article"], question, json.dumps(options, ensure_ascii=False))
        yield dict(zip(COLUMNS, (*texts, str(*answer)), strict=True))
