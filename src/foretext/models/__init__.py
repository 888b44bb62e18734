"""Model families: what reads the tokens. One module each, found by name here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

from torch import nn

from foretext.core.errors import ConfigError
from foretext.core.suggest import nearest
from foretext.models import albert, bert, electra, gpt, roberta

FAMILIES: dict[str, ModuleType] = {
    "albert": albert,
    "bert": bert,
    "electra": electra,
    "gpt": gpt,
    "roberta": roberta,
}


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


def for_tokenizer(config: Any, *, vocab_size: int, pad_id: int | None) -> Any:
    """The config with the sizes that a tokenizer fixes: the vocabulary, and what a family adds.

    Args:
        config: a family's Config.
        vocab_size: the tokenizer's.
        pad_id: its token for padding; None if it has none.

    Raises:
        ConfigError: the family cannot be used with such a tokenizer.
    """
    family = FAMILIES[family_name(config)]
    more: Callable[[int | None], dict[str, Any]] = getattr(family, "for_tokenizer", _nothing)
    return replace(config, vocab_size=vocab_size, **more(pad_id))


def _nothing(pad_id: int | None) -> dict[str, Any]:  # noqa: ARG001
    return {}


def pretraining_model(config: Any, use: str) -> nn.Module:
    """What pre-training trains: the family's Model, or what its pretraining_model makes of it.

    A model of several networks (ELECTRA) lists them in `networks`.

    Args:
        config: a family's Config.
        use: the recipe's, as in family.architecture.
    """
    family = FAMILIES[family_name(config)]
    make: Callable[[Any, str], nn.Module] = getattr(family, "pretraining_model", _one_model)
    return make(config, use)


def networks(model: Any) -> tuple[nn.Module, ...]:
    """The networks that read a batch, each with a config: the model itself, or those it holds."""
    parts: tuple[nn.Module, ...] = getattr(model, "networks", (model,))
    return parts


def network_parameters(config: Any) -> dict[str, int]:
    """Parameters of what pre-training trains where that is several networks; {} for one.

    "together", where what they share counts once, then each network alone. The family's
    num_parameters is that of one network with all heads.
    """
    own: Callable[[Any], dict[str, int]] | None
    own = getattr(FAMILIES[family_name(config)], "network_parameters", None)
    return {} if own is None else own(config)


def finetune_recipe(config: Any) -> dict[str, Any]:
    """Settings of fine-tuning, by path, in which the family's paper differs from the others."""
    own: Callable[[Any], dict[str, Any]] | None
    own = getattr(FAMILIES[family_name(config)], "finetune_recipe", None)
    return {} if own is None else own(config)


def _one_model(config: Any, use: str) -> nn.Module:  # noqa: ARG001
    model: nn.Module = FAMILIES[family_name(config)].Model(config)
    return model


def saved_as(model: Any, use: str) -> dict[str, tuple[nn.Module, str]]:
    """Folders that a pre-trained model is saved as, and of each the model and its class.

    Names are relative to the run's folder, which is "", what fine-tunes. A family whose
    pretraining_model holds several networks has a saved_as of its own.
    """
    family = FAMILIES[family_name(model.config)]
    if hasattr(family, "saved_as"):
        folders: dict[str, tuple[nn.Module, str]] = family.saved_as(model, use)
        return folders
    return {"": (model, family.architecture(model.config, use))}
