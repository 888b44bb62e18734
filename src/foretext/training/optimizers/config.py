"""How weights are updated: what all optimizers are told."""

from __future__ import annotations

import math
from dataclasses import dataclass

from foretext.core.errors import ConfigError

OPTIMIZERS = ("adamw", "bert-adamw", "gpt1-adamw", "lamb", "adafactor", "adagrad")
SCOPES = ("model", "tensor")


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """How weights are updated; the defaults are the common ground of the papers."""

    learning_rate: float  # the schedule's peak, of the top layer
    name: str = "adamw"  # one of OPTIMIZERS
    betas: tuple[float, float] = (0.9, 0.999)  # memory of the gradient's mean and of its square's
    eps: float = 1e-8  # added to the root; BERT has 1e-6
    weight_decay: float = 0.01  # decoupled, times the rate of the update
    decay_excluded: tuple[str, ...] = ("norm", "bias")  # words in names; vectors never decay
    clip_norm: float | None = 1.0  # largest norm of the gradient; None = no limit
    clip_scope: str = "model"  # of the whole gradient; or "tensor": each tensor's by itself
    gradient_scale: float = 1.0  # times the gradient before it is clipped
    head_learning_rate: float | None = None  # of parameters named head.*; None = learning_rate
    # Rate of a layer over the rate of the layer above; the top layer is one below the heads, the
    # embeddings are below layer 0. 1 = all equal. ELECTRA counts one step more to its heads: give
    # learning_rate * layer_decay as learning_rate, and learning_rate as head_learning_rate.
    layer_decay: float = 1.0

    def __post_init__(self) -> None:
        rules = {
            "name": (self.name in OPTIMIZERS, f"one of {', '.join(OPTIMIZERS)}"),
            "learning_rate": (0 <= self.learning_rate < math.inf, "finite and not negative"),
            "betas": (
                len(self.betas) == 2 and all(0 <= b < 1 for b in self.betas),
                "two numbers from 0 to below 1",
            ),
            "eps": (0 < self.eps < math.inf, "above 0, e.g. 1e-8"),
            "weight_decay": (0 <= self.weight_decay < math.inf, "not negative, e.g. 0.01"),
            "clip_norm": (self.clip_norm is None or self.clip_norm > 0, "above 0, or None for off"),
            "clip_scope": (self.clip_scope in SCOPES, f"one of {', '.join(SCOPES)}"),
            "gradient_scale": (0 < self.gradient_scale < math.inf, "above 0; 1 leaves it"),
            "head_learning_rate": (
                self.head_learning_rate is None or 0 <= self.head_learning_rate < math.inf,
                "finite and not negative, or None for the learning rate",
            ),
            "layer_decay": (0 < self.layer_decay <= 1, "above 0 and at most 1, which is off"),
        }
        for name, (holds, rule) in rules.items():
            if not holds:
                path = "training.optimizer" if name == "name" else f"training.{name}"
                raise ConfigError(f"{path}={getattr(self, name)!r} must be {rule}")
