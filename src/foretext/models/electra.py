"""ELECTRA: a discriminator that tells replaced tokens from real ones, and the generator beside it.

Paper: Clark et al. 2020, https://arxiv.org/abs/2003.10555, sections 2 and 3.2 and appendix A; where
they differ, the official code, by which the released models were made.
Both networks are BERT encoders without a pooler. They share their embeddings, layer norm included,
of the discriminator's embedding size, and each has a projection where its hidden size is another.
Deviations: dropout rates are rounded to 1/256 on a CPU (nn/dropout.py). A task's head on [CLS] is
that of ElectraForSequenceClassification (a dense layer, GELU, then the task's linear one), so that
transformers opens the folder; the official code has the linear layer alone. Dropout acts before the
linear layer, not before the dense one too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foretext.core.batch import Batch
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
    part_sizes,
    position_limit,
    sized,
    values_to_hf,
)
from foretext.models.family import Family
from foretext.nn.backbone import Backbone, Network
from foretext.nn.embeddings import Embeddings
from foretext.nn.heads import (
    DiscriminatorHead,
    label_log_probabilities,
    linear_cross_entropy_and_sample,
)
from foretext.nn.initialise import truncated_normal


@dataclass(frozen=True, kw_only=True)
class ElectraConfig(EncoderConfig):
    """Sizes of a discriminator, or of any one network; the defaults are ELECTRA-small."""

    embedding_size: int = 128
    hidden_size: int = 256
    num_heads: int = 4
    intermediate_size: int = 1024
    type_vocab_size: int = 2  # segments
    generator_size: float = 0.25  # hidden size of the generator over that of the discriminator

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.generator_size <= 1 or not round(self.generator_size * self.hidden_size):
            raise ConfigError(
                f"model.generator_size={self.generator_size} must be above 0 and at most 1, and "
                f"leave the generator at least one of {self.hidden_size} units"
            )

    @property
    def generator(self) -> ElectraConfig:
        """Sizes of the generator: as deep, with heads of 64 (configure_pretraining.py)."""
        hidden = round(self.generator_size * self.hidden_size)
        return replace(
            self,
            hidden_size=hidden,
            num_heads=max(1, hidden // 64),
            intermediate_size=4 * hidden,
            generator_size=1.0,
        )


def _sized(num_layers: int, hidden_size: int, embedding_size: int, **changes: Any) -> ElectraConfig:
    return sized(ElectraConfig, num_layers, hidden_size, embedding_size=embedding_size, **changes)


PRESETS = {
    "electra-tiny": _sized(2, 128, 128, generator_size=0.5),
    "electra-mini": _sized(4, 256, 128),
    "electra-small": _sized(12, 256, 128),
    "electra-small++": _sized(12, 256, 128, generator_size=1.0),
    "electra-base": _sized(12, 768, 768, generator_size=1 / 3),
    "electra-large": _sized(24, 1024, 1024),
}

# Appendix A, table 6.
_PAPER = {
    "objective.name": "replaced-token",
    "data.tokenizer": "wordpiece",
    "data.lowercase": True,
    "data.max_length": 128,
    "training.optimizer": "bert-adamw",
    "training.learning_rate": 5e-4,
    "training.eps": 1e-6,
    "training.weight_decay": 0.01,
    "training.clip_norm": 1.0,
    "training.schedule": "linear",
    "training.steps": 1_000_000,
    "training.warmup_steps": 10_000,
    "training.batch_size": 128,
}
_LONG = {"data.max_length": 512, "training.learning_rate": 2e-4}
# A laptop has neither the batch nor the steps of the paper: fewer, larger steps.
_LAPTOP = {
    "data.vocab_size": 8_000,
    "training.learning_rate": 1e-3,
    "training.steps": 3_000,
    "training.warmup_steps": 300,
    "training.batch_size": 64,
}
_RECIPES: dict[str, dict[str, Any]] = {
    "electra-tiny": _LAPTOP,
    "electra-mini": _LAPTOP,
    "electra-base": _LONG | {"training.steps": 766_000, "training.batch_size": 256},
    "electra-large": _LONG
    | {"objective.mask_rate": 0.25, "training.steps": 400_000, "training.batch_size": 2048},
}


def recipe(preset: str) -> dict[str, Any]:
    """Settings of a preset, by path in the recipe, that differ from the defaults."""
    return _PAPER | _RECIPES.get(preset, {})


def finetune_recipe(config: ElectraConfig) -> dict[str, Any]:
    """Settings of fine-tuning, by path (appendix B).

    A head lies two steps above the top layer, as in the official code; the dense layer is between.
    """
    if config.hidden_size >= 1024:
        rate, decay = 5e-5, 0.9
    else:
        rate, decay = (1e-4 if config.hidden_size >= 768 else 3e-4), 0.8
    return {
        "training.learning_rate": rate * decay,
        "training.head_learning_rate": rate,
        "training.layer_decay": decay,
        "training.weight_decay": 0.0,
    }


HEADS = ("pooler", "mlm_head", "discriminator_head")


class Electra(Encoder):
    """One network: an encoder with the heads of both roles, or with some of them.

    Args:
        config: its sizes.
        heads: which of HEADS it has.
        embeddings: of another network, to be shared; None makes new ones.
    """

    config: ElectraConfig
    discriminator_head: DiscriminatorHead
    mlm_activation = "gelu"

    def __init__(
        self,
        config: ElectraConfig,
        *,
        heads: Sequence[str] = HEADS,
        embeddings: Embeddings | None = None,
    ) -> None:
        c, projected = config, config.embedding_size != config.hidden_size
        super().__init__(c, heads=heads, projected=projected, embeddings=embeddings)
        if "discriminator_head" in heads:
            self.discriminator_head = DiscriminatorHead(c.hidden_size, activation=c.activation)

    def initialise(self, generator: torch.Generator) -> None:
        """Truncated normal weights, Glorot for the projection (official modeling.py)."""
        _initialise(self, self.config.initializer_range, generator)

    def linear_cross_entropy_and_sample(
        self, hidden: Tensor, labels: Tensor, draws: Tensor
    ) -> tuple[Tensor, Tensor]:
        """As linear_cross_entropy, and ids [targets] drawn from the softmax by draws in [0, 1)."""
        head, table = self.mlm_head, self.embeddings.token.weight
        return linear_cross_entropy_and_sample(head(hidden), table, head.bias, labels, draws)

    def label_log_probabilities(self, hidden: Tensor, labels: Tensor) -> Tensor:
        """Log-probabilities [targets] of the labels, without gradient."""
        head, table = self.mlm_head, self.embeddings.token.weight
        return label_log_probabilities(head(hidden), table, head.bias, labels)

    def pooled_output(self, hidden: Tensor, batch: Batch) -> Tensor:
        """A dense layer and GELU on the [CLS] state of every sequence, [sequences, hidden]."""
        return F.gelu(self.pooler(hidden[batch.first]))


def _initialise(model: nn.Module, std: float, generator: torch.Generator) -> None:
    truncated_normal(model, std, generator)
    for network in model.modules():
        if isinstance(network, Electra) and network.embeddings_projection is not None:
            nn.init.xavier_uniform_(network.embeddings_projection.weight, generator=generator)


# What the discriminator is trained for -> its heads, and the class it is saved as.
_PAIRS = {
    "replaced-token": (("discriminator_head",), "ElectraForPreTraining"),
    "replace-mlm": (("mlm_head",), "ElectraForMaskedLM"),  # table 5
    "all-tokens-mlm": (("mlm_head",), "ElectraForMaskedLM"),  # table 5
}


class ElectraPair(Network):
    """Generator and discriminator with the same embeddings, trained together for one of _PAIRS."""

    def __init__(self, config: ElectraConfig, use: str) -> None:
        super().__init__()
        self.config: ElectraConfig = config
        self.discriminator = Electra(config, heads=_PAIRS[use][0])
        self.generator = Electra(
            config.generator, heads=("mlm_head",), embeddings=self.discriminator.embeddings
        )
        gated = use == "all-tokens-mlm"
        self.copy_gate = nn.Linear(config.hidden_size, 1) if gated else None

    @property
    def backbones(self) -> tuple[Electra, Electra]:
        """The two that read a batch."""
        return self.discriminator, self.generator

    def initialise(self, generator: torch.Generator) -> None:
        """As Electra.initialise, for both."""
        _initialise(self, self.config.initializer_range, generator)


def network(config: ElectraConfig, use: str) -> Network:
    """What an objective trains: both networks, or one by masked LM alone."""
    return ElectraPair(config, use) if use in _PAIRS else Electra(config)


def saved_as(trained: Network, use: str) -> dict[str, tuple[Backbone, str]]:
    """See Family. The copy gate has no place in the layout and stays behind."""
    if not isinstance(trained, ElectraPair):
        return {"": (trained.backbones[0], _SINGLE[use])}
    return {
        "": (trained.discriminator, _PAIRS[use][1]),
        "generator": (trained.generator, "ElectraForMaskedLM"),
    }


def joined(model: Backbone, use: str, other: Callable[[str], Backbone]) -> Network:
    """The pair that saved_as took apart; `other` reads the folder of a name below the model's."""
    if use not in _PAIRS or not isinstance(model, Electra):
        return model
    if use == "all-tokens-mlm":
        raise ConfigError("the copy gate of all-tokens-mlm is in checkpoints/ alone")
    generator = other("generator")
    size = generator.config.hidden_size / model.config.hidden_size
    pair = ElectraPair(replace(model.config, generator_size=size), use)
    with torch.no_grad():
        for half, source in zip(pair.backbones, (model, generator), strict=True):
            values = dict(source.named_parameters())
            for name, parameter in half.named_parameters():
                parameter.copy_(values[name])
    return pair


def num_parameters(config: ElectraConfig) -> int:
    """Parameters of one network with all its heads, tied ones once; a closed form."""
    same = config.embedding_size == config.hidden_size
    projection = 0 if same else part_sizes(config)["embeddings_projection"]
    return encoder_size(config) + projection + _discriminator_head(config)


def _discriminator_head(config: ElectraConfig) -> int:
    return config.hidden_size * config.hidden_size + 2 * config.hidden_size + 1


def network_parameters(config: ElectraConfig) -> dict[str, int]:
    """See Family; each network has the head it is pre-trained with."""
    of, generator = part_sizes(config), config.generator
    heads = {"discriminator": of["mlm_head"], "generator": _discriminator_head(generator)}
    poolers = {"discriminator": of["pooler"], "generator": part_sizes(generator)["pooler"]}
    sizes = {"discriminator": num_parameters(config), "generator": num_parameters(generator)}
    alone = {name: sizes[name] - heads[name] - poolers[name] for name in sizes}
    return {"together": sum(alone.values()) - of["embeddings"]} | alone


_BACKBONE = ("embeddings", "embeddings_projection", "layers")
ARCHITECTURES = by_name(
    Architecture(
        name="ElectraForPreTraining",
        parts=(*_BACKBONE, "discriminator_head"),
        bare="ElectraModel",
        finds_replaced=True,
    ),
    Architecture(
        name="ElectraForMaskedLM",
        parts=(*_BACKBONE, "mlm_head"),
        bare="ElectraModel",
        fills=True,
    ),
    Architecture(name="ElectraModel", parts=_BACKBONE, base=True),
    *encoder_classes(
        "Electra",
        _BACKBONE,
        sentence_head="classifier.out_proj",
        choice_renamed={"sequence_summary.summary": "classifier.dense"},
    ),
)
_SINGLE = {"masked-lm": "ElectraForMaskedLM"} | {
    task: f"Electra{name}" for task, name in TASK_CLASSES.items()
}


def class_for(config: ElectraConfig, use: str) -> str | None:  # noqa: ARG001
    """Their class for an objective, a variant of it, or a task."""
    return _PAIRS[use][1] if use in _PAIRS else _SINGLE.get(use)


def weight_map(config: ElectraConfig) -> WeightMap:
    """Names of the Hugging Face layout; their module -> ours."""
    projection = {"electra.embeddings_project": "embeddings_projection"}
    return WeightMap(
        prefix="electra.",
        modules={
            **encoder_modules("electra"),
            **(projection if config.embedding_size != config.hidden_size else {}),
            "discriminator_predictions.dense": "discriminator_head.dense",
            "discriminator_predictions.dense_prediction": "discriminator_head.output",
            "generator_predictions.dense": "mlm_head.dense",
            "generator_predictions.LayerNorm": "mlm_head.norm",
            "classifier.dense": "pooler",
        },
        tensors={"generator_lm_head.bias": "mlm_head.bias"},
        tied={"generator_lm_head.weight": "electra.embeddings.word_embeddings.weight"},
        unused=("electra.embeddings.position_ids",),
    )


def from_hf(raw: dict[str, Any]) -> ElectraConfig:
    """Our config from config.json; the generator's share is not in it.

    Raises:
        ConfigError: a feature of the layout that ELECTRA as published does not have.
    """
    found = fields_from_hf(raw, ElectraConfig())  # their class has these defaults too
    return ElectraConfig(**found)


def to_hf(config: ElectraConfig, architecture: str) -> dict[str, Any]:
    """config.json of this config, saved as one of ARCHITECTURES."""
    return values_to_hf(config, "electra", architecture) | {
        "summary_type": "first",
        "summary_use_proj": True,
        "summary_activation": "gelu",
        "summary_last_dropout": 0.1,
    }


FAMILY = Family(
    name="electra",
    title="ELECTRA",
    summary="a discriminator that tells replaced tokens from real ones, and its generator",
    paper="Clark et al. 2020, https://arxiv.org/abs/2003.10555, sections 2 and 3.2 and appendix A",
    config=ElectraConfig,
    presets=PRESETS,
    model=Electra,
    max_positions=position_limit,
    max_segments=lambda config: config.type_vocab_size,
    recipe=recipe,
    finetune_recipe=finetune_recipe,
    network=network,
    folders=("generator",),
    saved_as=saved_as,
    joined=joined,
    network_parameters=network_parameters,
    hub=HubLayout(
        model_types=("electra",),
        architectures=ARCHITECTURES,
        class_for=class_for,
        bare_for=lambda _: "ElectraModel",
        make=Electra,
        num_parameters=num_parameters,
        weight_map=weight_map,
        from_hf=from_hf,
        to_hf=to_hf,
    ),
)
