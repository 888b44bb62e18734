"""Every logged number: a line of JSON each, and TensorBoard's event file where it is installed."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from foretext.core.atomic import atomic_write_text


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

    Args:
        folder: of the run.
        step: updates made when the log is opened.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self.path = folder / "metrics.jsonl"
        kept = [record for record in read_metrics(folder) if record["step"] <= step]
        atomic_write_text(self.path, "".join(json.dumps(record) + "\n" for record in kept))
        self.file = self.path.open("a", encoding="utf-8")
        self.board = _writer(folder, step)

    def write(self, record: Mapping[str, Any]) -> None:
        """Log one record; it has a "step"."""
        plain = {k: _finite(v) for k, v in record.items()}
        self.file.write(json.dumps(plain) + "\n")
        self.file.flush()
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
        self.file.close()
        if self.board is not None:
            self.board.close()


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The records of a run; a torn last line, of a run that died writing it, is left out."""
    path = folder / "metrics.jsonl"
    if not path.exists():
        return []
    records = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return records


def _finite(value: Any) -> Any:
    """JSON has no NaN."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
