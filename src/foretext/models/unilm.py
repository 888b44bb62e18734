"""UniLM: one encoder that reads both ways, either way, or from a source to a target, by its mask.

Paper: Dong et al. 2019, https://arxiv.org/abs/1905.03197, sections 2.2 to 2.4; where it is silent,
the official repository (unilm-v1). The network is BERT's with six segments, which say how a text is
read: 0 and 1 both ways, 2 from left to right, 3 from right to left, 4 source and 5 target. Which
tokens a token sees is the batch's mask; without one, all, as for every task of understanding.
Deviations: dropout rates are rounded to 1/256 on a CPU (nn/dropout.py). There is no class of UniLM
in the Hugging Face layout. Its folder is BERT's, so that `transformers` opens it as a BertModel,
which computes the mask that sees all; config.json names the family beside it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn

from foretext.core.batch import Batch
from foretext.core.errors import ConfigError
from foretext.hub.classes import TASK_CLASSES
from foretext.hub.layout import FAMILY_KEY, HubLayout
from foretext.models import bert
from foretext.models.encoder import (
    Encoder,
    EncoderConfig,
    encoder_size,
    fields_from_hf,
    part_sizes,
    position_limit,
    sized,
    values_to_hf,
)
from foretext.models.family import Family
from foretext.nn.backbone import Backbone
from foretext.nn.initialise import truncated_normal

SEGMENTS = 6
_LIKE = (0, 1, 0, 0, 0, 1)  # BERT's row that each new segment begins as; decode_seq2seq's loader


@dataclass(frozen=True, kw_only=True)
class UnilmConfig(EncoderConfig):
    """Sizes of a UniLM; the defaults are the base model, cased."""

    vocab_size: int = 28996
    type_vocab_size: int = SEGMENTS
    layer_norm_eps: float = 1e-5

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.type_vocab_size < SEGMENTS:
            raise ConfigError(
                f"model.type_vocab_size={self.type_vocab_size} is too few: UniLM tells its ways of "
                f"reading by {SEGMENTS} segments; set it to {SEGMENTS}"
            )


PRESETS = {
    "unilm-tiny": sized(UnilmConfig, 2, 128),
    "unilm-mini": sized(UnilmConfig, 4, 256),
    "unilm-base": sized(UnilmConfig, 12, 768),
    "unilm-large": sized(UnilmConfig, 24, 1024),
}

# Section 2.5.
_PAPER = {
    "objective.name": "unified-lm",
    "data.tokenizer": "wordpiece",
    "data.lowercase": False,
    "data.max_length": 512,
    "training.optimizer": "bert-adamw",
    "training.learning_rate": 3e-5,
    "training.eps": 1e-6,
    "training.weight_decay": 0.01,
    "training.clip_norm": 1.0,
    "training.clip_scope": "tensor",
    "training.schedule": "linear",
    "training.steps": 770_000,
    "training.warmup_steps": 40_000,
    "training.batch_size": 330,
}
# A laptop has neither the batch nor the steps of the paper: fewer, larger steps.
_LAPTOP = {
    "data.vocab_size": 8_000,
    "data.max_length": 128,
    "training.learning_rate": 1e-3,
    "training.steps": 3_000,
    "training.warmup_steps": 300,
    "training.batch_size": 64,
}


def recipe(preset: str) -> dict[str, Any]:
    """Settings of a preset, by path in the recipe, that differ from the defaults."""
    return _PAPER | (_LAPTOP if preset in ("unilm-tiny", "unilm-mini") else {})


class Unilm(Encoder):
    """The encoder with its pre-training heads; a task takes the states and leaves the heads."""

    config: UnilmConfig

    def __init__(self, config: UnilmConfig) -> None:
        super().__init__(config)
        self.nsp_head = nn.Linear(config.hidden_size, 2)

    def pair_logits(self, hidden: Tensor, batch: Batch) -> Tensor:
        """Scores [sequences, 2]; index 0 = B follows A, 1 = B is random."""
        return self.nsp_head(self.pooled_output(hidden, batch))

    def initialise(self, generator: torch.Generator) -> None:
        """As BERT: truncated normal weights, biases 0, norms 1 and 0."""
        truncated_normal(self, self.config.initializer_range, generator)


def num_parameters(config: UnilmConfig) -> int:
    """Parameters of the model with all its heads, tied ones once; a closed form."""
    return encoder_size(config) + part_sizes(config)["pair_head"]


def adopt(other: Backbone) -> Backbone | None:
    """A UniLM that begins as a BERT of the same shape (section 2.5), or None of another model.

    The rows of segments that BERT does not have begin as its first or second one.
    """
    if not isinstance(other, bert.Bert) or other.config.type_vocab_size < 2:
        return None
    sizes = {field.name: getattr(other.config, field.name) for field in fields(other.config)}
    changed = {"type_vocab_size": SEGMENTS, "layer_norm_eps": UnilmConfig().layer_norm_eps}
    model = Unilm(UnilmConfig(**sizes | changed))
    held = dict(other.named_parameters())
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            rows = held[name]
            parameter.copy_(rows[list(_LIKE)] if name == "embeddings.segment.weight" else rows)
    return model


_CLASSES = {"unified-lm": "BertForPreTraining", "masked-lm": "BertForMaskedLM"} | {
    task: f"Bert{name}" for task, name in TASK_CLASSES.items()
}


def from_hf(raw: dict[str, Any]) -> UnilmConfig:
    """Our config from config.json.

    Raises:
        ConfigError: a feature of the layout that UniLM as published does not have.
    """
    return UnilmConfig(**fields_from_hf(raw, UnilmConfig()))


def to_hf(config: UnilmConfig, architecture: str) -> dict[str, Any]:
    """config.json of this config, saved as one of BERT's classes."""
    return values_to_hf(config, "bert", architecture) | {FAMILY_KEY: "unilm"}


FAMILY = Family(
    name="unilm",
    title="UniLM",
    summary="one encoder that reads both ways, either way, or from a source to a target",
    paper="Dong et al. 2019, https://arxiv.org/abs/1905.03197, sections 2.2 to 2.4",
    config=UnilmConfig,
    presets=PRESETS,
    model=Unilm,
    max_positions=position_limit,
    max_segments=lambda config: config.type_vocab_size,
    recipe=recipe,
    adopt=adopt,
    hub=HubLayout(
        model_types=("bert",),
        architectures=bert.ARCHITECTURES,
        class_for=lambda _, use: _CLASSES.get(use),
        bare_for=lambda _: "BertModel",
        make=Unilm,
        num_parameters=num_parameters,
        weight_map=lambda _: bert.weight_map(bert.BertConfig()),
        from_hf=from_hf,
        to_hf=to_hf,
    ),
)
