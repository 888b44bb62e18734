"""T5's sizes: the config, the published presets and their recipes.

Paper: Raffel et al. 2020, https://arxiv.org/abs/1910.10683, sections 3.1.2 and 3.5 and the released
gin files; v1.1, the notes on released checkpoints of text-to-text-transfer-transformer.
Not published, so ours: everything of t5-tiny and t5-mini.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from foretext.core.errors import ConfigError
from foretext.models.shape import check_shape


@dataclass(frozen=True, kw_only=True)
class T5Config:
    """Sizes of a T5; the defaults are T5-small (v1.0)."""

    vocab_size: int = 32128  # rows; 32,100 tokens
    hidden_size: int = 512
    num_layers: int = 6  # of the encoder
    num_decoder_layers: int = 6  # of the decoder
    num_heads: int = 8
    head_size: int = 64  # of queries, keys and values; v1.1 small has 6 heads of 64 for 512
    intermediate_size: int = 2048
    relative_buckets: int = 32  # of distances; the encoder has half of them for either direction
    relative_max_distance: int = 128  # tokens; all beyond share a bucket
    gated: bool = False  # v1.1: activation(x wi_0) * (x wi_1)
    activation: str = "relu"  # v1.1: gelu_tanh
    tied_output: bool = True  # softmax weights are the token table, states scaled by d ** -0.5
    dropout: float = 0.1  # probability; embeddings, weights, sublayers, within the feed-forward
    layer_norm_eps: float = 1e-6

    def __post_init__(self) -> None:
        check_shape(self)
        if self.relative_buckets % 4:
            raise ConfigError(
                f"model.relative_buckets={self.relative_buckets} must be a multiple of 4: two "
                "directions, of each half exact and half ranges; e.g. 32"
            )
        if self.relative_max_distance <= self.relative_buckets // 2:
            raise ConfigError(
                f"model.relative_max_distance={self.relative_max_distance} must exceed half of "
                f"relative_buckets={self.relative_buckets}; e.g. 128"
            )


def _size(d: int, d_ff: int, layers: int, heads: int, head: int = 64, **more: Any) -> T5Config:
    return T5Config(
        hidden_size=d,
        intermediate_size=d_ff,
        num_layers=layers,
        num_decoder_layers=layers,
        num_heads=heads,
        head_size=head,
        **more,
    )


_V1_1: dict[str, Any] = {
    "gated": True,
    "activation": "gelu_tanh",
    "tied_output": False,
    "dropout": 0.0,  # in pre-training; 0.1 comes back in fine-tuning
}
PRESETS = {
    "t5-small": _size(512, 2048, 6, 8),
    "t5-base": _size(768, 3072, 12, 12),
    "t5-large": _size(1024, 4096, 24, 16),
    "t5-3b": _size(1024, 16384, 24, 32, 128),
    "t5-11b": _size(1024, 65536, 24, 128, 128),
    "t5-v1.1-small": _size(512, 1024, 8, 6, **_V1_1),
    "t5-v1.1-base": _size(768, 2048, 12, 12, **_V1_1),
    "t5-v1.1-large": _size(1024, 2816, 24, 16, **_V1_1),
    "t5-v1.1-xl": _size(2048, 5120, 24, 32, **_V1_1),
    "t5-v1.1-xxl": _size(4096, 10240, 24, 64, **_V1_1),
    "t5-tiny": _size(128, 512, 2, 4, 32),
    "t5-mini": _size(256, 1024, 4, 4),
}


def num_parameters(config: T5Config) -> int:
    """Parameters of the model, the tied output once; a closed form."""
    c = config
    d, inner, ff = c.hidden_size, c.num_heads * c.head_size, (3 if c.gated else 2)
    feed_forward = ff * d * c.intermediate_size
    encoder = c.num_layers * (4 * d * inner + feed_forward + 2 * d)
    decoder = c.num_decoder_layers * (8 * d * inner + feed_forward + 3 * d)
    tables = (1 if c.tied_output else 2) * c.vocab_size * d
    return tables + encoder + decoder + 2 * c.relative_buckets * c.num_heads + 2 * d


# The study's baseline (section 3.1.2) at the length of the final models (section 3.7): 1 million
# steps of 2,048 rows of 512 tokens, Adafactor with the rate 1 / sqrt(max(step, 10^4)).
_PAPER = {
    "objective.name": "span-corruption",
    "objective.packed": True,
    "data.tokenizer": "unigram",
    "data.vocab_size": 32_100,
    "data.max_length": 512,
    "training.optimizer": "adafactor",
    "training.schedule": "t5",
    "training.learning_rate": 1.0,
    "training.warmup_steps": 10_000,
    "training.weight_decay": 0.0,
    "training.clip_norm": None,
    "training.steps": 1_000_000,
    "training.batch_size": 2_048,
}
_LAPTOP = _PAPER | {
    "objective.packed": False,
    "data.vocab_size": 8_000,
    "data.max_length": 256,
    "training.steps": 3_000,
    "training.batch_size": 32,
}


def recipe(preset: str) -> dict[str, Any]:
    """Settings of a preset, by path in the recipe, that differ from the defaults."""
    return dict(_LAPTOP if preset in ("t5-tiny", "t5-mini") else _PAPER)


def finetune_recipe(config: T5Config) -> dict[str, Any]:  # noqa: ARG001
    """Fine-tuning drops with 0.1 whatever pre-training did (v1.1: nothing)."""
    return {"finetune.dropout": 0.1}
