"""The plain transformers side of tagging, after run_ner.py: the label on a word's first piece."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import transformers as hf

from bench.tasks.files import Files
from bench.tasks.reference import Example, Run, fit, outputs
from bench.tasks.sets import TaskSet

Sentence = tuple[list[str], list[str]]  # words and tags


def sentences(path: Path, columns: Mapping[str, Any]) -> Iterator[Sentence]:
    """Words and tags of a file of columns; IOB1 becomes IOB2, as published copies have it."""
    for block in path.read_text(encoding="utf-8").split("\n\n"):
        rows = [line.split(columns.get("separator")) for line in block.splitlines()]
        rows = [row for row in rows if row and row[0] != "-DOCSTART-"]
        if path.suffix == ".conllu":  # no comments, ranges or empty nodes
            rows = [row for row in rows if row[0].isdigit()]
        if rows:
            words = [row[columns["word"]] for row in rows]
            tags = [row[columns["tag"]] for row in rows]
            yield words, iob2(tags) if columns.get("iob") else tags


def iob2(tags: Sequence[str]) -> list[str]:
    """Tags whose every entity begins with B-; of IOB1, where B- stands only between neighbours."""
    found = []
    for previous, tag in zip(["O", *tags], tags, strict=False):
        begins = tag.startswith("I-") and previous[1:] != tag[1:]
        found.append(f"B{tag[1:]}" if begins else tag)
    return found


def tagging(task_set: TaskSet, files: Files, run: Run) -> list[list[str]]:
    """Predicted tags of every word of the test file."""
    tokenizer = hf.AutoTokenizer.from_pretrained(str(run.backbone))
    train = list(sentences(files.train, task_set.columns))
    test = list(sentences(files.test, task_set.columns))
    labels = run.labels or sorted({tag for _, tags in train for tag in tags})
    hf.set_seed(run.seed)
    model = hf.AutoModelForTokenClassification.from_pretrained(
        str(run.backbone), num_labels=len(labels)
    )

    def features(rows: Sequence[Sentence]) -> tuple[list[Example], list[list[tuple[int, int]]]]:
        coded: list[Example] = []
        places: list[list[tuple[int, int]]] = []
        for words, tags in rows:
            one = tokenizer(
                words,
                is_split_into_words=True,
                truncation=True,
                max_length=task_set.recipe.max_length,
            )
            owners = one.word_ids()
            first = [i for i, w in enumerate(owners) if w is not None and w != owners[i - 1]]
            known = [labels.index(tag) if tag in labels else 0 for tag in tags]
            targets = [-100] * len(owners)
            for i in first:
                targets[i] = known[owners[i]]
            coded.append({**one, "labels": targets})
            places.append([(i, owners[i]) for i in first])
        return coded, places

    collator = hf.DataCollatorForTokenClassification(tokenizer)
    fit(model, features(train)[0], collator, task_set.recipe, run)
    coded, places = features(test)
    found = []
    for (words, _), spots, out in zip(test, places, outputs(model, coded, collator), strict=True):
        tags = ["O"] * len(words)  # of words that were cut off
        for token, word in spots:
            tags[word] = labels[int(out[0][token].argmax())]
        found.append(tags)
    return found
