"""Settings by path from --config, --set and the options that stand for one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from foretext.core.config import flatten, parse_settings, read_toml

# What run.toml holds beside settings, so that another run's can be given as --config.
_SECTIONS = ("text", "source")
_NAMES = ("foretext", "preset", "name", "recipe", "model.family")


def settings(config: Path | None, changes: list[str], steps: int | None) -> dict[str, Any]:
    """Settings by path; --set beats --config, and --steps beats both.

    Raises:
        ConfigError: the file cannot be read, or a change is not path=value.
    """
    values = read_toml(config) if config is not None else {}
    flat = flatten({k: v for k, v in values.items() if k not in _SECTIONS})
    chosen = {path: value for path, value in flat.items() if path not in _NAMES}
    chosen |= parse_settings(changes)
    return chosen if steps is None else chosen | {"training.steps": steps}
