"""BERT: a bidirectional Transformer encoder with a masked-LM and a next-sentence head.

Papers: Devlin et al. 2019, https://arxiv.org/abs/1810.04805, section 3 and appendix A.2; the
miniatures, Turc et al. 2019, https://arxiv.org/abs/1908.08962.
Deviations: dropout rates are rounded to 1/256 on a CPU (nn/dropout.py). GELU is the exact (erf)
form, as in the published checkpoints.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from foretext.batch import Batch
from foretext.errors import ConfigError
from foretext.models.task_classes import TASK_CLASSES, encoder_classes
from foretext.nn.attention import AttentionLayout
from foretext.nn.blocks import ACTIVATIONS, PostNormBlock
from foretext.nn.embeddings import Embeddings
from foretext.nn.heads import MaskedLMHead, vocabulary_loss
from foretext.nn.initialise import truncated_normal
from foretext.weights import Architecture, WeightMap

MODEL_TYPES = ("bert",)


@dataclass(frozen=True, kw_only=True)
class BertConfig:
    """Sizes of a BERT; the defaults are BERT-base, uncased."""

    vocab_size: int = 30522
    hidden_size: int = 768
    num_layers: int = 12
    num_heads: int = 12
    intermediate_size: int = 3072
    max_position_embeddings: int = 512  # tokens
    type_vocab_size: int = 2  # segments
    activation: str = "gelu"
    dropout: float = 0.1  # probability; embeddings and sublayer outputs
    attention_dropout: float = 0.1  # probability; attention weights
    layer_norm_eps: float = 1e-12
    initializer_range: float = 0.02  # standard deviation of the truncated normal

    def __post_init__(self) -> None:
        if self.hidden_size % self.num_heads:
            raise ConfigError(
                f"hidden_size={self.hidden_size} is not a multiple of num_heads={self.num_heads}; "
                f"change one, e.g. hidden_size={64 * self.num_heads}, 64 per head"
            )
        if self.activation not in ACTIVATIONS:
            raise ConfigError(
                f"activation={self.activation!r} is not known; use one of {', '.join(ACTIVATIONS)}"
            )


def _sized(num_layers: int, hidden_size: int, **changes: Any) -> BertConfig:
    """The paper's shape: heads of 64, feed-forward of 4 times the hidden size."""
    return BertConfig(
        num_layers=num_layers,
        hidden_size=hidden_size,
        num_heads=hidden_size // 64,
        intermediate_size=4 * hidden_size,
        **changes,
    )


PRESETS = {
    "bert-tiny": _sized(2, 128),
    "bert-mini": _sized(4, 256),
    "bert-small": _sized(4, 512),
    "bert-medium": _sized(8, 512),
    "bert-base": _sized(12, 768),
    "bert-large": _sized(24, 1024),
    "bert-base-cased": _sized(12, 768, vocab_size=28996),
    "bert-large-cased": _sized(24, 1024, vocab_size=28996),
} | {
    f"bert-l{layers}-h{hidden}": _sized(layers, hidden)
    for layers in (2, 4, 6, 8, 10, 12)
    for hidden in (128, 256, 512, 768)
}

# Appendix A.2, and the official code for what the paper leaves out.
_PAPER = {
    "objective.name": "next-sentence",
    "data.tokenizer": "wordpiece",
    "data.max_length": 128,  # 90% of the steps; 512 for the rest
    "training.optimizer": "bert-adamw",
    "training.learning_rate": 1e-4,
    "training.eps": 1e-6,
    "training.weight_decay": 0.01,
    "training.clip_norm": 1.0,
    "training.schedule": "linear",
    "training.steps": 1_000_000,
    "training.warmup_steps": 10_000,
    "training.batch_size": 256,
}
# A laptop has neither the batch nor the steps of the paper: fewer, larger steps.
_LAPTOP = _PAPER | {
    "training.learning_rate": 1e-3,
    "training.steps": 3_000,
    "training.warmup_steps": 300,
    "training.batch_size": 64,
    "data.vocab_size": 8_000,
}


def recipe(preset: str) -> dict[str, Any]:
    """Settings of a preset, by path in the recipe, that differ from the defaults."""
    config = PRESETS[preset]
    chosen = _LAPTOP if config.num_layers * config.hidden_size <= 4 * 256 else _PAPER
    return chosen | {"data.lowercase": not preset.endswith("-cased")}


def encoder_layers(c: BertConfig) -> nn.ModuleList:
    """The layers of a BERT, which its kin have too."""
    return nn.ModuleList(
        PostNormBlock(
            c.hidden_size,
            c.num_heads,
            c.intermediate_size,
            activation=c.activation,
            eps=c.layer_norm_eps,
            dropout=c.dropout,
            attention_dropout=c.attention_dropout,
        )
        for _ in range(c.num_layers)
    )


class Bert(nn.Module):
    """The encoder with its pre-training heads; a task takes the states and leaves the heads."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.config = c = config
        self.embeddings = Embeddings(
            c.vocab_size,
            c.hidden_size,
            max_position_embeddings=c.max_position_embeddings,
            type_vocab_size=c.type_vocab_size,
            eps=c.layer_norm_eps,
            dropout=c.dropout,
        )
        self.layers = encoder_layers(c)
        self.pooler = nn.Linear(c.hidden_size, c.hidden_size)
        self.mlm_head = MaskedLMHead(
            c.hidden_size,
            c.hidden_size,
            c.vocab_size,
            activation=c.activation,
            eps=c.layer_norm_eps,
        )
        self.pair_head = nn.Linear(c.hidden_size, 2)

    def initialise(self, generator: torch.Generator) -> None:
        """Truncated normal weights, biases 0, norms 1 and 0 (official modeling.py)."""
        truncated_normal(self, self.config.initializer_range, generator)

    def forward(self, batch: Batch) -> Tensor:
        """Encode a ragged batch.

        Args:
            batch: sequences one after another, no padding; see Batch.

        Returns:
            Hidden states of the last layer, [tokens, hidden].

        Raises:
            ValueError: a sequence is longer than max_position_embeddings.

        Paper: section 3, "Input/Output Representations", figure 2.
        """
        layout = AttentionLayout.of(batch.offsets)
        hidden = self.embeddings(batch)
        for layer in self.layers:
            hidden = layer(hidden, layout)
        return hidden

    def logits(self, hidden: Tensor) -> Tensor:
        """Vocabulary scores [..., vocab] of hidden states [..., hidden]."""
        return self.mlm_head(hidden) @ self.embeddings.token.weight.T + self.mlm_head.bias

    def vocabulary_loss(self, hidden: Tensor, labels: Tensor) -> Tensor:
        """Summed cross-entropy in nats of labels [targets], from states [targets, hidden]."""
        states = self.mlm_head(hidden)
        return vocabulary_loss(states, self.embeddings.token.weight, self.mlm_head.bias, labels)

    def sentence_state(self, hidden: Tensor, batch: Batch) -> Tensor:
        """The pooled [CLS] state of every sequence, [sequences, hidden]."""
        return self.pooler(hidden[batch.first]).tanh()

    def pair_logits(self, hidden: Tensor, batch: Batch) -> Tensor:
        """Next-sentence scores [sequences, 2]; index 0 = B follows A, 1 = B is random."""
        return self.pair_head(self.sentence_state(hidden, batch))


Model, Config = Bert, BertConfig


def num_parameters(config: BertConfig) -> int:
    """Parameters of the model with all its heads, tied ones once; a closed form."""
    c, h = config, config.hidden_size
    embeddings = (c.vocab_size + c.max_position_embeddings + c.type_vocab_size + 2) * h
    layer = 4 * (h * h + h) + 2 * h * c.intermediate_size + c.intermediate_size + h + 4 * h
    heads = 2 * (h * h + h) + 2 * h + c.vocab_size + 2 * h + 2
    return embeddings + c.num_layers * layer + heads


ARCHITECTURES = {
    a.name: a
    for a in (
        Architecture(
            name="BertForPreTraining",
            parts=("embeddings", "layers", "pooler", "mlm_head", "pair_head"),
        ),
        Architecture(name="BertForMaskedLM", parts=("embeddings", "layers", "mlm_head")),
        Architecture(
            name="BertModel",
            parts=("embeddings", "layers", "pooler"),
            optional=("pooler",),
            base=True,
        ),
        *encoder_classes("Bert", ("embeddings", "layers")),
    )
}
_USES = {
    "next-sentence": "BertForPreTraining",
    "sentence-order": "BertForPreTraining",
    "masked-lm": "BertForMaskedLM",
    "packed-masked-lm": "BertForMaskedLM",
} | {task: f"Bert{name}" for task, name in TASK_CLASSES.items()}


def architecture(config: BertConfig, use: str) -> str:  # noqa: ARG001
    """Their class for a use: an objective or a task by name."""
    return _USES[use]


def encoder_modules(prefix: str) -> dict[str, str]:
    """Rows of a weight map for embeddings and layers, whose names BERT's kin share."""
    embeddings, layer = f"{prefix}.embeddings", f"{prefix}.encoder.layer.{{i}}"
    return {
        f"{embeddings}.word_embeddings": "embeddings.token",
        f"{embeddings}.position_embeddings": "embeddings.position",
        f"{embeddings}.token_type_embeddings": "embeddings.segment",
        f"{embeddings}.LayerNorm": "embeddings.norm",
        f"{layer}.attention.self.query": "layers.{i}.attention.query",
        f"{layer}.attention.self.key": "layers.{i}.attention.key",
        f"{layer}.attention.self.value": "layers.{i}.attention.value",
        f"{layer}.attention.output.dense": "layers.{i}.attention.output",
        f"{layer}.attention.output.LayerNorm": "layers.{i}.attention_norm",
        f"{layer}.intermediate.dense": "layers.{i}.feed_forward.up",
        f"{layer}.output.dense": "layers.{i}.feed_forward.down",
        f"{layer}.output.LayerNorm": "layers.{i}.feed_forward_norm",
    }


def weight_map(config: BertConfig) -> WeightMap:  # noqa: ARG001  (one shape for every size)
    """Names of the Hugging Face layout; their module -> ours."""
    return WeightMap(
        prefix="bert.",
        modules={
            **encoder_modules("bert"),
            "bert.pooler.dense": "pooler",
            "cls.predictions.transform.dense": "mlm_head.dense",
            "cls.predictions.transform.LayerNorm": "mlm_head.norm",
            "cls.seq_relationship": "pair_head",
        },
        tensors={"cls.predictions.bias": "mlm_head.bias"},
        tied={
            "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
            "cls.predictions.decoder.bias": "cls.predictions.bias",
        },
        unused=("bert.embeddings.position_ids",),
    )


_ACTIVATIONS = {"gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh"}


def from_hf(raw: dict[str, Any]) -> BertConfig:
    """Our config from config.json.

    Raises:
        ConfigError: a feature of the layout that BERT as published does not have.
    """
    if raw.get("position_embedding_type", "absolute") != "absolute":
        raise ConfigError(
            f"position_embedding_type={raw['position_embedding_type']!r} is not BERT's; only "
            "'absolute' can be read"
        )
    if raw.get("is_decoder") or raw.get("add_cross_attention"):
        raise ConfigError("is_decoder or add_cross_attention is set; only encoders can be read")
    activation = raw.get("hidden_act", "gelu")
    default = BertConfig()
    return BertConfig(
        vocab_size=raw.get("vocab_size", default.vocab_size),
        hidden_size=raw.get("hidden_size", default.hidden_size),
        num_layers=raw.get("num_hidden_layers", default.num_layers),
        num_heads=raw.get("num_attention_heads", default.num_heads),
        intermediate_size=raw.get("intermediate_size", default.intermediate_size),
        max_position_embeddings=raw.get("max_position_embeddings", 512),
        type_vocab_size=raw.get("type_vocab_size", default.type_vocab_size),
        activation=_ACTIVATIONS.get(activation, activation),
        dropout=raw.get("hidden_dropout_prob", default.dropout),
        attention_dropout=raw.get("attention_probs_dropout_prob", default.attention_dropout),
        layer_norm_eps=raw.get("layer_norm_eps", default.layer_norm_eps),
        initializer_range=raw.get("initializer_range", default.initializer_range),
    )


def to_hf(config: BertConfig, architecture: str) -> dict[str, Any]:
    """config.json of this config, saved as one of ARCHITECTURES."""
    return {
        "architectures": [architecture],
        "model_type": "bert",
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "intermediate_size": config.intermediate_size,
        "hidden_act": {v: k for k, v in reversed(_ACTIVATIONS.items())}.get(
            config.activation, config.activation
        ),
        "hidden_dropout_prob": config.dropout,
        "attention_probs_dropout_prob": config.attention_dropout,
        "max_position_embeddings": config.max_position_embeddings,
        "type_vocab_size": config.type_vocab_size,
        "initializer_range": config.initializer_range,
        "layer_norm_eps": config.layer_norm_eps,
        "pad_token_id": 0,
        "classifier_dropout": None,
        "use_cache": True,
        "is_decoder": False,
        "add_cross_attention": False,
        "bos_token_id": None,
        "eos_token_id": None,
        "tie_word_embeddings": True,
    }
