"""RoBERTa: BERT's encoder without segments, over byte-level BPE, trained by masked LM alone.

Paper: Liu et al. 2019, https://arxiv.org/abs/1907.11692, sections 3 and 4; fairseq's
examples/roberta for what the paper leaves out.
In its checkpoints position 0 is row 2, one after the id of padding, and every token adds the one
row of a segment table; here position 0 is row 0 and that row is part of the positions (weight_map).
Deviations: dropout rates are rounded to 1/256 on a CPU (nn/dropout.py). A task's head on <s> is
that of the checkpoints (a dense layer, tanh, then the task's linear one), but dropout acts before
the linear layer alone, not before the dense one too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from foretext.core.errors import ConfigError
from foretext.hub.architecture import Architecture
from foretext.hub.classes import TASK_CLASSES, encoder_classes
from foretext.hub.layout import HubLayout, by_name
from foretext.hub.weight_map import WeightMap
from foretext.models.encoder import (
    Encoder,
    EncoderConfig,
    encoder_modules,
    encoder_size,
    fields_from_hf,
    position_limit,
    sized,
    values_to_hf,
)
from foretext.models.family import Family
from foretext.nn.initialise import normal


@dataclass(frozen=True, kw_only=True)
class RobertaConfig(EncoderConfig):
    """Sizes of a RoBERTa; the defaults are RoBERTa-base."""

    vocab_size: int = 50265
    layer_norm_eps: float = 1e-5
    first_position: int = 2  # row of position 0 in its files: one after the id of padding


PRESETS = {
    "roberta-tiny": sized(RobertaConfig, 2, 128),
    "roberta-mini": sized(RobertaConfig, 4, 256),
    "roberta-base": sized(RobertaConfig, 12, 768),
    "roberta-large": sized(RobertaConfig, 24, 1024),
}

# Table 9 (appendix) and section 4.2: full sentences, large batches, no clipping.
_PAPER = {
    "objective.name": "packed-masked-lm",
    "data.tokenizer": "byte-bpe",
    "data.special_tokens": "roberta",
    "data.lowercase": False,
    "data.max_length": 512,
    "training.optimizer": "adamw",
    "training.learning_rate": 6e-4,
    "training.betas": (0.9, 0.98),
    "training.eps": 1e-6,
    "training.weight_decay": 0.01,
    "training.clip_norm": None,
    "training.schedule": "linear-from-peak",
    "training.steps": 500_000,
    "training.warmup_steps": 24_000,
    "training.batch_size": 8_192,
}
_LARGE = {"training.learning_rate": 4e-4, "training.warmup_steps": 30_000}
# A laptop has neither the batch nor the steps of the paper: fewer, larger steps.
_LAPTOP = {
    "data.vocab_size": 8_000,
    "data.max_length": 128,
    "training.learning_rate": 1e-3,
    "training.steps": 3_000,
    "training.warmup_steps": 300,
    "training.batch_size": 64,
}
_RECIPES = {"roberta-tiny": _LAPTOP, "roberta-mini": _LAPTOP, "roberta-large": _LARGE}


def recipe(preset: str) -> dict[str, Any]:
    """Settings of a preset, by path in the recipe, that differ from the defaults."""
    return _PAPER | _RECIPES.get(preset, {})


def finetune_recipe(config: RobertaConfig) -> dict[str, Any]:
    """Settings of fine-tuning, by path (table 10 in the appendix); small models learn faster."""
    return {
        "training.optimizer": "adamw",
        "training.learning_rate": 2e-5 if config.hidden_size >= 768 else 1e-4,
        "training.betas": (0.9, 0.98),
        "training.weight_decay": 0.1,
        "training.schedule": "linear-from-peak",
        "finetune.epochs": 10.0,
        "finetune.warmup_rate": 0.06,
    }


class Roberta(Encoder):
    """The encoder with its masked-LM head, and the dense layer on <s> that tasks use."""

    config: RobertaConfig

    def __init__(self, config: RobertaConfig) -> None:
        super().__init__(config)

    def initialise(self, generator: torch.Generator) -> None:
        """Normal weights, biases 0, norms 1 and 0 (fairseq, init_bert_params)."""
        normal(self, self.config.initializer_range, generator)


def num_parameters(config: RobertaConfig) -> int:
    """Parameters of the model with its heads, tied ones once; a closed form."""
    return encoder_size(config)


_BACKBONE = ("embeddings", "layers")
ARCHITECTURES = by_name(
    Architecture(
        name="RobertaForMaskedLM",
        parts=(*_BACKBONE, "mlm_head"),
        bare="RobertaModel",
        fills=True,
    ),
    Architecture(
        name="RobertaModel", parts=(*_BACKBONE, "pooler"), optional=("pooler",), base=True
    ),
    *encoder_classes(
        "Roberta",
        _BACKBONE,
        sentence_head="classifier.out_proj",
        sentence_renamed={"classifier.dense": "roberta.pooler.dense"},
    ),
)
_CLASSES = {
    "packed-masked-lm": "RobertaForMaskedLM",
    "masked-lm": "RobertaForMaskedLM",
} | {task: f"Roberta{name}" for task, name in TASK_CLASSES.items()}


def for_tokenizer(pad_id: int | None) -> dict[str, int]:
    """Fields that a tokenizer fixes: positions in its files count from the id of padding.

    Raises:
        ConfigError: there is no such id.
    """
    if pad_id is None:
        raise ConfigError(
            "RoBERTa needs a token for padding, and this tokenizer has none; train one with "
            "data.special_tokens=roberta"
        )
    return {"first_position": pad_id + 1}


def weight_map(config: RobertaConfig) -> WeightMap:
    """Names of the Hugging Face layout; their module -> ours."""
    positions = "roberta.embeddings.position_embeddings.weight"
    segments = "roberta.embeddings.token_type_embeddings"
    shared = encoder_modules("roberta")
    del shared[segments]
    return WeightMap(
        prefix="roberta.",
        modules={
            **shared,
            "roberta.pooler.dense": "pooler",
            "lm_head.dense": "mlm_head.dense",
            "lm_head.layer_norm": "mlm_head.norm",
        },
        tensors={"lm_head.bias": "mlm_head.bias"},
        tied={
            "lm_head.decoder.weight": "roberta.embeddings.word_embeddings.weight",
            "lm_head.decoder.bias": "lm_head.bias",
        },
        unused=("roberta.embeddings.position_ids",),
        rows_before={positions: config.first_position},
        row_added={f"{segments}.weight": positions},
    )


def from_hf(raw: dict[str, Any]) -> RobertaConfig:
    """Our config from config.json; what it lacks is as in the published models.

    Raises:
        ConfigError: a feature of the layout that RoBERTa as published does not have.
    """
    if raw.get("type_vocab_size", 1) != 1:
        raise ConfigError(
            f"type_vocab_size={raw['type_vocab_size']} cannot be read; RoBERTa has no segments, so "
            "only 1 can"
        )
    pad = raw.get("pad_token_id", 1)
    if not isinstance(pad, int) or isinstance(pad, bool) or pad < 0:
        raise ConfigError(f"pad_token_id={str(pad)[:40]!r} must be an id: positions count from it")
    usual = RobertaConfig(max_position_embeddings=512 + 2)  # as its files count them
    found = fields_from_hf(raw, usual)
    rows = found["max_position_embeddings"] - pad - 1
    return RobertaConfig(**found | {"max_position_embeddings": rows, "first_position": pad + 1})


def to_hf(config: RobertaConfig, architecture: str) -> dict[str, Any]:
    """config.json of this config, saved as one of ARCHITECTURES."""
    return values_to_hf(config, "roberta", architecture) | {
        "max_position_embeddings": config.max_position_embeddings + config.first_position,
        "type_vocab_size": 1,
        "pad_token_id": config.first_position - 1,
        "bos_token_id": 0,
        "eos_token_id": 2,
    }


FAMILY = Family(
    name="roberta",
    title="RoBERTa",
    summary="BERT's encoder without segments, over byte-level BPE, trained by masked LM alone",
    paper="Liu et al. 2019, https://arxiv.org/abs/1907.11692, sections 3 and 4",
    config=RobertaConfig,
    presets=PRESETS,
    model=Roberta,
    max_positions=position_limit,
    recipe=recipe,
    finetune_recipe=finetune_recipe,
    for_tokenizer=for_tokenizer,
    hub=HubLayout(
        model_types=("roberta",),
        architectures=ARCHITECTURES,
        class_for=lambda _, use: _CLASSES.get(use),
        bare_for=lambda _: "RobertaModel",
        make=Roberta,
        num_parameters=num_parameters,
        weight_map=weight_map,
        from_hf=from_hf,
        to_hf=to_hf,
        fixed_keys=("pad_token_id",),  # the position rows depend on it
    ),
)
