"""A module's line and paper, as its docstring gives them."""

from __future__ import annotations

import re


def summary(about: str) -> str:
    """The first line of a module's docstring."""
    return about.strip().split("\n")[0]


def paper(about: str) -> str:
    """The text after "Paper:" or "Papers:", up to the deviations, in one line."""
    found = re.search(r"Papers?:\s*(.*?)(?:Deviations?:|\n\n|\Z)", about, re.DOTALL)
    return " ".join(found[1].split()).rstrip(".") if found else ""
