"""Pre-training of the arms: every arm gets as many steps as fit the same CPU seconds."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

from bench.objectives.arms import ARMS, Arm
from bench.objectives.world import World
from foretext.core.atomic import remove_folder
from foretext.runs.options import PretrainOptions
from foretext.runs.pretrain import PretrainResult, pretrain
from foretext.training.progress import Silent, StepReport

_ROUNDS, _STEPS = 3, 16  # of the measurement of an arm's speed


class Clock(Silent):
    """CPU seconds of the steps between the first report and the last."""

    def __init__(self) -> None:
        self.reports: list[tuple[int, int, float]] = []  # step, tokens, CPU seconds

    def step(self, report: StepReport) -> None:
        self.reports.append((report.step, report.tokens, time.process_time()))

    @property
    def seconds_per_step(self) -> float:
        (first, _, begun), (last, _, ended) = self.reports[0], self.reports[-1]
        return (ended - begun) / max(last - first, 1)


def pretrain_arm(
    arm: Arm, seed: int, steps: int, world: World, folder: Path
) -> tuple[PretrainResult, Clock]:
    """Pre-train an arm from scratch."""
    if folder.exists():
        remove_folder(folder)
    course = {
        "training.steps": steps,
        "training.warmup_steps": steps // 10,
        "training.save_every": steps,
        "training.eval_every": steps,
        "training.seed": seed,
        "training.log_every": 2,
    }
    clock = Clock()
    options = PretrainOptions(shards=world.folder / arm.shards, settings=arm.values | course)
    return pretrain(arm.preset, out=folder, options=options, reporter=clock), clock


def calibrate(names: list[str], world: World, file: Path) -> dict[str, float]:
    """CPU seconds a step of every arm, measured by turns, so that all meet the same machine.

    Measured once and kept in `file`: later seeds make the same steps.
    """
    known: dict[str, float] = json.loads(file.read_text()) if file.exists() else {}
    wanted = dict.fromkeys(ARMS[name].timed_as or name for name in names)
    missing = [name for name in wanted if name not in known]
    found: dict[str, list[float]] = {name: [] for name in missing}
    for _ in range(_ROUNDS):
        for name in missing:
            scratch = world.folder / "calibration"
            _, clock = pretrain_arm(ARMS[name], 0, _STEPS, world, scratch)
            found[name].append(clock.seconds_per_step)
    known |= {name: median(seconds) for name, seconds in found.items()}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(known, indent=1) + "\n")
    return known


def steps_of(arm: Arm, seconds_per_step: Mapping[str, float], budget: float) -> int:
    """Steps that take the arm's share of a budget of CPU seconds."""
    return max(1, round(budget * arm.share / seconds_per_step[arm.timed_as or arm.name]))


def record_of(result: PretrainResult, clock: Clock) -> dict[str, Any]:
    """What is kept of a run."""
    return {
        "steps": result.progress.step,
        "tokens": result.progress.tokens,
        "flops": result.estimate.flops,
        "cpu_seconds": round(clock.seconds_per_step * result.progress.step, 1),
        **{k: round(v, 5) for k, v in result.progress.last_metrics.items()},
    }
