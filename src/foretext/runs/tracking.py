"""Runs told to experiment trackers, each fed from metrics.jsonl while the run writes it.

A thread follows the files below a run's folder, several of them with --seeds and --grid. So a
tracker sees what the file has, a resumed run goes on in the same place, and a service that is down
never stops a run: that is said once, and the file still has every number.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from foretext.core.atomic import atomic_write_text
from foretext.core.config import flatten, read_toml
from foretext.core.errors import ConfigError
from foretext.core.suggest import nearest

_EVERY = 1.0  # seconds between two looks
_FILE, _RECIPE = "metrics.jsonl", "run.toml"
_PROJECT = "foretext"
Record = Mapping[str, Any]


class Tracker(Protocol):
    """One run at a service."""

    @property
    def run_id(self) -> str:
        """By which a resumed run finds it again."""
        ...

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Numbers of a step."""

    def close(self) -> None:
        """Send what is left."""


class _Wandb:
    def __init__(self, name: str, run_id: str | None, settings: Record) -> None:
        wandb = importlib.import_module("wandb")
        project = os.environ.get("WANDB_PROJECT", _PROJECT)
        known = {} if run_id is None else {"id": run_id, "resume": "allow"}
        self._run = wandb.init(project=project, name=name, config=dict(settings), **known)
        self.run_id = str(self._run.id)

    def log(self, values: Mapping[str, float], step: int) -> None:
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        self._run.finish()


class _Mlflow:
    def __init__(self, name: str, run_id: str | None, settings: Record) -> None:
        mlflow = importlib.import_module("mlflow")
        self._client = mlflow.MlflowClient()
        if run_id is None:
            title = os.environ.get("MLFLOW_EXPERIMENT_NAME", _PROJECT)
            experiment = self._client.get_experiment_by_name(title)
            number = experiment.experiment_id if experiment else None
            number = number or self._client.create_experiment(title)
            run_id = str(self._client.create_run(number, run_name=name).info.run_id)
            for key, value in settings.items():
                self._client.log_param(run_id, key, value)
        self.run_id = run_id

    def log(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self._client.log_metric(self.run_id, name, value, step=step)

    def close(self) -> None:
        self._client.set_terminated(self.run_id)


class _Trackio:
    def __init__(self, name: str, run_id: str | None, settings: Record) -> None:
        trackio = importlib.import_module("trackio")
        self.run_id = run_id or name
        project = os.environ.get("TRACKIO_PROJECT", _PROJECT)
        self._run = trackio.init(
            project=project, name=self.run_id, config=dict(settings), resume="allow"
        )

    def log(self, values: Mapping[str, float], step: int) -> None:
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        self._run.finish()


class _TensorBoard:
    """The run writes TensorBoard's file itself, wherever the package is installed."""

    def __init__(self, name: str, run_id: str | None, settings: Record) -> None:  # noqa: ARG002
        self.run_id = run_id or name

    def log(self, values: Mapping[str, float], step: int) -> None: ...

    def close(self) -> None: ...


_TRACKERS: dict[str, Callable[[str, str | None, Record], Tracker]] = {
    "wandb": _Wandb,
    "mlflow": _Mlflow,
    "trackio": _Trackio,
    "tensorboard": _TensorBoard,
}


def check_names(names: Sequence[str]) -> None:
    """Refuse trackers that are not known or not installed.

    Raises:
        ConfigError: names one.
    """
    for name in names:
        if name not in _TRACKERS:
            raise ConfigError(
                f"--track {name!r} is not known; did you mean {nearest(name, _TRACKERS)}? "
                f"There are {', '.join(_TRACKERS)}"
            )
        try:
            importlib.import_module(name)
        except ImportError:
            raise ConfigError(
                f"--track {name} needs the package; pip install 'foretext[{name}]'"
            ) from None


@contextlib.contextmanager
def tracking(names: Sequence[str], folder: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Tell trackers of the runs in a folder for the time of a block.

    Args:
        names: of trackers, none is fine.
        folder: of the run, or of several.
        say: takes one line where a tracker fails.

    Raises:
        ConfigError: as check_names.
    """
    check_names(names)
    follower = _Follower(names, folder, say)
    thread = threading.Thread(target=follower.follow, name="tracking", daemon=True)
    if names:
        thread.start()
    try:
        yield
    finally:
        follower.leaving.set()
        if names:
            thread.join()


@dataclass
class _Followed:
    """A run's file and its place at one tracker."""

    path: Path
    tracker: Tracker
    told: dict[str, int] = field(default_factory=dict)  # kind of record -> last step


class _Follower:
    def __init__(self, names: Sequence[str], folder: Path, say: Callable[[str], None]) -> None:
        self.names, self.folder, self.say = list(names), folder, say
        self.leaving = threading.Event()
        self._open: dict[tuple[str, Path], _Followed] = {}
        self._before = {path: _version(path) for path in self._files()}  # of earlier runs

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob(f"**/{_FILE}"))

    def follow(self) -> None:
        """Look again and again until the block ends, then once more."""
        last = False
        while not last:
            last = self.leaving.wait(_EVERY)
            for path in self._files():
                if _version(path) != self._before.get(path):
                    for name in list(self.names):
                        self._guarded(name, partial(self._tell, name, path))
        for (name, _), followed in self._open.items():
            self._guarded(name, followed.tracker.close)

    def _guarded(self, name: str, call: Callable[[], None]) -> None:
        """A service raises what it likes, and the run is worth more."""
        try:
            call()
        except Exception as error:
            if name in self.names:
                self.names.remove(name)
                self.say(f"--track {name} stopped: {error!r}; {_FILE} has every number")

    def _tell(self, name: str, path: Path) -> None:
        lines = path.read_text("utf-8", "replace").split("\n")
        records = [record for line in lines if (record := _read(line))]
        if not records:
            return
        followed = self._open.get((name, path)) or self._begin(name, path)
        sent = False
        for record in records:
            kind = "eval" if any(key.startswith("eval/") for key in record) else "train"
            if record["step"] <= followed.told.get(kind, -1):
                continue
            values = {k: v for k, v in record.items() if k != "step" and isinstance(v, int | float)}
            followed.tracker.log(values, record["step"])
            followed.told[kind], sent = record["step"], True
        if sent:
            state = {"run_id": followed.tracker.run_id, "told": followed.told}
            atomic_write_text(_state(name, path), json.dumps(state))

    def _begin(self, name: str, path: Path) -> _Followed:
        place, recipe = _state(name, path), path.parent / _RECIPE
        known = json.loads(place.read_text(encoding="utf-8")) if place.is_file() else {}
        settings = flatten(read_toml(recipe)) if recipe.is_file() else {}
        inner = path.parent.relative_to(self.folder)
        title = "-".join([self.folder.resolve().name, *inner.parts])
        tracker = _TRACKERS[name](title, known.get("run_id"), settings)
        followed = _Followed(path, tracker, dict(known.get("told", {})))
        self._open[name, path] = followed
        return followed


def _state(name: str, path: Path) -> Path:
    return path.parent / f".track-{name}.json"


def _version(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_ino, found.st_mtime_ns


def _read(line: str) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except (json.JSONDecodeError, RecursionError):
        return None  # torn, or still being written
    return record if isinstance(record, dict) and isinstance(record.get("step"), int) else None
