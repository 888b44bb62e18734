"""Tables of multiple choice: a context, its candidates, and which of them is right.

SWAG        sent1, sent2, ending0 ... ending3, label     a column each; sent2 begins every ending
RACE        {"article", "question", "options": [...], "answer": "B"}     a list in .jsonl; or its
            folders of articles, see labelled/race.py
OpenBookQA  Choices = "(A) puppies (B) children", Answer Key = "B"       marks in one cell

A candidate stands behind the prefix, or in a blank of it: of RACE's "The man was _ ." each option
makes a sentence, as in the example of `transformers` (utils_multiple_choice.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import Any, ClassVar

from foretext.core.errors import ConfigError, DataError
from foretext.labelled.race import COLUMNS as RACE_COLUMNS
from foretext.labelled.race import is_race, race_rows
from foretext.tasks.columns import LABEL, Placed, check_format
from foretext.text.errors import CorpusStats, Faults, OnError, listed, shown, shown_path
from foretext.text.normalise import nfc
from foretext.text.tables import column_names, read_table

LABEL_KINDS = ("from-0", "from-1", "letter", "text")
_CONTEXTS = ("context", "question", "goal", "sentence", "text")  # columns, if they are not named
_CANDIDATES = ("candidates", "choices", "options", "endings")
_HALF = re.compile("[\ud800-\udfff]")
_NUMBERED = re.compile(r"(candidate|choice|option|ending|sol)_?(\d+)", re.ASCII)
_LETTERS = "ABCDEFGHIJ"
_LABELS = (LABEL, "answer", "answerKey", "answer_key")  # columns, if it is not named


@dataclass(frozen=True, kw_only=True)
class ChoiceInput:
    """Columns of a file of choices and the length of what is read."""

    context: tuple[str, ...] = ()  # columns, joined by a space; () = guessed from their names
    prefix: str | None = None  # column of what begins every candidate, such as a question
    blank: str | None = None  # what a candidate replaces in the prefix, such as "_"; None = nothing
    candidates: tuple[str, ...] = ()  # a column each, or one that holds all of them; () = guessed
    label: str | None = None  # column of the right candidate; None = "label"
    label_kind: str | None = None  # from-0, from-1, letter (A, B ...), text; None = from-0, or told
    header: bool = True  # the first row names the columns; else they are 0, 1, 2
    format: str | None = None  # tsv, csv, ...: of a file whose suffix says nothing, such as .txt
    max_length: int | None = None  # tokens of a candidate with its context; None = the paper's

    long_text: ClassVar[str] = "head"

    def __post_init__(self) -> None:
        if self.max_length is not None and self.max_length < 8:
            raise ConfigError(f"data.max_length={self.max_length} must be at least 8 tokens")
        check_format(self.format)
        if self.label_kind not in (None, *LABEL_KINDS):
            raise ConfigError(
                f"data.label_kind={self.label_kind!r} is unknown; choose {', '.join(LABEL_KINDS)}"
            )

    @property
    def texts(self) -> tuple[str, ...]:
        """The columns of text, once they are known."""
        begin = () if self.prefix is None else (self.prefix,)
        return (*self.context, *begin, *self.candidates)

    def is_table(self, path: Path) -> bool:
        """Whether a .txt file to predict is an article of RACE or what `format` says."""
        return self.format is not None or is_race(path)

    def resolved(self, path: Path) -> ChoiceInput:
        """The same with every column named, guessed from a file's where it is not.

        Raises:
            DataError: no column has a name that says it holds the context or the candidates.
        """
        if self.context and self.candidates:
            return replace(self, label=self.label or LABEL, label_kind=self.label_kind or "from-0")
        names = column_names(path, header=self.header, kind=self.format)
        label = self.label or next((name for name in _LABELS if name in names), LABEL)
        context = self.context or tuple(name for name in _CONTEXTS if name in names)[:1]
        candidates = self.candidates or _guessed(names)
        for field, found in (("context", context), ("candidates", candidates)):
            if not found:
                raise DataError(
                    f"{shown_path(path)}: no column's name says that it holds the {field}; the "
                    f'file has {listed(names)}; name it with data.{field}=["..."]'
                )
        lettered = candidates[0] == _LETTERS[0]
        kind = self.label_kind or ("letter" if lettered else "from-0")
        named = replace(self, context=context, candidates=candidates)
        return replace(named, label=label, label_kind=kind)


def _guessed(names: list[str]) -> tuple[str, ...]:
    """The columns of candidates: one for all, or ending0, ending1 and so on, or A, B, C."""
    if single := [name for name in _CANDIDATES if name in names]:
        return (single[0],)
    letters = tuple(takewhile(lambda letter: letter in names, _LETTERS))
    if len(letters) > 1:
        return letters
    found = [match for name in names if (match := _NUMBERED.fullmatch(name))]
    same = [match for match in found if match[1] == found[0][1]]
    return tuple(match[0] for match in sorted(same, key=lambda match: int(match[2])))


@dataclass(frozen=True, slots=True)
class ChoiceExample:
    """A context, at least two candidates, and perhaps which is right."""

    context: str
    candidates: tuple[str, ...]
    prefix: str = ""  # begins every candidate
    answer: int | None = None  # from 0; the first of several
    blank: str | None = None  # what a candidate replaces in the prefix, wherever it stands
    right: tuple[int, ...] = ()  # all that are right, if there are several; from 0

    @property
    def answers(self) -> tuple[int, ...]:
        """The right candidates of a labelled example."""
        return self.right or (() if self.answer is None else (self.answer,))

    def continuations(self) -> list[str]:
        """What follows the context: each candidate in the blanks of the prefix, or behind it."""
        if self.blank:
            return [self.prefix.replace(self.blank, one) for one in self.candidates]
        return [f"{self.prefix} {one}" if self.prefix else one for one in self.candidates]


class _Fault(Exception):
    """A row that cannot be used."""

    def __init__(self, kind: str, problem: str, hint: str = "") -> None:
        super().__init__(problem)
        self.kind, self.problem, self.hint = kind, problem, hint


def read_choices(
    path: Path,
    columns: ChoiceInput,
    *,
    labelled: bool = True,
    on_error: str = "stop",
    stats: CorpusStats | None = None,
) -> Iterator[ChoiceExample]:
    """The examples of a table, or of RACE's folders, one after another.

    Args:
        path: as read_table takes it; or a folder or file of labelled/race.py.
        columns: resolved.
        labelled: False leaves the label column alone.
        on_error, stats: as in read_table.

    Raises:
        DataError: as read_table; an empty context or candidate, fewer than two candidates, or a
            label that names none of them (file:line).
    """
    stats = CorpusStats() if stats is None else stats
    faults = Faults(OnError.of(on_error), stats)
    label = columns.label or LABEL
    wanted = [*columns.texts, *([label] if labelled else [])]
    delivered = 0
    for place, values in _rows(path, columns, wanted, faults):
        try:
            example, places = _example(values, columns)
            if labelled:
                right = _right(values[label], example.candidates, places, columns.label_kind)
                example = replace(example, answer=right[0], right=right if right[1:] else ())
        except _Fault as fault:
            faults.skip(fault.kind, place, fault.problem, fault.hint)
            continue
        delivered += 1
        yield example
    if not delivered:
        raise DataError(f"{shown_path(path)}: every row was skipped; mend the file")


def _rows(
    path: Path, columns: ChoiceInput, wanted: list[str], faults: Faults
) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Where each row stands, and its values by column."""
    if is_race(path):
        if strange := [name for name in wanted if name not in RACE_COLUMNS]:
            raise DataError(
                f"{shown_path(path)}: a folder or an object is RACE's, with {listed(RACE_COLUMNS)} "
                f"but no {shown(strange[0])}; use the data set race, or give a table"
            )
        yield from race_rows(path, faults, labelled="answer" in wanted)
        return
    lists = columns.candidates if len(columns.candidates) == 1 else ()
    lists = (*lists, columns.label or LABEL)
    how: dict[str, Any] = {"header": columns.header, "kind": columns.format, "lists": lists}
    for row in read_table(path, wanted, faults.on_error, **how, stats=faults.stats):
        yield f"{shown_path(path)}:{row.line}", row.values


def given_choices(placed: Iterable[Placed], faults: Faults) -> Iterator[ChoiceExample]:
    """Examples of bare texts: a context and its candidates, with what begins them if need be.

    Raises:
        DataError: a text is empty, or there are fewer than two candidates; faults say.
    """
    for place, texts in placed:
        context, *candidates = map(nfc, texts)
        try:
            yield _checked(ChoiceExample(context, tuple(candidates)))
        except _Fault as fault:
            hint = fault.hint or "give a table, or tuples of a context and its candidates"
            faults.skip(fault.kind, place, fault.problem, hint)


def _example(
    values: Mapping[str, str], columns: ChoiceInput
) -> tuple[ChoiceExample, tuple[int, ...]]:
    """The example, and the place of each candidate among its columns: empty ones hold none."""
    parts = (values[column].strip() for column in columns.context)
    if len(columns.candidates) == 1:
        candidates = _parsed(values[columns.candidates[0]], columns.candidates[0])
    else:
        candidates = tuple(values[column] for column in columns.candidates)
    places = tuple(range(len(candidates)))
    if len(columns.candidates) > 1:
        places = tuple(i for i, text in enumerate(candidates) if text.strip())
        candidates = tuple(candidates[i] for i in places)
    prefix = "" if columns.prefix is None else values[columns.prefix].strip()
    context = " ".join(filter(None, parts))
    blank = columns.blank if columns.blank and columns.blank in prefix else None
    return _checked(ChoiceExample(context, candidates, prefix, blank=blank)), places


def _checked(example: ChoiceExample) -> ChoiceExample:
    if not example.context.strip():
        raise _Fault("empty text", "the context holds no text")
    if (count := len(example.candidates)) < 2:
        found = {0: "there is no candidate", 1: "there is one candidate"}[count]
        raise _Fault("number of candidates", f"{found}, but a choice needs two")
    for number, candidate in enumerate(example.candidates, 1):
        if not candidate.strip():
            raise _Fault("empty candidate", f"candidate {number} of {count} holds no text")
    return example


def _parsed(cell: str, column: str) -> tuple[str, ...]:
    """The candidates of one cell: a JSON list, or texts behind (A), (B) and so on."""
    text = cell.strip()
    if text.startswith("["):
        try:
            items = json.loads(text)
        except (ValueError, RecursionError):
            items = None
        if isinstance(items, list) and all(isinstance(item, str) for item in items):
            # An escape may stand for half a character, which no tokenizer reads.
            return tuple(nfc(_HALF.sub("\ufffd", item)) for item in items)
    elif text.startswith("(A)"):
        return _marked(text)
    raise _Fault(
        "not a list",
        f"the column {shown(column)} holds {shown(cell)}, which is no list of candidates",
        'write ["one", "two"] or (A) one (B) two, or name a column each in data.candidates',
    )


def _marked(text: str) -> tuple[str, ...]:
    """The texts behind (A), (B) ..., as far as the letters go on."""
    found, start = [], len("(A)")
    for letter in "BCDEFGHIJKLMNOPQRSTUVWXYZ":
        stop = text.find(f"({letter})", start)
        if stop < 0:
            break
        found.append(text[start:stop].strip())
        start = stop + len("(A)")
    return (*found, text[start:].strip())


def _right(
    label: str, candidates: tuple[str, ...], places: tuple[int, ...], kind: str | None
) -> tuple[int, ...]:
    """The numbers, from 0, of the candidates that a label names: one, or a JSON list of several."""
    names = [label]
    if label.strip().startswith("[") and (kind != "text" or label not in candidates):
        try:
            found = json.loads(label)
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, list):
            names = [name if isinstance(name, str) else json.dumps(name) for name in found]
    if not names:
        raise _Fault("bad label", "the label names no candidate")
    return tuple(sorted({_answer(name, candidates, places, kind or "from-0") for name in names}))


def _answer(label: str, candidates: tuple[str, ...], places: tuple[int, ...], kind: str) -> int:
    """The number, from 0, of the candidate that a label names by its text or its place."""
    name, count = label.strip(), max(places, default=-1) + 1
    if kind == "text":
        if label in candidates:
            return candidates.index(label)
        raise _Fault("bad label", f"the label {shown(label)} is none of the {count} candidates")
    first = {"from-0": "0", "from-1": "1", "letter": "A"}[kind]
    number = -1
    if kind == "letter" and len(name) == 1 and name.isascii() and name.isalpha():
        number = ord(name.upper()) - ord(first)
    elif kind != "letter" and name.isdecimal() and len(name) < 10:
        number = int(name) - int(first)
    if number in range(count) and number not in places:
        raise _Fault("bad label", f"the label {shown(label)} names an empty candidate")
    if number not in places:
        last = chr(ord(first) + count - 1) if kind == "letter" else int(first) + count - 1
        raise _Fault(
            "bad label",
            f"the label {shown(label)} names none of the {count} candidates, {first} to {last}",
            "mend it, or set data.label_kind to from-0, from-1, letter or text",
        )
    return places.index(number)
