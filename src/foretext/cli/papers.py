"""A module's paper, as its docstring gives it."""

from __future__ import annotations

import re
from types import ModuleType


def summary(module: ModuleType) -> str:
    """The first line of a module's docstring."""
    return (module.__doc__ or "").strip().split("\n")[0]


def paper(module: ModuleType) -> str:
    """The text after "Paper:" or "Papers:", up to the deviations, in one line."""
    found = re.search(r"Papers?:\s*(.*?)(?:Deviations?:|\n\n|\Z)", module.__doc__ or "", re.DOTALL)
    return " ".join(found[1].split()).rstrip(".") if found else ""
