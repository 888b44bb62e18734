"""A pre-training run of seconds, as a process of its own: `python -m tests.training.small_run`.

Arguments: objective, loader workers, text, out. Prints "step N" after every step.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from foretext.models import FAMILIES
from foretext.training.pretrain import PretrainOptions, pretrain
from foretext.training.progress import Silent, StepReport

STEPS = 14
PRESETS = {
    family.recipe(preset)["objective.name"]: preset
    for family in FAMILIES.values()
    for preset in family.PRESETS
    if preset.endswith("-tiny")
} | {"masked-lm": "bert-tiny"}

_TWO_LENGTHS = {"data.long_length": 40, "data.long_rate": 0.5}


def settings(objective: str, workers: int) -> dict[str, object]:
    """A model of two layers of 32, on batches of 8."""
    return {
        "objective.name": objective,
        "model.hidden_size": 32,
        "model.intermediate_size": 48,
        "model.max_position_embeddings": 40,
        "data.max_length": 32,
        "data.vocab_size": 400,
        "data.held_out": 0.1,
        "training.steps": STEPS,
        "training.warmup_steps": 3,
        "training.batch_size": 8,
        "training.micro_batch_size": 3,
        "training.save_every": 3,
        "training.log_every": 1,
        "training.eval_every": 5,
        "training.workers": workers,
        "training.threads": 1,
    } | (_TWO_LENGTHS if objective == "masked-lm" else {})


class Printing(Silent):
    def message(self, text: str) -> None:
        print("message", text, flush=True)

    def step(self, report: StepReport) -> None:
        print("step", report.step, flush=True)

    def evaluated(self, step: int, metrics: Mapping[str, float]) -> None:
        print("evaluated", step, dict(metrics), flush=True)


def main() -> None:
    objective, workers, text, out = sys.argv[1:5]
    options = PretrainOptions(text=[Path(text)], settings=settings(objective, int(workers)))
    result = pretrain(PRESETS[objective], out=out, options=options, reporter=Printing())
    sys.exit(130 if result.progress.stopped else 0)


if __name__ == "__main__":
    main()
