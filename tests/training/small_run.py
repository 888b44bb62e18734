"""A run of seconds, as a process of its own: `python -m tests.training.small_run`.

Arguments: an objective, gpt3-mini or multiple-choice; loader workers; the text, or the folder of a
backbone and a labelled file; out. Prints "step N" after every step.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from foretext.models import FAMILIES, family_of
from foretext.runs.finetune import FinetuneOptions, finetune
from foretext.runs.options import PretrainOptions
from foretext.runs.pretrain import pretrain
from foretext.training.progress import Reporter, Silent, StepReport

STEPS = 14
PRESETS = {
    family.recipe(preset)["objective.name"]: preset
    for family in FAMILIES.values()
    for preset in family.presets
    if preset.endswith("-tiny")
} | {"masked-lm": "bert-tiny", "causal-lm": "gpt-tiny", "gpt3-mini": "gpt3-mini"}

_OWN: dict[str, dict[str, object]] = {
    "masked-lm": {"data.long_length": 40, "data.long_rate": 0.5},
    "gpt3-mini": {
        "objective.name": "causal-lm",  # packed: documents in rows of full length
        "model.num_layers": 2,
        "model.attention_window": 6,
        "training.warmup_steps": 0,
        "training.warmup_tokens": 3 * 8 * 32,
        "training.batch_ramp": [2, 9],
    },
}


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
    } | _OWN.get(objective, {})


class Printing(Silent):
    def message(self, text: str) -> None:
        print("message", text, flush=True)

    def step(self, report: StepReport) -> None:
        print("step", report.step, flush=True)

    def evaluated(self, step: int, metrics: Mapping[str, float]) -> None:
        print("evaluated", step, dict(metrics), flush=True)


def begin(what: str, workers: int, source: Path, out: Path, reporter: Reporter) -> bool:
    """Run to the end, or go on to it; whether a signal stopped it before."""
    if what != "multiple-choice":
        known = family_of(PRESETS[what]).config.__dataclass_fields__
        fitting = {
            path: value
            for path, value in settings(what, workers).items()
            if not path.startswith("model.") or path.removeprefix("model.") in known
        }
        options = PretrainOptions(text=[source], settings=fitting)
        return pretrain(PRESETS[what], out=out, options=options, reporter=reporter).progress.stopped
    tuned = {
        name: value
        for name, value in settings(what, workers).items()
        if name.startswith("training.") and name != "training.eval_every"
    }
    train = source / "train.tsv"
    chosen = FinetuneOptions(settings=tuned | {"data.max_length": 32})
    finetune(source / "backbone", what, train=train, out=out, options=chosen, reporter=reporter)
    return False


def main() -> None:
    what, workers, source, out = sys.argv[1:5]
    stopped = begin(what, int(workers), Path(source), Path(out), Printing())
    sys.exit(130 if stopped else 0)


if __name__ == "__main__":
    main()
