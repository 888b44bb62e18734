"""Initial weights as in the papers, a function of the seed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from foretext.core.config import ModelConfig
from foretext.models import FAMILIES, bert, gpt
from foretext.models.family import Family


def made(family: Family[Any], config: ModelConfig, seed: int = 0) -> torch.nn.Module:
    model = family.model(config)
    model.initialise(torch.Generator().manual_seed(seed))
    return model


def test_bert_is_a_truncated_normal() -> None:
    """modeling.py: standard deviation .02 before a cut at two of them (which leaves .0176)."""
    model = made(bert.FAMILY, bert.PRESETS["bert-tiny"])
    for name, weight in model.named_parameters():
        if weight.ndim < 2:
            expected = 1.0 if name.endswith("norm.weight") else 0.0
            assert (weight == expected).all(), name
            continue
        assert weight.abs().max() <= 0.04
        if weight.numel() > 10_000:
            assert abs(weight.std().item() - 0.0176) < 0.0005, name


def test_gpt2_scales_positions_and_residual_outputs() -> None:
    """Section 2.3: 1/sqrt(2 * layers) on what is added to the residual; official wpe std .01."""
    model = made(gpt.FAMILY, replace(gpt.PRESETS["gpt-tiny"], num_layers=3))
    spread = {n: p.std().item() for n, p in model.named_parameters() if p.ndim == 2}
    for name, value in spread.items():
        expected = 0.02
        if name == "embeddings.position.weight":
            expected = 0.01
        elif name.endswith(("attention.output.weight", "feed_forward.down.weight")):
            expected = 0.02 / 6**0.5
        assert abs(value - expected) < 0.03 * expected, name


def test_gpt1_does_not_scale() -> None:
    """Radford et al. 2018, section 4.1: N(0, 0.02) everywhere."""
    config = replace(gpt.PRESETS["gpt1"], num_layers=1, hidden_size=96, vocab_size=600)
    for name, weight in made(gpt.FAMILY, config).named_parameters():
        if weight.ndim == 2:
            assert abs(weight.std().item() - 0.02) < 0.001, name


@pytest.mark.parametrize(("name", "preset"), [("bert", "bert-tiny"), ("gpt", "gpt-tiny")])
def test_a_seed_fixes_the_weights(name: str, preset: str) -> None:
    family = FAMILIES[name]
    config = replace(family.presets[preset], vocab_size=200)
    one, same, other = (made(family, config, seed) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not all(
        torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True)
    )
