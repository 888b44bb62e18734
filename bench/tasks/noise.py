"""Both sides under dropout, with the same weights and examples: the noise must be the same.

    python -m bench.tasks.noise NAMES --data FOLDER [--examples 16] [--draws 100]

foretext fine-tunes on the set as in a short run. Then both sides take steps at a learning rate of 0
on the same few training examples, so that between steps nothing but dropout's draw differs. Printed
are the mean of the loss and of the gradient's norm with its standard error, and the spread.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev

import torch

from bench.tasks import ours
from bench.tasks.backbones import BACKBONES
from bench.tasks.reference import Run, labels_of
from bench.tasks.references import REFERENCES
from bench.tasks.sets import SETS, TaskSet

_SEED = 0


def main() -> None:
    """Print the noise of both sides, each set that is named."""
    parser = argparse.ArgumentParser(prog="python -m bench.tasks.noise", description=__doc__)
    known = {task_set.name: task_set for task_set in SETS}
    parser.add_argument("names", nargs="+", choices=known, metavar="NAMES")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--examples", type=int, default=16)
    parser.add_argument("--draws", type=int, default=100)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name in arguments.names:
        _measure(known[name].sized("short"), arguments.data, arguments.examples, arguments.draws)


def _measure(task_set: TaskSet, data: Path, examples: int, draws: int) -> None:
    backbone = BACKBONES[task_set.backbone](data, "fp32")
    still = replace(task_set.recipe, learning_rate=0.0, batch_size=examples, epochs=float(draws))
    few = replace(task_set, recipe=still, train=examples, test=examples, calibrate=None)
    files = few.prepared(data)
    with tempfile.TemporaryDirectory(prefix="foretext-bench-") as folder:
        tuned, run = Path(folder, "tuned"), Path(folder, "run")
        ours.train(
            task_set, task_set.prepared(data), backbone, tuned, ours.settings(task_set, _SEED)
        )
        ours.train(few, files, tuned, run, ours.settings(few, _SEED) | {"training.log_every": 1})
        steps = ours.logged(run)
        reference = Run(backbone=tuned, seed=_SEED, labels=labels_of(tuned))
        REFERENCES[few.kind](few, files, reference)
    print(task_set.name)
    for side, losses, norms in (
        ("foretext", [s["loss"] for s in steps], [s["gradient_norm"] for s in steps]),
        ("transformers", reference.losses, reference.gradient_norms),
    ):
        print(f"  {side:13s} loss {_noise(losses)}; norm of the gradient {_noise(norms)}")


def _noise(values: list[float]) -> str:
    error = stdev(values) / len(values) ** 0.5
    return f"{mean(values):.4f} ± {error:.4f}, spread {stdev(values):.4f}"


if __name__ == "__main__":
    main()
