"""What a user is told of a task: by `foretext tasks`, model cards, and what to do next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from foretext.labelled.inspect import Facts


@dataclass(frozen=True, kw_only=True)
class Guide:
    """A task in a few words; a module of tasks/ has one as GUIDE."""

    files: str  # that it learns from
    metrics: str  # the first one chooses the best weights
    labelled: str  # a labelled file in examples, such as "test.tsv"
    inputs: str  # what `foretext predict RUN` takes behind the run in examples
    hub: str  # the task's name on model hubs
    unit: str  # examples, in the plural
    facts: Callable[[Any], Facts]  # what check-data counts of a labelled example
