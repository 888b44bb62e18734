"""Objectives: how raw text makes its own labels. One module each, found by name here."""

from __future__ import annotations

from types import ModuleType

from foretext.core.errors import ConfigError
from foretext.core.suggest import nearest
from foretext.objectives import (
    causal_lm,
    masked_lm,
    next_sentence,
    packed_masked_lm,
    replaced_token,
    sentence_order,
)

OBJECTIVES: dict[str, ModuleType] = {
    "causal-lm": causal_lm,
    "masked-lm": masked_lm,
    "next-sentence": next_sentence,
    "packed-masked-lm": packed_masked_lm,
    "replaced-token": replaced_token,
    "sentence-order": sentence_order,
}


def objective_module(name: str) -> ModuleType:
    """The module of an objective: its Config and its Build.

    Raises:
        ConfigError: there is no such objective.
    """
    if name not in OBJECTIVES:
        raise ConfigError(
            f"there is no objective {name!r}; did you mean {nearest(name, OBJECTIVES)}? "
            "`foretext objectives` lists them"
        )
    return OBJECTIVES[name]
