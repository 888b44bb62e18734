"""How small models begin where their papers, whose models are large, say nothing.

Evidence: bench/budget/RESULTS.md. Weights of .02 barely pass a signal through layers 128 wide: a
layer norm's outputs times a matrix keep their size only if its weights are near 1 / sqrt(width).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from foretext.core.config import ModelConfig

SMALL = ("-tiny", "-mini")  # ends of the names of presets that no paper has
_RATE, _RATE_WIDTH = 7e-4, 128
_GAIN = 0.8  # of a matrix with the spread below: .07 at a width of 128, .05 at 256


def small_start(preset: str, config: ModelConfig, optimizer: object) -> dict[str, Any]:
    """Settings by path for a preset made for little text; {} for any other.

    A family whose initial weights follow a law of their own, as T5's, keeps it. LAMB, which scales
    each matrix's step by its norm, keeps its rate.
    """
    if not preset.endswith(SMALL) or "initializer_range" not in config.__dataclass_fields__:
        return {}
    rate = {"training.learning_rate": pretraining_rate(config.hidden_size)}
    return {
        "model.start": "cooccurrence",
        "model.initializer_range": initial_spread(config.hidden_size),
        **({} if optimizer == "lamb" else rate),
    }


def pretraining_rate(hidden_size: int) -> float:
    """The peak rate of Adam with the start from counts: higher ones wash it away.

    7e-4 is the best of three at a width of 128; wider models take less in proportion (Yang et al.
    2022, https://arxiv.org/abs/2203.03466).
    """
    return float(f"{_RATE * min(1.0, _RATE_WIDTH / hidden_size):.2g}")


def initial_spread(hidden_size: int) -> float:
    """The standard deviation of initial weights that a width needs; never below the papers' .02."""
    return max(0.02, round(_GAIN / hidden_size**0.5, 3))


_RATES = ((128, 5e-4), (256, 2e-4))  # of fine-tuning, up to a width


def finetune_rate(hidden_size: int) -> float | None:
    """The learning rate with which models of little width are fine-tuned; None of wider ones.

    The papers' 5e-5 and less are for widths of 768 and more.
    """
    return next((rate for width, rate in _RATES if hidden_size <= width), None)


def fitting_width(family: Mapping[str, Any], hidden_size: int) -> dict[str, Any]:
    """A family's settings of fine-tuning, with a rate that its width can use.

    One with rates of its own for head and layers, as ELECTRA's, keeps them.
    """
    rate = finetune_rate(hidden_size)
    if rate is None or "training.head_learning_rate" in family:
        return dict(family)
    return dict(family) | {"training.learning_rate": rate}
