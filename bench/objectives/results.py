"""Results as they come: a line of JSON for each finished run and each finished measure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
FOLDER = HERE / "results"
RUNS, SCALING = "runs.jsonl", "scaling.jsonl"


class Results:
    """Lines {"arm", "seed", "measure", ...} of a file; what is in it is not done again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        self.records: list[dict[str, Any]] = [json.loads(line) for line in lines]
        self.done = {(r["arm"], r["seed"], r["measure"]) for r in self.records}

    def missing(self, arm: str, seed: int, measures: Iterable[str]) -> list[str]:
        """Measures that have no line yet."""
        return [m for m in measures if (arm, seed, m) not in self.done]

    def add(self, arm: str, seed: int, measure: str, values: Mapping[str, Any]) -> None:
        """Write a line at once, and print it."""
        record = {"arm": arm, "seed": seed, "measure": measure, **values}
        line = json.dumps(record)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        self.records.append(record)
        self.done.add((arm, seed, measure))
        print(line, flush=True)

    def values(self, arm: str, measure: str, metric: str) -> dict[int, float]:
        """A metric of an arm, by seed."""
        return {
            record["seed"]: record[metric]
            for record in self.records
            if record["arm"] == arm and record["measure"] == measure and metric in record
        }
