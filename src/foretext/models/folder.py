"""Model folders of any family, read and written; the families are those of the name table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from foretext.core.config import ModelConfig
from foretext.hub import folder as hub
from foretext.hub.architecture import Architecture
from foretext.hub.weight_files import MAX_SHARD_BYTES
from foretext.models import FAMILIES, family_for
from foretext.models.family import Family
from foretext.nn.backbone import Backbone

_LAYOUTS = {name: family.hub for name, family in FAMILIES.items()}


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A model and what its folder said of it."""

    model: Backbone
    family: Family[ModelConfig]
    hub_class: Architecture
    fresh: list[str]  # parameters the files do not have, initialised anew
    head: dict[str, Tensor]  # a task head's, as save_model takes it; empty if there is none
    raw_config: dict[str, Any]  # config.json as it is

    @property
    def architecture(self) -> str:
        """The name of the class."""
        return self.hub_class.name


def read_config(folder: Path) -> tuple[Family[ModelConfig], ModelConfig, dict[str, Any]]:
    """The family, its config and config.json as it is; errors as hub.folder.read_config's."""
    name, config, raw = hub.read_config(folder, _LAYOUTS)
    return FAMILIES[name], config, raw


def load_model(
    folder: Path, *, allow_pickle: bool = False, seed: int = 0, ignored: Sequence[str] = ()
) -> LoadedModel:
    """Read a model folder; arguments and errors as hub.folder.load_folder's."""
    stored = hub.load_folder(
        folder, _LAYOUTS, allow_pickle=allow_pickle, seed=seed, ignored=ignored
    )
    return LoadedModel(
        model=stored.model,
        family=FAMILIES[stored.family],
        hub_class=stored.architecture,
        fresh=stored.fresh,
        head=stored.head,
        raw_config=stored.raw_config,
    )


def save_model(
    model: Backbone,
    folder: Path,
    *,
    architecture: str,
    head: Mapping[str, Tensor] | None = None,
    extra_config: Mapping[str, Any] | None = None,
    max_shard_bytes: int = MAX_SHARD_BYTES,
) -> None:
    """Write a model folder; arguments and errors as hub.folder.save_folder's."""
    hub.save_folder(
        model,
        folder,
        family_for(model.config).hub,
        architecture=architecture,
        head=head,
        extra_config=extra_config,
        max_shard_bytes=max_shard_bytes,
    )


def named_class(name: str) -> Architecture | None:
    """A class by its name, of any family; None if no family has it."""
    return next(
        (lay.architectures[name] for lay in _LAYOUTS.values() if name in lay.architectures), None
    )
