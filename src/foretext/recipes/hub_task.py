"""The task of a model that was fine-tuned elsewhere: config.json says what run.toml would.

    ForSequenceClassification   classification; similarity with one label or problem_type=regression
    ForTokenClassification      tagging of words; the scheme of files is that of the labels
    ForQuestionAnswering        question-answering; every question is taken to have an answer
    ForMultipleChoice           multiple-choice

The names of labels are id2label's. Which columns hold the texts is told from each file, a
similarity's are sentence1 and sentence2 unless they are named. A text may be as long as the model
reads, a window of question answering as long as in the task's paper.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from foretext.core.errors import ConfigError
from foretext.hub.classes import label_names
from foretext.metrics import tag_schemes as schemes
from foretext.models.folder import LoadedModel, named_class
from foretext.recipes.task_recipe import TaskRecipe
from foretext.tasks.inputs import reads_left_to_right


def hub_task(raw: Mapping[str, Any]) -> str | None:
    """The task that config.json names by its class; None if it names none."""
    names = raw.get("architectures")
    stored = named_class(str(names[0])) if isinstance(names, list) and names else None
    task = stored.tasks[0] if stored is not None and stored.tasks else None
    labels = raw.get("id2label")
    one = isinstance(labels, dict) and len(labels) == 1
    if task == "classification" and (one or raw.get("problem_type") == "regression"):
        return "similarity"
    return task


def hub_recipe(folder: Path, loaded: LoadedModel) -> TaskRecipe:
    """The recipe of a model with a task's head, as far as use needs it; columns are left open.

    Raises:
        ConfigError: the class is no task's, the model is a GPT (whose inputs have tokens of ours),
            or its labels are not one for each score.
    """
    raw, model = loaded.raw_config, loaded.model
    task = hub_task(raw)
    if task is None:
        raise ConfigError(f"{folder} was not fine-tuned: it is a {loaded.architecture}")
    if reads_left_to_right(model):
        raise ConfigError(
            f"{folder} was fine-tuned elsewhere, and of such models only encoders can be used; "
            "fine-tune it here with `foretext finetune`"
        )
    if raw.get("problem_type") == "multi_label_classification":
        raise ConfigError(f"{folder} gives several labels to a text, which no task here does")
    settings: dict[str, Any] = {"task.lm_weight": 0.0}
    if task in ("classification", "tagging"):
        settings["task.labels"] = label_names(raw, loaded.head["weight"].shape[0])[0]
    if task == "tagging":
        settings |= _tagging(settings["task.labels"]) | {"data.unit": "word"}
    elif task == "question-answering":
        settings["task.allow_impossible"] = False
    elif task == "similarity":
        settings |= {"data.text": "sentence1", "data.text_pair": "sentence2"}
    recipe = TaskRecipe.of(task, settings, left_to_right=False)
    longest = loaded.family.max_positions(model.config) or recipe.data.max_length
    if task == "question-answering":
        longest = min(longest, recipe.data.max_length)
    return replace(recipe, data=replace(recipe.data, max_length=longest))


def _tagging(labels: tuple[str, ...]) -> dict[str, Any]:
    """The scheme of the labels, the tag of words without tokens, and where tags are read."""
    scheme = next(
        (s for s in ("iob2", "bioes") if all(schemes.split_tag(tag, s) for tag in labels)), None
    )
    blank = schemes.OUTSIDE if schemes.OUTSIDE in labels else labels[0]
    return {
        "task.scheme": scheme or schemes.PLAIN,
        "task.scheme_out": scheme or "iob2",
        "task.blank": blank,
        "task.label_on": "first",
    }
