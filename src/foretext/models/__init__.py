"""Model families: what reads the tokens. One file each, found by name here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from foretext.core.config import ModelConfig, from_dict, to_dict, unknown_path
from foretext.core.errors import ConfigError
from foretext.core.suggest import nearest
from foretext.models import (
    albert,
    bert,
    electra,
    elmo,
    gpt,
    reformer,
    roberta,
    t5,
    unilm,
    xlnet,
)
from foretext.models.family import Family
from foretext.models.published import PublishedLayout
from foretext.nn.backbone import Backbone, Network

FAMILIES: Mapping[str, Family[ModelConfig]] = {
    "albert": albert.FAMILY,
    "bert": bert.FAMILY,
    "electra": electra.FAMILY,
    "elmo": elmo.FAMILY,
    "gpt": gpt.FAMILY,
    "reformer": reformer.FAMILY,
    "roberta": roberta.FAMILY,
    "t5": t5.FAMILY,
    "unilm": unilm.FAMILY,
    "xlnet": xlnet.FAMILY,
}


def family_of(preset: str) -> Family[ModelConfig]:
    """The family that a preset belongs to.

    Raises:
        ConfigError: there is no such preset.
    """
    for family in FAMILIES.values():
        if preset in family.presets:
            return family
    names = [name for family in FAMILIES.values() for name in family.presets]
    raise ConfigError(
        f"there is no preset {preset!r}; did you mean {nearest(preset, names)}? "
        "`foretext models` lists them"
    )


def family_for(config: ModelConfig) -> Family[ModelConfig]:
    """The family whose config this is."""
    return next(family for family in FAMILIES.values() if type(config) is family.config)


def for_tokenizer(config: ModelConfig, *, vocab_size: int, pad_id: int | None) -> ModelConfig:
    """The config with the sizes that a tokenizer fixes: the vocabulary, and what a family adds.

    Args:
        config: a family's.
        vocab_size: the tokenizer's.
        pad_id: its token for padding; None if it has none.

    Raises:
        ConfigError: the family cannot be used with such a tokenizer.
    """
    fields = family_for(config).for_tokenizer(pad_id)
    return replace(config, vocab_size=vocab_size, **fields)


def in_use(model: Backbone, settings: Mapping[str, Any]) -> Backbone:
    """The model read with other settings than in training, such as more rounds of hashing.

    Args:
        model: trained; it stays as it is.
        settings: by path, "model." and a field; the family says which may differ.

    Raises:
        ConfigError: a path that may not be changed, or a value that cannot be.
    """
    if not settings:
        return model
    family = family_for(model.config)
    known = [f"model.{name}" for name in family.in_use]
    for path in settings:
        if path not in known:
            raise unknown_path(path, known)
    changed = {path.removeprefix("model."): value for path, value in settings.items()}
    config = from_dict(family.config, to_dict(model.config) | changed, "model.")
    other = family.hub.make(config)
    other.load_state_dict(model.state_dict())
    return other


def network_for(config: ModelConfig, use: str) -> Network:
    """What pre-training trains.

    Args:
        config: a family's.
        use: the objective or its variant, as in HubLayout.class_for.
    """
    family = family_for(config)
    return family.model(config) if family.network is None else family.network(config, use)


def saved_as(network: Network, use: str) -> dict[str, tuple[Backbone, str]]:
    """Folders that a pre-trained network is saved as, and of each the backbone and its class.

    Names are relative to the run's folder, which is "", what fine-tunes.
    """
    family = family_for(network.config)
    if family.saved_as is not None:
        return family.saved_as(network, use)
    (backbone,) = network.backbones
    name = family.hub.class_for(backbone.config, use)
    assert name is not None, "the recipe sees to it that the objective trains the family"
    return {"": (backbone, name)}


def published_in(folder: Path) -> PublishedLayout | None:
    """The family's own files that a folder holds; None where there are none."""
    layouts = (family.published for family in FAMILIES.values())
    return next((layout for layout in layouts if layout and layout.found(folder)), None)


def published_layout(name: str, config: ModelConfig) -> PublishedLayout:
    """The layout of this name, of the family whose config it is.

    Raises:
        ConfigError: the family has no such layout.
    """
    family = family_for(config)
    if family.published is None or family.published.name != name:
        has = "none" if family.published is None else family.published.name
        raise ConfigError(
            f"--layout {name}: {family.title} was not published in such files; its own are {has}; "
            "leave it out for the Hugging Face layout"
        )
    return family.published
