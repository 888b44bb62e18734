"""Tagged sentences as JSON records: lists of tokens and tags, or a text with its entities.

Shapes of texts with entities are in labelled/annotations.py; a record of spaCy's JSON of documents,
with "paragraphs", holds several sentences.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from foretext.labelled.annotations import SPANS, Annotated, RecordFault, annotated, marked
from foretext.text.errors import Faults, listed, shown
from foretext.text.normalise import nfc
from foretext.text.records import clean

WORDS = ("tokens", "words")
TAGS = ("tags", "ner_tags", "labels", "pos_tags", "upos")

Parts = tuple[tuple[str, ...], tuple[str, ...] | None, bool]  # words, tags, words are characters


@dataclass(frozen=True)
class JsonSentences:
    """Reads one record after another."""

    words: str | None  # field; None = one of WORDS
    tags: str | None  # field; None = one of TAGS
    faults: Faults
    labelled: bool

    def __call__(self, record: Any, place: str) -> Iterator[Parts]:
        """The sentences of a record: one, or none when it is at fault and was skipped.

        Raises:
            DataError: it is at fault and the policy is to stop.
        """
        if isinstance(record, dict) and isinstance(record.get("paragraphs"), list):
            for sentence in _tokens_of(record):
                yield from self._one(sentence, place)
        else:
            yield from self._one(record, place)

    def _one(self, record: Any, place: str) -> Iterator[Parts]:
        try:
            yield self._parts(record, place)
        except RecordFault as fault:
            kind, problem = fault.args
            if kind:
                self.faults.skip(kind, place, problem, words=_words_in(record))

    def _parts(self, record: Any, place: str) -> Parts:
        lists = isinstance(record, dict) and any(
            _is_list_of_words(record.get(name)) for name in self._word_fields()
        )
        found = None if lists else annotated(record, self.words, self.tags)
        if found is not None:
            return self._text(found, place)
        if not isinstance(record, dict):
            problem = f"a JSON object is expected, not {shown(record)}"
            raise RecordFault("not an object", problem)
        return self._lists(record, place)

    def _word_fields(self) -> Sequence[str]:
        return WORDS if self.words is None else (self.words,)

    def _lists(self, record: dict[str, Any], place: str) -> Parts:
        words = self._strings(record, self._field(record, self.words, WORDS, "text"), place)
        if not words:
            raise RecordFault("sentence without tokens", "the sentence has no tokens")
        if not all(words):
            raise RecordFault("blank word", f"word {words.index('') + 1} is blank")
        if not self.labelled:
            return words, None, False
        tags = self._strings(record, self._field(record, self.tags, TAGS, "label"), place)
        if len(tags) != len(words):
            raise RecordFault("number of tags", f"{len(words)} words, but {len(tags)} tags")
        if not all(tag.strip() for tag in tags):
            raise RecordFault("blank tag", f"a word has no tag; the tags are {listed(tags)}")
        return words, tags, False

    def _field(
        self, record: dict[str, Any], named: str | None, usual: Sequence[str], option: str
    ) -> str:
        for name in usual if named is None else (named,):
            if name in record:
                return name
        wanted = " or ".join(usual) if named is None else shown(named)
        problem = f"there is no field {wanted}; the record has {listed(record)}"
        raise RecordFault("missing field", f"{problem}, so name one with data.{option}")

    def _strings(self, record: dict[str, Any], field: str, place: str) -> tuple[str, ...]:
        values = record[field]
        if isinstance(values, list) and values and all(type(value) is int for value in values):
            problem = f"the field {shown(field)} holds numbers, {shown(values)}, not their names"
            raise RecordFault("numbers for names", problem)
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            problem = f"the field {shown(field)} must be a list of strings, not {shown(values)}"
            raise RecordFault("not a list of strings", problem)
        return tuple(nfc(self._clean(value, place)) for value in values)

    def _clean(self, text: str, place: str) -> str:
        mended = clean(text, place, self.faults)
        if mended is None:
            raise RecordFault("", "")  # it was counted already
        return mended

    def _text(self, found: Annotated, place: str) -> Parts:
        text = found.text
        if not text.strip():
            raise RecordFault("sentence without tokens", "the field 'text' holds no text")
        if self._clean(text, place) != text:
            problem = "NUL or half a surrogate pair; offsets after it would be wrong"
            raise RecordFault("NUL", problem)
        composed = nfc(text)
        if not self.labelled:
            return tuple(composed), None, True
        if found.spans is None:
            problem = f"there is no field {' or '.join(SPANS)} with the entities of the text"
            raise RecordFault("missing field", problem)
        tags = ["O"] * len(composed)
        for span in marked(found.spans, text, place, self.faults):
            first, last = len(nfc(text[: span.start])), len(nfc(text[: span.stop]))
            tags[first:last] = [f"B-{span.label}"] + [f"I-{span.label}"] * (last - first - 1)
        return tuple(composed), tuple(tags), True


def _is_list_of_words(value: Any) -> bool:
    return isinstance(value, list) and not any(isinstance(item, dict) for item in value)


def _words_in(record: Any) -> int:
    """Words of a record that is left out, as far as it can be told."""
    fields = record if isinstance(record, dict) else {}
    words = next((fields[name] for name in WORDS if isinstance(fields.get(name), list)), None)
    text = fields.get("text") if isinstance(record, dict) else record[0] if record else None
    return len(words) if words is not None else len(text.split()) if isinstance(text, str) else 0


def _tokens_of(record: Any) -> list[dict[str, Any]]:
    """The sentences of spaCy's JSON of documents, as records with lists."""
    found = []
    for paragraph in record.get("paragraphs") or []:
        for sentence in paragraph.get("sentences") or []:
            tokens = sentence.get("tokens") or []
            words, tags = ([token.get(k) for token in tokens] for k in ("orth", "ner"))
            found.append({"tokens": words, "tags": tags})
    return found
