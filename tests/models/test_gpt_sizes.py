"""GPT-3's table and the sizes for scaling laws: exact counts on the meta device, and recipes."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from foretext.core.batch import Batch
from foretext.core.errors import ConfigError
from foretext.core.masks import Causal
from foretext.models.gpt import PRESETS, Gpt, GptConfig, num_parameters, recipe
from foretext.recipes.recipe import Recipe

# Brown et al. 2020, tables 2.1 and D.1: layers, width, heads, tokens a batch (millions), peak rate.
GPT3 = {
    "gpt3-small": (12, 768, 12, 0.5, 6.0e-4, 125_226_240),
    "gpt3-medium": (24, 1024, 16, 0.5, 3.0e-4, 355_871_744),
    "gpt3-large": (24, 1536, 16, 0.5, 2.5e-4, 760_300_032),
    "gpt3-xl": (24, 2048, 16, 1, 2.0e-4, 1_315_723_264),
    "gpt3-2.7b": (32, 2560, 32, 1, 1.6e-4, 2_651_553_280),
    "gpt3-6.7b": (32, 4096, 32, 2, 1.2e-4, 6_658_404_352),
    "gpt3-13b": (40, 5120, 40, 2, 1.0e-4, 12_853_386_240),
    "gpt3-175b": (96, 12288, 96, 3.2, 0.6e-4, 174_604_259_328),
}
SCALE = {name: 1e6 * float(name.split("-")[2][:-1]) for name in PRESETS if "scale" in name}


@pytest.mark.parametrize("preset", GPT3)
def test_gpt3_counts(preset: str) -> None:
    """papers/gpt.md, 3a: V = 50257, P = 2048; the two rows that contradict themselves resolved."""
    layers, width, heads, _, _, expected = GPT3[preset]
    config = PRESETS[preset]
    with torch.device("meta"):
        model = Gpt(config)
    assert sum(p.numel() for p in model.parameters()) == expected
    assert (config.num_layers, config.hidden_size, config.num_heads) == (layers, width, heads)
    assert config.max_position_embeddings == 2048


@pytest.mark.parametrize("preset", GPT3)
def test_gpt3_recipes(preset: str) -> None:
    """Appendix B: 300 billion tokens, 375 million of warm-up, cosine to 10% at 260 billion."""
    _, _, _, millions, rate, _ = GPT3[preset]
    made = Recipe.of(preset)
    training = made.training
    assert made.data.max_length == 2048
    assert made.objective.packed
    assert training.learning_rate == rate
    assert abs(training.batch_size * 2048 / 1e6 - millions) < 0.05 * millions
    assert (training.betas, training.eps) == ((0.9, 0.95), 1e-8)
    assert (training.weight_decay, training.clip_norm) == (0.1, 1.0)
    schedule, sizes = training.learning_schedule(), training.batch_sizes()
    assert [schedule.factor(t) for t in (0, 75_000_000)] == [0, pytest.approx(0.2)]
    assert schedule.factor(260 * 10**9) == schedule.factor(300 * 10**9) == 0.1
    assert sizes.size(0) * 2048 == 32_768
    full_at = 2048 * sizes.before(next(s for s in range(0, 10**6, 500) if at_full(made, s)))
    assert 4e9 <= full_at <= 13.5e9
    served = [sizes.before(training.steps - i) * 2048 for i in (0, 1)]
    assert served[1] < 300 * 10**9 <= served[0]


def at_full(made: Recipe, step: int) -> bool:
    return made.training.batch_sizes().size(step) == made.training.batch_size


@pytest.mark.parametrize("preset", SCALE)
def test_scaling_sizes_are_named_by_parameters_outside_the_tables(preset: str) -> None:
    """Kaplan et al. 2020, section 1.3: N leaves out the tables of tokens and positions."""
    config = PRESETS[preset]
    tables = (config.vocab_size + config.max_position_embeddings) * config.hidden_size
    assert abs(num_parameters(config) - tables - SCALE[preset]) < 0.13 * SCALE[preset]
    assert recipe(preset) == recipe("gpt-scale-0.1m")


def test_scaling_sizes_go_from_a_tenth_to_fifty_million() -> None:
    """The issue: scaling presets from 0.1M to 50M parameters that share one recipe."""
    assert len(SCALE) >= 6
    assert (min(SCALE.values()), max(SCALE.values())) == (1e5, 5e7)


def test_another_length_of_run_keeps_the_shape_of_the_course() -> None:
    """What the preset counts in tokens or sequences keeps its share, unless it is set."""
    usual = Recipe.of("gpt3-mini").training
    short = Recipe.of("gpt3-mini", {"training.steps": 300, "training.batch_size": 16}).training
    assert usual.decay_tokens is not None and usual.batch_ramp is not None
    assert short.decay_tokens == usual.decay_tokens // 20
    assert short.warmup_tokens == usual.warmup_tokens // 20
    assert short.batch_ramp == (usual.batch_ramp[0], usual.batch_ramp[1] // 20)
    longer = {"data.max_length": 512, "training.decay_tokens": 10**7, "training.batch_ramp": "none"}
    set_by_hand = Recipe.of("gpt3-mini", longer).training
    assert (set_by_hand.decay_tokens, set_by_hand.batch_ramp) == (10**7, None)
    assert set_by_hand.warmup_tokens == 2 * usual.warmup_tokens
    half = usual.shortened(usual.steps // 2)
    assert (half.decay_tokens, half.steps) == (usual.decay_tokens // 2, usual.steps // 2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"training.warmup_steps": 5}, "warmup_tokens goes with training.decay_tokens"),
        ({"training.decay_tokens": "none"}, "warmup_tokens goes with training.decay_tokens"),
        ({"training.batch_ramp": [4]}, r"batch_ramp=\[4\] must be two numbers"),
        ({"training.batch_ramp": [0, 9]}, "a batch ramp from 0 to 32 sequences over 9"),
        ({"model.attention_window": 0}, "attention_window=0 must be at least 1"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    """One line: the value, the rule and the remedy."""
    with pytest.raises(ConfigError, match=message):
        Recipe.of("gpt3-mini", settings)


def test_every_second_layer_is_banded() -> None:
    """Section 2.1: alternating dense and locally banded layers; GPT-2 has dense ones alone."""
    batch = Batch.of([[1, 2, 3]])
    banded = Gpt(GptConfig(**SMALL, attention_window=4)).layer_masks(batch)
    assert banded == [Causal(), Causal(4), Causal(), Causal(4), Causal()]
    assert set(Gpt(GptConfig(**SMALL)).layer_masks(batch)) == {Causal()}


SMALL: dict[str, Any] = {
    "vocab_size": 37, "hidden_size": 12, "num_layers": 5, "num_heads": 3, "intermediate_size": 29,
    "max_position_embeddings": 17,
}  # fmt: skip
