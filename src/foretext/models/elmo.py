"""ELMo: what is declared of the family, and its folders.

Paper: Peters et al. 2018, "Deep contextualized word representations". The network is in
elmo_network.py, its sizes in elmo_sizes.py, and the files that it was published in, which other
tools read, in elmo_files.py. `transformers` has no ELMo, so the folders are ours alone.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from foretext.core.config import from_dict, to_dict
from foretext.hub.architecture import Architecture
from foretext.hub.classes import TASK_CLASSES, encoder_classes
from foretext.hub.layout import HubLayout, by_name
from foretext.hub.weight_map import WeightMap
from foretext.models.elmo_files import PUBLISHED
from foretext.models.elmo_network import Elmo
from foretext.models.elmo_sizes import PRESETS, ElmoConfig, num_parameters, recipe
from foretext.models.family import Family

_BRAND = "ForetextElmo"
_ENCODER = ("words", "layers")
ARCHITECTURES = by_name(
    Architecture(
        name=f"{_BRAND}ForPreTraining",
        parts=(*_ENCODER, "softmax"),
        bare=f"{_BRAND}Model",
        opens_as="nothing",
    ),
    Architecture(name=f"{_BRAND}Model", parts=_ENCODER, base=True, opens_as="nothing"),
    *(replace(a, opens_as="nothing") for a in encoder_classes(_BRAND, _ENCODER)),
)
_CLASSES = {"bidirectional-lm": f"{_BRAND}ForPreTraining"} | {
    task: f"{_BRAND}{name}" for task, name in TASK_CLASSES.items()
}


def weight_map(config: ElmoConfig) -> WeightMap:
    """The Hugging Face layout has no ELMo, so the names of its files are ours."""
    lstm = ("input_weight", "state_weight", "bias", "projection")
    tensors = [
        "words.characters.weight",
        *(f"words.filters.{{i}}.{leaf}" for leaf in ("weight", "bias")),
        *(f"layers.{{i}}.lstm.{leaf}" for leaf in lstm),
        *(f"softmax.{leaf}" for leaf in ("weight", "bias")),
    ]
    modules = ["words.projection"] if _is_projected(config) else []
    modules += [f"words.highways.{{i}}.{part}" for part in ("transform", "carry")]
    return WeightMap(
        modules={name: name for name in modules}, tensors={name: name for name in tensors}
    )


def _is_projected(config: ElmoConfig) -> bool:
    return sum(config.filter_counts) != config.projection_size


def from_hf(raw: dict[str, Any]) -> ElmoConfig:
    """Our config from config.json of a folder of ours."""
    known = {f.name for f in fields(ElmoConfig)}
    return from_dict(ElmoConfig, {name: raw[name] for name in known & raw.keys()})


def to_hf(config: ElmoConfig, architecture: str) -> dict[str, Any]:
    """config.json of this config, saved as one of ARCHITECTURES."""
    values = {name: None if v == "none" else v for name, v in to_dict(config).items()}
    return values | {"model_type": "foretext-elmo", "architectures": [architecture]}


def finetune_recipe(config: ElmoConfig) -> dict[str, Any]:  # noqa: ARG001
    """A mix of the frozen layers is the feature of a task (section 3.3); lambda of section 5.1.

    The rate is that of a head on features, for there is none in the paper that fits all tasks.
    """
    return {
        "finetune.layers": "mix",
        "finetune.frozen": True,
        "finetune.mix_penalty": 0.001,
        "finetune.feature_dropout": 0.5,
        "training.learning_rate": 1e-3,
    }


FAMILY = Family(
    name="elmo",
    title="ELMo",
    summary="LSTM language models in both directions over words that are read by their characters",
    paper="Peters et al. 2018, https://arxiv.org/abs/1802.05365",
    config=ElmoConfig,
    presets=PRESETS,
    model=Elmo,
    max_positions=lambda _: None,
    recipe=recipe,
    finetune_recipe=finetune_recipe,
    published=PUBLISHED,
    hub=HubLayout(
        model_types=("foretext-elmo",),
        architectures=ARCHITECTURES,
        class_for=lambda _, use: _CLASSES.get(use),
        bare_for=lambda _: f"{_BRAND}Model",
        make=Elmo,
        num_parameters=num_parameters,
        weight_map=weight_map,
        from_hf=from_hf,
        to_hf=to_hf,
    ),
)
