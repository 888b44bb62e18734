"""foretext objectives: how raw text makes its own labels."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from foretext.cli.output import Json, Output
from foretext.cli.papers import paper, summary
from foretext.cli.units import wrapped

EXAMPLE = """\
foretext objectives
foretext pretrain bert-tiny --text books/ --out runs/mlm --set objective.name=masked-lm"""


def command(json: Json = False) -> None:
    """List the objectives of pre-training, with their settings and papers."""
    from foretext.objectives import OBJECTIVES

    output = Output(json=json)
    for name, spec in OBJECTIVES.items():
        settings = {field.name: field.default for field in dataclasses.fields(spec.config)}
        record = {"objective": name, "summary": summary(spec.about), "paper": paper(spec.about)}
        text = listed(name, spec.about, "objective", settings)
        output.result(text, record | {"settings": settings})
    output.note("next: foretext pretrain PRESET ... --set objective.name=NAME")


def listed(
    name: str, about: str, section: str, settings: Mapping[str, Any], *, what: str = ""
) -> str:
    """A name, its module's first line (or `what`), paper and settings, for a reader.

    about: the module's docstring.
    """
    lines = [
        name,
        wrapped(what or summary(about), "  "),
        wrapped(f"Paper: {paper(about)}.", "  "),
    ]
    lines += [f"    {section}.{path} = {_as_setting(value)}" for path, value in settings.items()]
    return "\n".join(lines) + "\n"


def _as_setting(value: Any) -> str:
    """A value as --set takes it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    return str(list(value)) if isinstance(value, tuple) else str(value)
