"""The best of several runs that one command made: seeds, or points of a grid."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from foretext.core.errors import ConfigError
from foretext.hub.weight_files import read_json

SUMMARY_FILE = "summary.json"  # names the best seed
GRID_FILE = "grid.json"  # names the best point


def best_folder(folder: Path) -> Path:
    """The model's folder that a folder stands for: the best point's or seed's, or itself.

    Raises:
        ConfigError: what lies in it has not come to an end.
    """
    for path in _inner(folder):
        if not (path / "config.json").is_file():
            raise ConfigError(
                f"{folder} holds several runs, and {path.name} has not ended; go on with the same "
                "command, or name one of them"
            )
        return path
    return folder


def _inner(folder: Path) -> Iterator[Path]:
    """Where the files that name the best of several lead to."""
    if (folder / "config.json").is_file():
        return
    for name in (GRID_FILE, SUMMARY_FILE):
        path = folder / name
        best = read_json(path).get("best") if path.is_file() else None
        if isinstance(best, str):
            deeper = list(_inner(folder / best))
            yield deeper[0] if deeper else folder / best
            return
