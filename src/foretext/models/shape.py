"""What the sizes of any Transformer must satisfy, said before anything is made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from foretext.core.errors import ConfigError
from foretext.nn.activations import ACTIVATIONS

_COUNTS = (
    *("vocab_size", "hidden_size", "num_layers", "num_heads", "intermediate_size"),
    *("max_position_embeddings", "type_vocab_size", "embedding_size", "attention_window"),
    *("num_decoder_layers", "head_size", "relative_buckets", "relative_max_distance"),
)
_SHARES = ("dropout", "attention_dropout")
_POSITIVE = ("initializer_range", "layer_norm_eps")


def check_shape(config: Any) -> None:
    """See that a family's config can be built, as far as it has these fields.

    Raises:
        ConfigError: the first field at fault, its rule and a remedy.
    """
    rules: tuple[tuple[Sequence[str], Callable[[float], bool], str], ...] = (
        (_COUNTS, lambda value: value >= 1, "at least 1"),
        (_SHARES, lambda value: 0 <= value < 1, "from 0 to below 1"),
        (_POSITIVE, lambda value: value > 0, "above 0"),
    )
    for names, fits, rule in rules:
        for name in names:
            value = getattr(config, name, None)
            # A value of another type is refused where it is read.
            if isinstance(value, int | float) and not fits(value):
                raise ConfigError(f"model.{name}={value} must be {rule}")
    has_own_size = hasattr(config, "head_size")
    if not has_own_size and config.hidden_size % config.num_heads:
        raise ConfigError(
            f"hidden_size={config.hidden_size} is not a multiple of num_heads={config.num_heads}; "
            f"change one, e.g. hidden_size={64 * config.num_heads}, 64 per head"
        )
    if config.activation not in ACTIVATIONS:
        raise ConfigError(
            f"activation={config.activation!r} is not known; use one of {', '.join(ACTIVATIONS)}"
        )
