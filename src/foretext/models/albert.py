"""ALBERT: BERT with a small embedding, one layer used again and again, and sentence order.

Paper: Lan et al. 2020, https://arxiv.org/abs/1909.11942, section 3; the official repository for
what it leaves out.
Tables, their norm and their dropout have the embedding size; a linear map leads to the hidden size.
Deviations: dropout rates are rounded to 1/256 on a CPU (nn/dropout.py). The map exists even where
both sizes are equal, as in the Hugging Face layout; the official code then has none. Sharing of the
attention or of the feed-forward network alone (table 4) has no place in that layout: such models
are saved under a model_type of their own.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from foretext.core.batch import Batch
from foretext.core.errors import ConfigError
from foretext.hub.architecture import Architecture
from foretext.hub.classes import TASK_CLASSES, encoder_classes
from foretext.hub.layout import HubLayout, by_name
from foretext.hub.weight_map import WeightMap
from foretext.models.encoder import (
    Encoder,
    EncoderConfig,
    embeddings_modules,
    fields_from_hf,
    part_sizes,
    position_limit,
    sized,
    values_to_hf,
)
from foretext.models.family import Family
from foretext.nn.blocks import PostNormBlock
from foretext.nn.initialise import truncated_normal
from foretext.nn.sharing import share_weights

PARTLY_SHARED = "foretext-albert"  # model_type of what the layout of "albert" cannot express
# Parts of a block that all layers share.
SHARED_PARTS: dict[str, tuple[str, ...]] = {
    "none": (),
    "attention": ("attention", "attention_norm"),
    "ffn": ("feed_forward", "feed_forward_norm"),
    "all": ("attention", "attention_norm", "feed_forward", "feed_forward_norm"),
}
_MOST_LAYERS = 1_000  # shared layers cost no memory, so nothing else would stop an absurd number


@dataclass(frozen=True, kw_only=True)
class AlbertConfig(EncoderConfig):
    """Sizes of an ALBERT; the defaults are ALBERT-base of the paper (v1).

    num_layers is how often a layer is used.
    """

    vocab_size: int = 30000
    embedding_size: int = 128
    type_vocab_size: int = 2  # segments
    sharing: str = "all"  # of the layers' weights: all | attention | ffn | none
    activation: str = "gelu_tanh"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sharing not in SHARED_PARTS:
            raise ConfigError(
                f"model.sharing={self.sharing!r} is not known; use one of {', '.join(SHARED_PARTS)}"
            )
        if not 1 <= self.num_layers <= _MOST_LAYERS:
            raise ConfigError(f"num_layers={self.num_layers} must be from 1 to {_MOST_LAYERS}")


_NO_DROPOUT = {"dropout": 0.0, "attention_dropout": 0.0}
# The released xlarge has 16 heads, where the paper's rule would give 32.
_SHAPES: dict[str, tuple[int, int, dict[str, Any]]] = {
    "base": (12, 768, {}),
    "large": (24, 1024, {}),
    "xlarge": (24, 2048, {"num_heads": 16}),
    "xxlarge": (12, 4096, _NO_DROPOUT),
}
PRESETS = (
    {"albert-tiny": sized(AlbertConfig, 2, 128), "albert-mini": sized(AlbertConfig, 4, 256)}
    | {
        f"albert-{name}": sized(AlbertConfig, n, h, **more)
        for name, (n, h, more) in _SHAPES.items()
    }
    | {
        f"albert-{name}-v2": sized(AlbertConfig, n, h, **(more | _NO_DROPOUT))
        for name, (n, h, more) in _SHAPES.items()
    }
)

# Sections 4.1 and 4.2, and run_pretraining.py.
_PAPER = {
    "objective.name": "sentence-order",
    "data.tokenizer": "unigram",
    "data.special_tokens": "albert",
    "data.lowercase": True,
    "data.max_length": 512,
    "training.optimizer": "lamb",
    "training.learning_rate": 0.00176,
    "training.eps": 1e-6,
    "training.weight_decay": 0.01,
    "training.clip_norm": 1.0,
    "training.schedule": "linear",
    "training.steps": 125_000,
    "training.warmup_steps": 3_125,
    "training.batch_size": 4_096,
}
# A laptop has neither the batch nor the steps of the paper: fewer, larger steps.
_LAPTOP = {
    "data.vocab_size": 8_000,
    "data.max_length": 128,
    "training.learning_rate": 5e-3,
    "training.steps": 3_000,
    "training.warmup_steps": 300,
    "training.batch_size": 64,
}


def recipe(preset: str) -> dict[str, Any]:
    """Settings of a preset, by path in the recipe, that differ from the defaults."""
    if preset in ("albert-tiny", "albert-mini"):
        return _PAPER | _LAPTOP
    if preset.endswith("-v2"):  # README: base 10M steps, the others 3M
        return _PAPER | {"training.steps": 10_000_000 if "-base-" in preset else 3_000_000}
    return dict(_PAPER)


class Albert(Encoder):
    """The encoder with its pre-training heads; a task takes the states and leaves the heads."""

    config: AlbertConfig

    def __init__(self, config: AlbertConfig) -> None:
        super().__init__(config, projected=True)
        self.sop_head = nn.Linear(config.hidden_size, 2)

    def pair_logits(self, hidden: Tensor, batch: Batch) -> Tensor:
        """Scores [sequences, 2]; index 0 = in order, 1 = swapped."""
        return self.sop_head(self.pooled_output(hidden, batch))

    def make_layers(self) -> list[PostNormBlock]:
        """Blocks whose shared parts have the first one's weights, and dropout of their own."""
        first, sharing = self.make_block(), self.config.sharing
        # Where all is shared, weights of the others would be made in vain.
        with torch.device("meta") if sharing == "all" else nullcontext():
            others = [self.make_block() for _ in range(self.config.num_layers - 1)]
        for layer in others:
            for part in SHARED_PARTS[sharing]:
                share_weights(getattr(layer, part), getattr(first, part))
        return [first, *others]

    def initialise(self, generator: torch.Generator) -> None:
        """Truncated normal weights, biases 0, norms 1 and 0 (official modeling.py)."""
        truncated_normal(self, self.config.initializer_range, generator)


def num_parameters(config: AlbertConfig) -> int:
    """Parameters of the model with all its heads, tied and shared ones once; a closed form."""
    sizes, shared = part_sizes(config), SHARED_PARTS[config.sharing]
    for part in ("attention", "feed_forward"):
        sizes[part] *= 1 if part in shared else config.num_layers
    return sum(sizes.values())


def stored_layers(config: AlbertConfig) -> int:
    """Layers that have weights of their own in a file."""
    return 1 if config.sharing == "all" else config.num_layers


_BACKBONE = ("embeddings", "embeddings_projection", "layers")


def _classes(brand: str) -> tuple[Architecture, ...]:
    bare = f"{brand}Model"
    return (
        Architecture(
            name=f"{brand}ForPreTraining",
            parts=(*_BACKBONE, "pooler", "mlm_head", "sop_head"),
            bare=bare,
            fills=True,
            judges_pairs=True,
        ),
        Architecture(
            name=f"{brand}ForMaskedLM", parts=(*_BACKBONE, "mlm_head"), bare=bare, fills=True
        ),
        Architecture(name=bare, parts=(*_BACKBONE, "pooler"), optional=("pooler",), base=True),
        *encoder_classes(brand, _BACKBONE),
    )


_OURS = tuple(replace(a, opens_as="nothing") for a in _classes("ForetextAlbert"))
ARCHITECTURES = by_name(*_classes("Albert"), *_OURS)
_CLASSES = {
    "sentence-order": "ForPreTraining",
    "masked-lm": "ForMaskedLM",
    "packed-masked-lm": "ForMaskedLM",
} | TASK_CLASSES


def _brand(config: AlbertConfig) -> str:
    """Ours where the layout has no such sharing."""
    return "Albert" if config.sharing in ("all", "none") else "ForetextAlbert"


def class_for(config: AlbertConfig, use: str) -> str | None:
    """Their class for an objective or a task; ours where they have none."""
    return _brand(config) + _CLASSES[use] if use in _CLASSES else None


def weight_map(config: AlbertConfig) -> WeightMap:  # noqa: ARG001  (one shape for every sharing)
    """Names of the Hugging Face layout; their module -> ours.

    What layers share is in group 0 alone; without sharing every layer is a group of its own.
    """
    embeddings, group = "albert.embeddings", "albert.encoder.albert_layer_groups.{i}"
    layer = f"{group}.albert_layers.0"
    return WeightMap(
        prefix="albert.",
        modules={
            **embeddings_modules(embeddings),
            "albert.encoder.embedding_hidden_mapping_in": "embeddings_projection",
            f"{layer}.attention.query": "layers.{i}.attention.query",
            f"{layer}.attention.key": "layers.{i}.attention.key",
            f"{layer}.attention.value": "layers.{i}.attention.value",
            f"{layer}.attention.dense": "layers.{i}.attention.output",
            f"{layer}.attention.LayerNorm": "layers.{i}.attention_norm",
            f"{layer}.ffn": "layers.{i}.feed_forward.up",
            f"{layer}.ffn_output": "layers.{i}.feed_forward.down",
            f"{layer}.full_layer_layer_norm": "layers.{i}.feed_forward_norm",
            "albert.pooler": "pooler",
            "predictions.dense": "mlm_head.dense",
            "predictions.LayerNorm": "mlm_head.norm",
            "sop_classifier.classifier": "sop_head",
        },
        tensors={"predictions.bias": "mlm_head.bias"},
        tied={
            "predictions.decoder.weight": f"{embeddings}.word_embeddings.weight",
            "predictions.decoder.bias": "predictions.bias",
        },
        unused=(f"{embeddings}.position_ids",),
    )


def from_hf(raw: dict[str, Any]) -> AlbertConfig:
    """Our config from config.json; what it lacks is as in their class, which is xxlarge.

    Raises:
        ConfigError: a feature of the layout that ALBERT as published does not have.
    """
    usual = sized(AlbertConfig, 12, 4096, **_NO_DROPOUT)
    found = fields_from_hf(raw, usual)
    raw = to_hf(usual, "") | raw
    layers, groups = raw["num_hidden_layers"], raw["num_hidden_groups"]
    if raw["inner_group_num"] != 1:
        raise ConfigError(f"inner_group_num={raw['inner_group_num']} cannot be read; only 1 can")
    if groups not in (1, layers):
        raise ConfigError(
            f"num_hidden_groups={groups} of {layers} layers cannot be read; only 1, all layers "
            f"shared, or {layers}, none shared, can"
        )
    sharing = "all" if groups == 1 else "none"
    if raw.get("model_type") == PARTLY_SHARED:
        sharing = str(raw.get("sharing", sharing))
    return AlbertConfig(**found | {"sharing": sharing})


def to_hf(config: AlbertConfig, architecture: str) -> dict[str, Any]:
    """config.json of this config, saved as one of ARCHITECTURES."""
    partly = config.sharing not in ("all", "none")
    return (
        values_to_hf(config, PARTLY_SHARED if partly else "albert", architecture)
        | {
            "num_hidden_groups": 1 if config.sharing == "all" else config.num_layers,
            "inner_group_num": 1,
            "classifier_dropout_prob": 0.1,
        }
        | ({"sharing": config.sharing} if partly else {})
    )


FAMILY = Family(
    name="albert",
    title="ALBERT",
    summary="BERT with a small embedding, one layer used again and again, and sentence order",
    paper="Lan et al. 2020, https://arxiv.org/abs/1909.11942, section 3",
    config=AlbertConfig,
    presets=PRESETS,
    model=Albert,
    max_positions=position_limit,
    max_segments=lambda config: config.type_vocab_size,
    recipe=recipe,
    hub=HubLayout(
        model_types=("albert", PARTLY_SHARED),
        architectures=ARCHITECTURES,
        class_for=class_for,
        bare_for=lambda config: f"{_brand(config)}Model",
        make=Albert,
        num_parameters=num_parameters,
        weight_map=weight_map,
        from_hf=from_hf,
        to_hf=to_hf,
        stored_layers=stored_layers,
    ),
)
