"""A model folder in the Hugging Face layout: config.json and weights, read and written.

What a folder claims is checked before it costs anything: the numbers of config.json, then the
parameters they add up to against the size of the weight files, then every tensor's shape from the
files' headers, and only then is memory taken, once.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from foretext.core.atomic import atomic_write_text
from foretext.core.config import ModelConfig
from foretext.core.errors import CheckpointError, ConfigError
from foretext.core.rng import key
from foretext.hub.architecture import Architecture
from foretext.hub.foreign import what_is
from foretext.hub.ignored import without
from foretext.hub.layout import FAMILY_KEY, HubLayout
from foretext.hub.materialise import LeaveMeta, materialise
from foretext.hub.weight_files import (
    MAX_SHARD_BYTES,
    read_json,
    read_shapes,
    read_tensors,
    regular_file,
    weight_files,
    write_tensors,
)
from foretext.nn.backbone import Backbone

_LARGEST = 2**40  # any single number of a config; a product of two still prints
_MAX_LABELS = 2**20
_SHOWN = 5  # names in an error message
_OWN_HEAD = "foretext_head"  # parts of a task head that their class has no place for
_TOKEN_ID = "_token_id"  # ends the names of ids
_TOKEN_IDS = ("bos_token_id", "eos_token_id", "pad_token_id")

Layouts = Mapping[str, HubLayout[ModelConfig]]  # by the family's name


@dataclass(frozen=True, kw_only=True)
class StoredModel:
    """A model and what its folder said of it."""

    family: str  # the name of its layout
    model: Backbone
    architecture: Architecture
    fresh: list[str]  # parameters the files do not have, initialised anew
    head: dict[str, Tensor]  # a task head's, as save_folder takes it; empty if there is none
    raw_config: dict[str, Any]  # config.json as it is


def check_is_folder(folder: Path) -> None:
    """Refuse what is no folder, before its files are looked for.

    Raises:
        CheckpointError: it is none.
    """
    if not folder.is_dir():
        foreign = what_is(folder)
        raise CheckpointError(foreign or f"{folder} is not a folder; give one that holds a model")


def read_config(folder: Path, layouts: Layouts) -> tuple[str, ModelConfig, dict[str, Any]]:
    """The family's name, its config and config.json as it is, from a model folder.

    Raises:
        CheckpointError: it is no folder, there is no config.json, or it is damaged.
        ConfigError: no family reads this model_type, or a value cannot be used.
    """
    check_is_folder(folder)
    path = regular_file(folder, "config.json")
    if path is None:
        foreign = what_is(folder)
        raise CheckpointError(foreign or f"{folder} holds no config.json; it is not a model folder")
    raw = read_json(path)
    name, model_type = _family(path, raw, layouts)
    raw = raw | {"model_type": model_type}
    _check_values(path, raw, layouts[name])
    with _named(path):
        config = layouts[name].from_hf(raw)
    _check_fields(path, config)
    return name, config, raw


def load_folder(
    folder: Path,
    layouts: Layouts,
    *,
    allow_pickle: bool = False,
    seed: int = 0,
    ignored: Sequence[str] = (),
) -> StoredModel:
    """Read a model folder, ours or Hugging Face's, in fp32 on the CPU.

    Args:
        folder: with config.json and weights.
        layouts: of the families that may lie there.
        allow_pickle: read pytorch_model.bin where there is no safetensors file; its code, if it
            has any, is never run.
        seed: of the parameters that the folder's class does not store.
        ignored: patterns with * and ? of tensors' names that are left aside.

    Raises:
        CheckpointError: the files are damaged, unsafe, or do not fit each other.
        ConfigError: as `read_config`; or the class is not one this family reads.
    """
    name, config, raw = read_config(folder, layouts)
    layout = layouts[name]
    _check_size(folder, layout.num_parameters(config), allow_pickle)
    shapes = without(read_shapes(folder, allow_pickle=allow_pickle), ignored)
    layers = layout.stored_layers(config)
    if layers > len(shapes):
        raise ConfigError(
            f"{folder}: config.json asks for {layers:,} layers, but the weight files "
            f"hold {len(shapes)} tensors; they do not belong together"
        )
    with torch.device("meta"), LeaveMeta():
        model = layout.make(config)
    with _named(folder):
        architecture, fresh = _check_tensors(model, layout, raw, shapes)
    materialise(model, set(fresh))
    with LeaveMeta():
        model.initialise(torch.Generator().manual_seed(key(seed, "fresh") % 2**63))
    materialise(model)
    tensors = without(read_tensors(folder, allow_pickle=allow_pickle), ignored)
    backbone, head = _split_head(tensors, architecture)
    with _named(folder):
        layout.weight_map(config).load(model, backbone)
    return StoredModel(
        family=name,
        model=model,
        architecture=architecture,
        fresh=fresh,
        head={leaf: tensor.to(torch.float32, copy=True) for leaf, tensor in head.items()},
        raw_config=raw,
    )


def save_folder(
    model: Backbone,
    folder: Path,
    layout: HubLayout[ModelConfig],
    *,
    architecture: str,
    head: Mapping[str, Tensor] | None = None,
    extra_config: Mapping[str, Any] | None = None,
    max_shard_bytes: int = MAX_SHARD_BYTES,
) -> None:
    """Write config.json and model.safetensors so that `transformers` opens the folder.

    Args:
        model: of the family whose layout it is.
        folder: made if missing; other files in it stay.
        layout: the family's.
        architecture: their class, one of the layout's.
        head: a task head's "weight" [labels, hidden] and, where the class has one, "bias"; what the
            class has no place for under names with a dot, which `transformers` leaves aside.
        extra_config: keys of config.json that the model does not know, such as token ids, id2label.
        max_shard_bytes: size from which the weights are split into several files.

    Raises:
        CheckpointError: the disk refuses, or a head is missing or not asked for.
        ConfigError: the family has no such class, or the layout cannot express the model.
    """
    stored = layout.named(architecture)
    if bool(head) != (stored.head is not None):
        wants = "needs" if stored.head else "has no place for"
        raise CheckpointError(f"{architecture} {wants} a task head; choose another class")
    raw = _config_json(model, layout, architecture, head, extra_config or {})
    names = {name: p for name, p in model.named_parameters() if stored.stores(name)}
    theirs = layout.weight_map(model.config).to_theirs(names, base=stored.base)
    theirs = stored.spelled(theirs)
    for leaf, tensor in (head or {}).items():
        theirs[f"{_OWN_HEAD if '.' in leaf else stored.head}.{leaf}"] = tensor
    folder.mkdir(parents=True, exist_ok=True)
    write_tensors(folder, theirs, max_shard_bytes=max_shard_bytes)
    if stored.generates:
        ids = {n: i for n, i in raw.items() if n.endswith(_TOKEN_ID) and i is not None}
        _write_json(folder / "generation_config.json", {"_from_model_config": True} | ids)
    else:
        (folder / "generation_config.json").unlink(missing_ok=True)
    _write_json(folder / "config.json", raw)


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """Errors inside name the file or folder."""
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def _config_json(
    model: Backbone,
    layout: HubLayout[ModelConfig],
    architecture: str,
    head: Mapping[str, Tensor] | None,
    extra: Mapping[str, Any],
) -> dict[str, Any]:
    raw: dict[str, Any] = dict.fromkeys(_TOKEN_IDS)  # their defaults lie outside small vocabularies
    raw |= layout.to_hf(model.config, architecture)
    raw["dtype"] = str(next(model.parameters()).dtype).removeprefix("torch.")
    if head:
        labels = [f"LABEL_{i}" for i in range(head["weight"].shape[0])]
        raw["id2label"] = {str(i): label for i, label in enumerate(labels)}
        raw["label2id"] = {label: i for i, label in enumerate(labels)}
    return raw | {key: value for key, value in extra.items() if key not in layout.fixed_keys}


def _write_json(path: Path, value: dict[str, Any]) -> None:
    try:
        atomic_write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")
    except OSError as error:
        raise CheckpointError(f"{path} cannot be written: {error}; free some space") from error


def _family(path: Path, raw: dict[str, Any], layouts: Layouts) -> tuple[str, str]:
    """The family and the model_type, which files of before 2020 lack: they name the class alone."""
    said = raw.get("model_type")
    named = raw.get(FAMILY_KEY)
    if isinstance(named, str) and named in layouts and said in layouts[named].model_types:
        return named, said
    for name, layout in layouts.items():
        types = layout.model_types
        if said in types or (said is None and _class_name(raw) in layout.architectures):
            return name, said or types[0]
    known = [name for layout in layouts.values() for name in layout.model_types]
    raise ConfigError(
        f"{path} says model_type={str(said)[:40]!r}, but only {', '.join(known)} can be read; "
        "add the right one if it is missing"
    )


def _class_name(raw: dict[str, Any]) -> str | None:
    names = raw.get("architectures")
    return names[0] if isinstance(names, list) and names and isinstance(names[0], str) else None


def _check_values(path: Path, raw: dict[str, Any], layout: HubLayout[ModelConfig]) -> None:
    """Values of config.json must have the kind that we would write there."""
    usual = layout.to_hf(layout.from_hf({"model_type": raw.get("model_type")}), "")
    for name, value in raw.items():
        if isinstance(value, int) and abs(value) > _LARGEST:
            raise ConfigError(f"{path}: {name[:40]} is beyond {_LARGEST:,}; no model is that large")
        expected = usual.get(name)
        kind = type(expected)
        if expected is None or value == expected or name.endswith(_TOKEN_ID):
            continue
        if kind is bool and value is None:
            continue
        right = isinstance(value, int | float if kind is float else kind)
        if not right or (isinstance(value, bool) and kind is not bool):
            raise ConfigError(
                f"{path}: {name}={str(value)[:40]!r} is a {type(value).__name__}, "
                f"but must be a {kind.__name__}"
            )
        if kind in (int, float) and (value < 0 or (kind is int and value == 0)):
            raise ConfigError(f"{path}: {name}={value} must be positive")


def _check_fields(path: Path, config: ModelConfig) -> None:
    """Sizes are positive whole numbers; rates, epsilons and deviations lie in [0, 1).

    A field of a config that may be None or 1 and more says so: metadata={"unbounded": True}.
    """
    for field in fields(config):
        value = getattr(config, field.name)
        kind = type(field.default)
        least = field.metadata.get("least", 1)
        if kind is int and (type(value) is not int or value < least):
            raise ConfigError(f"{path}: {field.name}={str(value)[:40]!r} must be a positive number")
        if field.metadata.get("unbounded"):  # the config's own to judge
            continue
        if kind is float and not (isinstance(value, int | float) and 0 <= value < 1):
            raise ConfigError(f"{path}: {field.name}={str(value)[:40]!r} must lie in [0, 1)")


def _check_size(folder: Path, parameters: int, allow_pickle: bool) -> None:
    paths = weight_files(folder, allow_pickle=allow_pickle)
    size = sum(path.stat().st_size for path in paths)
    # Half precision has two bytes a parameter, which leaves room for heads the file lacks.
    if parameters > size:
        raise ConfigError(
            f"{folder}: config.json asks for {parameters:,} parameters, but the weight files have "
            f"{size:,} bytes; they do not belong together"
        )


def _check_tensors(
    model: Backbone,
    layout: HubLayout[ModelConfig],
    raw: dict[str, Any],
    shapes: dict[str, Tensor],
) -> tuple[Architecture, list[str]]:
    """The class of the files, and the parameters it does not store."""
    weights = layout.weight_map(model.config)
    name = _class_name(raw)
    architecture = None if name is None else layout.named(name)
    backbone, head = _split_head(shapes, architecture)
    fresh = weights.check(model, backbone)
    if architecture is None:
        architecture = _largest_filled(layout, model.config, fresh)
    if lacking := [weights.their_name(name) for name in fresh if architecture.requires(name)]:
        more = f" and {len(lacking) - _SHOWN} more" if len(lacking) > _SHOWN else ""
        raise CheckpointError(
            f"the weight files lack {', '.join(lacking[:_SHOWN])}{more}, which "
            f"{architecture.name} stores; fetch them again"
        )
    if architecture.head is not None:
        _check_head(architecture.head, head, model.state_size)
    return architecture, fresh


def _check_head(name: str, head: dict[str, Tensor], hidden_size: int) -> None:
    shapes = {leaf: list(tensor.shape) for leaf, tensor in head.items() if "." not in leaf}
    labels = (shapes.get("weight") or [0])[0]
    if labels not in range(1, _MAX_LABELS + 1) or shapes not in (
        {"weight": [labels, hidden_size]},
        {"weight": [labels, hidden_size], "bias": [labels]},
    ):
        raise CheckpointError(
            f"the task head {name} has shapes {shapes}, but needs a weight [labels, {hidden_size}] "
            "and at most a bias [labels]"
        )


def _largest_filled(
    layout: HubLayout[ModelConfig], config: ModelConfig, fresh: list[str]
) -> Architecture:
    """The class to assume where config.json names none: the first whose parts are all there."""
    bare = layout.bare(config)
    plain = [a for a in layout.architectures.values() if a.head is None]
    plain = [a for a in plain if (a.bare or a.name) == bare.name]
    filled = (a for a in plain if not any(a.stores(name) for name in fresh))
    return next(filled, bare)


def _split_head(
    tensors: Mapping[str, Tensor], architecture: Architecture | None
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The backbone's tensors as the weight map spells them, and the task head's by leaf."""
    if architecture is None:
        return dict(tensors), {}
    if architecture.head is None:
        return architecture.mapped(tensors), {}
    prefixes = (f"{architecture.head}.", f"{_OWN_HEAD}.")
    backbone = {n: t for n, t in tensors.items() if not n.startswith(prefixes)}
    head = {
        n.removeprefix(prefix): t
        for prefix in prefixes
        for n, t in tensors.items()
        if n.startswith(prefix)
    }
    return architecture.mapped(backbone), head
