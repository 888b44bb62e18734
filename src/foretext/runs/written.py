"""Whether a model writes its answers, and the settings that it is then fine-tuned with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from foretext.core.config import ModelConfig
from foretext.core.errors import ConfigError
from foretext.models.family import Family
from foretext.nn.backbone import Reads
from foretext.recipes.small import fitting_width


def own_settings(
    family: Family[ModelConfig], config: ModelConfig, *, writes: bool
) -> dict[str, Any]:
    """A family's settings of fine-tuning; Adafactor's rate, which is relative, fits any width."""
    own = family.finetune_recipe(config)
    return own if writes else fitting_width(own, config.hidden_size)


def writes_answers(family: Family[ModelConfig], settings: Mapping[str, Any]) -> bool:
    """Whether the model writes its answers.

    Raises:
        ConfigError: the user asks for what such a model does not do.
    """
    writes = family.reads is Reads.SOURCE_TO_TARGET
    if (asked := settings.get("finetune.as_text", writes)) != writes:
        what = "writes" if writes else "does not write"
        raise ConfigError(
            f"finetune.as_text={asked} does not fit {family.title}, which {what} its answers; "
            "leave it out"
        )
    return writes
