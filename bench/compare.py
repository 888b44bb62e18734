"""Runs two sides of a row by turns, each in a process of its own, one idle while the other runs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any, Self

import torch

from bench.rows import Row
from bench.worker import THREADS
from foretext.training.precision import matrix_multiply_rate

SIDES = ("peer", "ours")
_SIZE = 2048  # rows and columns of the matrices whose product is the machine's rate


class Worker:
    """One side's process."""

    def __init__(self, side: str, row: Row, shards: Path) -> None:
        command = [sys.executable, "-m", "bench.worker", side, json.dumps(row.values()), shards]
        self.process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[1],
            text=True,
        )

    def block(self) -> dict[str, float]:
        """Let it run a block; what it reports."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"a side ended with code {self.process.wait()}; see its error above")
        return json.loads(answer)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.process.terminate()
        self.process.wait()


def matmul_rate(precision: str) -> float:
    """Floating-point operations a second of a large product on this many threads, the best."""
    torch.set_num_threads(THREADS)
    return matrix_multiply_rate(torch.device("cpu"), precision, size=_SIZE)


def compare(row: Row, shards: Path, progress: Callable[[str], None]) -> dict[str, Any]:
    """Ratios of real tokens per second over the rounds of a row."""
    rounds: list[dict[str, Any]] = []
    with ExitStack() as stack:
        workers = {side: stack.enter_context(Worker(side, row, shards)) for side in SIDES}
        for worker in workers.values():
            worker.block()  # warm-up
        for number in range(row.rounds):
            done = {side: worker.block() for side, worker in workers.items()}
            rate = {side: d["tokens"] / d["seconds"] for side, d in done.items()}
            per_cpu = {side: d["tokens"] / d["cpu"] for side, d in done.items()}
            work = done["ours"]["operations"] / done["ours"]["seconds"]
            rounds.append(
                {
                    "ours": rate["ours"],
                    "peer": rate["peer"],
                    "ratio": rate["ours"] / rate["peer"],
                    "cpu_ratio": per_cpu["ours"] / per_cpu["peer"],
                    "work": work,
                    "matmul": matmul_rate(row.precision),
                }
            )
            progress(f"{row.name} {number + 1}/{row.rounds}: {rounds[-1]['ratio']:.2f}")
    middle = {name: median(r[name] for r in rounds) for name in rounds[0]}
    ratios = [r["ratio"] for r in rounds]
    return {
        **row.values(),
        **middle,
        "least": min(ratios),
        "most": max(ratios),
        "utilisation": middle["work"] / middle["matmul"],
        "each": rounds,
    }
