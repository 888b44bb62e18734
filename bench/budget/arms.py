"""The ablations: short runs that differ from one another in a setting or two."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# A constant rate, so that the loss at a step does not depend on where the run would have ended.
COMMON: Mapping[str, Any] = {
    "objective.name": "masked-lm",
    "data.max_length": 128,
    "data.held_out_samples": 1_000,
    "model.dropout": 0.0,
    "model.attention_dropout": 0.0,
    "training.schedule": "constant",
    "training.warmup_steps": 100,
    "training.learning_rate": 7e-4,
    "training.batch_size": 64,
    "training.eval_every": 100,
    "training.save_every": 1_000_000,
    "training.threads": 1,
}
_CAUSAL: Mapping[str, Any] = {
    "objective.name": "causal-lm",
    "training.optimizer": "bert-adamw",
    "training.betas": (0.9, 0.999),
    "training.eps": 1e-6,
    "training.weight_decay": 0.01,
}


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One run."""

    about: str
    preset: str = "bert-tiny"
    steps: int = 300
    layout: str = "line"  # a review a document; or "film", all reviews of one
    settings: Mapping[str, Any] = field(default_factory=dict)
    identity: tuple[float, float] | None = None  # warm_start's _KEPT and _IDENTITY
    bias: bool = True  # False: the output bias begins at 0


_WIDE = {"model.start": "cooccurrence", "model.initializer_range": 0.05}
ARMS: Mapping[str, Arm] = {
    "random": Arm(about="random weights of .07", settings={"model.start": "random"}),
    "no-identity": Arm(
        about="vectors and bias",
        settings={"training.learning_rate": 2e-3},
        identity=(1.0, 0.0),
    ),
    "no-bias": Arm(
        about="vectors and identity", settings={"training.learning_rate": 2e-3}, bias=False
    ),
    "rate-2e-3": Arm(about="the whole start, 2e-3", settings={"training.learning_rate": 2e-3}),
    "rate-7e-4": Arm(about="the whole start, 7e-4"),
    "rate-3.5e-4": Arm(
        about="the whole start, 3.5e-4", settings={"training.learning_rate": 3.5e-4}
    ),
    "wide-3.5e-4": Arm(
        about="width 256, 3.5e-4",
        preset="bert-l2-h256",
        steps=200,
        settings=_WIDE | {"training.learning_rate": 3.5e-4},
    ),
    "wide-1.5e-3": Arm(
        about="width 256, 1.5e-3",
        preset="bert-l2-h256",
        steps=200,
        settings=_WIDE | {"training.learning_rate": 1.5e-3},
    ),
    "film-128": Arm(
        about="a film a document, 16 sequences of 128",
        layout="film",
        settings={"training.batch_size": 16},
    ),
    "film-32": Arm(
        about="a film a document, 64 sequences of 32",
        layout="film",
        settings={"data.max_length": 32},
    ),
    "masks-30": Arm(about="30 % masks", settings={"objective.mask_rate": 0.3}),
    "gpt-random": Arm(
        about="GPT, random weights of .07, 2e-3",
        preset="gpt-tiny",
        steps=100,
        settings=_CAUSAL | {"model.start": "random", "training.learning_rate": 2e-3},
    ),
    "gpt-counts-2e-3": Arm(
        about="GPT, from counts, 2e-3",
        preset="gpt-tiny",
        steps=100,
        settings=_CAUSAL | {"training.learning_rate": 2e-3},
    ),
    "gpt-counts-7e-4": Arm(
        about="GPT, from counts, 7e-4", preset="gpt-tiny", steps=100, settings=_CAUSAL
    ),
}
