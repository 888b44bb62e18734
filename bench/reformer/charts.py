"""Draws the measured rows: `python -m bench.reformer.charts lengths.jsonl depth.jsonl out.png`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure


def rows(path: str) -> list[dict[str, Any]]:
    """JSON lines of a measurement."""
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


def draw(lengths: list[dict[str, Any]], depths: list[dict[str, Any]], out: str) -> None:
    """Time by length on the left, memory by depth on the right."""
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for kind in dict.fromkeys(row["kind"] for row in lengths):
        own = [row for row in lengths if row["kind"] == kind]
        x, y = [row["length"] for row in own], [row["us"] for row in own]
        middle = [sum(values) / len(values) for values in y]
        left.plot(x, middle, marker="o", label=f"{kind} attention" if "LSH" not in kind else kind)
        left.fill_between(x, [min(v) for v in y], [max(v) for v in y], alpha=0.2)
    left.set_xscale("log", base=2)
    left.set_yscale("log")
    left.set_xlabel("tokens of a text, 16,384 in all")
    left.set_ylabel("CPU microseconds a token, one layer")
    left.legend(fontsize=8)
    for kind in dict.fromkeys(row["kind"] for row in depths):
        own = [row for row in depths if row["kind"] == kind]
        right.plot([r["depth"] for r in own], [r["mb"] for r in own], marker="o", label=kind)
    right.set_xlabel("layers")
    right.set_ylabel("MB of a training step")
    right.set_ylim(bottom=0)
    right.legend(fontsize=8)
    figure.savefig(out, dpi=90)


if __name__ == "__main__":
    draw(rows(sys.argv[1]), rows(sys.argv[2]), sys.argv[3])
