"""Tagged words from which tags can be learned, and the task over them on tiny models."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from foretext.models import FAMILIES
from foretext.tasks.base import SampleTable, TaskModel, TaskObjective
from foretext.tasks.inputs import fit_to_tokens, input_format_for, task_tokenizer
from foretext.tasks.tag_files import TaggingConfig
from foretext.tasks.tag_units import TagExample, joined
from foretext.tasks.tagging import Tagging
from tests.tasks.tiny import FILLERS, MODELS, WORDS, model_of, tokenizer_of

LABELS = ("O", "B-bad", "I-bad", "B-good", "I-good")


def sentence(drawn: random.Random, length: int = 9) -> list[tuple[str, str]]:
    """Words with tags: spans of one or two words of a kind, between others."""
    rows = []
    for _ in range(drawn.randint(1, length)):
        rows.append((drawn.choice(FILLERS), "O"))
        if drawn.random() < 0.4:
            kind = drawn.choice(sorted(WORDS))
            words = WORDS[kind][: drawn.randint(1, 2)]
            rows += [(w, f"{letter}-{kind}") for w, letter in zip(words, "BI", strict=False)]
    return rows


def some(count: int, seed: int, length: int = 4) -> list[TagExample]:
    drawn = random.Random(seed)
    found = []
    for _ in range(count):
        words, tags = zip(*sentence(drawn, length), strict=True)
        found.append(joined(words, tags, characters=False))
    return found


def tag_file(path: Path, count: int, seed: int) -> Path:
    drawn = random.Random(seed)
    blocks = ["".join(f"{w} {t}\n" for w, t in sentence(drawn)) for _ in range(count)]
    path.write_text("\n".join(blocks), encoding="utf-8")
    return path


def task_of(model_type: str, **changes: Any) -> Tagging:
    left = MODELS[model_type][0] == "gpt"
    usual: dict[str, Any] = {
        "labels": LABELS,
        "scheme": "iob2",
        "blank": "O",
        "label_on": "last" if left else "first",
        "lm_weight": 0.5 if left else 0.0,
    }
    return Tagging(TaggingConfig(**(usual | changes)))


def made(
    model_type: str, examples: Sequence[TagExample], max_length: int = 40, **changes: Any
) -> tuple[TaskObjective, TaskModel, SampleTable]:
    """A tiny model with the task over some examples."""
    family = FAMILIES[MODELS[model_type][0]].model
    plain = tokenizer_of(model_type)
    tokenizer = task_tokenizer(plain, family)
    backbone = model_of(model_type, plain.vocab_size)
    generator = torch.Generator().manual_seed(3)
    fit_to_tokens(backbone, plain, tokenizer, generator)
    task = task_of(model_type, **changes)
    model = TaskModel(backbone, task.head(backbone, generator))
    encoded = task.encode(examples, input_format_for(family, tokenizer, max_length))
    table = SampleTable(sample for samples in encoded for sample in samples)
    return TaskObjective(task=task, max_length=max_length), model, table


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path
