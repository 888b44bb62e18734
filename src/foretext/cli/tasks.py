"""foretext tasks: what a model can be fine-tuned for."""

from __future__ import annotations

import dataclasses

from foretext.cli.objectives import listed
from foretext.cli.output import Json, Output
from foretext.cli.papers import paper, summary
from foretext.cli.units import columns, wrapped

EXAMPLE = """\
foretext tasks
foretext finetune runs/bert mrpc --train train.tsv --dev dev.tsv --out runs/mrpc
foretext finetune runs/bert classification --train train.tsv --dev dev.tsv --out runs/task"""


def command(json: Json = False) -> None:
    """List the tasks of fine-tuning, with their settings, papers and data sets by name."""
    from foretext.tasks import TASKS
    from foretext.tasks.datasets import DATASETS

    output = Output(json=json)
    for name, module in TASKS.items():
        about = module.__doc__ or ""
        settings = {field.name: field.default for field in dataclasses.fields(module.Config)}
        guide, sets = module.GUIDE, {n: s.about for n, s in DATASETS.items() if s.task == name}
        record = {"task": name, "summary": summary(about), "paper": paper(about)}
        record |= {"files": guide.files, "metrics": guide.metrics}
        text = listed(name, about, "task", settings)
        head, rest = text.split("\n  Paper: ", 1)
        told = (f"Learns from {guide.files}.", f"Measures {guide.metrics}.")
        text = "\n".join([head, *(wrapped(line, "  ") for line in told), f"  Paper: {rest}"])
        if sets:
            rows = columns((f"    {n}", about) for n, about in sets.items())
            text += f"  Data sets by name:\n{rows}\n"
        output.result(text, record | {"settings": settings, "datasets": sets})
    from foretext.runs import continued
    from foretext.runs.continued_plan import CONTINUED, ContinuedConfig

    settings = {f.name: f.default for f in dataclasses.fields(ContinuedConfig)}
    for name, what in CONTINUED.items():
        record = {"task": name, "summary": what, "paper": paper(continued.__doc__ or "")}
        text = listed(name, continued.__doc__ or "", "task", settings, what=what)
        output.result(text, record | {"settings": settings})
    output.note("next: foretext finetune RUN TASK --train train.tsv --dev dev.tsv --out runs/name")
