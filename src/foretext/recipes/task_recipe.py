"""The recipe of fine-tuning: task, columns, training and what is special to fine-tuning.

Papers: Devlin et al. 2019, appendix A.3 and section 4.1, with the official optimizer; Radford et
al. 2018, section 4.1, with opt.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from foretext import __version__
from foretext.core.config import flatten, from_dict, to_dict, unflatten, unknown_path
from foretext.core.errors import ConfigError
from foretext.tasks import task_module
from foretext.tasks.as_text import AsText, form_for
from foretext.tasks.features import FeatureConfig
from foretext.tasks.inputs import InputFormat, input_format_for
from foretext.tasks.writing import Writes
from foretext.tokenizers import Tokenizer
from foretext.training.config import TrainingConfig

_COMMON = {
    "training.batch_size": 32,
    "training.weight_decay": 0.01,
    "training.clip_norm": 1.0,
    "finetune.epochs": 3.0,
}
ENCODER = _COMMON | {
    "data.max_length": 128,
    "training.optimizer": "bert-adamw",
    "training.eps": 1e-6,
    "training.learning_rate": 5e-5,
    "training.schedule": "linear",
    "finetune.warmup_rate": 0.1,
}
LEFT_TO_RIGHT = _COMMON | {
    "data.max_length": 512,
    "training.optimizer": "gpt1-adamw",
    "training.learning_rate": 6.25e-5,
    "training.schedule": "gpt1-linear",
    "finetune.warmup_rate": 0.002,
}

# T5 (Raffel et al. 2020), section 3.1.2 and appendix A: 128 sequences of 512 tokens, no decay.
AS_TEXT = _COMMON | {
    "data.max_length": 512,
    "training.batch_size": 128,
    "training.optimizer": "adafactor",
    "training.learning_rate": 1e-3,
    "training.schedule": "constant",
    "training.weight_decay": 0.0,
    "training.clip_norm": None,
    "finetune.warmup_rate": 0.0,
    "finetune.as_text": True,
}


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig:
    """What training.* does not say."""

    epochs: float = 3.0  # over the training file, unless training.steps is set
    warmup_rate: float = 0.1  # share of the steps, unless training.warmup_steps is set
    eval_every: int | None = None  # steps between two looks at dev; None = an epoch
    metric: str | None = None  # of dev, chooses the best weights; None = the task's
    patience: int | None = None  # looks at dev without a better one before the run ends
    dropout: float | None = None  # probability, everywhere in the backbone; None = the model's own
    freeze: int | None = None  # lowest layers that stay, 0 = the embeddings alone; None = nothing
    new_head: bool = False  # even where the model was fine-tuned on the same task and labels
    random_weights: bool = False  # an untrained backbone of the same shape, for comparison
    unknown_rate: float = 0.05  # share of unknown tokens from which training is refused
    layers: str = "top"  # or mix: of all, with learned weights (ELMo); words: below the first
    frozen: bool = False  # the backbone stays as it is and gives features alone
    mix_penalty: float = 0.0  # on the squares of the mix's weights: 1 keeps it nearly a mean
    feature_dropout: float = 0.0  # probability, on what the head reads of the backbone
    reader_cells: int | None = None  # of LSTMs both ways between backbone and head; None = without
    as_text: bool = False  # the model writes its answers; one from source to target always does
    wording: str | None = None  # data set in whose words; None = the task's name

    def __post_init__(self) -> None:
        self.features()
        if not self.epochs > 0:
            raise ConfigError(f"finetune.epochs={self.epochs} must be above 0")
        if not 0 <= self.warmup_rate <= 1:
            raise ConfigError(f"finetune.warmup_rate={self.warmup_rate} must lie in [0, 1]")
        for name in ("eval_every", "patience"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"finetune.{name}={value} must be at least 1 or none")
        if not 0 <= self.unknown_rate <= 1:
            raise ConfigError(f"finetune.unknown_rate={self.unknown_rate} must lie in [0, 1]")
        if self.dropout is not None and not 0 <= self.dropout < 1:
            raise ConfigError(f"finetune.dropout={self.dropout} must be from 0 to below 1")
        if self.freeze is not None and self.freeze < 0:
            raise ConfigError(f"finetune.freeze={self.freeze} must not be negative")

    def features(self) -> FeatureConfig:
        """How the head reads the backbone."""
        names = FeatureConfig.__dataclass_fields__
        return FeatureConfig(**{name: getattr(self, name) for name in names})


@dataclass(frozen=True, kw_only=True)
class TaskRecipe:
    """All of a fine-tuning run but the model it begins from and the labelled text."""

    task_name: str
    task: Any  # a task's Config
    data: Any  # a task's Input
    training: TrainingConfig = field(default_factory=TrainingConfig)
    finetune: FinetuneConfig = field(default_factory=FinetuneConfig)
    paper: str | None = None  # the name in PAPER_RECIPES that it was made from

    @classmethod
    def of(
        cls,
        task: str,
        settings: Mapping[str, Any],
        *,
        left_to_right: bool,
        as_text: bool = False,
        family: Mapping[str, Any] | None = None,
    ) -> Self:
        """A task with the paper's settings for such a model, some of them changed by path.

        Args:
            task: its name.
            settings: path -> value; a learning rate is the new head's too, if it has none.
            left_to_right: the model is a GPT.
            as_text: the model writes its answers.
            family: settings of the model's own paper, see models.finetune_recipe.

        Raises:
            ConfigError: no such task or path, or a value that cannot be.
        """
        flat = (LEFT_TO_RIGHT if left_to_right else ENCODER) | dict(family or {})
        flat |= getattr(task_module(task), "SETTINGS", {})
        if as_text:
            flat |= AS_TEXT | dict(family or {})
        if "training.learning_rate" in settings:
            flat.pop("training.head_learning_rate", None)
        flat |= dict(settings)
        if "training.eval_every" in settings:
            flat.setdefault("finetune.eval_every", flat.pop("training.eval_every"))
        return cls.from_values(unflatten(flat) | {"name": task})

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> Self:
        """The recipe that `values()` described.

        Raises:
            ConfigError: an unknown path, or a value that cannot be.
        """
        name = str(values.get("name", ""))
        module = task_module(name)
        beside = ("name", "foretext", "recipe")
        sections = {
            "task": module.Config,
            "data": module.Input,
            "training": TrainingConfig,
            "finetune": FinetuneConfig,
        }
        known = [f"{s}.{n}" for s, c in sections.items() for n in c.__dataclass_fields__]
        for path in flatten({k: v for k, v in values.items() if k not in beside}):
            if path not in known:
                raise unknown_path(path, known)
        parts = {s: from_dict(c, values.get(s, {}), f"{s}.") for s, c in sections.items()}
        return cls(task_name=name, paper=values.get("recipe"), **parts)

    def values(self) -> dict[str, Any]:
        """Nested plain values, as run.toml holds them."""
        return {
            "foretext": __version__,
            "name": self.task_name,
            **({} if self.paper is None else {"recipe": self.paper}),
            "task": to_dict(self.task),
            "data": to_dict(self.data),
            "training": to_dict(self.training),
            "finetune": to_dict(self.finetune),
        }

    def build_task(self) -> Any:
        """The task itself, once its config is resolved; or the task of writing its answers."""
        task = self.plain_task()
        if not self.finetune.as_text or isinstance(task, Writes):
            return task
        name = self.finetune.wording or self.task_name
        return AsText(task, form_for(task, name, self.data.texts))

    def plain_task(self) -> Any:
        """The task itself, whoever answers."""
        return task_module(self.task_name).Build(self.task)

    def layout(self, model: Any, tokenizer: Tokenizer) -> InputFormat:
        """How texts become the model's input, once the lengths are known.

        Args:
            model: or its class.
            tokenizer: with the tokens of its layout.

        Raises:
            ConfigError: the tokenizer lacks them.
        """
        assert self.data.max_length is not None
        return input_format_for(model, tokenizer, self.data.max_length, self.data.long_text)

    def scheduled(self, samples: int, settings: Mapping[str, Any], *, seed: int) -> Self:
        """The recipe with its steps counted, for one seed.

        Args:
            samples: of the training file.
            settings: as given or of a recipe; those that name steps win over epochs and shares.
            seed: of the run.
        """
        training, tuning = self.training, self.finetune
        epoch = math.ceil(samples / training.batch_size)
        changes: dict[str, Any] = {"seed": seed, "steps": training.steps}
        if "training.steps" not in settings:
            changes["steps"] = max(1, math.ceil(samples * tuning.epochs / training.batch_size))
        if "training.warmup_steps" not in settings:
            # Rounded first: a tenth of 70 steps is 7, but 70 * 0.1 is a hair more.
            warmup = math.ceil(round(changes["steps"] * tuning.warmup_rate, 6))
            changes["warmup_steps"] = warmup
        every = min(tuning.eval_every or epoch, changes["steps"])
        if "training.save_every" not in settings:
            changes["save_every"] = min(training.save_every, every)
        return replace(
            self,
            training=replace(training, eval_every=every, **changes),
            finetune=replace(tuning, eval_every=every),
        )
