"""Frozen dataclasses to TOML and back, and changes of one field by its dotted path.

A config is a tree of frozen dataclasses with scalars, strings and tuples of them at its leaves.
TOML has no null: an optional field that is None is written as the string "none".
"""

from __future__ import annotations

import dataclasses
import math
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, ClassVar, Protocol, TypeVar, get_args, get_origin, get_type_hints

from foretext.core.errors import ConfigError
from foretext.core.suggest import nearest

C = TypeVar("C")


class ModelConfig(Protocol):
    """What is asked of any family's sizes: a frozen dataclass of numbers and names."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]

    @property
    def vocab_size(self) -> int:
        """Rows of the token table."""
        ...

    @property
    def hidden_size(self) -> int:
        """Of the states."""
        ...

    @property
    def num_layers(self) -> int: ...


def to_dict(config: Any) -> dict[str, Any]:
    """Nested plain values of a config, ready for TOML."""
    result: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            value = to_dict(value)
        elif isinstance(value, tuple):
            value = list(value)
        result[field.name] = "none" if value is None else value
    return result


def from_dict(cls: type[C], values: Mapping[str, Any], path: str = "") -> C:
    """A config of this class from nested plain values; fields left out keep their defaults.

    Raises:
        ConfigError: an unknown field (names the nearest), a value of the wrong type, or a
            required field left out.
    """
    hints = get_type_hints(cls)
    known = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    chosen = {}
    for name, value in values.items():
        if name not in known:
            raise unknown_path(path + name, [path + k for k in known])
        chosen[name] = _convert(hints[name], value, path + name)
    for name, field in known.items():
        required = field.default is field.default_factory is dataclasses.MISSING
        if name not in chosen and required:
            raise ConfigError(f"{path}{name} has no default; set it")
    return cls(**chosen)


def flatten(values: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Leaves of nested values by dotted path."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{path}{name}.")
        else:
            flat[path + name] = value
    return flat


def unflatten(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Nested values from leaves by dotted path.

    Raises:
        ConfigError: a path goes on below a value.
    """
    nested: dict[str, Any] = {}
    for path, value in flat.items():
        *sections, name = path.split(".")
        place = nested
        for section in sections:
            place = place.setdefault(section, {})
            if not isinstance(place, dict):
                raise ConfigError(f"there is no setting {path!r}: {section} is a value; shorten it")
        place[name] = value
    return nested


def parse_settings(settings: Sequence[str]) -> dict[str, Any]:
    """Values by path from `path=value` strings; a value is TOML, or else a plain string.

    Raises:
        ConfigError: a setting without `=`.
    """
    parsed: dict[str, Any] = {}
    for setting in settings:
        path, equals, text = setting.partition("=")
        if not equals or not path.strip():
            raise ConfigError(f"--set {setting!r} must be path=value, e.g. training.batch_size=64")
        try:
            value = tomllib.loads(f"value = {text.strip()}")["value"]
        except tomllib.TOMLDecodeError:
            value = text.strip()
        parsed[path.strip()] = value
    return parsed


def read_toml(path: Path) -> dict[str, Any]:
    """Nested values of a TOML file.

    Raises:
        ConfigError: the file cannot be read or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}; check the path") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}; mend that place") from None


def to_toml(config: Any) -> str:
    """The config as a TOML document."""
    import tomli_w

    return tomli_w.dumps(to_dict(config))


def unknown_path(path: str, known: Sequence[str]) -> ConfigError:
    """The error for a path that no config has, naming the nearest that exists."""
    if not known:
        return ConfigError(f"there is no setting {path!r}, nor any other beside it; leave it out")
    return ConfigError(f"there is no setting {path!r}; did you mean {nearest(path, known)}?")


def _convert(hint: Any, value: Any, path: str) -> Any:
    """The value as the hinted type; an int may stand for a float, a list for a tuple."""
    if get_origin(hint) is UnionType:
        options = get_args(hint)
        if NoneType in options and (value is None or value == "none"):
            return None
        hint = next(option for option in options if option is not NoneType)
    if dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
        return from_dict(hint, value, f"{path}.")  # type: ignore[arg-type]
    if get_origin(hint) is tuple and isinstance(value, list | tuple):
        item = get_args(hint)[0]
        return tuple(_convert(item, v, path) for v in value)
    if hint is str and type(value) is int:  # a column or a label that is called 0
        value = str(value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if hint is float and isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{path}={value} must be a finite number")
    exact = isinstance(hint, type) and isinstance(value, hint)
    if not exact or (isinstance(value, bool) and hint is not bool):
        wanted = getattr(hint, "__name__", str(hint))
        raise ConfigError(f"{path}={value!r} must be of type {wanted}; give such a value")
    return value
