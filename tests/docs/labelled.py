"""Small labelled files of every task but classification, drawn from the patterns of world.py."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

Sentence = Callable[[str], str]  # one of this mind, "good" or "bad"
_VISIT = "{who} went to the {place} and talked about the {part}."
_QUESTIONS = (
    ("Who went there?", "who"),
    ("Where did they go?", "place"),
    ("What did they talk about?", "part"),
    ("How much did it cost?", None),
)


def questions(count: int, words: Mapping[str, Sequence[str]], draw: random.Random) -> str:
    """Questions on visits in the JSON of SQuAD 2.0, of which one in four has no answer."""
    paragraphs: list[dict[str, Any]] = []
    for number in range(count):
        chosen = {name: draw.choice(words[name]) for name in ("who", "place", "part")}
        context = _VISIT.format(**chosen)
        asked, name = draw.choice(_QUESTIONS)
        answers = [] if name is None else [chosen[name]]
        found = [{"text": text, "answer_start": context.index(text)} for text in answers]
        question: dict[str, Any] = {"id": f"q{number}", "question": asked, "answers": found}
        question["is_impossible"] = not found
        paragraphs.append({"context": context, "qas": [question]})
    return json.dumps({"version": "v2.0", "data": [{"title": "", "paragraphs": paragraphs}]})


def tagged(count: int, words: Mapping[str, Sequence[str]], draw: random.Random) -> str:
    """Visits in CoNLL's columns, with people and places in IOB2."""
    lines = []
    for _ in range(count):
        for piece in re.split(r"(\{\w+\})| ", _VISIT.replace(".", " .")):
            name = (piece or "").strip("{}")
            tokens = draw.choice(words[name]).split() if name in words else (piece or "").split()
            kind = {"who": "PERSON", "place": "PLACE"}.get(name)
            tags = [f"{'BI'[i > 0]}-{kind}" if kind else "O" for i in range(len(tokens))]
            lines += [f"{token} {tag}" for token, tag in zip(tokens, tags, strict=True)]
        lines.append("")
    return "\n".join(lines) + "\n"


def tagged_korean(count: int, words: Mapping[str, Sequence[str]], draw: random.Random) -> str:
    """Korean visits, an eojeol a line with a tab and its tag."""
    lines = []
    for _ in range(count):
        rest = draw.choice(["보고 웃었다.", "보다가 잠들었다."]).split()
        rows = [(draw.choice(words["who"]), "B-PERSON"), (draw.choice(words["place"]), "B-PLACE")]
        draw.shuffle(rows)
        lines += ["\t".join(row) for row in (*rows, *((word, "O") for word in rest))]
        lines.append("")
    return "\n".join(lines) + "\n"


def choices(count: int, sentence: Sentence, draw: random.Random) -> str:
    """Which of two remarks somebody says who liked it, a record a line."""
    records = []
    for _ in range(count):
        label = draw.randrange(2)
        candidates = [sentence(("bad", "good")[label == place]) for place in range(2)]
        context = sentence("good")
        records.append({"context": context, "candidates": candidates, "label": label})
    return "".join(json.dumps(record) + "\n" for record in records)


def pairs(count: int, sentence: Sentence, draw: random.Random) -> list[tuple[str, str, str]]:
    """(first, second, score): near 5 where both like it, near 0 where only the first one does."""
    rows = []
    for _ in range(count):
        alike = draw.random() < 0.5
        score = draw.uniform(3.5, 5) if alike else draw.uniform(0, 1.5)
        rows.append((sentence("good"), sentence("good" if alike else "bad"), f"{score:.1f}"))
    return rows


def make(
    folder: Path,
    words: Mapping[str, Sequence[str]],
    korean: Mapping[str, Sequence[str]],
    sentence: Sentence,
) -> None:
    """Write the files of each task."""
    draw = random.Random(1)
    for name, count in (("train", 240), ("dev", 60)):
        files = {
            f"qa-{name}.json": questions(count, words, draw) + "\n",
            f"tags-{name}.conll": tagged(count, words, draw),
            f"tags_ko-{name}.conll": tagged_korean(count, korean, draw),
            f"choice-{name}.jsonl": choices(count, sentence, draw),
        }
        rows = [("sentence1", "sentence2", "score"), *pairs(count, sentence, draw)]
        files[f"pairs-{name}.tsv"] = "".join("\t".join(row) + "\n" for row in rows)
        for file, text in files.items():
            (folder / file).write_text(text, encoding="utf-8")
