"""Every logged number: a line of JSON each, and TensorBoard's event file where it is installed."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from foretext.core.atomic import atomic_write_text

_FILE = "metrics.jsonl"


def _writer(folder: Path, step: int) -> Any | None:
    """TensorBoard's writer, or None where the extra is not installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of tensorboard's own imports
            from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=step + 1)


class MetricsLog:
    """Appends records to metrics.jsonl; records after `step`, of a run that died, are dropped.

    A log never stops a run: lines that are damaged are left out, and where the file cannot be
    written the run goes on without it; either is said once.

    Args:
        folder: of the run.
        step: updates made when the log is opened.
        say: takes a line on what is wrong.
    """

    def __init__(self, folder: Path, step: int, say: Callable[[str], None]) -> None:
        self.path, self.say = folder / _FILE, say
        self.file: TextIO | None = None
        try:
            records, damaged = _read(self.path)
            if damaged:
                say(f"{self.path}: {damaged} damaged lines are left out; the run goes on")
            kept = [record for record in records if record["step"] <= step]
            atomic_write_text(self.path, "".join(json.dumps(record) + "\n" for record in kept))
            self.file = self.path.open("a", encoding="utf-8")
        except OSError as error:
            self._give_up(error)
        self.board = _writer(folder, step)

    def _give_up(self, error: OSError) -> None:
        self.file = None
        self.say(f"{self.path} cannot be written ({error.strerror}); the run goes on without it")

    def write(self, record: Mapping[str, Any]) -> None:
        """Log one record; it has a "step"."""
        plain = {k: _finite(v) for k, v in record.items()}
        if self.file is not None:
            try:
                self.file.write(json.dumps(plain) + "\n")
                self.file.flush()
            except OSError as error:
                self._give_up(error)
        if self.board is not None:
            for name, value in record.items():
                if name != "step" and isinstance(value, int | float):
                    self.board.add_scalar(name, value, record["step"])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.file is not None:
            self.file.close()
        if self.board is not None:
            self.board.close()


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The records of a run; lines that are damaged, or torn as a run died, are left out."""
    try:
        return _read(folder / _FILE)[0]
    except OSError:
        return []


def _read(path: Path) -> tuple[list[dict[str, Any]], int]:
    """Records, and the number of lines that are none; a torn last line is not counted."""
    if not path.exists():
        return [], 0
    records, damaged = [], 0
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    for number, line in enumerate(lines):
        try:
            record = json.loads(line)
        except (json.JSONDecodeError, RecursionError):
            record = None
        if isinstance(record, dict) and isinstance(record.get("step"), int):
            records.append(record)
        elif number < len(lines) - 1:
            damaged += 1
    return records, damaged


def _finite(value: Any) -> Any:
    """JSON has no NaN."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
