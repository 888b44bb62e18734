"""Tasks: how labels adapt what was learned. One module each, found by name here.

A module has a `Config` and a `Build(config)` that satisfies `base.Task`; an `Input`, the config of
its files, with `max_length` and `resolved(path)`; `resolve`, which fills a Config from the training
file and the model; `read`, a labelled or plain file's examples; `given`, those of bare texts; and a
`GUIDE`, what a user is told of it.
It may have `SETTINGS`, by path in the recipe, in which its paper differs from the other tasks; and
its Build `calibrated(pairs of example and prediction)`, the Config with what is set after training,
and `size(example)`, its characters, where examples may be so long that few fit into memory.
"""

from __future__ import annotations

from types import ModuleType

from foretext.core.errors import ConfigError
from foretext.core.suggest import nearest
from foretext.tasks import (
    classification,
    multiple_choice,
    question_answering,
    similarity,
    tagging,
    text_to_text,
)

TASKS: dict[str, ModuleType] = {
    "classification": classification,
    "similarity": similarity,
    "multiple-choice": multiple_choice,
    "question-answering": question_answering,
    "tagging": tagging,
    "text-to-text": text_to_text,
}


def task_module(name: str) -> ModuleType:
    """The module of a task.

    Raises:
        ConfigError: there is no such task.
    """
    if name not in TASKS:
        raise ConfigError(
            f"there is no task {name!r}; did you mean {nearest(name, TASKS)}? "
            "`foretext tasks` lists them"
        )
    return TASKS[name]
