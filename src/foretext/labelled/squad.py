"""Questions on contexts, in the JSON of SQuAD 1.1, SQuAD 2.0 and KorQuAD 1.0, or one a line.

    .json   {"data": [{"paragraphs": [{"context", "qas": [{"id", "question", "answers": [{"text",
            "answer_start"}], "is_impossible"}]}]}]}, read article by article
    .jsonl  {"question", "context", "id", "answers": {"text": [...], "answer_start": [...]}}; a
            question without an answer is impossible, one without an id has the line's number

A .json may also be a list of such questions or paragraphs, or hold them under "data"; "guid" stands
for "id" (KLUE-MRC), and an article may be its own paragraph with one "answer" (KorQuAD 2.0).

Both plain or as .gz, .xz, .zst. Memory holds one article, and 64 bits of each question's id. Texts
are put into NFC, and the offsets of answers are moved along; a context that is another in its file
is known in that form too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from foretext.core.errors import DataError
from foretext.text.decompress import EXPANDERS
from foretext.text.errors import CorpusStats, Faults, OnError, listed, nearest, shown, shown_path
from foretext.text.invalid_bytes import fault_of, mark_in
from foretext.text.json_array import Elements
from foretext.text.json_list import json_lines, json_list
from foretext.text.lines import Lines
from foretext.text.normalise import nfc
from foretext.text.original import Original, given, plain
from foretext.text.records import clean, whole
from foretext.text.sketch import digest

MAX_CONTEXT = 2**20  # characters: some 2,000 windows; longer texts are to be cut into paragraphs


@dataclass(frozen=True, slots=True)
class Answer:
    """A part of a context."""

    text: str  # context[start : start + len(text)]
    start: int  # character

    @property
    def stop(self) -> int:
        """The character after the last."""
        return self.start + len(self.text)


@dataclass(frozen=True, slots=True)
class Question:
    """A question on a context, perhaps with its gold answers."""

    id: str
    question: str
    context: str
    answers: tuple[Answer, ...] | None = None  # () = it has none; None = unknown
    given: Original | None = field(
        default=None, compare=False, repr=False
    )  # the context; None = same

    @property
    def texts(self) -> tuple[str, ...]:
        """The gold answers as the scorers take them."""
        return tuple(answer.text for answer in self.answers or ())

    def part(self, start: int, stop: int) -> tuple[str, int, int]:
        """Of a part of the context its text and place, first and last + 1, as it was given."""
        text = self.context
        if self.given is not None:
            text, (start, stop) = self.given.text, self.given.span(start, stop)
        return text[start:stop], start, stop


def read_squad(
    path: str | Path,
    on_error: str = "stop",
    *,
    labelled: bool = True,
    stats: CorpusStats | None = None,
) -> Iterator[Question]:
    """The questions of a file, in order.

    Args:
        path: a .json or .jsonl file, perhaps compressed.
        on_error: "stop" at the first fault; "skip" questions at fault; "replace" moves an answer
            to the nearest place where its text stands, and skips what cannot be mended.
        labelled: False leaves answers alone.
        stats: counts what was mended and skipped; None to do without.

    Raises:
        DataError: another kind of file, broken JSON (line and column), a key missing, a question or
            context empty or too long, an answer that is blank or not where it is said to be, an
            answer to an impossible question, an id twice; the place is named.
        ConfigError: no such policy.
    """
    path = Path(path)
    stats = CorpusStats() if stats is None else stats
    faults = Faults(OnError.of(on_error), stats)
    suffixes = [s.lower() for s in path.suffixes if s.lower() not in EXPANDERS]
    kind = suffixes[-1] if suffixes else ""
    if kind not in {".json", ".jsonl"}:
        raise DataError(f"{shown_path(path)}: not .json (as SQuAD's files) or .jsonl; rename it")
    reader = _SquadReader(faults, labelled)
    number = 0
    records = _records(path, kind, faults, labelled)
    for question in reader.questions(records):
        number += 1
        yield question
    if not number:
        why = f"all {stats.skipped:,} were skipped" if stats.skipped else "the file holds none"
        why = stats.unread[-1] if stats.unread else why
        raise DataError(f"{shown_path(path)}: there is no question ({why}); mend the file")


@dataclass(frozen=True, slots=True)
class _Record:
    """A question as its file holds it."""

    place: str
    context: _Context
    values: dict[str, Any]  # question, id
    answers: list[tuple[Any, Any]] | None  # text and offset; None = the key is missing
    impossible: bool | None  # None = not said


@dataclass(frozen=True, slots=True)
class _Context:
    text: str  # NFC
    given: Original | None  # as the offsets count it; None = the same


def _records(path: Path, kind: str, faults: Faults, labelled: bool) -> Iterator[_Record]:
    """The questions of a file of either kind; a .json may be a list, of questions or paragraphs."""
    if kind == ".jsonl":
        lines = Lines(path, faults)
        yield from _flat(json_lines(lines, faults), lines, faults, labelled)
    elif _is_list(path):
        lines = Lines(path, faults, mark_bad=True)
        for number, record in json_list(lines, faults):
            if "paragraphs" in record or "qas" in record:
                yield from _of_article(record, lines.place(number), False, faults, labelled)
            else:
                yield from _flat(iter([(number, record)]), lines, faults, labelled)
    else:
        yield from _nested(path, faults, labelled)


def _is_list(path: Path) -> bool:
    quiet = Faults(OnError.REPLACE, CorpusStats())
    return next((x for _, x in Lines(path, quiet) if x.strip()), "").lstrip().startswith("[")


def _nested(path: Path, faults: Faults, labelled: bool) -> Iterator[_Record]:
    elements = Elements(path, "data", faults)
    for number, article in enumerate(elements, 1):
        place = f"{elements.place()}: article {number}"
        yield from _of_article(article, place, elements.spoilt, faults, labelled)


def _of_article(
    article: Any, place: str, spoilt: bool, faults: Faults, labelled: bool
) -> Iterator[_Record]:
    """The questions of an article's paragraphs; it may be one itself (KorQuAD 2), or a question."""
    fields = article if isinstance(article, dict) else {}
    if "paragraphs" not in fields and "context" in fields:
        if "qas" not in fields:
            article = {"context": fields["context"], "qas": [fields]}
        paragraphs = [(place, article)]
    else:
        found = _list(article, "paragraphs", place, faults)
        paragraphs = [(f"{place}, paragraph {at}", one) for at, one in enumerate(found, 1)]
    for inner, paragraph in paragraphs:
        context: _Context | None = None
        for order, values in enumerate(_list(paragraph, "qas", inner, faults), 1):
            fields = values if isinstance(values, dict) else {}
            name = fields.get("id", fields.get("guid"))
            where = f"{inner}, question {shown(name) if isinstance(name, str | int) else order}"
            if spoilt and (mark := mark_in(values, paragraph.get("context"))):
                kind, problem = fault_of(mark)
                faults.skip(kind, where, problem)
                continue
            # A context at fault is one for each of its questions, which are what is counted.
            context = context or _context(paragraph, where, faults)
            if not isinstance(values, dict):
                problem = f"an object is expected, not {shown(values)}"
                faults.skip("not an object", where, problem)
            elif context is not None:
                yield from _recorded(values, where, context, faults, labelled)


def _recorded(
    values: dict[str, Any], place: str, context: _Context, faults: Faults, labelled: bool
) -> Iterator[_Record]:
    """The record of a question, unless its answers are of no known shape."""
    answers = values.get("answers", values.get("answer")) if labelled else None
    try:
        pairs = None if answers is None else _pairs(answers)
    except ValueError as error:
        faults.skip("answers", place, *error.args)
        return
    if "guid" in values:  # KLUE-MRC's
        values = {"id": values["guid"]} | values
    impossible = values.get("is_impossible")
    if impossible is True and pairs and not any(str(text).strip() for text, _ in pairs):
        pairs = []  # written as an empty answer
    yield _Record(place, context, values, pairs, impossible)


def _pairs(answers: Any) -> list[tuple[Any, Any]]:
    """Text and offset of each answer: of objects, of one object, or of an object of two lists.

    Raises:
        ValueError: it is none of them; its arguments are the problem and perhaps a remedy.
    """
    if isinstance(answers, list) and all(isinstance(one, dict) for one in answers):
        return [(one.get("text"), one.get("answer_start")) for one in answers]
    if not isinstance(answers, dict):
        raise ValueError("answers must be a list of objects")
    texts, starts = (answers.get(key) for key in ("text", "answer_start"))
    if isinstance(texts, str):
        return [(texts, starts)]
    if not isinstance(texts, list) or not isinstance(starts, list):
        hint = 'write {"text": [...], "answer_start": [...]}'
        raise ValueError("answers are not two lists", hint)
    if len(texts) != len(starts):
        raise ValueError(f"{len(texts)} answer texts, but {len(starts)} values of answer_start")
    return list(zip(texts, starts, strict=True))


def _flat(
    records: Iterator[tuple[int, Any]], lines: Lines, faults: Faults, labelled: bool
) -> Iterator[_Record]:
    for number, values in records:
        place = lines.place(number)
        context = _context(values, place, faults)
        if context is not None:
            values.setdefault("id", values.get("guid", f"line {number}"))
            for record in _recorded(values, place, context, faults, labelled):
                said = values.get("is_impossible", record.answers == [])
                yield replace(record, impossible=said)


def _list(holder: Any, key: str, place: str, faults: Faults) -> list[Any]:
    """A list inside an object; [] where it is at fault and was skipped."""
    value = holder.get(key) if isinstance(holder, dict) else None
    if isinstance(value, list):
        return value
    names = listed(holder) if isinstance(holder, dict) else "no object"
    faults.skip("missing key", place, f"there is no list {shown(key)}; there is {names}")
    return []


def _text(holder: dict[str, Any], key: str, place: str, faults: Faults) -> str | None:
    """A text with something in it; None where it is at fault and was skipped."""
    value = holder.get(key)
    if key not in holder:
        problem = f"there is no {shown(key)}{nearest(key, holder)}; there is {listed(holder)}"
        faults.skip("missing key", place, problem)
        return None
    if not isinstance(value, str) or not value.strip():
        what = "empty" if isinstance(value, str) else f"no text, but {shown(value)}"
        faults.skip(f"empty {key}", place, f"the {key} is {what}")
        return None
    return clean(value, place, faults)


def _context(holder: dict[str, Any], place: str, faults: Faults) -> _Context | None:
    raw = _text(holder, "context", place, faults)
    if raw is None or not fits(raw, place, faults):
        return None
    faults.stats.normalized += nfc(raw) is not raw
    return _Context(*given(whole(holder["context"])))


def fits(context: str, place: str, faults: Faults) -> bool:
    """Whether a context is short enough; if not, it is skipped and counted.

    Raises:
        DataError: the policy is to stop.
    """
    if len(context) <= MAX_CONTEXT:
        return True
    problem = f"the context has {len(context):,} characters, more than {MAX_CONTEXT:,}"
    faults.skip("long context", place, problem, "cut it into paragraphs")
    return False


class _SquadReader:
    """Records to questions; remembers which ids it saw."""

    def __init__(self, faults: Faults, labelled: bool) -> None:
        self._faults = faults
        self._labelled = labelled
        self._seen: set[int] = set()

    def questions(self, records: Iterator[_Record]) -> Iterator[Question]:
        """The questions of records that are not at fault."""
        for record in records:
            question = _text(record.values, "question", record.place, self._faults)
            name = None if question is None else self._id(record)
            if question is None or name is None:
                continue
            answers: tuple[Answer, ...] | None = None
            if self._labelled:
                answers = self._answers(record)
                if answers is None:
                    continue
            self._seen.add(digest(name))
            context = record.context
            yield Question(name, nfc(question), context.text, answers, context.given)

    def _id(self, record: _Record) -> str | None:
        value = record.values.get("id")
        if isinstance(value, bool) or not isinstance(value, str | int):
            problem = "there is no 'id'" if value is None else f"the id {shown(value)} is no text"
            self._faults.skip("missing key", record.place, problem)
            return None
        if digest(str(value)) in self._seen:
            problem = f"the id {shown(value)} occurs twice"
            self._faults.skip("duplicate id", record.place, problem, "rename one")
            return None
        return str(value)

    def _answers(self, record: _Record) -> tuple[Answer, ...] | None:
        """The gold answers; None where they are at fault and the question was skipped."""
        problem = None
        if record.impossible not in (None, True, False):
            problem = f"is_impossible={shown(record.impossible)} is neither true nor false"
        elif record.impossible and record.answers:
            problem = "the question is impossible, but has an answer; drop one or the other"
        elif not record.impossible and record.answers is None:
            problem = "there is no 'answers'; without labels only `predict` reads this file"
        elif not record.impossible and not record.answers:
            problem = "the question has no answer; say so with is_impossible: true"
        if problem is not None:
            self._faults.skip("answers", record.place, problem, "mend the file")
            return None
        found = []
        for text, start in record.answers or ():
            answer = self._answer(record, text, start)
            if answer is None:
                return None
            found.append(answer)
        return tuple(found)

    def _answer(self, record: _Record, text: Any, start: Any) -> Answer | None:
        problem = None
        if not isinstance(text, str) or not isinstance(start, int) or isinstance(start, bool):
            problem = f"an answer needs text and answer_start, not {shown(text)}, {shown(start)}"
        elif not plain(text).strip():
            problem = "an answer has no text"
        if problem is not None:
            self._faults.skip("answers", record.place, problem)
            return None
        context, wanted = record.context, plain(whole(text))
        if (found := _placed(context, text, start)) and found.text != wanted:
            parts = f"a part of {shown(found.text)}, whose characters are one in NFC"
            problem = f"the answer {shown(text)} at {start} is {parts}"
            mended = self._faults.replace("answer offset", record.place, problem)
            return found if mended else None
        if found is None and start >= 0 and context.text.startswith(wanted, start):
            found = Answer(wanted, start)  # counted in the plain text
        return found or self._elsewhere(record, text, wanted, start)

    def _elsewhere(self, record: _Record, text: str, wanted: str, start: int) -> Answer | None:
        """An answer that is not where it is said to be, moved; None if it is skipped."""
        context = record.context
        raw = context.text if context.given is None else context.given.text
        there = raw[max(start, 0) : max(start, 0) + len(text)]
        problem = f"the answer {shown(text)} is not at {start}, where {shown(there)} stands"
        near = _nearest(context.text, wanted, start)
        if near is None:
            self._faults.skip("answer offset", record.place, f"{problem}, nor anywhere else")
        elif self._faults.replace("answer offset", record.place, problem):
            return Answer(wanted, near)
        return None


def _placed(context: _Context, text: str, start: int) -> Answer | None:
    """The part of the plain context that holds a text of the given one; None if it is not there."""
    given = context.given
    if given is None or start < 0:
        return None
    if given.text.startswith(text, start):
        first, stop = given.plain_span(start, start + len(text))
        return Answer(context.text[first:stop], first)
    if start < len(given.text):  # the text may be in another form than its context
        first, wanted = given.plain_span(start, start + 1)[0], plain(whole(text))
        return Answer(wanted, first) if context.text.startswith(wanted, first) else None
    return None


def _nearest(context: str, text: str, start: int) -> int | None:
    """The occurrence of a text that lies nearest to a place."""
    start = max(start, 0)
    places = (context.rfind(text, 0, start + len(text)), context.find(text, start))
    return min((at for at in places if at >= 0), key=lambda at: abs(at - start), default=None)
