"""`python -m bench.reformer duplication|lengths|depth`: prints JSON lines; see RESULTS.md."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from typing import Any

from bench.reformer import depth, duplication, lengths


def main() -> None:
    measures: dict[str, Callable[[], Iterable[dict[str, Any]]]] = {
        "duplication": lambda: duplication.measure(seeds=2, steps=400, size=16, rate=3e-3),
        "lengths": lambda: lengths.measure(repeats=2),
        "depth": depth.measure,
    }
    for row in measures[sys.argv[1]]():
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
