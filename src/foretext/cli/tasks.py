"""foretext tasks: what a model can be fine-tuned for."""

from __future__ import annotations

import dataclasses

from foretext.cli.objectives import listed
from foretext.cli.output import Json, Output
from foretext.cli.papers import paper, summary

EXAMPLE = """\
foretext tasks
foretext finetune runs/bert classification --train train.tsv --dev dev.tsv --out runs/task"""


def command(json: Json = False) -> None:
    """List the tasks of fine-tuning, with their settings and papers."""
    from foretext.tasks import TASKS

    output = Output(json=json)
    for name, module in TASKS.items():
        settings = {field.name: field.default for field in dataclasses.fields(module.Config)}
        record = {"task": name, "summary": summary(module), "paper": paper(module)}
        output.result(listed(name, module, "task", settings), record | {"settings": settings})
    from foretext.training import continued

    settings = {f.name: f.default for f in dataclasses.fields(continued.ContinuedConfig)}
    for name, what in continued.CONTINUED.items():
        record = {"task": name, "summary": what, "paper": paper(continued)}
        text = listed(name, continued, "task", settings, what=what)
        output.result(text, record | {"settings": settings})
    output.note("next: foretext finetune RUN TASK --train train.tsv --dev dev.tsv --out runs/name")
