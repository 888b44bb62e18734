"""A task's labelled files looked at through its own reader: what `check-data --task` reports."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from foretext.labelled.inspect import Facts, LabelledReport, inspect_facts
from foretext.recipes.task_recipe import TaskRecipe
from foretext.tasks import task_module
from foretext.tasks.datasets import task_of
from foretext.text.errors import CorpusStats


def inspect_task(
    name: str,
    train: str | Path,
    dev: str | Path | None = None,
    *,
    settings: Mapping[str, Any] | None = None,
    on_error: str = "stop",
) -> LabelledReport:
    """Read the files as fine-tuning would, and report on them.

    Args:
        name: of a task or of a data set.
        train, dev: files of the task; no dev file if None.
        settings: path -> value of the sections task and data.
        on_error: stop | replace | skip.

    Raises:
        ConfigError: no such task or path.
        DataError: a file is at fault; names file and line.
    """
    task, usual = task_of(name)
    module = task_module(task)
    recipe = TaskRecipe.of(task, dict(usual) | dict(settings or {}), left_to_right=False)
    columns = recipe.data.resolved(Path(train))
    # There is no model: what depends on one (the auxiliary loss) is not looked at.
    config = module.resolve(recipe.task, columns, Path(train), None, on_error)

    def read(path: Path, stats: CorpusStats) -> Iterator[Facts]:
        examples = module.read(path, config, columns, on_error=on_error, stats=stats)
        return map(module.GUIDE.facts, examples)

    return inspect_facts(train, dev, read, module.GUIDE.unit)
