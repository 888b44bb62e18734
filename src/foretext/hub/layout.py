"""How a family lies in folders: its classes in the Hugging Face layout, and config and weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from foretext.core.config import ModelConfig
from foretext.core.errors import ConfigError
from foretext.core.suggest import nearest
from foretext.hub.architecture import Architecture
from foretext.hub.weight_map import WeightMap
from foretext.nn.backbone import Backbone

# A family's functions take its own config alone, so this is sound where family and config agree,
# which `models.family_for` sees to.
C_co = TypeVar("C_co", bound=ModelConfig, covariant=True)


FAMILY_KEY = "foretext_family"  # of config.json, where families share a model_type


def _own_layers(config: ModelConfig) -> int:
    return config.num_layers


@dataclass(frozen=True, kw_only=True)
class HubLayout(Generic[C_co]):
    """A family's side of the Hugging Face layout, both ways."""

    model_types: tuple[str, ...]  # of config.json; the first is what files of before 2020 mean
    architectures: Mapping[str, Architecture]  # by class name
    class_for: Callable[[C_co, str], str | None]  # by objective or task; None = it has no such use
    bare_for: Callable[[C_co], str]  # the class without heads
    make: Callable[[C_co], Backbone]  # the network with all heads that folders may store
    num_parameters: Callable[[C_co], int]  # of it, tied ones once; a closed form
    weight_map: Callable[[C_co], WeightMap]
    from_hf: Callable[[dict[str, Any]], C_co]  # raises ConfigError on what cannot be read
    to_hf: Callable[[C_co, str], dict[str, Any]]  # config.json, for a class; ConfigError likewise
    fixed_keys: tuple[str, ...] = ()  # of config.json, which no caller may set
    stored_layers: Callable[[C_co], int] = _own_layers  # that have weights of their own in a file

    def bare(self, config: C_co) -> Architecture:  # type: ignore[misc]  # see C_co
        """The class without heads."""
        return self.architectures[self.bare_for(config)]

    def named(self, name: str) -> Architecture:
        """The class of this name.

        Raises:
            ConfigError: the family has no such class.
        """
        if name not in self.architectures:
            raise ConfigError(
                f"{name[:60]} cannot be read or written; did you mean "
                f"{nearest(name[:60], self.architectures)}? There are "
                f"{', '.join(self.architectures)}"
            )
        return self.architectures[name]


def by_name(*architectures: Architecture) -> dict[str, Architecture]:
    """Classes in a table."""
    return {architecture.name: architecture for architecture in architectures}
