"""GPT's sizes: the config, the published presets and their recipes.

Papers: Radford et al. 2018 (GPT-1), section 4.1; Radford et al. 2019 (GPT-2), table 2; Brown et al.
2020, https://arxiv.org/abs/2005.14165 (GPT-3), table 2.1 and appendix B.
Of GPT-3's table 2.1 two rows contradict themselves: XL has 16 heads here, as 24 of 128 are not its
width of 2048, and 13B a width of 5120 = 40 heads of 128, as its parameters in table D.1 confirm.
Not published, so ours: the width of GPT-3's window (256 tokens), which model size ramps its batch
over which of "4 to 12 billion tokens", no dropout; GPT-2's optimizer and steps (GPT-3's).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from foretext.models.shape import check_shape


@dataclass(frozen=True, kw_only=True)
class GptConfig:
    """Sizes of a GPT; the defaults are GPT-2 small."""

    vocab_size: int = 50257
    hidden_size: int = 768
    num_layers: int = 12
    num_heads: int = 12
    intermediate_size: int = 3072
    max_position_embeddings: int = 1024  # tokens
    pre_norm: bool = True  # GPT-2; GPT-1 normalises after each residual
    # Tokens that a token sees in every second layer, from the second on: itself and those next
    # before it (GPT-3); the other layers are dense. None = all layers are.
    attention_window: int | None = None
    activation: str = "gelu_tanh"
    dropout: float = 0.1  # probability; embeddings and sublayer outputs
    attention_dropout: float = 0.1  # probability; attention weights
    layer_norm_eps: float = 1e-5
    initializer_range: float = 0.02  # standard deviation of the normal

    def __post_init__(self) -> None:
        check_shape(self)

    @property
    def banded(self) -> bool:
        """Whether some layer sees less than a whole sequence."""
        window = self.attention_window
        return window is not None and self.num_layers > 1 and window < self.max_position_embeddings


def _sized(num_layers: int, hidden_size: int, *, head_size: int = 64, **changes: Any) -> GptConfig:
    """The papers' shape: feed-forward of 4 times the hidden size."""
    return GptConfig(
        num_layers=num_layers,
        hidden_size=hidden_size,
        num_heads=hidden_size // head_size,
        intermediate_size=4 * hidden_size,
        **changes,
    )


_NO_DROPOUT: dict[str, Any] = {"dropout": 0.0, "attention_dropout": 0.0}
_BANDED = {"max_position_embeddings": 2048, "attention_window": 256} | _NO_DROPOUT
_SCALE: dict[str, Any] = _NO_DROPOUT | {
    "vocab_size": 4_000,
    "max_position_embeddings": 512,
    "head_size": 32,
}

PRESETS = {
    "gpt1": GptConfig(vocab_size=40478, max_position_embeddings=512, pre_norm=False),
    "gpt2-small": _sized(12, 768),
    "gpt2-medium": _sized(24, 1024),
    "gpt2-large": _sized(36, 1280),
    "gpt2-xl": _sized(48, 1600),
    "gpt3-small": _sized(12, 768, **_BANDED),
    "gpt3-medium": _sized(24, 1024, **_BANDED),
    "gpt3-large": _sized(24, 1536, head_size=96, **_BANDED),
    "gpt3-xl": _sized(24, 2048, head_size=128, **_BANDED),
    "gpt3-2.7b": _sized(32, 2560, head_size=80, **_BANDED),
    "gpt3-6.7b": _sized(32, 4096, head_size=128, **_BANDED),
    "gpt3-13b": _sized(40, 5120, head_size=128, **_BANDED),
    "gpt3-175b": _sized(96, 12288, head_size=128, **_BANDED),
    "gpt3-mini": _sized(
        4, 256, **_BANDED | {"max_position_embeddings": 512, "attention_window": 64}
    ),
    "gpt-tiny": _sized(2, 128, max_position_embeddings=512),
    "gpt-mini": _sized(4, 256, max_position_embeddings=512),
    # Named by parameters outside the tables of tokens and positions, which scaling laws count.
    "gpt-scale-0.1m": _sized(2, 64, **_SCALE),
    "gpt-scale-0.2m": _sized(2, 96, **_SCALE),
    "gpt-scale-0.4m": _sized(2, 128, **_SCALE),
    "gpt-scale-0.8m": _sized(4, 128, **_SCALE),
    "gpt-scale-1.6m": _sized(2, 256, **_SCALE),
    "gpt-scale-3m": _sized(4, 256, **_SCALE),
    "gpt-scale-6m": _sized(5, 320, **_SCALE),
    "gpt-scale-12m": _sized(4, 512, **_SCALE),
    "gpt-scale-25m": _sized(8, 512, **_SCALE),
    "gpt-scale-50m": _sized(10, 640, **_SCALE),
}

# GPT-1, section 4.1 and the official opt.py.
_GPT1 = {
    "objective.name": "causal-lm",
    "data.tokenizer": "bpe",
    "data.lowercase": True,
    "data.max_length": 512,
    "training.optimizer": "gpt1-adamw",
    "training.learning_rate": 2.5e-4,
    "training.weight_decay": 0.01,
    "training.clip_norm": None,
    "training.schedule": "cosine",
    "training.steps": 3_000_000,  # 100 epochs of about 1 billion tokens
    "training.warmup_steps": 2_000,
    "training.batch_size": 64,
}
_ADAM = {
    "objective.name": "causal-lm",
    "data.tokenizer": "byte-bpe",
    "training.optimizer": "adamw",
    "training.betas": (0.9, 0.95),
    "training.weight_decay": 0.1,
    "training.clip_norm": 1.0,
    "training.schedule": "cosine",
}
# GPT-2 published neither optimizer nor steps; these are GPT-3's for its smallest size.
_GPT2 = _ADAM | {
    "objective.packed": True,
    "data.max_length": 1024,
    "training.learning_rate": 6e-4,
    "training.steps": 600_000,
    "training.warmup_steps": 2_000,
    "training.batch_size": 512,
}
_LAPTOP = _ADAM | {
    "data.max_length": 256,
    "data.vocab_size": 8_000,
    "training.learning_rate": 1e-3,
    "training.steps": 3_000,
    "training.warmup_steps": 300,
    "training.batch_size": 32,
}
# GPT-3, table 2.1 and appendix B.
_GPT3 = _ADAM | {
    "objective.packed": True,
    "data.max_length": 2048,
    "training.final_rate": 0.1,
    "training.warmup_tokens": 375_000_000,
    "training.decay_tokens": 260_000_000_000,
}
_ROW, _FIRST_ROWS = 2048, 16  # tokens; rows of the first step, 32 thousand tokens
# Peak rate, rows of a batch, steps to 300 billion tokens, billions of tokens until it is full.
_GPT3_SIZES = {
    "gpt3-small": (6.0e-4, 256, 587_382, 4),
    "gpt3-medium": (3.0e-4, 256, 587_382, 4),
    "gpt3-large": (2.5e-4, 256, 587_382, 4),
    "gpt3-xl": (2.0e-4, 512, 301_034, 6),
    "gpt3-2.7b": (1.6e-4, 512, 301_034, 6),
    "gpt3-6.7b": (1.2e-4, 1024, 155_476, 8),
    "gpt3-13b": (1.0e-4, 1024, 155_476, 8),
    "gpt3-175b": (0.6e-4, 1562, 107_513, 12),
}
# The same course on a laptop, in 24 million tokens; warm-up and ramp take a larger share.
_GPT3_MINI = _GPT3 | {
    "data.max_length": 256,
    "data.vocab_size": 8_000,
    "training.learning_rate": 1e-3,
    "training.steps": 3_000,
    "training.batch_size": 32,
    "training.batch_ramp": (4, 3_000),
    "training.warmup_tokens": 1_000_000,
    "training.decay_tokens": 21_000_000,
}
# One recipe for all sizes, so that they differ in size alone.
_SCALING = _LAPTOP | {
    "objective.packed": True,
    "data.vocab_size": 4_000,
    "training.final_rate": 0.1,
    "training.steps": 2_000,
    "training.warmup_steps": 100,
}


def recipe(preset: str) -> dict[str, Any]:
    """Settings of a preset, by path in the recipe, that differ from the defaults."""
    if preset in _GPT3_SIZES:
        rate, rows, steps, billions = _GPT3_SIZES[preset]
        return _GPT3 | {
            "training.learning_rate": rate,
            "training.steps": steps,
            "training.batch_size": rows,
            "training.batch_ramp": (_FIRST_ROWS, billions * 10**9 // _ROW),
        }
    known = {"gpt1": _GPT1, "gpt3-mini": _GPT3_MINI}
    if preset in known:
        return dict(known[preset])
    for start, settings in (("gpt2-", _GPT2), ("gpt-scale-", _SCALING)):
        if preset.startswith(start):
            return dict(settings)
    return dict(_LAPTOP)
