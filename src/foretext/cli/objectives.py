"""foretext objectives: how raw text makes its own labels."""

from __future__ import annotations

import dataclasses
from typing import Any

from foretext.cli.output import Json, Output
from foretext.cli.papers import paper, summary

EXAMPLE = """\
foretext objectives
foretext pretrain bert-tiny --text books/ --out runs/mlm --set objective.name=masked-lm"""


def command(json: Json = False) -> None:
    """List the objectives of pre-training, with their settings and papers."""
    from foretext.objectives import OBJECTIVES

    output = Output(json=json)
    for name, module in OBJECTIVES.items():
        settings = {field.name: field.default for field in dataclasses.fields(module.Config)}
        record = {"objective": name, "summary": summary(module), "paper": paper(module)}
        text = f"{name}: {record['summary']}\n  paper: {record['paper']}\n{_settings(settings)}"
        output.result(text, record | {"settings": settings})
    output.note("next: foretext pretrain PRESET ... --set objective.name=NAME")


def _settings(settings: dict[str, Any]) -> str:
    if not settings:
        return "  settings: none\n"
    return "".join(f"  objective.{name} = {value}\n" for name, value in settings.items())
