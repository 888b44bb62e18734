"""Model families: what reads the tokens. One module each, found by name here."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from foretext.errors import ConfigError
from foretext.models import bert, gpt
from foretext.suggest import nearest

FAMILIES: dict[str, ModuleType] = {"bert": bert, "gpt": gpt}


def family_of(preset: str) -> ModuleType:
    """The family that a preset belongs to.

    Raises:
        ConfigError: there is no such preset.
    """
    for family in FAMILIES.values():
        if preset in family.PRESETS:
            return family
    names = [name for family in FAMILIES.values() for name in family.PRESETS]
    raise ConfigError(
        f"there is no preset {preset!r}; did you mean {nearest(preset, names)}? "
        "`foretext models` lists them"
    )


def family_name(config: Any) -> str:
    """The name of the family whose Config this is."""
    return next(name for name, family in FAMILIES.items() if isinstance(config, family.Config))
