"""Exports of tools for annotation are read as what they mean, or refused with the reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from foretext.core.errors import DataError
from foretext.labelled.conll import TagColumns, read_sentences
from foretext.metrics.tag_schemes import read_spans
from foretext.text.errors import CorpusStats

TEXT = "Ann Berg met Bo in Oslo today ."
SPANS = [(0, 8, "PER"), (13, 15, "PER"), (19, 23, "LOC")]
LISTS = [list(span) for span in SPANS]
DICTS = [{"start": start, "end": end, "label": label} for start, end, label in SPANS]
OFFSETS = [{"id": 1, "start_offset": a, "end_offset": b, "label": c} for a, b, c in SPANS]
RESULTS = [
    {"type": "labels", "value": {"start": a, "end": b, "text": TEXT[a:b], "labels": [c]}}
    for a, b, c in SPANS
]
VALUES = [result["value"] for result in RESULTS]
OTHER: dict[str, Any] = {"value": {"choices": []}}
CANCELLED = {"was_cancelled": True, "result": []}
SHAPES: dict[str, Any] = {
    "own": {"text": TEXT, "entities": DICTS},
    "doccano, label": {"id": 1, "text": TEXT, "label": LISTS},
    "doccano, labels": {"id": 1, "text": TEXT, "labels": LISTS},
    "doccano, data": {"id": 1, "data": TEXT, "label": LISTS},
    "doccano, offsets": {"text": TEXT, "entities": OFFSETS, "relations": []},
    "prodigy": {"text": TEXT, "spans": DICTS, "answer": "accept",
                "tokens": [{"text": word, "id": i} for i, word in enumerate(TEXT.split())]},
    "spacy, pair": [TEXT, {"entities": LISTS}],
    "spacy, to_json": {"text": TEXT, "ents": DICTS, "tokens": [{"id": 0, "start": 0, "end": 3}]},
    "label studio": {"id": 1, "data": {"body": TEXT},
                     "annotations": [CANCELLED, {"result": [*RESULTS, OTHER]}]},
    "label studio, min": {"id": 1, "text": TEXT, "label": VALUES},
}  # fmt: skip


def spans_of(path: Path, records: list[Any], **options: Any) -> list[list[tuple[int, int, str]]]:
    """Entities of each sentence; a .json list, or an object a line."""
    whole = path.suffix == ".json"
    path.write_text(json.dumps(records, indent=1) if whole else "\n".join(map(json.dumps, records)))
    found = []
    for sentence in read_sentences(path, **options):
        assert sentence.characters
        assert sentence.tags is not None
        spans = read_spans(sentence.tags, "iob2")
        found.append([(span.start, span.stop, span.type) for span in spans])
    return found


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("suffix", [".jsonl", ".json"])
def test_every_tools_shape_is_read(tmp_path: Path, name: str, suffix: str) -> None:
    assert spans_of(tmp_path / f"t{suffix}", [SHAPES[name]] * 2) == [SPANS, SPANS]


def test_fields_can_be_named(tmp_path: Path) -> None:
    record = {"body": TEXT, "marks": LISTS, "text": "another"}
    columns = TagColumns(words="body", tags="marks")
    assert spans_of(tmp_path / "t.jsonl", [record], columns=columns) == [SPANS]


def test_documents_of_spacy_are_sentences_of_tokens(tmp_path: Path) -> None:
    tokens = [{"orth": "Ann", "ner": "B-PER"}, {"orth": "Berg", "ner": "L-PER"}]
    path = tmp_path / "t.json"
    path.write_text(json.dumps([{"id": 0, "paragraphs": [{"sentences": [{"tokens": tokens}]}]}]))
    (sentence,) = read_sentences(path)
    assert (sentence.words, sentence.tags) == (("Ann", "Berg"), ("B-PER", "L-PER"))


def test_places_that_browsers_counted_are_known_by_their_text(tmp_path: Path) -> None:
    """JavaScript counts UTF-16 units, two for an emoji."""
    text = "\U0001f602 Ann met \U0001f44d\U0001f3fd Bo"
    values = [
        {"start": 3, "end": 6, "text": "Ann", "labels": ["PER"]},
        {"start": 16, "end": 18, "text": "Bo", "labels": ["PER"]},
    ]
    found = spans_of(tmp_path / "t.jsonl", [{"text": text, "label": values}])
    assert [text[start:end] for start, end, _ in found[0]] == ["Ann", "Bo"]


def test_white_space_at_an_end_is_left_out_and_counted(tmp_path: Path) -> None:
    stats = CorpusStats()
    record = {"text": TEXT, "entities": [[0, 9, "PER"], [18, 23, "LOC"], [18, 23, "LOC"]]}
    assert spans_of(tmp_path / "t.jsonl", [record], stats=stats) == [[SPANS[0], SPANS[2]]]
    assert stats.notes["entities had white space at an end, which was left out"] == 3
    assert stats.notes["entities were marked twice"] == 1


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"text": TEXT, "spans": [], "answer": "reject"}, "the annotator's answer is 'reject'"),
        ({"data": {"text": TEXT}, "annotations": [CANCELLED]}, "nobody annotated the text"),
        ({"text": TEXT, "label": [{"start": 0, "end": 3, "labels": ["A", "B"]}]}, "several labels"),
        ({"text": TEXT, "entities": [[5, 5, "X"]]}, "the entity 5-5 is not in the text"),
        ({"text": TEXT, "entities": [[3, 4, "X"]]}, "holds white space alone"),
        ({"text": TEXT, "entities": [[0, 8, "X"], [4, 8, "Y"]]}, "at 4-8 overlaps another"),
        ({"text": TEXT, "entities": [[True, 8, "X"]]}, "an entity needs start, end"),
        ({"text": TEXT, "entities": [{"start": 0, "end": 3, "label": "X", "text": "Bo"}]},
         "the entity 0-3 is 'Ann', not 'Bo'"),
        ([TEXT, 1], "a JSON object is expected"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_named_and_counted_with_its_words(
    tmp_path: Path, record: Any, message: str
) -> None:
    path = tmp_path / "t.jsonl"
    with pytest.raises(DataError, match=message) as caught:
        spans_of(path, [record])
    assert "\n" not in str(caught.value)
    stats = CorpusStats()
    assert spans_of(path, [SHAPES["own"], record], on_error="skip", stats=stats) == [SPANS]
    assert stats.left_out == 1
