"""What BERT and its kin share: sizes, the encoder with its masked-LM head, names in their folders.

A family's file says how it departs from this. Parameters have the same names in all of them, and
modules stand in one order, which fixes initial weights and dropout.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from foretext.core.batch import Batch
from foretext.core.errors import ConfigError
from foretext.core.masks import Full, Mask
from foretext.models.shape import check_shape
from foretext.nn.backbone import Backbone, Reads
from foretext.nn.blocks import PostNormBlock
from foretext.nn.cost import TokenCost, transformer_cost
from foretext.nn.embeddings import Embeddings
from foretext.nn.heads import MaskedLMHead, linear_cross_entropy
from foretext.nn.layers import through, through_all
from foretext.nn.linear import Linear
from foretext.nn.sharing import share_weights


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """Sizes of an encoder; the defaults are BERT-base, uncased."""

    vocab_size: int = 30522
    hidden_size: int = 768
    num_layers: int = 12
    num_heads: int = 12
    intermediate_size: int = 3072
    max_position_embeddings: int = 512  # tokens
    activation: str = "gelu"
    dropout: float = 0.1  # probability; embeddings and sublayer outputs
    attention_dropout: float = 0.1  # probability; attention weights
    layer_norm_eps: float = 1e-12
    initializer_range: float = 0.02  # standard deviation of the initial weights

    def __post_init__(self) -> None:
        check_shape(self)

    @property
    def table_size(self) -> int:
        """Width of the embedding tables."""
        return int(getattr(self, "embedding_size", self.hidden_size))

    @property
    def segments(self) -> int:
        """Rows of the segment table; 0 is none."""
        return int(getattr(self, "type_vocab_size", 0))


C = TypeVar("C", bound=EncoderConfig)


def sized(cls: type[C], num_layers: int, hidden_size: int, **changes: Any) -> C:
    """The papers' shape: heads of 64, feed-forward of 4 times the hidden size."""
    shape = {"num_heads": hidden_size // 64, "intermediate_size": 4 * hidden_size}
    return cls(num_layers=num_layers, hidden_size=hidden_size, **(shape | changes))


class Encoder(Backbone):
    """Embeddings, post-norm layers, and the heads that the kin share.

    Args:
        config: its sizes.
        heads: which of "pooler", the dense layer on the first token's state, and "mlm_head".
        projected: whether a linear map leads from the tables' size to the hidden size.
        embeddings: of another network, whose weights are shared; None makes new ones.
    """

    reads = Reads.BOTH_WAYS
    vocabulary_rows = ("embeddings.token.weight", "mlm_head.bias")
    config: EncoderConfig
    pooler: nn.Linear
    mlm_head: MaskedLMHead

    def __init__(
        self,
        config: EncoderConfig,
        *,
        heads: Sequence[str] = ("pooler", "mlm_head"),
        projected: bool = False,
        embeddings: Embeddings | None = None,
    ) -> None:
        super().__init__()
        self.config = c = config
        with nullcontext() if embeddings is None else torch.device("meta"):
            self.embeddings = Embeddings(
                c.vocab_size,
                c.table_size,
                max_position_embeddings=c.max_position_embeddings,
                type_vocab_size=c.segments,
                eps=c.layer_norm_eps,
                dropout=c.dropout,
            )
        if embeddings is not None:
            share_weights(self.embeddings, embeddings)
        self.embeddings_projection = Linear(c.table_size, c.hidden_size) if projected else None
        self.layers = nn.ModuleList(self.make_layers())
        if "pooler" in heads:
            self.pooler = Linear(c.hidden_size, c.hidden_size)
        self.predicts = "mlm_head" in heads  # tokens
        if self.predicts:
            self.mlm_head = MaskedLMHead(
                c.hidden_size,
                c.table_size,
                c.vocab_size,
                activation=self.mlm_activation,
                eps=c.layer_norm_eps,
            )

    @property
    def mlm_activation(self) -> str:
        """A name in ACTIVATIONS."""
        return self.config.activation

    def make_layers(self) -> list[PostNormBlock]:
        """The blocks, in the order of their use."""
        return [self.make_block() for _ in range(self.config.num_layers)]

    def make_block(self) -> PostNormBlock:
        """A block of its own weights."""
        c = self.config
        return PostNormBlock(
            c.hidden_size,
            c.num_heads,
            c.intermediate_size,
            activation=c.activation,
            eps=c.layer_norm_eps,
            dropout=c.dropout,
            attention_dropout=c.attention_dropout,
        )

    def forward(self, batch: Batch, used: Tensor | None = None) -> Tensor:
        """Encode a ragged batch.

        Args:
            batch: sequences one after another, no padding; see Batch.
            used: tokens whose states are read, ascending; the others' are zero. None is all.

        Returns:
            Hidden states of the last layer, [tokens, hidden].

        Raises:
            ValueError: a sequence is longer than max_position_embeddings.

        Paper: Devlin et al. 2019, section 3, "Input/Output Representations", figure 2.
        """
        return through(self.layers, self._embedded(batch), batch.layout, _mask(batch), used)

    def all_layers(self, batch: Batch) -> list[Tensor]:
        """States before the first layer and after each, num_layers + 1 times [tokens, hidden]."""
        return through_all(self.layers, self._embedded(batch), batch.layout, _mask(batch))

    def _embedded(self, batch: Batch) -> Tensor:
        hidden = self.embeddings(batch)
        if self.embeddings_projection is None:
            return hidden
        return self.embeddings_projection(hidden)

    def logits(self, hidden: Tensor) -> Tensor:
        """Vocabulary scores [..., vocab] of hidden states [..., hidden]."""
        return self.mlm_head(hidden) @ self.embeddings.token.weight.T + self.mlm_head.bias

    def linear_cross_entropy(
        self, hidden: Tensor, labels: Tensor, weights: Tensor | None = None
    ) -> Tensor:
        """Summed cross-entropy in nats of labels [targets], from states [targets, hidden].

        weights: [targets], factors of each target's cross-entropy; None is 1 for all.
        """
        head, table = self.mlm_head, self.embeddings.token.weight
        return linear_cross_entropy(head(hidden), table, head.bias, labels, weights)

    def lower_layers(self, count: int) -> list[nn.Module]:
        """The embeddings, what leads from their size to the layers', and the lowest layers."""
        projection = [] if self.embeddings_projection is None else [self.embeddings_projection]
        return [self.embeddings, *projection, *self.layers[:count]]

    def token_cost(self, attended: float, target_rate: float) -> TokenCost:
        """See Backbone; the last layer is passed at predicted tokens alone (nn/blocks.py)."""
        last: Any = self.layers[-1]
        head = 0.0
        if self.predicts:
            head = target_rate * self.config.vocab_size * self.config.table_size
            head -= (1 - target_rate) * last.row_weights
        return transformer_cost(self, self.config, attended, head=head)

    def pooled_output(self, hidden: Tensor, batch: Batch) -> Tensor:
        """A dense layer and tanh on the first token's state of every sequence, [., hidden]."""
        return self.pooler(hidden[batch.first]).tanh()


def _mask(batch: Batch) -> Mask:
    """The batch's; else both sides of every token."""
    return batch.mask or Full()


def position_limit(config: EncoderConfig) -> int:
    """Tokens of the longest sequence: there is a table of positions."""
    return config.max_position_embeddings


def part_sizes(c: EncoderConfig) -> dict[str, int]:
    """Parameters of each part, tied ones once; closed forms, nothing is made.

    "attention" and "feed_forward" are of one layer, each with its norm.
    """
    h, e, wide = c.hidden_size, c.table_size, c.intermediate_size
    return {
        "embeddings": (c.vocab_size + c.max_position_embeddings + c.segments + 2) * e,
        "embeddings_projection": e * h + h,
        "attention": 4 * (h * h + h) + 2 * h,
        "feed_forward": 2 * h * wide + wide + h + 2 * h,
        "pooler": h * h + h,
        "mlm_head": h * e + e + 2 * e + c.vocab_size,
        "pair_head": 2 * h + 2,
    }


def encoder_size(c: EncoderConfig) -> int:
    """Parameters of embeddings, layers that share nothing, pooler and masked-LM head."""
    sizes = part_sizes(c)
    layers = c.num_layers * (sizes["attention"] + sizes["feed_forward"])
    return sizes["embeddings"] + layers + sizes["pooler"] + sizes["mlm_head"]


def encoder_modules(prefix: str) -> dict[str, str]:
    """Rows of a weight map for embeddings and layers; their module -> ours."""
    layer = f"{prefix}.encoder.layer.{{i}}"
    return embeddings_modules(f"{prefix}.embeddings") | {
        f"{layer}.attention.self.query": "layers.{i}.attention.query",
        f"{layer}.attention.self.key": "layers.{i}.attention.key",
        f"{layer}.attention.self.value": "layers.{i}.attention.value",
        f"{layer}.attention.output.dense": "layers.{i}.attention.output",
        f"{layer}.attention.output.LayerNorm": "layers.{i}.attention_norm",
        f"{layer}.intermediate.dense": "layers.{i}.feed_forward.up",
        f"{layer}.output.dense": "layers.{i}.feed_forward.down",
        f"{layer}.output.LayerNorm": "layers.{i}.feed_forward_norm",
    }


def embeddings_modules(prefix: str) -> dict[str, str]:
    """Rows of a weight map for embeddings alone."""
    return {
        f"{prefix}.word_embeddings": "embeddings.token",
        f"{prefix}.position_embeddings": "embeddings.position",
        f"{prefix}.token_type_embeddings": "embeddings.segment",
        f"{prefix}.LayerNorm": "embeddings.norm",
    }


_ACTIVATIONS = {"gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh"}
_THEIRS = {"gelu_tanh": "gelu_new"}
_KEYS = {  # of config.json -> our fields, where a config has them
    "vocab_size": "vocab_size",
    "hidden_size": "hidden_size",
    "num_hidden_layers": "num_layers",
    "num_attention_heads": "num_heads",
    "intermediate_size": "intermediate_size",
    "hidden_act": "activation",
    "hidden_dropout_prob": "dropout",
    "attention_probs_dropout_prob": "attention_dropout",
    "max_position_embeddings": "max_position_embeddings",
    "type_vocab_size": "type_vocab_size",
    "embedding_size": "embedding_size",
    "initializer_range": "initializer_range",
    "layer_norm_eps": "layer_norm_eps",
}


def fields_from_hf(raw: dict[str, Any], usual: EncoderConfig) -> dict[str, Any]:
    """Fields of a config from config.json.

    Args:
        raw: what is in it.
        usual: what their class takes where the file is silent.

    Raises:
        ConfigError: a feature of the layout that these families as published do not have.
    """
    if raw.get("position_embedding_type", "absolute") != "absolute":
        raise ConfigError(
            f"position_embedding_type={raw['position_embedding_type']!r} is not BERT's; only "
            "'absolute' can be read"
        )
    if raw.get("is_decoder") or raw.get("add_cross_attention"):
        raise ConfigError("is_decoder or add_cross_attention is set; only encoders can be read")
    ours = {field.name for field in fields(usual)}
    found = {o: raw.get(t, getattr(usual, o)) for t, o in _KEYS.items() if o in ours}
    return found | {"activation": _ACTIVATIONS.get(found["activation"], found["activation"])}


def values_to_hf(config: EncoderConfig, model_type: str, architecture: str) -> dict[str, Any]:
    """config.json of a config, for a class of theirs."""
    values = {t: getattr(config, o) for t, o in _KEYS.items() if hasattr(config, o)}
    return {
        "architectures": [architecture],
        "model_type": model_type,
        **values,
        "hidden_act": _THEIRS.get(config.activation, config.activation),
        "pad_token_id": 0,
        "classifier_dropout": None,
        "use_cache": True,
        "is_decoder": False,
        "add_cross_attention": False,
        "bos_token_id": None,
        "eos_token_id": None,
        "tie_word_embeddings": True,
    }
