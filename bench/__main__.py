"""Runs the benchmarks and prints their table: `python -m bench [NAMES] [--text PATH]`."""

from __future__ import annotations

import argparse
import json
import os
import platform
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import inference, memory, startup
from bench.compare import compare
from bench.rows import ROWS, Row
from bench.text import shards_of
from bench.worker import THREADS

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Run the rows asked for, and the two that compare foretext with a bound."""
    arguments = _arguments()
    os.environ["OMP_NUM_THREADS"] = str(THREADS)
    console = Console(width=132)
    table = Table(
        "row", "target", "ratio", "spread", "CPU time", "ours", "theirs", "matmul", "used"
    )
    for row in ROWS:
        if _wanted(row.name, arguments):
            table.add_row(*_training(row, arguments, console))
    if _wanted("start-up", arguments):
        found = startup.measure()
        record("start-up", found)
        console.print(
            f"foretext --help: {found['seconds']:.3f} s "
            f"({found['least']:.3f}-{found['most']:.3f}); at most {found['limit']} s"
        )
    if _wanted("prepare-memory", arguments):
        found = memory.measure(arguments.text)
        record("prepare-memory", found)
        peaks = ", ".join(f"{n} of text {b / 1e6:.0f} MB" for n, b in found["peaks"].items())
        console.print(f"prepare, peak memory: {peaks}; {found['growth']:.2f} x")
    if table.row_count:
        console.print(table)
        console.print(
            "ratio: real tokens a second, ours over theirs, median of rounds; CPU time: the same "
            "over CPU seconds;\nmatmul: GFLOP/s of a large fp32 product in the same run; used: "
            "operations our steps need over that rate"
        )


def _wanted(name: str, arguments: argparse.Namespace) -> bool:
    return not arguments.names or any(name.startswith(n) for n in arguments.names)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", help="rows to run, by the start of their names")
    parser.add_argument("--text", type=Path, help="text to train on; default: movie reviews")
    parser.add_argument("--rounds", type=int, help="blocks of each side")
    return parser.parse_args()


def _training(row: Row, arguments: argparse.Namespace, console: Console) -> list[str]:
    """Measure a row, record it, and give its line of the table."""
    if arguments.rounds:
        row = replace(row, rounds=arguments.rounds)
    short = row.text == "short"
    shards = shards_of("short" if short else "documents", arguments.text)
    if row.task == "inference":
        inference.prepared(row, shards)  # here, so that the sides find it
    result = compare(row, shards, console.print)
    record(row.name, result)
    reached = "green" if result["ratio"] >= row.target else "red"
    return [
        row.name,
        f"{row.target:g} x",
        f"[{reached}]{result['ratio']:.2f} x[/]",
        f"{result['least']:.2f}-{result['most']:.2f}",
        f"{result['cpu_ratio']:.2f} x",
        f"{result['ours']:,.0f}/s",
        f"{result['peer']:,.0f}/s",
        f"{result['matmul'] / 1e9:.0f}",
        f"{result['utilisation']:.0%}",
    ]


def record(name: str, result: dict[str, Any]) -> None:
    """Append a line to the results of a row."""
    RESULTS.mkdir(exist_ok=True)
    versions = {p: version(p) for p in ("torch", "transformers", "accelerate", "foretext")}
    about = {"python": platform.python_version(), "threads": THREADS, **versions}
    about["OMP_WAIT_POLICY"] = os.environ.get("OMP_WAIT_POLICY", "")
    with (RESULTS / f"{name}.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(result | {"machine": about}) + "\n")


if __name__ == "__main__":
    main()
