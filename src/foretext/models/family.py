"""What a family declares: one record a family file, all that the rest of the house asks of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic

from foretext.core.config import ModelConfig
from foretext.hub.layout import C_co, HubLayout
from foretext.models.published import PublishedLayout
from foretext.nn.backbone import Backbone, Network, Reads

Settings = Mapping[str, Any]  # by path in a recipe -> value


def _no_settings(config: ModelConfig) -> dict[str, Any]:  # noqa: ARG001
    return {}


def _no_fields(pad_id: int | None) -> dict[str, Any]:  # noqa: ARG001
    return {}


def _one_network(config: ModelConfig) -> dict[str, int]:  # noqa: ARG001
    return {}


def _any_number(config: ModelConfig) -> None:  # noqa: ARG001
    return None


def _same(model: Backbone, use: str, other: Callable[[str], Backbone]) -> Network:  # noqa: ARG001
    return model


def _adopts_none(other: Backbone) -> None:  # noqa: ARG001
    return None


@dataclass(frozen=True, kw_only=True)
class Family(Generic[C_co]):
    """A family of models.

    Attributes:
        name: in presets, run.toml and the name table.
        title: as people write it.
        summary: what it is, in one line.
        paper: where it was published.
        config: the class of its sizes.
        presets: by name; all begin with the family's name.
        model: the class of the backbone.
        max_positions: tokens of the longest sequence that it reads; None is no limit.
        max_segments: rows of its segment table; None where it has none.
        recipe: settings of pre-training of a preset that differ from the defaults.
        hub: its side of the Hugging Face layout.
        finetune_recipe: settings of fine-tuning in which its paper differs from the others.
        for_tokenizer: fields of the config, beside vocab_size, that a tokenizer fixes, from the id
            of padding; raises ConfigError where such a tokenizer cannot be used.
        network: what an objective (or its variant) trains, with all its parts.
        saved_as: the folders of a trained network below the run's own, which is "": of each the
            backbone and its class.
        folders: below the run's own, that a trained network may have.
        in_use: fields of the config that may be changed after training; weights do not depend on
            them.
        joined: the network that saved_as took apart; the last argument reads a folder below.
        adopt: a model of the family that begins with the weights of one of another family; None of
            a model that it cannot begin with.
        published: the files that it was published in, where they are not the Hugging Face layout.
        network_parameters: of networks of several backbones: "together", where what they share
            counts once, then each alone; {} for one backbone.
    """

    name: str
    title: str
    summary: str
    paper: str
    config: type[C_co]
    presets: Mapping[str, C_co]
    model: type[Backbone]
    max_positions: Callable[[C_co], int | None]
    recipe: Callable[[str], dict[str, Any]]
    hub: HubLayout[C_co]
    max_segments: Callable[[C_co], int | None] = _any_number
    finetune_recipe: Callable[[C_co], dict[str, Any]] = _no_settings
    for_tokenizer: Callable[[int | None], dict[str, Any]] = _no_fields
    network: Callable[[C_co, str], Network] | None = None  # None = the backbone alone
    saved_as: Callable[[Network, str], dict[str, tuple[Backbone, str]]] | None = None
    folders: tuple[str, ...] = ()
    joined: Callable[[Backbone, str, Callable[[str], Backbone]], Network] = _same
    adopt: Callable[[Backbone], Backbone | None] = _adopts_none
    network_parameters: Callable[[C_co], dict[str, int]] = _one_network
    in_use: tuple[str, ...] = ()
    published: PublishedLayout | None = None

    @property
    def reads(self) -> Reads:
        """What a token's state has seen."""
        return self.model.reads
