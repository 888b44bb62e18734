"""The plain transformers side: an Auto class, a padding collator, the Trainer.

What a user writes today, after run_glue.py and run_swag.py; tagging and questions have files of
their own.
"""

from __future__ import annotations

import csv
import json
import math
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers as hf
from numpy.typing import NDArray

from bench.tasks.files import Files
from bench.tasks.sets import Recipe, TaskSet

Example = dict[str, Any]


@dataclass(kw_only=True)
class Run:
    """One training: what it begins with, and its losses."""

    backbone: Path
    seed: int
    single: bool = False  # a step's examples one by one, without padding
    labels: list[str] | None = None  # by class id; None = those of the training file, sorted
    losses: list[float] = field(default_factory=list)  # of each step
    gradient_norms: list[float] = field(default_factory=list)  # likewise, before they are clipped


def labels_of(folder: Path) -> list[str] | None:
    """The labels of a fine-tuned folder by class id; None where it has none."""
    names = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("label2id")
    return names and sorted(names, key=names.get)


def table(path: Path, columns: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], str]]:
    """The texts and the label of each row."""
    header = columns.get("header", True)
    with path.open(encoding="utf-8", newline="") as file:
        if path.suffix == ".csv":
            rows: Iterator[list[str]] = csv.reader(file)
        else:
            rows = (line.rstrip("\r\n").split("\t") for line in file)
        names = next(rows) if header else []
        place = {name: i for i, name in enumerate(names)}
        for row in rows:
            texts = tuple(row[place.get(c, -1) if header else int(c)] for c in columns["texts"])
            label = columns["label"]
            yield texts, row[place[label] if header else int(label)]


def fit(
    model: Any,
    features: Sequence[Example],
    collator: Any,
    recipe: Recipe,
    run: Run,
    *,
    trainer: Any = hf.Trainer,
) -> None:
    """Train with the recipe and transformers' Trainer."""
    steps = math.ceil(len(features) * recipe.epochs / recipe.batch_size)
    with tempfile.TemporaryDirectory(prefix="foretext-bench-") as folder:
        arguments = hf.TrainingArguments(
            output_dir=folder,
            use_cpu=True,
            bf16=recipe.precision == "bf16",
            per_device_train_batch_size=1 if run.single else recipe.batch_size,
            gradient_accumulation_steps=recipe.batch_size if run.single else 1,
            max_steps=steps,
            learning_rate=recipe.learning_rate,
            lr_scheduler_type="linear",
            warmup_steps=math.ceil(steps * recipe.warmup_rate),
            weight_decay=recipe.weight_decay,
            max_grad_norm=recipe.clip_norm,
            seed=run.seed,
            save_strategy="no",
            logging_steps=1,
            report_to="none",
            disable_tqdm=True,
            remove_unused_columns=False,
        )
        made = trainer(model=model, args=arguments, train_dataset=features, data_collator=collator)
        made.remove_callback(hf.PrinterCallback)
        made.train()
    logged = [line for line in made.state.log_history if "loss" in line]
    run.losses += [line["loss"] for line in logged]
    run.gradient_norms += [line["grad_norm"] for line in logged]


@torch.no_grad()
def outputs(
    model: Any, features: Sequence[Example], collator: Any, batch_size: int = 32
) -> list[tuple[NDArray[Any], ...]]:
    """Each example's outputs, computed from short to long, in the order given."""

    def length(i: int) -> int:
        ids = features[i]["input_ids"]
        return max(map(len, ids)) if isinstance(ids[0], list) else len(ids)

    model.eval()
    order = sorted(range(len(features)), key=length)
    found: list[Any] = [None] * len(features)
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        keys = ("input_ids", "token_type_ids", "attention_mask", "labels")
        batch = collator([{k: features[i][k] for k in keys if k in features[i]} for i in chosen])
        batch.pop("labels", None)
        out = model(**batch).to_tuple()
        for row, i in enumerate(chosen):
            found[i] = tuple(part[row].numpy() for part in out)
    return found


def classification(task_set: TaskSet, files: Files, run: Run) -> list[str]:
    """Predicted labels of the test file, by run_glue.py."""
    tokenizer = hf.AutoTokenizer.from_pretrained(str(run.backbone))
    train = list(table(files.train, task_set.columns))
    test = list(table(files.test, task_set.columns))
    labels = sorted({label for _, label in train})
    hf.set_seed(run.seed)
    model = hf.AutoModelForSequenceClassification.from_pretrained(
        str(run.backbone), num_labels=len(labels)
    )

    def features(rows: Sequence[tuple[tuple[str, ...], str]]) -> list[Example]:
        length = task_set.recipe.max_length
        return [
            {**tokenizer(*texts, truncation=True, max_length=length), "labels": labels.index(label)}
            for texts, label in rows
        ]

    collator = hf.DataCollatorWithPadding(tokenizer)
    fit(model, features(train), collator, task_set.recipe, run)
    found = outputs(model, features(test), collator)
    return [labels[int(out[0].argmax())] for out in found]


def similarity(task_set: TaskSet, files: Files, run: Run) -> list[float]:
    """Predicted scores of the test file, by run_glue.py's regression."""
    tokenizer = hf.AutoTokenizer.from_pretrained(str(run.backbone))
    hf.set_seed(run.seed)
    model = hf.AutoModelForSequenceClassification.from_pretrained(str(run.backbone), num_labels=1)

    def features(path: Path) -> list[Example]:
        length = task_set.recipe.max_length
        return [
            {**tokenizer(*texts, truncation=True, max_length=length), "labels": float(score)}
            for texts, score in table(path, task_set.columns)
        ]

    collator = hf.DataCollatorWithPadding(tokenizer)
    fit(model, features(files.train), collator, task_set.recipe, run)
    return [float(out[0][0]) for out in outputs(model, features(files.test), collator)]


def choice(task_set: TaskSet, files: Files, run: Run) -> list[int]:
    """Predicted candidates of the test file, by run_swag.py."""
    tokenizer = hf.AutoTokenizer.from_pretrained(str(run.backbone))
    hf.set_seed(run.seed)
    model = hf.AutoModelForMultipleChoice.from_pretrained(str(run.backbone))

    def features(path: Path) -> list[Example]:
        rows = []
        for context, candidates, answer in CHOICES[task_set.columns["format"]](path):
            coded = tokenizer(
                [context] * len(candidates),
                candidates,
                truncation=True,
                max_length=task_set.recipe.max_length,
            )
            rows.append({**coded, "labels": answer})
        return rows

    collator = hf.DataCollatorForMultipleChoice(tokenizer)
    fit(model, features(files.train), collator, task_set.recipe, run)
    found = outputs(model, features(files.test), collator, batch_size=16)
    return [int(np.argmax(out[0])) for out in found]


def _story_cloze(path: Path) -> Iterator[tuple[str, list[str], int]]:
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            context = " ".join(row[f"InputSentence{i}"] for i in range(1, 5))
            endings = [row[f"RandomFifthSentenceQuiz{i}"] for i in (1, 2)]
            yield context, endings, int(row["AnswerRightEnding"]) - 1


def _open_book(path: Path) -> Iterator[tuple[str, list[str], int]]:
    with path.open(encoding="utf-8") as file:
        next(file)
        for line in file:
            _, stem, choices, _, answer = line.rstrip("\n").split("\t")
            yield stem, re.split(r"\s*\([A-D]\) ", choices)[1:], "ABCD".index(answer)


CHOICES = {"storycloze": _story_cloze, "openbookqa": _open_book}
