"""A recipe: model, objective, data and training, resolved and enough to repeat a run.

A preset names a model and its paper's settings; `--set path=value` and a TOML file change anything
in it. What a run did is written as run.toml beside its weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from foretext import __version__
from foretext.core import rng
from foretext.core.config import ModelConfig, flatten, from_dict, to_dict, unflatten, unknown_path
from foretext.core.errors import ConfigError
from foretext.core.suggest import nearest
from foretext.models import FAMILIES, family_for, family_of
from foretext.models.family import Family
from foretext.objectives import OBJECTIVES, objective_named
from foretext.objectives.base import SomeTextObjective, Vocabulary
from foretext.objectives.spec import SomeSpec
from foretext.recipes.small import small_start
from foretext.tokenizers import KINDS, STYLES
from foretext.training.config import TrainingConfig, in_proportion
from foretext.training.schedule import LEVEL


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Text to token ids to samples."""

    max_length: int = 128  # tokens of a sequence, special tokens included
    long_length: int | None = None  # max_length of the last steps (BERT: 512); none = the same
    long_rate: float = 0.1  # share of the steps, the last ones, that have long_length
    tokenizer: str = "wordpiece"  # a kind; which one is trained where none is given
    vocab_size: int | None = None  # tokens to train; None = the model's
    lowercase: bool | None = None  # None = the tokenizer kind's own
    special_tokens: str | None = None  # a style; None = what the objective needs
    held_out: float = 0.01  # share of the documents kept for evaluation
    held_out_samples: int = 2_000  # evaluated at most

    def __post_init__(self) -> None:
        if self.max_length < 8:
            raise ConfigError(f"data.max_length={self.max_length} must be at least 8 tokens")
        if self.tokenizer not in KINDS:
            raise ConfigError(
                f"data.tokenizer={self.tokenizer!r} is not known; did you mean "
                f"{nearest(self.tokenizer, KINDS)}?"
            )
        if self.special_tokens is not None and self.special_tokens not in STYLES:
            raise ConfigError(
                f"data.special_tokens={self.special_tokens!r} is not known; did you mean "
                f"{nearest(self.special_tokens, STYLES)}?"
            )
        if self.long_length is not None and self.long_length < self.max_length:
            raise ConfigError(
                f"data.long_length={self.long_length} is below data.max_length={self.max_length}; "
                "raise it, or set it to none for one length throughout"
            )
        if not 0 < self.long_rate < 1:
            raise ConfigError(f"data.long_rate={self.long_rate} must lie between 0 and 1")
        for name in ("vocab_size", "held_out_samples"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ConfigError(f"data.{name}={getattr(self, name)} must be at least 1")
        if not 0 <= self.held_out < 1:
            raise ConfigError(f"data.held_out={self.held_out} must be from 0 to below 1")


STARTS = ("random", "cooccurrence")
# Settings that may differ when a run goes on: they change when things are written or how fast they
# are made, never what is computed.
FREE_SETTINGS = frozenset(
    f"training.{name}" for name in ("workers", "save_every", "keep", "log_every", "eval_every")
) | {"data.held_out_samples", "foretext", "text.shards", "text.source.folder"}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All of a pre-training run but the text."""

    preset: str
    model: ModelConfig  # a family's
    objective_name: str
    objective: Any  # an objective's Config
    start: str = "random"  # initial weights: random | cooccurrence, see runs/warm_start.py
    data: DataConfig = field(default_factory=DataConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def __post_init__(self) -> None:
        if self.start not in STARTS:
            raise ConfigError(
                f"model.start={self.start!r} is not known; did you mean "
                f"{nearest(self.start, STARTS)}?"
            )
        for part in ("max_length", "long_length"):
            length, limit = getattr(self.data, part) or 0, self.family.max_positions(self.model)
            if limit is not None and length > limit:
                raise ConfigError(
                    f"data.{part}={length} exceeds the model's {limit} positions; lower it or set "
                    f"model.max_position_embeddings={length}"
                )
        name = self.family.hub.class_for(self.model, self.use)
        if name is None:  # no class of the layout would hold what such a run makes
            raise ConfigError(
                f"objective.name={self.objective_name!r} does not train a "
                f"{self.family.name} model; choose another objective or preset"
            )
        segments = self.spec.segments
        rows = self.family.max_segments(self.model)
        if rows is not None and segments > rows:
            raise ConfigError(
                f"model.type_vocab_size={rows} is too few: "
                f"{self.objective_name} has samples of {segments} segments; set it to {segments}"
            )
        self.family.hub.to_hf(self.model, name)  # refuses sizes that cannot be saved

    @classmethod
    def of(cls, preset: str, settings: Mapping[str, Any] | None = None) -> Self:
        """A preset with some settings changed, by path.

        Other steps than the preset's, and no word of the warm-up, leave it at most a tenth of them.
        What the preset counts in tokens or sequences keeps its share of the run, unless it is set.

        Raises:
            ConfigError: no such preset or path, or a value that cannot be.
        """
        family = family_of(preset)
        flat = flatten({"model": to_dict(family.presets[preset])})
        changes = dict(settings or {})
        usual = _of_objective(family.recipe(preset), changes.get("objective.name"))
        usual |= small_start(preset, family.presets[preset], usual.get("training.optimizer"))
        steps, warmup = changes.get("training.steps"), usual.get("training.warmup_steps", 0)
        rises = str(changes.get("training.schedule", usual.get("training.schedule"))) != LEVEL
        if isinstance(steps, int) and steps > 0 and rises:
            usual["training.warmup_steps"] = min(warmup, steps // 10)
        usual |= _shares(usual, changes)
        return cls._build(preset, family, flat | usual | changes)

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> Self:
        """The recipe that `values()` described."""
        flat = flatten(values)
        preset, name = str(flat.pop("preset", "")), str(flat.pop("model.family", ""))
        flat.pop("foretext", None)
        if name not in FAMILIES:
            raise ConfigError(f"model.family={name!r} is not one of {', '.join(FAMILIES)}")
        return cls._build(preset, FAMILIES[name], flat)

    @classmethod
    def _build(cls, preset: str, family: Family[ModelConfig], flat: Mapping[str, Any]) -> Self:
        values, known = unflatten(flat), _known_paths(family)
        for path in flatten(values):
            if path not in known:
                raise unknown_path(path, known)
        chosen, model = dict(values.get("objective", {})), dict(values["model"])
        name, start = str(chosen.pop("name")), str(model.pop("start", "random"))
        objective = objective_named(name)
        return cls(
            preset=preset,
            model=from_dict(family.config, model, "model."),
            objective_name=name,
            objective=from_dict(objective.config, chosen, "objective."),
            start=start,
            data=from_dict(DataConfig, values.get("data", {}), "data."),
            training=from_dict(TrainingConfig, values.get("training", {}), "training."),
        )

    def values(self) -> dict[str, Any]:
        """Nested plain values, as run.toml holds them."""
        return {
            "foretext": __version__,
            "preset": self.preset,
            "model": {"family": self.family.name, "start": self.start} | to_dict(self.model),
            "objective": {"name": self.objective_name} | to_dict(self.objective),
            "data": to_dict(self.data),
            "training": to_dict(self.training),
        }

    @property
    def family(self) -> Family[ModelConfig]:
        """The model's family."""
        return family_for(self.model)

    @property
    def use(self) -> str:
        """What the model is for, in HubLayout.class_for: the objective, or a variant of it."""
        return self.spec.use(self.objective)

    @property
    def spec(self) -> SomeSpec:
        """The objective's record."""
        return objective_named(self.objective_name)

    @property
    def special_tokens(self) -> str | None:
        """The style of special tokens a trained tokenizer gets; None is the kind's own."""
        if self.data.special_tokens is not None or self.data.tokenizer in ("wordpiece", "bpe"):
            return self.data.special_tokens
        if self.data.tokenizer == "bytes" and self.spec.style == KINDS["byte-bpe"].style:
            return None  # bytes have an end of text of their own, at the official code's id
        return self.spec.style

    @property
    def long_from(self) -> int | None:
        """The first step whose sequences have data.long_length; None if there is none."""
        length, steps = self.data.long_length, self.training.steps
        if length is None or length == self.data.max_length:
            return None
        return steps - max(1, round(self.data.long_rate * steps))

    def build_objective(self, vocabulary: Vocabulary, *, long: bool = False) -> SomeTextObjective:
        """The objective over a vocabulary.

        Args:
            vocabulary: of the tokenizer.
            long: of the last steps, with data.long_length and random numbers of its own.

        Raises:
            ConfigError: the vocabulary lacks a token that the objective needs.
        """
        seed = self.training.seed
        length = self.data.long_length if long else self.data.max_length
        assert length is not None
        return self.spec.build(
            config=self.objective,
            vocabulary=vocabulary,
            max_length=length,
            seed=rng.key(seed, "long") if long else seed,
        )


def _of_objective(usual: Mapping[str, Any], name: object) -> dict[str, Any]:
    """A preset's settings without those of its objective where another one is asked for."""
    if name is None or name == usual.get("objective.name"):
        return dict(usual)
    return {path: value for path, value in usual.items() if not path.startswith("objective.")}


def _shares(usual: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The preset's numbers of tokens and sequences, for a run as long as the changes make it."""
    sequences = ("training.steps", "training.batch_size")
    found: dict[str, Any] = {}
    for paths, names in (
        ((*sequences, "data.max_length"), ("training.warmup_tokens", "training.decay_tokens")),
        (sequences, ("training.batch_ramp",)),
    ):
        old = new = 1
        for path in paths:
            value = changes.get(path, usual.get(path))
            if path in usual and isinstance(value, int) and value > 0:
                old, new = old * usual[path], new * value
        found |= in_proportion({name: usual[name] for name in names if name in usual}, new, old)
    return found


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Lines "path: old -> new" of the settings that change what a run computes."""
    before, after = flatten(old), flatten(new)
    return [
        f"{path}: {before.get(path, 'unset')} -> {after.get(path, 'unset')}"
        for path in dict.fromkeys((*before, *after))
        if path not in FREE_SETTINGS and before.get(path) != after.get(path)
    ]


def _known_paths(family: Family[ModelConfig]) -> list[str]:
    sections: dict[str, type[Any]] = {
        "model": family.config,
        "data": DataConfig,
        "training": TrainingConfig,
    }
    paths = [
        f"{section}.{name}"
        for section, config in sections.items()
        for name in config.__dataclass_fields__
    ]
    return [*paths, "model.start", "objective.name"] + [
        f"objective.{n}" for spec in OBJECTIVES.values() for n in spec.config.__dataclass_fields__
    ]
