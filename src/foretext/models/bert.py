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

from foretext.core.batch import Batch
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
    part_sizes,
    position_limit,
    sized,
    values_to_hf,
)
from foretext.models.family import Family
from foretext.nn.initialise import truncated_normal


@dataclass(frozen=True, kw_only=True)
class BertConfig(EncoderConfig):
    """Sizes of a BERT; the defaults are BERT-base, uncased."""

    type_vocab_size: int = 2  # segments


PRESETS = {
    "bert-tiny": sized(BertConfig, 2, 128),
    "bert-mini": sized(BertConfig, 4, 256),
    "bert-small": sized(BertConfig, 4, 512),
    "bert-medium": sized(BertConfig, 8, 512),
    "bert-base": sized(BertConfig, 12, 768),
    "bert-large": sized(BertConfig, 24, 1024),
    "bert-base-cased": sized(BertConfig, 12, 768, vocab_size=28996),
    "bert-large-cased": sized(BertConfig, 24, 1024, vocab_size=28996),
} | {
    f"bert-l{layers}-h{hidden}": sized(BertConfig, layers, hidden)
    for layers in (2, 4, 6, 8, 10, 12)
    for hidden in (128, 256, 512, 768)
}

# Appendix A.2, and the official code for what the paper leaves out.
_PAPER = {
    "objective.name": "next-sentence",
    "data.tokenizer": "wordpiece",
    "data.max_length": 128,  # 90% of the steps
    "data.long_length": 512,  # the rest
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
    "data.long_length": None,
}


def recipe(preset: str) -> dict[str, Any]:
    """Settings of a preset, by path in the recipe, that differ from the defaults."""
    config = PRESETS[preset]
    chosen = _LAPTOP if config.num_layers * config.hidden_size <= 4 * 256 else _PAPER
    return chosen | {"data.lowercase": not preset.endswith("-cased")}


class Bert(Encoder):
    """The encoder with its pre-training heads; a task takes the states and leaves the heads."""

    config: BertConfig

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.nsp_head = nn.Linear(config.hidden_size, 2)

    def pair_logits(self, hidden: Tensor, batch: Batch) -> Tensor:
        """Scores [sequences, 2]; index 0 = B follows A, 1 = B is random."""
        return self.nsp_head(self.pooled_output(hidden, batch))

    def initialise(self, generator: torch.Generator) -> None:
        """Truncated normal weights, biases 0, norms 1 and 0 (official modeling.py)."""
        truncated_normal(self, self.config.initializer_range, generator)


def num_parameters(config: BertConfig) -> int:
    """Parameters of the model with all its heads, tied ones once; a closed form."""
    return encoder_size(config) + part_sizes(config)["pair_head"]


ARCHITECTURES = by_name(
    Architecture(
        name="BertForPreTraining",
        parts=("embeddings", "layers", "pooler", "mlm_head", "nsp_head"),
        bare="BertModel",
        fills=True,
        judges_pairs=True,
    ),
    Architecture(
        name="BertForMaskedLM",
        parts=("embeddings", "layers", "mlm_head"),
        bare="BertModel",
        fills=True,
    ),
    Architecture(
        name="BertModel", parts=("embeddings", "layers", "pooler"), optional=("pooler",), base=True
    ),
    *encoder_classes("Bert", ("embeddings", "layers")),
)
_CLASSES = {
    "next-sentence": "BertForPreTraining",
    "sentence-order": "BertForPreTraining",
    "masked-lm": "BertForMaskedLM",
    "packed-masked-lm": "BertForMaskedLM",
} | {task: f"Bert{name}" for task, name in TASK_CLASSES.items()}


def weight_map(config: BertConfig) -> WeightMap:  # noqa: ARG001  (one shape for every size)
    """Names of the Hugging Face layout; their module -> ours."""
    return WeightMap(
        prefix="bert.",
        modules={
            **encoder_modules("bert"),
            "bert.pooler.dense": "pooler",
            "cls.predictions.transform.dense": "mlm_head.dense",
            "cls.predictions.transform.LayerNorm": "mlm_head.norm",
            "cls.seq_relationship": "nsp_head",
        },
        tensors={"cls.predictions.bias": "mlm_head.bias"},
        tied={
            "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
            "cls.predictions.decoder.bias": "cls.predictions.bias",
        },
        unused=("bert.embeddings.position_ids",),
    )


def from_hf(raw: dict[str, Any]) -> BertConfig:
    """Our config from config.json.

    Raises:
        ConfigError: a feature of the layout that BERT as published does not have.
    """
    return BertConfig(**fields_from_hf(raw, BertConfig()))


def to_hf(config: BertConfig, architecture: str) -> dict[str, Any]:
    """config.json of this config, saved as one of ARCHITECTURES."""
    return values_to_hf(config, "bert", architecture)


FAMILY = Family(
    name="bert",
    title="BERT",
    summary="a bidirectional Transformer encoder with a masked-LM and a next-sentence head",
    paper="Devlin et al. 2019, https://arxiv.org/abs/1810.04805; the miniatures, Turc et al. 2019, "
    "https://arxiv.org/abs/1908.08962",
    config=BertConfig,
    presets=PRESETS,
    model=Bert,
    max_positions=position_limit,
    max_segments=lambda config: config.type_vocab_size,
    recipe=recipe,
    hub=HubLayout(
        model_types=("bert",),
        architectures=ARCHITECTURES,
        class_for=lambda _, use: _CLASSES.get(use),
        bare_for=lambda _: "BertModel",
        make=Bert,
        num_parameters=num_parameters,
        weight_map=weight_map,
        from_hf=from_hf,
        to_hf=to_hf,
    ),
)
