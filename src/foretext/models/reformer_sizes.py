"""Reformer's sizes: the config, the published presets and their recipes.

Paper: Kitaev et al. 2020, https://arxiv.org/abs/2001.04451, section 5, and the official gin files
(trax, supervised/configs/reformer_enwik8.gin). reformer-enwik8-large has the widths that the gin
file names for machines with more memory. Not published, so ours: the sizes and recipes of tiny and
mini.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import lcm
from typing import Any

from foretext.core.errors import ConfigError
from foretext.models.shape import check_shape
from foretext.nn.chunks import Chunking

KINDS = ("local", "lsh")


@dataclass(frozen=True, kw_only=True)
class ReformerConfig:
    """Sizes of a Reformer; the defaults are the official configuration for enwik8."""

    vocab_size: int = 258  # 256 bytes, padding and end of text
    hidden_size: int = 768  # of each of the two streams; a state has both
    num_layers: int = 12
    num_heads: int = 8
    head_size: int = 64  # of a head's vectors, whatever the hidden size is
    intermediate_size: int = 2048
    pattern: tuple[str, ...] = ("local", "local", "lsh", "local")  # of layers, repeated
    max_position_embeddings: int = 65_536  # tokens
    # Rows and columns in which positions are laid out. None = a table of all positions.
    axial_shape: tuple[int, ...] | None = (128, 512)
    axial_sizes: tuple[int, ...] | None = (256, 512)  # of a row's and a column's vectors
    local_chunk: int = 128  # tokens
    local_looks: tuple[int, ...] = (1, 0)  # chunks before and after that a chunk looks at
    lsh_chunk: int = 256  # tokens
    lsh_looks: tuple[int, ...] = (1, 0)  # the same of LSH layers
    num_hashes: int = 2  # rounds of hashing; more may be used after training
    # Buckets of a round, or factors of their number; None = two a chunk of each sequence.
    num_buckets: tuple[int, ...] | None = (512,)
    hash_seed: int | None = None  # of rotations that never change; None = new ones in each step
    feed_forward_chunk: int | None = None  # tokens at once in training, for memory; None = all
    causal: bool = True  # a token sees itself and what is before it; else both ways
    activation: str = "relu"
    dropout: float = 0.2  # probability; embeddings, sublayers, inner activations, the output
    local_attention_dropout: float = 0.2  # probability; attention weights
    lsh_attention_dropout: float = 0.2  # the same of LSH layers
    layer_norm_eps: float = 1e-12
    initializer_range: float = 0.02  # standard deviation of the normal

    def __post_init__(self) -> None:
        check_shape(self)
        _check_attention(self)
        if (self.axial_shape is None) != (self.axial_sizes is None):
            raise ConfigError("model.axial_shape and model.axial_sizes go together; set both")
        if self.axial_shape is not None and self.axial_sizes is not None:
            _check_axes(self, self.axial_shape, self.axial_sizes)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Of each layer: "local" or "lsh"."""
        return tuple(self.pattern[i % len(self.pattern)] for i in range(self.num_layers))

    def chunking(self, kind: str) -> Chunking:
        """How layers of this kind cut sequences; both fill them up to the same length."""
        lengths = {"local": self.local_chunk, "lsh": self.lsh_chunk}
        used = [lengths[each] for each in dict.fromkeys(self.kinds)]
        before, after = self.local_looks if kind == "local" else self.lsh_looks
        return Chunking(
            length=lengths[kind],
            before=before,
            after=after,
            multiple=lcm(*used),
            shortest=min(used),
        )


def _check_attention(config: ReformerConfig) -> None:
    wrong = [kind for kind in config.pattern if kind not in KINDS]
    if wrong or not config.pattern:
        raise ConfigError(
            f"model.pattern={list(config.pattern)} must name layers, each of them local or lsh"
        )
    for name in ("local_chunk", "lsh_chunk", "num_hashes", "head_size", "feed_forward_chunk"):
        value = getattr(config, name)
        if value is not None and value < 1:
            raise ConfigError(f"model.{name}={value} must be at least 1")
    for name in ("local_looks", "lsh_looks"):
        looks = getattr(config, name)
        if len(looks) != 2 or min(looks) < 0:
            raise ConfigError(f"model.{name}={list(looks)} must be two numbers of chunks, [1, 0]")
        if config.causal and looks[1]:
            raise ConfigError(
                f"model.{name}={list(looks)} looks at {looks[1]} chunks after a token's own, of "
                f"which a causal model sees nothing; set model.{name}=[{looks[0]}, 0]"
            )
    for buckets in config.num_buckets or ():
        if buckets < 2 or buckets % 2:
            raise ConfigError(
                f"model.num_buckets={list(config.num_buckets or ())} must be even numbers: a "
                "bucket and its opposite share a direction; none chooses them by length"
            )


def _check_axes(config: ReformerConfig, shape: tuple[int, ...], sizes: tuple[int, ...]) -> None:
    if len(shape) != 2 or len(sizes) != 2 or min(*shape, *sizes) < 1:
        raise ConfigError(
            f"model.axial_shape={list(shape)} and model.axial_sizes={list(sizes)} must be two "
            "positive numbers each"
        )
    if sum(sizes) != config.hidden_size:
        raise ConfigError(
            f"model.axial_sizes={list(sizes)} add up to {sum(sizes)}, but must add up to "
            f"model.hidden_size={config.hidden_size}"
        )
    if shape[0] * shape[1] < config.max_position_embeddings:
        raise ConfigError(
            f"model.axial_shape={list(shape)} has {shape[0] * shape[1]} positions, fewer than "
            f"model.max_position_embeddings={config.max_position_embeddings}; enlarge it"
        )


PRESETS = {
    "reformer-enwik8": ReformerConfig(),
    "reformer-enwik8-large": ReformerConfig(
        hidden_size=1024, head_size=128, intermediate_size=4096, axial_sizes=(256, 768)
    ),
    "reformer-tiny": ReformerConfig(
        hidden_size=128,
        num_layers=2,
        num_heads=2,
        intermediate_size=512,
        pattern=("local", "lsh"),
        max_position_embeddings=1024,
        axial_shape=(32, 32),
        axial_sizes=(32, 96),
        local_chunk=64,
        lsh_chunk=64,
        num_buckets=None,
        dropout=0.1,
        local_attention_dropout=0.0,
        lsh_attention_dropout=0.0,
    ),
    "reformer-mini": ReformerConfig(
        hidden_size=256,
        num_layers=4,
        num_heads=4,
        intermediate_size=1024,
        max_position_embeddings=4096,
        axial_shape=(64, 64),
        axial_sizes=(64, 192),
        local_chunk=64,
        lsh_chunk=64,
        num_buckets=None,
        dropout=0.1,
        local_attention_dropout=0.0,
        lsh_attention_dropout=0.0,
    ),
}

_BYTES: dict[str, Any] = {
    "objective.name": "causal-lm",
    "objective.packed": True,
    "data.tokenizer": "bytes",
    "training.optimizer": "adamw",
    "training.betas": (0.9, 0.98),
    "training.eps": 1e-9,
    "training.weight_decay": 0.0,
    "training.schedule": "inverse-sqrt",
    "training.clip_norm": None,
}
# The gin file's rate is .03125 * min(1, step / 2000) / sqrt(max(step, 2000)), a row a device; the
# paper has eight devices.
_ENWIK8 = _BYTES | {
    "data.max_length": 65_536,
    "training.learning_rate": 0.03125 / 2000**0.5,
    "training.warmup_steps": 2_000,
    "training.steps": 100_000,
    "training.batch_size": 8,
}
_LAPTOP = _BYTES | {
    "training.clip_norm": 1.0,
    "training.learning_rate": 2e-3,
    "training.warmup_steps": 200,
    "training.steps": 2_000,
    "training.batch_size": 16,
}
_RECIPES = {
    "reformer-tiny": _LAPTOP | {"data.max_length": 512},
    "reformer-mini": _LAPTOP
    | {"data.max_length": 1024, "training.learning_rate": 1e-3, "training.batch_size": 8},
}


def recipe(preset: str) -> dict[str, Any]:
    """Settings of a preset, by path in the recipe, that differ from the defaults."""
    return dict(_RECIPES.get(preset, _ENWIK8))
