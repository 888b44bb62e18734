"""Questions from which a word can be found: the answer is the context's word of feeling."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from foretext.labelled.squad import Answer, Question
from tests.tasks.tiny import FILLERS, WORDS

_FEELINGS = [word for words in WORDS.values() for word in words]


def questions(count: int, seed: int, *, words: int = 9, impossible: float = 0.0) -> list[Question]:
    """Contexts of up to `words` fillers; a share of them lacks the answer."""
    drawn = random.Random(seed)
    found = []
    for number in range(count):
        text = drawn.choices(FILLERS, k=drawn.randint(2, words))
        answers: tuple[Answer, ...] = ()
        if drawn.random() >= impossible:
            at = drawn.randint(0, len(text))
            text.insert(at, drawn.choice(_FEELINGS))
            answers = (Answer(text[at], len("".join(f"{word} " for word in text[:at]))),)
        found.append(Question(f"{seed}-{number}", "was it very", " ".join(text), answers))
    return found


def question_file(path: Path, found: list[Question]) -> Path:
    """The questions in the official JSON, a paragraph each."""
    paragraphs = []
    for question in found:
        answers = [{"text": a.text, "answer_start": a.start} for a in question.answers or ()]
        one: dict[str, Any] = {"id": question.id, "question": question.question, "answers": answers}
        if not answers:
            one["is_impossible"] = True
        paragraphs.append({"context": question.context, "qas": [one]})
    document = {"data": [{"title": "toy", "paragraphs": paragraphs}]}
    path.write_text(json.dumps(document), encoding="utf-8")
    return path
