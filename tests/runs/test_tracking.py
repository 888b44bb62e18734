"""Trackers get what metrics.jsonl gets, once, in one run, and never stop a run."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from foretext.core.errors import ConfigError
from foretext.runs.tracking import tracking
from foretext.training.log import MetricsLog

Sent = list[tuple[str, int, dict[str, float]]]


class Fake:
    """A run of a service: wandb's, trackio's and mlflow's calls, written down."""

    def __init__(self, sent: Sent, fails: bool) -> None:
        self.sent, self.fails, self.made = sent, fails, 0

    def init(self, *, name: str, **rest: Any) -> Any:
        self.made += 1
        run = SimpleNamespace(id=rest.get("id") or f"run-{self.made}", finish=lambda: None)
        run.log = lambda values, step: self.log(run.id if "id" in rest else name, values, step)
        return run

    def log(self, run: str, values: dict[str, float], step: int) -> None:
        if self.fails:
            raise ConnectionError("no route to host")
        self.sent.append((run, step, values))

    def MlflowClient(self) -> Any:
        def create_run(number: str, run_name: str) -> Any:  # noqa: ARG001
            return SimpleNamespace(info=SimpleNamespace(run_id=run_name))

        return SimpleNamespace(
            get_experiment_by_name=lambda _: None,
            create_experiment=lambda _: "1",
            create_run=create_run,
            log_param=lambda *_: None,
            log_metric=lambda run, name, value, step: self.log(run, {name: value}, step),
            set_terminated=lambda _: None,
        )


def fake(monkeypatch: pytest.MonkeyPatch, name: str, *, fails: bool = False) -> Sent:
    sent: Sent = []
    module, run = ModuleType(name), Fake(sent, fails)
    module.init, module.MlflowClient = run.init, run.MlflowClient  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, name, module)
    return sent


def write(folder: Path, first: int, last: int) -> None:
    """What a run logs from one step to another."""
    folder.mkdir(exist_ok=True)
    with MetricsLog(folder, first - 1, print) as log:
        for step in range(first, last + 1):
            log.write({"step": step, "loss": 1 / step, "utilisation": None})
            if step == 2:
                log.write({"step": step, "eval/loss": 0.5})


@pytest.mark.parametrize("name", ["wandb", "mlflow", "trackio"])
def test_a_tracker_gets_every_number_once(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over a resume too, where the file is written anew."""
    sent, out = fake(monkeypatch, name), tmp_path / "run"
    for first, last in ((1, 3), (3, 5)):  # the third step again
        with tracking([name], out, print):
            write(out, first, last)
    values = {(step, key): value for _, step, values in sent for key, value in values.items()}
    assert values == {(step, "loss"): 1 / step for step in range(1, 6)} | {(2, "eval/loss"): 0.5}
    assert len(sent) == 6
    state = json.loads((out / f".track-{name}.json").read_text())
    assert state["told"] == {"train": 5, "eval": 2}


def test_runs_below_the_folder_are_runs_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As --seeds makes them; what lay there before the block is not told again."""
    sent, out = fake(monkeypatch, "mlflow"), tmp_path / "task"
    out.mkdir()
    write(out / "old", 1, 1)
    with tracking(["mlflow"], out, print):
        write(out / "seed-0", 1, 1)
        write(out / "seed-1", 1, 1)
    assert [(run, step) for run, step, _ in sent] == [("task-seed-0", 1), ("task-seed-1", 1)]


def test_a_service_that_is_down_is_told_once_and_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake(monkeypatch, "wandb", fails=True)
    said: list[str] = []
    with tracking(["wandb"], tmp_path / "run", said.append):
        write(tmp_path / "run", 1, 3)
    assert said == [
        "--track wandb stopped: ConnectionError('no route to host'); metrics.jsonl has every number"
    ]


def test_tensorboard_has_the_numbers(tmp_path: Path) -> None:
    """The real package reads the run's own event file."""
    with tracking(["tensorboard"], tmp_path / "run", print):
        write(tmp_path / "run", 1, 3)
    board = EventAccumulator(str(tmp_path / "run")).Reload()
    assert [one.step for one in board.Scalars("loss")] == [1, 2, 3]


def test_what_is_not_known_or_not_there_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "trackio", None)
    faults = {"wanb": "did you mean 'wandb'", "trackio": r"pip install 'foretext\[trackio\]'"}
    for name, says in faults.items():
        with pytest.raises(ConfigError, match=says), tracking([name], tmp_path, print):
            pass
