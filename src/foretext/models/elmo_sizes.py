"""ELMo's config, its published sizes and how they were trained.

Paper: Peters et al. 2018, sections 3.4 and 4, with bin/train_elmo.py; the smaller sizes are those
that were published with bilm-tf. The tiny and mini sizes are ours, for a laptop.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from foretext.core.errors import ConfigError
from foretext.core.words import NUM_CHARACTERS
from foretext.nn.char_cnn import ACTIVATIONS

_FREE = {"unbounded": True}  # see hub/folder.py


@dataclass(frozen=True, kw_only=True)
class ElmoConfig:
    """Sizes of an ELMo; the defaults are the original's."""

    vocab_size: int = 793471  # words that the tokenizer knows
    predicted_words: int | None = None  # the most frequent; others count as <UNK>; none: all
    character_size: int = 16  # of a character's embedding
    filter_widths: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7)  # characters
    filter_counts: tuple[int, ...] = (32, 32, 64, 128, 256, 512, 1024)  # of each width
    num_highways: int = 2  # layers after the convolutions
    activation: str = "relu"  # or tanh: of the convolutions
    projection_size: int = 512  # of a word's vector and of an LSTM's state
    cell_size: int = 4096  # of an LSTM
    num_layers: int = 2  # of each direction
    cell_clip: float | None = field(default=3.0, metadata=_FREE)  # largest value in a cell
    projection_clip: float | None = field(default=3.0, metadata=_FREE)  # largest in a state
    dropout: float = 0.1  # probability; inputs of the LSTMs, and their output

    def __post_init__(self) -> None:
        if len(self.filter_widths) != len(self.filter_counts) or not self.filter_widths:
            raise ConfigError(
                f"model.filter_widths={list(self.filter_widths)} and model.filter_counts="
                f"{list(self.filter_counts)} must have one number for each kind of filter"
            )
        if min(*self.filter_widths, *self.filter_counts) < 1 or max(self.filter_widths) > 50:
            raise ConfigError("model.filter_widths must lie in 1..50 and filter_counts above 0")
        if self.activation not in ACTIVATIONS:
            raise ConfigError(
                f"model.activation={self.activation!r} must be one of {', '.join(ACTIVATIONS)}"
            )
        if self.predicted_words is not None and self.predicted_words < 4:
            raise ConfigError(
                f"model.predicted_words={self.predicted_words} must be at least 4, "
                "<S>, </S> and <UNK> among them, or none"
            )
        for name in ("cell_clip", "projection_clip"):
            if (value := getattr(self, name)) is not None and not value > 0:
                raise ConfigError(f"model.{name}={value} must be above 0, or none for no limit")

    @property
    def hidden_size(self) -> int:
        """Of the states that tasks read: both directions'."""
        return 2 * self.projection_size

    @property
    def num_predicted(self) -> int:
        """Rows of the softmax."""
        return min(self.predicted_words or self.vocab_size, self.vocab_size)


_ORIGINAL = ElmoConfig()
PRESETS = {
    "elmo-tiny": ElmoConfig(
        filter_counts=(16, 16, 32, 64, 64, 32, 32),
        num_highways=1,
        projection_size=96,
        cell_size=256,
        predicted_words=8_000,
    ),
    "elmo-mini": ElmoConfig(
        filter_counts=(32, 32, 64, 128, 128, 64, 64),
        num_highways=1,
        projection_size=128,
        cell_size=512,
        predicted_words=20_000,
    ),
    "elmo-small": replace(_ORIGINAL, num_highways=1, projection_size=128, cell_size=1024),
    "elmo-medium": replace(_ORIGINAL, num_highways=1, projection_size=256, cell_size=2048),
    "elmo-original": _ORIGINAL,
    "elmo-original-5.5b": _ORIGINAL,
}

# bin/train_elmo.py and bilm/training.py: Adagrad at .2 from sums of squares of 1, the gradient of
# 20 times the loss cut at a norm of 10, no decay of weights or rate.
_PAPER: dict[str, Any] = {
    "objective.name": "bidirectional-lm",
    "objective.sampled_words": 8192,
    "data.tokenizer": "words",
    "data.max_length": 20,
    "training.optimizer": "adagrad",
    "training.learning_rate": 0.2,
    "training.weight_decay": 0.0,
    "training.gradient_scale": 20.0,
    "training.clip_norm": 10.0,
    "training.schedule": "constant",
    "training.batch_size": 384,  # streams, 128 on each of three GPUs
    "training.steps": 1_000_840,  # 10 epochs of 768,648,884 tokens
}
_LAPTOP = _PAPER | {
    "objective.sampled_words": 1024,
    "data.tokenizer": "spelled-words",
    "data.vocab_size": 50_000,
    "training.batch_size": 32,
    "training.steps": 6_000,
}


def recipe(preset: str) -> dict[str, Any]:
    """Settings of a preset, by path in the recipe, that differ from the defaults."""
    if preset == "elmo-tiny":  # a softmax over all of its words costs no more than a sample
        return _LAPTOP | {"objective.sampled_words": None}
    return _LAPTOP if preset == "elmo-mini" else _PAPER


def num_parameters(config: ElmoConfig) -> int:
    """Parameters of the model with its softmax; a closed form."""
    return num_encoder_parameters(config) + config.num_predicted * (config.projection_size + 1)


def num_encoder_parameters(config: ElmoConfig) -> int:
    """Without the softmax, as the published counts are; they have a zero row for id 0 besides."""
    c = config
    filters = sum(c.filter_counts)
    convolutions = sum(
        count * (width * c.character_size + 1)
        for width, count in zip(c.filter_widths, c.filter_counts, strict=True)
    )
    projection = 0 if filters == c.projection_size else (filters + 1) * c.projection_size
    words = NUM_CHARACTERS * c.character_size + convolutions + projection
    words += c.num_highways * 2 * (filters + 1) * filters
    lstm = 4 * c.cell_size * (2 * c.projection_size + 1) + c.cell_size * c.projection_size
    return words + 2 * c.num_layers * lstm
