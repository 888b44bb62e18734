"""The classes of the Hugging Face layout that a family's fine-tuned models are saved as."""

from __future__ import annotations

from collections.abc import Mapping

from foretext.hub.weight_map import Architecture

TASK_CLASSES = {
    "classification": "ForSequenceClassification",
    "similarity": "ForSequenceClassification",
    "multiple-choice": "ForMultipleChoice",
    "question-answering": "ForQuestionAnswering",
    "tagging": "ForTokenClassification",
}


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
    return (
        Architecture(
            name=f"{brand}ForSequenceClassification",
            parts=pooled,
            head=sentence_head,
            renamed=sentence_renamed or {},
        ),
        Architecture(
            name=f"{brand}ForMultipleChoice",
            parts=pooled,
            head="classifier",
            renamed=choice_renamed or {},
        ),
        Architecture(name=f"{brand}ForTokenClassification", parts=backbone, head="classifier"),
        Architecture(name=f"{brand}ForQuestionAnswering", parts=backbone, head="qa_outputs"),
    )
