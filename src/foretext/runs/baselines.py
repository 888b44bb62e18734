"""What fine-tuning must beat on its development file, found before it trains, and kept.

baseline.json names the training file, so that `foretext evaluate` can fit the same baselines again
for another labelled file; nothing that was fitted is stored.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from foretext.core.atomic import atomic_write_text
from foretext.core.config import to_dict
from foretext.evaluation.baselines import MOST_EXAMPLES, Baseline, fitted, measured
from foretext.recipes.task_recipe import TaskRecipe
from foretext.runs.labelled_data import LabelledFiles, content
from foretext.tasks import task_module
from foretext.training.progress import Reporter

BASELINE_FILE = "baseline.json"
_MISSING = (
    "a bag of words is not measured: scikit-learn is not installed; "
    "pip install 'foretext[baseline]' brings it"
)


def read_baselines(folder: Path) -> dict[str, Any]:
    """What `baselines_on_dev` kept; {} where there is nothing."""
    path = folder / BASELINE_FILE
    found: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    return found


def baselines_on_dev(
    folder: Path,
    recipe: TaskRecipe,
    files: LabelledFiles,
    dev: Sequence[Any],
    on_error: str,
    reporter: Reporter,
) -> tuple[Baseline, ...]:
    """The baselines on the development examples; those of an earlier start are read.

    Args:
        folder: of the run, or of its seeds.
        recipe: resolved.
        files: whose training file is read once more.
        dev: its examples; () measures nothing.
        on_error: stop | replace | skip.
        reporter: hears what is missing.
    """
    if not dev:
        return ()
    known = read_baselines(folder)
    if known.get("source") == _source(recipe, files):
        return tuple(Baseline(**one) for one in known["baselines"])
    return _measured(recipe, files.train, dev, on_error, reporter)


def keep_baselines(
    folder: Path,
    recipe: TaskRecipe,
    files: LabelledFiles,
    found: Sequence[Baseline],
    on_error: str,
) -> None:
    """Write them for a later start, and for `baselines_on`."""
    kept = {
        "source": _source(recipe, files),
        "on_error": on_error,
        "baselines": [asdict(one) for one in found],
    }
    atomic_write_text(folder / BASELINE_FILE, json.dumps(kept, indent=2) + "\n")


def _source(recipe: TaskRecipe, files: LabelledFiles) -> dict[str, Any]:
    """What baselines on dev follow from."""
    read = {"task": to_dict(recipe.task), "data": to_dict(recipe.data)}
    return {"path": str(files.train.absolute())} | files.hashes() | {"read": json.dumps(read)}


def baselines_on(
    folder: Path, recipe: TaskRecipe, examples: Sequence[Any], reporter: Reporter
) -> tuple[Baseline, ...]:
    """The same on other examples: fitted again if the training file is what it was.

    Args:
        folder: of a fine-tuned model, or of its seeds.
        recipe: resolved.
        examples: labelled.
        reporter: hears why there are none.
    """
    known = read_baselines(folder) or read_baselines(folder.parent)
    if not known or not examples:
        return ()
    train, sha256 = Path(known["source"]["path"]), known["source"]["train"]
    if not train.exists() or content(train) != sha256:
        reporter.message(f"no bag of words: {train}, which it learns from, is gone or changed")
        return ()
    return _measured(recipe, train, examples, known["on_error"], reporter)


def _measured(
    recipe: TaskRecipe, train: Path, examples: Sequence[Any], on_error: str, reporter: Reporter
) -> tuple[Baseline, ...]:
    module, task = task_module(recipe.task_name), recipe.plain_task()
    read = module.read(train, recipe.task, recipe.data, on_error=on_error)
    learned = list(islice(read, MOST_EXAMPLES))
    try:
        answers = fitted(recipe.task_name, task, learned)
    except ModuleNotFoundError:
        reporter.message(_MISSING)
        return ()
    return tuple(
        Baseline(name=name, metrics=measured(task, answer, examples))
        for name, answer in answers.items()
    )
