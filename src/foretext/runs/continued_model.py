"""The model that continued pre-training goes on from: read, checked, given rows for new tokens.

Papers: Yao et al. 2021 (Adapt-and-Distill), https://arxiv.org/abs/2106.13474, and Hong et al. 2021
(AVocaDo), https://arxiv.org/abs/2110.13434: the embedding of an added word begins as the mean of
its pieces' embeddings. Gururangan et al. 2020, https://arxiv.org/abs/2004.10964, table 13: the
share of warm-up. The official BERT repository's README, "Pre-training tips": 2e-5 for additional
steps from a checkpoint that was trained at 1e-4, a fifth.
Deviations: the output bias of an added word is the mean of its pieces' too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from foretext.core.config import ModelConfig, flatten, read_toml, to_dict, unflatten
from foretext.core.errors import CheckpointError, ConfigError
from foretext.hub.weight_files import weight_files
from foretext.models.family import Family
from foretext.models.folder import load_model, read_config
from foretext.nn.backbone import Backbone, Network, each_table
from foretext.objectives import OBJECTIVES, objective_named
from foretext.objectives.spec import SomeSpec
from foretext.recipes.folder import RECIPE_FILE, is_run, read_run
from foretext.recipes.recipe import Recipe
from foretext.runs.labelled_data import content
from foretext.tasks.inputs import reads_left_to_right
from foretext.tokenizers import Tokenizer

RATE = 0.2  # of the peak learning rate that the model was trained at
WARMUP = 0.06  # of the steps
STEPS = 1_000
_LARGEST_BATCH = 256  # sequences; the papers' thousands are for millions of steps' worth of text
_HELD_OUT = 0.01  # of the documents, where the model's own run held none out


@dataclass(frozen=True, kw_only=True)
class Source:
    """A model folder that training goes on from, its weights not yet read."""

    folder: Path
    family: Family[ModelConfig]
    config: ModelConfig  # the family's
    architecture: str | None  # its class, as config.json says
    tokenizer: Tokenizer
    recipe: Recipe | None  # of its run; None for a model from elsewhere
    continued: bool  # whether that run went on from another model, at a low rate already
    allow_pickle: bool

    def hashes(self) -> dict[str, str]:
        """What identifies it, for run.toml."""
        files = weight_files(self.folder, allow_pickle=self.allow_pickle)
        inner = [f for name in self._inner() for f in weight_files(self.folder / name)]
        return {
            "folder": str(self.folder.absolute()),
            "model": content(self.folder / "config.json", *files, *inner),
            "tokenizer": self.tokenizer.fingerprint,
        }

    def _inner(self) -> list[str]:
        """Folders below it that belong to it, such as ELECTRA's generator."""
        known = self.family.folders
        return [name for name in known if (self.folder / name / "config.json").is_file()]


def read_source(folder: Path, *, allow_pickle: bool = False) -> Source:
    """Read what a model folder says of itself.

    Raises:
        CheckpointError, ConfigError, TokenizerError: a part is missing or damaged, the parts do not
            fit each other, or the folder is a fine-tuned model's.
    """
    if is_run(folder) and "task" in read_toml(folder / RECIPE_FILE):
        raise ConfigError(
            f"{folder} was fine-tuned on labels; give the pre-trained model that it was made from"
        )
    family, config, raw = read_config(folder)
    tokenizer = Tokenizer.load(folder)
    if tokenizer.vocab_size > config.vocab_size:
        raise CheckpointError(
            f"{folder}: the tokenizer has {tokenizer.vocab_size:,} tokens, but the model only "
            f"{config.vocab_size:,}; they do not belong together"
        )
    names = raw.get("architectures") or [None]
    recipe, text = read_run(folder) if is_run(folder) else (None, {})
    return Source(
        folder=folder,
        family=family,
        config=config,
        architecture=names[0],
        tokenizer=tokenizer,
        recipe=recipe,
        continued="source" in text,
        allow_pickle=allow_pickle,
    )


def objective_name(source: Source, task: str, settings: Mapping[str, Any]) -> str:
    """What the model goes on with: as set, as its run did, or as its class says.

    Args:
        source: the model.
        task: "masked" or "causal".
        settings: by path.

    Raises:
        ConfigError: the model cannot be trained so.
    """
    left_to_right = reads_left_to_right(source.family.model)
    if (task == "causal") != left_to_right:
        reads, other = (
            ("from left to right", "causal") if left_to_right else ("both ways", "masked")
        )
        raise ConfigError(
            f"{task} does not fit {source.folder}, whose model reads {reads}; choose {other}"
        )
    name = settings.get("objective.name")
    if name is None:
        name = source.recipe.objective_name if source.recipe else _by_class(source, task)
    usual = _usual_use(objective_named(str(name)))
    if source.family.hub.class_for(source.config, usual) is None:
        raise ConfigError(
            f"objective.name={name!r} does not train the model of {source.folder}; leave it out"
        )
    return str(name)


def _usual_use(spec: SomeSpec) -> str:
    """What a network is for that trains with the objective's usual settings."""
    return spec.use(spec.config())


def _by_class(source: Source, task: str) -> str:
    """The objective whose models are saved as this class, else the task's own."""
    for name, spec in OBJECTIVES.items():
        found = source.family.hub.class_for(source.config, _usual_use(spec))
        if found is not None and found == source.architecture:
            return name
    return "causal-lm" if task == "causal" else "masked-lm"


def recipe_of(
    source: Source, objective: str, settings: Mapping[str, Any], *, config: ModelConfig, dev: bool
) -> Recipe:
    """The recipe to go on by: the model's own, or its nearest preset's, with a low learning rate.

    Args:
        source: the model.
        objective: a name in OBJECTIVES.
        settings: by path; they beat all.
        config: the model's, its vocabulary extended.
        dev: whether development text is given, so that no documents are held out.

    Raises:
        ConfigError: a path that is not known, or a value that cannot be.
    """
    if wrong := [path for path in settings if path.startswith("model.")]:
        raise ConfigError(f"{wrong[0]} cannot be set: the model is that of {source.folder}")
    base = source.recipe or Recipe.of(_nearest_preset(source.family, config))
    flat = flatten(base.values())
    if base.objective_name != objective:
        flat = {p: v for p, v in flat.items() if not p.startswith("objective.")}
    flat = {p: v for p, v in flat.items() if not p.startswith("model.")}
    steps, limit = settings.get("training.steps", STEPS), source.family.max_positions(config)
    held_out = flat.get("data.held_out") or _HELD_OUT
    usual = {
        "preset": base.preset if source.recipe else source.folder.resolve().name,
        "objective.name": objective,
        "data.max_length": min(flat["data.max_length"], limit or flat["data.max_length"]),
        "data.long_length": None,
        "data.tokenizer": source.tokenizer.kind,
        "data.vocab_size": None,
        "data.held_out": 0.0 if dev else held_out,
        "training.learning_rate": base.training.learning_rate * (1.0 if source.continued else RATE),
        "training.steps": STEPS,
        "training.batch_size": min(base.training.batch_size, _LARGEST_BATCH),
        "training.warmup_steps": max(int(steps * WARMUP), 1) if isinstance(steps, int) else 1,
        "training.warmup_tokens": 0,
        "training.decay_tokens": None,
        "training.batch_ramp": None,
    }
    model = {f"model.{name}": value for name, value in to_dict(config).items()}
    model["model.family"] = source.family.name
    return Recipe.from_values(unflatten(flat | usual | model | dict(settings)))


def _nearest_preset(family: Family[ModelConfig], config: ModelConfig) -> str:
    """The preset of the family that has the most nearly as many parameters."""
    count = family.hub.num_parameters
    return min(family.presets, key=lambda name: abs(count(family.presets[name]) - count(config)))


def source_model(source: Source, use: str, *, seed: int) -> tuple[Network, list[str]]:
    """The model with its weights, as an objective trains it.

    Args:
        source: where it lies.
        use: the objective, or its variant, as in HubLayout.class_for.
        seed: of parameters that the folder does not store.

    Returns:
        The model, and the parts that the objective trains but the folder does not store.

    Raises:
        CheckpointError, ConfigError: the files are damaged, or a part of the model is not there.
    """
    loaded = load_model(source.folder, allow_pickle=source.allow_pickle, seed=seed)
    name = source.family.hub.class_for(source.config, use)
    assert name is not None, "objective_name has seen to it"
    stored = source.family.hub.named(name)
    fresh = sorted({name.split(".")[0] for name in loaded.fresh if stored.requires(name)})
    model = loaded.model
    _trim(model, source.tokenizer.vocab_size)
    return source.family.joined(model, use, lambda name: _inner(source, name, seed)), fresh


def _inner(source: Source, name: str, seed: int) -> Backbone:
    """A network in a folder below the model's, such as ELECTRA's generator."""
    folder = source.folder / name
    if not folder.is_dir():
        raise ConfigError(
            f"{source.folder} has no folder {name}, the network that its objective trains with it; "
            f"put it there, or give a {name} as RUN, which goes on by objective.name=masked-lm"
        )
    model = load_model(folder, allow_pickle=source.allow_pickle, seed=seed).model
    _trim(model, source.tokenizer.vocab_size)
    return model


def extend_vocabulary(model: Network, pieces: Sequence[Sequence[int]]) -> None:
    """Give a model rows for new tokens: each the mean of its pieces' rows; old rows stay.

    Args:
        model: changed in place: the token table, the output bias where there is one, the config.
        pieces: ids of the old tokens that each new one stands for; its id is the next one.
    """
    if not pieces:
        return

    def longer(old: nn.Parameter) -> nn.Parameter:
        new = [old.detach()[list(ids)].mean(dim=0, keepdim=True) for ids in pieces]
        return nn.Parameter(torch.cat([old.detach(), *new]), requires_grad=old.requires_grad)

    each_table(model, longer)


def _trim(model: Network, size: int) -> None:
    """Drop rows beyond the tokenizer's, which pad a table to a round size and stand for nothing."""
    each_table(
        model,
        lambda old: nn.Parameter(old.detach()[:size].clone(), requires_grad=old.requires_grad),
    )
