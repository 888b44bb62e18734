"""The plain transformers side of question answering, after run_qa.py and its utils_qa.py."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import transformers as hf
from numpy.typing import NDArray

from bench.tasks.files import Files
from bench.tasks.reference import Example, Run, fit, outputs
from bench.tasks.sets import TaskSet
from foretext.metrics import squad

STRIDE = 128  # tokens that two windows share
N_BEST = 20
MAX_ANSWER = 30  # tokens


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question of SQuAD's JSON."""

    id: str
    text: str
    context: str
    answers: list[dict[str, Any]]


def questions(path: Path) -> Iterator[Question]:
    """The questions of a file."""
    for article in json.loads(path.read_text(encoding="utf-8"))["data"]:
        for paragraph in article["paragraphs"]:
            for qa in paragraph["qas"]:
                yield Question(
                    id=qa["id"],
                    text=qa["question"].lstrip(),
                    context=paragraph["context"],
                    answers=qa["answers"],
                )


def windows(question: Question, tokenizer: Any, max_length: int) -> Iterator[Example]:
    """The windows over a long paragraph, with the targets of the first answer."""
    coded = tokenizer(
        question.text,
        question.context,
        truncation="only_second",
        max_length=max_length,
        stride=STRIDE,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    for i in range(len(coded["input_ids"])):
        inside = [s == 1 for s in coded.sequence_ids(i)]
        offsets = [
            o if i else None for o, i in zip(coded["offset_mapping"][i], inside, strict=True)
        ]
        one = {k: coded[k][i] for k in ("input_ids", "token_type_ids", "attention_mask")}
        yield {**one, "offsets": offsets, **_targets(question, offsets)}


def _targets(question: Question, offsets: list[Any]) -> dict[str, int]:
    """Tokens where the answer starts and ends; the [CLS] where the window lacks it."""
    if question.answers:
        start = question.answers[0]["answer_start"]
        stop = start + len(question.answers[0]["text"])
        tokens = [i for i, o in enumerate(offsets) if o and o[1] > start and o[0] < stop]
        spans = [o for o in offsets if o]
        if tokens and spans[0][0] <= start and spans[-1][1] >= stop:
            return {"start_positions": tokens[0], "end_positions": tokens[-1]}
    return {"start_positions": 0, "end_positions": 0}


def answering(task_set: TaskSet, files: Files, run: Run) -> dict[str, Any]:
    """Answers by question, and the scores of no answer where some have none."""
    tokenizer = hf.AutoTokenizer.from_pretrained(str(run.backbone))
    hf.set_seed(run.seed)
    model = hf.AutoModelForQuestionAnswering.from_pretrained(str(run.backbone))
    length = task_set.recipe.max_length
    keys = ("input_ids", "token_type_ids", "attention_mask", "start_positions", "end_positions")
    train = [
        {k: window[k] for k in keys}
        for question in questions(files.train)
        for window in windows(question, tokenizer, length)
    ]
    collator = hf.DataCollatorWithPadding(tokenizer)
    fit(model, train, collator, task_set.recipe, run)
    threshold = None
    if files.calibrate is not None:
        tuned = list(questions(files.calibrate))
        scored = _answers(tuned, model, tokenizer, collator, length)
        threshold = _threshold(tuned, scored, task_set.columns["threshold"])
    found = _answers(list(questions(files.test)), model, tokenizer, collator, length)
    return {
        name: "" if threshold is not None and null > threshold else text
        for name, (text, null) in found.items()
    }


def _answers(
    rows: list[Question], model: Any, tokenizer: Any, collator: Any, length: int
) -> dict[str, tuple[str, float]]:
    """Of each question the best span, and by how much no answer scores above it."""
    coded = [(q, window) for q in rows for window in windows(q, tokenizer, length)]
    found = outputs(model, [window for _, window in coded], collator)
    spans: dict[str, list[tuple[float, str]]] = defaultdict(list)
    nulls: dict[str, float] = {}
    for (question, window), (start, end) in zip(coded, found, strict=True):
        null = float(start[0] + end[0])
        nulls[question.id] = min(null, nulls.get(question.id, null))
        spans[question.id] += _spans(question, window["offsets"], start, end)
    best = {q.id: max(spans[q.id], default=(-1e9, "")) for q in rows}
    return {name: (text, nulls[name] - score) for name, (score, text) in best.items()}


def _threshold(rows: list[Question], found: dict[str, tuple[str, float]], goal: str) -> float:
    """Of the null score's lead, the best for F1 by the official script's search, or balanced."""
    golds = [[a["text"] for a in q.answers] for q in rows]
    texts, nulls = zip(*(found[q.id] for q in rows), strict=True)
    scored = [squad.scores(t, g, empty_counts=True).f1 for t, g in zip(texts, golds, strict=True)]
    search = squad.balanced_threshold if goal == "balanced" else squad.best_threshold
    best = search(
        np.array(scored),
        np.array(nulls),
        np.array([bool(gold) for gold in golds]),
        np.array([bool(text) for text in texts]),
    )
    return best.threshold


def _spans(
    question: Question, offsets: list[Any], start: NDArray[Any], end: NDArray[Any]
) -> Iterable[tuple[float, str]]:
    starts = np.argsort(start)[-1 : -N_BEST - 1 : -1].tolist()
    ends = np.argsort(end)[-1 : -N_BEST - 1 : -1].tolist()
    for i in starts:
        for j in ends:
            valid = max(i, j) < len(offsets) and offsets[i] and offsets[j]
            if valid and i <= j < i + MAX_ANSWER:
                text = question.context[offsets[i][0] : offsets[j][1]]
                yield float(start[i] + end[j]), text
