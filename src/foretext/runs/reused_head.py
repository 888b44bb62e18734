"""A model that was fine-tuned before goes on with its head, where task and labels are the same.

So a model of SQuAD 1.1 goes on to 2.0, and a classifier to more of its own data; otherwise only
the backbone is taken and the head is new, as after MNLI in the papers of RoBERTa and ALBERT.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from foretext.core.config import read_toml
from foretext.recipes.folder import RECIPE_FILE
from foretext.recipes.hub_task import hub_task
from foretext.tasks.base import TaskModel


@dataclass(frozen=True, kw_only=True)
class PreviousTask:
    """What a model was fine-tuned on."""

    task: str
    labels: tuple[str, ...]  # by class id; () where none are named


def previous_task(folder: Path, raw: Mapping[str, Any]) -> PreviousTask | None:
    """The task of a model's folder, ours or of transformers; None if it was only pre-trained.

    Args:
        folder: with config.json.
        raw: its config.json.
    """
    path = folder / RECIPE_FILE
    if path.is_file():
        values = read_toml(path)
        if "task" not in values:
            return None
        labels = values["task"].get("labels", ())
        return PreviousTask(task=str(values.get("name")), labels=tuple(map(str, labels)))
    task = hub_task(raw)
    named = raw.get("id2label")
    known = named if isinstance(named, dict) else {}
    ordered = [str(known.get(str(i))) for i in range(len(known))]
    return None if task is None else PreviousTask(task=task, labels=tuple(ordered))


def reuse_head(
    model: TaskModel, head: Mapping[str, Tensor], former: PreviousTask, task: str, config: Any
) -> str:
    """Copy the head into the model if it is of the same task, labels and parts.

    Args:
        head: as LoadedModel has it.
        task, config: what the model is to be trained for.

    Returns:
        What was done, for people.
    """
    if former.task != task:
        return f"the head is new: the model was fine-tuned on {former.task}, not on {task}"
    labels = tuple(getattr(config, "labels", ()))
    if sorted(labels) != sorted(former.labels if labels else ()):
        old, new = (", ".join(names[:5]) or "none" for names in (former.labels, labels))
        return f"the head is new: the model's labels were {old}, these are {new}"
    wanted = {name: tensor.shape for name, tensor in model.head_tensors().items()}
    if {name: tensor.shape for name, tensor in head.items()} != wanted:
        return "the head is new: the model's has other parts than these settings ask for"
    order = [former.labels.index(label) for label in labels] or slice(None)
    model.load_head({name: tensor[order] for name, tensor in head.items()})
    return "the model's own head goes on (finetune.new_head=true begins with a new one)"
