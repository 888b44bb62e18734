"""SQuAD 2.0 with the threshold from folds: `python -m bench.tasks.folds --data FOLDER --seeds 3`.

A threshold that is tuned on a few articles fits those, and articles differ. Here each third of the
twelve articles to train on is predicted by a model of the other two thirds; the threshold that
serves the worse kind of those questions best is the one of the models of all twelve, which are
tested on the last four articles as the other rows are. The models begin with SQuAD 1.1's.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

_FOLDS = 3
_TEST = 4  # articles
_NAME = "squad20-folds"


def main() -> None:
    """Train the folds once and all articles once a seed, and print what the threshold makes."""
    parser = argparse.ArgumentParser(prog="python -m bench.tasks.folds", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=int(os.environ.get("OMP_NUM_THREADS", "2")))
    arguments = parser.parse_args()
    import torch

    from bench.tasks.__main__ import RESULTS

    torch.set_num_threads(arguments.threads)
    threshold = _threshold([_predicted(arguments.data, 0, fold) for fold in range(_FOLDS)])
    print(f"threshold {threshold:.3f}", flush=True)
    for seed in range(arguments.seeds):
        found = _predicted(arguments.data, seed, None)
        metrics = _scored(found["rows"], threshold)
        print(seed, {name: round(value, 2) for name, value in metrics.items()}, flush=True)
        run = {"set": _NAME, "seed": seed, "threshold": threshold}
        record = {"run": run, "metrics": metrics, "cpu": found["cpu"]}
        with (RESULTS / f"{_NAME}.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")


def _predicted(data: Path, seed: int, fold: int | None) -> dict[str, Any]:
    """Golds, best answers and null scores of what a model has not seen; kept when done."""
    from bench.tasks.files import CACHE

    path = CACHE / _NAME / f"{seed}-{'test' if fold is None else fold}.json"
    if not path.exists():
        cpu = time.process_time()
        rows = list(_trained(data, seed, fold))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"rows": rows, "cpu": time.process_time() - cpu}))
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def _trained(data: Path, seed: int, fold: int | None) -> Iterator[tuple[list[str], str, float]]:
    import foretext
    from bench.tasks import ours
    from bench.tasks.files import prepared
    from bench.tasks.references import GOLD
    from bench.tasks.sets import SETS
    from bench.tasks.trunks import TRUNKS

    task_set = next(s for s in SETS if s.name == "squad20-after-squad11").sized(full=True)
    task_set = replace(task_set, recipe=replace(task_set.recipe, precision="bf16"))
    files = prepared(f"{_NAME}-{fold}", lambda folder: _split(folder, fold), ".json", data, {})
    with tempfile.TemporaryDirectory(prefix="foretext-bench-") as folder:
        run = Path(folder, "run")
        trunk = TRUNKS[task_set.trunk](data, "bf16")
        ours.train(task_set, files, trunk, run, ours.settings(task_set, seed))
        golds = GOLD["questions"](task_set, files.test)["answers"]
        for prediction in foretext.predict(run, files.test):
            best = prediction.n_best[0].text if prediction.n_best else ""
            yield golds[prediction.id], best, prediction.null_score


def _split(data: Path, fold: int | None) -> dict[str, Any]:
    from bench.tasks.files import read_questions

    whole = read_questions(data / "qa/squad20_dev_part.json")
    known = whole.items[-1][0] + 1 - _TEST  # articles
    left_out = range(known, known + _TEST) if fold is None else range(fold, known, _FOLDS)
    parts = {
        "train": [x for x in whole.items if x[0] < known and x[0] not in left_out],
        "test": [x for x in whole.items if x[0] in left_out],
    }
    return {part: replace(whole, items=items) for part, items in parts.items()}


def _threshold(folds: list[dict[str, Any]]) -> float:
    from foretext.metrics import squad

    rows = [row for found in folds for row in found["rows"]]
    f1 = np.array([squad.scores(best, golds, empty_counts=True).f1 for golds, best, _ in rows])
    nulls = np.array([null for _, _, null in rows])
    has = np.array([bool(golds) for golds, _, _ in rows])
    return squad.balanced_threshold(f1, nulls, has, np.ones_like(has)).threshold


def _scored(rows: list[Any], threshold: float) -> dict[str, float]:
    from foretext.metrics import squad

    golds = {str(n): golds for n, (golds, _, _) in enumerate(rows)}
    answers = {str(n): "" if null > threshold else best for n, (_, best, null) in enumerate(rows)}
    return squad.evaluate(golds, answers, version="2.0")


if __name__ == "__main__":
    main()
