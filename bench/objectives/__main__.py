"""Runs the experiments and writes their table.

    python -m bench.objectives [NAMES] [--text PATH] [--seeds N] [--cpu-seconds S]

Every finished run and every finished measure is one line of results/runs.jsonl, and what has its
line is not done again; so a call that was stopped goes on. One seed of everything comes before the
next, so the table is soon complete and then gets sharper.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import torch

from bench.objectives.arms import ARMS, EXPERIMENTS, Arm
from bench.objectives.measures import MEASURES, Subject
from bench.objectives.results import FOLDER, HERE, RUNS, Results
from bench.objectives.runs import calibrate, pretrain_arm, record_of, steps_of
from bench.objectives.table import write
from bench.objectives.world import World, world
from foretext.core.atomic import remove_folder

SHARED = Path("../shared/data")


def main() -> None:
    """Run what is asked for and not done yet."""
    arguments = _arguments()
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    prepared = world(
        arguments.cache / "world",
        arguments.text,
        arguments.held_out,
        arguments.labelled,
        megabytes=arguments.megabytes,
    )
    names = arguments.names or list(EXPERIMENTS)
    arms = list(dict.fromkeys(arm for name in names for arm in EXPERIMENTS[name].arms))
    results = Results(arguments.results / RUNS)
    seconds = calibrate(arms, prepared, arguments.results / "seconds_per_step.json")
    budgets = {r["budget"] for r in results.records if "budget" in r} | {arguments.cpu_seconds}
    if len(budgets) > 1:
        raise SystemExit(f"{results.path} has runs of {sorted(budgets)} s; give another --results")
    for seed in range(arguments.seeds):
        for name in arms:
            arm = ARMS[name]
            steps = steps_of(arm, seconds, arguments.cpu_seconds)
            _one(arm, seed, steps, prepared, results, arguments)
    if arguments.results == FOLDER:
        write(results)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.objectives", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(EXPERIMENTS)}")
    parser.add_argument("--text", type=Path, default=SHARED / "corpora/en_books_train.txt")
    parser.add_argument("--held-out", type=Path, default=SHARED / "corpora/en_books_valid.txt")
    parser.add_argument("--labelled", type=Path, default=SHARED, help="with sentence/sst2")
    parser.add_argument("--megabytes", type=float, default=22.0, help="of the text")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--cpu-seconds", type=float, default=50.0, help="of a pre-training run")
    parser.add_argument("--results", type=Path, default=FOLDER)
    parser.add_argument("--cache", type=Path, default=HERE.parent / "cache" / "objectives")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(EXPERIMENTS):
        parser.error(f"{', '.join(sorted(unknown))}: there are {', '.join(EXPERIMENTS)}")
    return arguments


def _one(
    arm: Arm,
    seed: int,
    steps: int,
    prepared: World,
    results: Results,
    arguments: argparse.Namespace,
) -> None:
    """Pre-train an arm, unless that is done, and measure what is not measured."""
    left = results.missing(arm.name, seed, ("pretrain", *arm.measures))
    if not left:
        return
    cache, budget = arguments.cache, arguments.cpu_seconds
    run = cache / "runs" / f"{arm.name}-{seed}"
    if "pretrain" in left or not (run / "model.safetensors").exists():
        result, clock = pretrain_arm(arm, seed, steps, prepared, run)
        if result.progress.stopped:
            raise SystemExit(130)
        if "pretrain" in left:
            results.add(arm.name, seed, "pretrain", record_of(result, clock) | {"budget": budget})
    for measure in left:
        if measure == "pretrain":
            continue
        scratch = cache / "scratch"
        if scratch.exists():
            remove_folder(scratch)
        subject = Subject(run=run, seed=seed, world=prepared, scratch=scratch)
        results.add(arm.name, seed, measure, MEASURES[measure](subject))


if __name__ == "__main__":
    main()
