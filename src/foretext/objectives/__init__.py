"""Objectives: how raw text makes its own labels. One file each, listed here."""

from __future__ import annotations

from foretext.core.errors import ConfigError
from foretext.core.suggest import nearest
from foretext.objectives import (
    bidirectional_lm,
    causal_lm,
    masked_lm,
    next_sentence,
    packed_masked_lm,
    permutation_lm,
    replaced_token,
    sentence_order,
    span_corruption,
    unified_lm,
)
from foretext.objectives.spec import SomeSpec

_LISTED: tuple[SomeSpec, ...] = (
    bidirectional_lm.SPEC,
    causal_lm.SPEC,
    masked_lm.SPEC,
    next_sentence.SPEC,
    packed_masked_lm.SPEC,
    permutation_lm.SPEC,
    replaced_token.SPEC,
    sentence_order.SPEC,
    span_corruption.SPEC,
    unified_lm.SPEC,
)
OBJECTIVES: dict[str, SomeSpec] = {spec.name: spec for spec in _LISTED}


def objective_named(name: str) -> SomeSpec:
    """The record of an objective.

    Raises:
        ConfigError: there is no such objective.
    """
    if name not in OBJECTIVES:
        raise ConfigError(
            f"there is no objective {name!r}; did you mean {nearest(name, OBJECTIVES)}? "
            "`foretext objectives` lists them"
        )
    return OBJECTIVES[name]
