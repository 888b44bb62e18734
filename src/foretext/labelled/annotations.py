"""Texts with marked spans, as tools for annotation export them.

    own           {"text", "entities": [{"start", "end", "label"}]}
    doccano       {"text", "label": [[0, 8, "PER"]]}, "labels", or "entities" with "start_offset";
                  older ones have the text in "data"
    Prodigy       {"text", "spans": [{"start", "end", "label"}], "answer": "accept"}
    spaCy         ["text", {"entities": [[0, 8, "PER"]]}], or Doc.to_json's {"text", "ents"}
    Label Studio  {"data": {"text"}, "annotations": [{"result": [{"value": {"start", "end",
                  "labels"}}]}]}, or JSON-MIN's {"text", "label": [{"start", "end", "labels"}]}

Places count characters. Where a span repeats its text, places in UTF-16 units, as browsers count,
are recognised by it. White space at a span's ends is none of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from foretext.text.errors import Faults, shown

SPANS = ("entities", "spans", "ents", "label", "labels")  # fields that hold them
_START, _END = ("start", "start_offset"), ("end", "end_offset")
_LABEL = ("label", "labels", "type", "tag", "entity")


class RecordFault(Exception):
    """What is wrong with a record: kind and problem; an empty kind was counted already."""


@dataclass(frozen=True, slots=True)
class Annotated:
    """A text and its spans as they stand in the record; None: it has no field for them."""

    text: str
    spans: Sequence[Any] | None


@dataclass(frozen=True, slots=True, order=True)
class Marked:
    """Characters start up to stop of a text, and what they are."""

    start: int
    stop: int
    label: str


def annotated(record: Any, text: str | None, spans: str | None) -> Annotated | None:
    """The text and spans of a record of any of the shapes; None: it has none of them.

    Args:
        record: an object, or spaCy's pair.
        text, spans: their fields; None = the usual ones.

    Raises:
        RecordFault: the annotator refused the record, or nobody annotated it.
    """
    if isinstance(record, list):
        if len(record) == 2 and isinstance(record[0], str) and isinstance(record[1], dict):
            return Annotated(record[0], _first(record[1], _names(spans)))
        return None
    if "data" in record and ("annotations" in record or "completions" in record):
        return _label_studio(record, text)
    if str(record.get("answer", "accept")) != "accept":
        answer = shown(record["answer"])
        raise RecordFault("not accepted", f"the annotator's answer is {answer}, not accept")
    found = _text(record, text)
    return None if found is None else Annotated(found, _first(record, _names(spans)))


def _names(field: str | None) -> Sequence[str]:
    return SPANS if field is None else (field,)


def _text(record: Mapping[str, Any], field: str | None) -> str | None:
    for name in ("text", "data") if field is None else (field,):
        if isinstance(record.get(name), str):
            return str(record[name])
    return None


def _first(record: Mapping[str, Any], names: Sequence[str]) -> Sequence[Any] | None:
    for name in names:
        if name in record:
            spans = record[name]
            if not isinstance(spans, list):
                problem = f"the field {name!r} must be a list of spans, not {shown(spans)}"
                raise RecordFault("missing field", problem)
            return spans
    return None


def _label_studio(record: Mapping[str, Any], field: str | None) -> Annotated | None:
    data = record["data"]
    texts = {k: v for k, v in data.items() if isinstance(v, str)} if isinstance(data, dict) else {}
    text = _text(texts, field)
    if text is None and field is None and len(texts) == 1:
        (text,) = texts.values()
    if text is None:
        return None
    every = record.get("annotations") or record.get("completions") or []
    kept = [one for one in every if isinstance(one, dict) and not one.get("was_cancelled")]
    kept.sort(key=lambda one: not one.get("ground_truth"))  # stable: else the first one
    if not kept:
        raise RecordFault("not annotated", "nobody annotated the text")
    found = []
    for result in kept[0].get("result") or []:
        value = result.get("value") if isinstance(result, dict) else None
        if isinstance(value, dict) and ("start" in value or "globalOffsets" in value):
            found.append(value | (value.get("globalOffsets") or {}))
    return Annotated(text, found)


def marked(spans: Sequence[Any], text: str, place: str, faults: Faults) -> Iterator[Marked]:
    """The spans of a text, ascending; none overlaps another.

    Args:
        spans: as they stand in the record.
        text: of the record, as it stands.
        place: of the record.
        faults: counts what is left out.

    Raises:
        RecordFault: a span is no span of the text, or overlaps another.
    """
    found = sorted({_span(span, text, place, faults) for span in spans})
    if repeated := len(spans) - len(found):
        faults.stats.notes["entities were marked twice"] += repeated
    before = 0
    for span in found:
        if span.start < before:
            problem = f"the entity at {span.start}-{span.stop} overlaps another"
            raise RecordFault("overlapping entities", problem)
        before = span.stop
        yield span


def _span(span: Any, text: str, place: str, faults: Faults) -> Marked:
    if isinstance(span, list) and len(span) == 3:
        start, stop, label = span
        quoted = None
    else:
        fields = span if isinstance(span, dict) else {}
        start, stop = (_value(fields, names) for names in (_START, _END))
        label, quoted = _value(fields, _LABEL), fields.get("text")
    if isinstance(label, list):
        if len(label) > 1:
            raise RecordFault("several labels", f"an entity has several labels, {shown(label)}")
        label = label[0] if label else None
    if type(start) is not int or type(stop) is not int or not (isinstance(label, str) and label):
        problem = f"an entity needs start, end (numbers) and label (text), but is {shown(span)}"
        raise RecordFault("broken entity", problem)
    if isinstance(quoted, str):
        start, stop = _as_quoted(text, (start, stop), quoted, place, faults)
    if not 0 <= start < stop <= len(text):
        problem = f"the entity {start}-{stop} is not in the text of {len(text)} characters"
        raise RecordFault("entity outside the text", problem)
    solid = text[start:stop].strip()
    if not solid:
        raise RecordFault("blank entity", f"the entity {start}-{stop} holds white space alone")
    first = start + text[start:stop].index(solid)
    if len(solid) < stop - start:
        faults.stats.notes["entities had white space at an end, which was left out"] += 1
    return Marked(first, first + len(solid), label)


def _value(fields: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((fields[name] for name in names if name in fields), None)


def _as_quoted(
    text: str, given: tuple[int, int], quoted: str, place: str, faults: Faults
) -> tuple[int, int]:
    """Where a span with this text is, if its places were counted in UTF-16 units."""
    start, stop = given
    if start < 0 or text[start:stop].strip() == quoted.strip():
        return given
    units = text.encode("utf-16-le", "surrogatepass")
    found = units[2 * start : 2 * stop].decode("utf-16-le", "replace")
    if found.strip() == quoted.strip():
        first = len(units[: 2 * start].decode("utf-16-le", "replace"))
        return first, first + len(found)
    if not text[start:stop].strip() or stop > len(text):
        return given  # which is no span at all
    problem = f"the entity {start}-{stop} is {shown(text[start:stop])}, not {shown(quoted)}"
    if not faults.replace("entity beside its place", place, problem):
        raise RecordFault("", "")
    return given
