"""Data sets by name: a task and the settings that its files need, a few declarative lines each.

`foretext finetune RUN mrpc --train ...` is the task below with these settings beneath the user's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from foretext.errors import ConfigError
from foretext.suggest import nearest
from foretext.tasks import TASKS


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """How the files of a published data set are read and measured."""

    task: str
    about: str
    settings: Mapping[str, Any] = field(default_factory=dict)  # path -> value


DATASETS: dict[str, Dataset] = {
    "mrpc": Dataset(
        task="classification",
        about="paraphrases, GLUE's columns",
        settings={
            "data.text": "#1 String",
            "data.text_pair": "#2 String",
            "data.label": "Quality",
            "finetune.metric": "f1",
        },
    ),
}


def task_of(name: str) -> tuple[str, Mapping[str, Any]]:
    """The task that a name means, and the settings that come with it.

    Args:
        name: of a task or of a data set.

    Raises:
        ConfigError: there is neither.
    """
    if name in TASKS:
        return name, {}
    if name in DATASETS:
        return DATASETS[name].task, DATASETS[name].settings
    raise ConfigError(
        f"there is no task {name!r}; did you mean {nearest(name, [*TASKS, *DATASETS])}? "
        "`foretext tasks` lists them"
    )
