"""Runs sets on both sides and writes RESULTS.md: `python -m bench.tasks [NAMES] --data FOLDER`."""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console

RESULTS = Path(__file__).parent / "results"
SIDES = ("foretext", "transformers")


def main() -> None:
    """Run what is asked for and not yet done, one seed of every set before the next seed."""
    arguments = _arguments()
    os.environ.setdefault("OMP_NUM_THREADS", str(arguments.threads))
    import torch

    from bench.tasks.report import write_report
    from bench.tasks.sets import SETS

    torch.set_num_threads(arguments.threads)
    console = Console(width=132)
    known = {s.name: s for s in SETS}
    chosen = [known[name].sized(arguments.size) for name in arguments.names or known]
    sizes = {"train": arguments.train, "test": arguments.test}
    chosen = [replace(s, **{k: n for k, n in sizes.items() if n is not None}) for s in chosen]
    if arguments.precision is not None:
        ways = [replace(s.recipe, precision=arguments.precision) for s in chosen]
        chosen = [replace(s, recipe=way) for s, way in zip(chosen, ways, strict=True)]
    for seed in range(arguments.seeds):
        for task_set in chosen:
            for side in [s for s in arguments.sides if s == "foretext" or not task_set.no_peer]:
                key = {"set": task_set.name, "side": side, "seed": seed, **task_set.values()}
                if (done := _done(key)) is None:
                    done = _run(task_set, side, seed, arguments.data, key)
                metrics = {k: round(v, 2) for k, v in done["metrics"].items()}
                console.print(f"{task_set.name} {side} {seed}: {metrics} {done['cpu']:.0f} s CPU")
            write_report(RESULTS)
    write_report(RESULTS)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.tasks", description=__doc__)
    parser.add_argument("names", nargs="*", help="sets to run, in this order; none = all")
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--size", choices=("short", "usual", "whole"), default="usual")
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=SIDES, help="default: both")
    parser.add_argument("--train", type=int, help="examples to train on, of every set")
    parser.add_argument("--test", type=int, help="examples to test on")
    parser.add_argument("--precision", choices=("fp32", "bf16"), help="of training, both sides")
    parser.add_argument("--threads", type=int, default=int(os.environ.get("OMP_NUM_THREADS", "2")))
    return parser.parse_args()


def _path(name: str) -> Path:
    return RESULTS / f"{name}.jsonl"


def _done(key: dict[str, Any]) -> dict[str, Any] | None:
    """The line of a finished run with this recipe."""
    path = _path(key["set"])
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    wanted = json.loads(json.dumps(key))
    found = [record for line in lines if (record := json.loads(line))["run"] == wanted]
    return found[-1] if found else None


def _run(task_set: Any, side: str, seed: int, data: Path, key: dict[str, Any]) -> dict[str, Any]:
    """Train and test one side, and append its line."""
    from bench.tasks import ours
    from bench.tasks.backbones import BACKBONES
    from bench.tasks.reference import Run
    from bench.tasks.references import GOLD, REFERENCES
    from bench.tasks.score import SCORES

    files = task_set.prepared(data)
    backbone = BACKBONES[task_set.backbone](data, task_set.recipe.precision)
    cpu, wall = time.process_time(), time.perf_counter()
    if side == "foretext":
        answers = ours.answers(task_set, files, backbone, seed)
    else:
        answers = REFERENCES[task_set.kind](task_set, files, Run(backbone=backbone, seed=seed))
    gold = GOLD[task_set.kind](task_set, files.test)
    record = {
        "run": key,
        "metrics": SCORES[task_set.kind](gold, answers),
        "tested": len(gold["answers"] if task_set.kind == "questions" else gold),
        "cpu": time.process_time() - cpu,
        "wall": time.perf_counter() - wall,
        "versions": {p: version(p) for p in ("torch", "transformers", "foretext")},
    }
    RESULTS.mkdir(exist_ok=True)
    with _path(task_set.name).open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")
    return record


if __name__ == "__main__":
    main()
