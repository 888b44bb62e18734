"""The classes of the Hugging Face layout that encoders' fine-tuned models are saved as."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from foretext.hub.architecture import Architecture

TASK_CLASSES = {
    "classification": "ForSequenceClassification",
    "similarity": "ForSequenceClassification",
    "multiple-choice": "ForMultipleChoice",
    "question-answering": "ForQuestionAnswering",
    "tagging": "ForTokenClassification",
}


def label_names(raw: Mapping[str, Any], rows: int) -> tuple[tuple[str, ...], int]:
    """The names of a head's labels by class id, and how many config.json lacks.

    The rows of the weight decide; what has no name is LABEL_i, as transformers calls it.

    Args:
        raw: config.json.
        rows: of the head's weight.
    """
    given = raw.get("id2label")
    named = {str(key): str(name) for key, name in given.items()} if isinstance(given, dict) else {}
    names = tuple(named.get(str(i), f"LABEL_{i}") for i in range(rows))
    return names, rows - sum(str(i) in named for i in range(rows))


def label_keys(raw: Mapping[str, Any], head: Mapping[str, Tensor]) -> dict[str, Any]:
    """id2label and label2id with a name for each row of a head, and for no other; {} without."""
    if "weight" not in head:
        return {}
    names, _ = label_names(raw, head["weight"].shape[0])
    return {
        "id2label": {str(i): name for i, name in enumerate(names)},
        "label2id": {name: i for i, name in enumerate(names)},
    }


def tasks_of(suffix: str) -> tuple[str, ...]:
    """The tasks that are saved as a class of this ending."""
    return tuple(task for task, name in TASK_CLASSES.items() if name == suffix)


def encoder_classes(
    brand: str,
    backbone: tuple[str, ...],
    *,
    sentence_head: str = "classifier",
    sentence_renamed: Mapping[str, str] | None = None,
    choice_renamed: Mapping[str, str] | None = None,
) -> tuple[Architecture, ...]:
    """The task classes of an encoder with a pooler, which only sentences and choices read.

    Args:
        brand: what the class names begin with, such as "Bert".
        backbone: parts without the pooler.
        sentence_head: the module for classification.
        sentence_renamed, choice_renamed: as Architecture.renamed, of the two that pool.
    """
    pooled = (*backbone, "pooler")
    rows: tuple[tuple[str, tuple[str, ...], str, Mapping[str, str]], ...] = (
        ("ForSequenceClassification", pooled, sentence_head, sentence_renamed or {}),
        ("ForMultipleChoice", pooled, "classifier", choice_renamed or {}),
        ("ForTokenClassification", backbone, "classifier", {}),
        ("ForQuestionAnswering", backbone, "qa_outputs", {}),
    )
    return tuple(
        Architecture(
            name=f"{brand}{suffix}",
            parts=parts,
            head=head,
            renamed=renamed,
            tasks=tasks_of(suffix),
            bare=f"{brand}Model",
        )
        for suffix, parts, head, renamed in rows
    )
