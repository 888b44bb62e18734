"""Tagged sentences as JSON records: lists of tokens and tags, or a text with its entities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from foretext.text.errors import Faults, listed, shown
from foretext.text.normalise import nfc
from foretext.text.records import clean

WORDS = ("tokens", "words")
TAGS = ("tags", "ner_tags", "labels", "pos_tags", "upos")

Parts = tuple[tuple[str, ...], tuple[str, ...] | None, bool]  # words, tags, words are characters


class _Fault(Exception):
    """What is wrong with a record: kind and problem."""


@dataclass(frozen=True)
class JsonSentences:
    """Reads one record after another."""

    words: str | None  # field; None = one of WORDS
    tags: str | None  # field; None = one of TAGS
    faults: Faults
    labelled: bool

    def __call__(self, record: dict[str, Any], place: str) -> Parts | None:
        """The parts of a record; None when it is at fault and was skipped.

        Raises:
            DataError: it is at fault and the policy is to stop.
        """
        try:
            if "text" in record and self.words is None and not set(WORDS) & set(record):
                return self._text(record, place)
            return self._lists(record, place)
        except _Fault as fault:
            kind, problem = fault.args
            if kind:
                self.faults.skip(kind, place, problem)
            return None

    def _lists(self, record: dict[str, Any], place: str) -> Parts:
        words = self._strings(record, self._field(record, self.words, WORDS, "text"), place)
        if not words:
            raise _Fault("sentence without tokens", "the sentence has no tokens")
        if not all(words):
            raise _Fault("blank word", f"word {words.index('') + 1} is blank")
        if not self.labelled:
            return words, None, False
        tags = self._strings(record, self._field(record, self.tags, TAGS, "label"), place)
        if len(tags) != len(words):
            raise _Fault("number of tags", f"{len(words)} words, but {len(tags)} tags")
        if not all(tag.strip() for tag in tags):
            raise _Fault("blank tag", f"a word has no tag; the tags are {listed(tags)}")
        return words, tags, False

    def _field(
        self, record: dict[str, Any], named: str | None, usual: Sequence[str], option: str
    ) -> str:
        for name in usual if named is None else (named,):
            if name in record:
                return name
        wanted = " or ".join(usual) if named is None else shown(named)
        problem = f"there is no field {wanted}; the record has {listed(record)}"
        raise _Fault("missing field", f"{problem}, so name one with data.{option}")

    def _strings(self, record: dict[str, Any], field: str, place: str) -> tuple[str, ...]:
        values = record[field]
        if isinstance(values, list) and values and all(type(value) is int for value in values):
            problem = f"the field {shown(field)} holds numbers, {shown(values)}, not their names"
            raise _Fault("numbers for names", problem)
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            problem = f"the field {shown(field)} must be a list of strings, not {shown(values)}"
            raise _Fault("not a list of strings", problem)
        return tuple(nfc(self._clean(value, place)) for value in values)

    def _clean(self, text: str, place: str) -> str:
        mended = clean(text, place, self.faults)
        if mended is None:
            raise _Fault("", "")  # it was counted already
        return mended

    def _text(self, record: dict[str, Any], place: str) -> Parts:
        text = record["text"]
        if not isinstance(text, str) or not text.strip():
            raise _Fault("sentence without tokens", "the field 'text' holds no text")
        if self._clean(text, place) != text:
            raise _Fault("NUL", "NUL or half a surrogate pair; offsets after it would be wrong")
        composed = nfc(text)
        if not self.labelled:
            return tuple(composed), None, True
        tags = ["O"] * len(composed)
        for start, end, label in sorted(_entity(e, text) for e in _entities(record)):
            first, last = len(nfc(text[:start])), len(nfc(text[:end]))
            if any(tag != "O" for tag in tags[first:last]):
                problem = f"the entity at {start}-{end} overlaps another"
                raise _Fault("overlapping entities", problem)
            tags[first:last] = [f"B-{label}"] + [f"I-{label}"] * (last - first - 1)
        return tuple(composed), tuple(tags), True


def _entities(record: dict[str, Any]) -> list[Any]:
    entities = record.get("entities")
    if not isinstance(entities, list):
        problem = f"the field 'entities' must be a list, not {shown(entities)}"
        raise _Fault("missing field", problem)
    return entities


def _entity(entity: Any, text: str) -> tuple[int, int, str]:
    """Start, end and label of an entity of the text."""
    fields = entity if isinstance(entity, dict) else {}
    start, end, label = (fields.get(name) for name in ("start", "end", "label"))
    if type(start) is not int or type(end) is not int or not (isinstance(label, str) and label):
        problem = f"an entity needs start, end (numbers) and label (text), but is {shown(entity)}"
        raise _Fault("broken entity", problem)
    if not 0 <= start < end <= len(text):
        problem = f"the entity {start}-{end} is not in the text of {len(text)} characters"
        raise _Fault("entity outside the text", problem)
    return start, end, label
