"""Fine-tuning as the papers did it, by name: `--recipe electra-paper` and its like.

Papers: Devlin et al. 2019, appendix A.3 and sections 4.1 to 4.4, with run_classifier.py and
run_squad.py; Radford et al. 2018, section 4.1, with train.py; Liu et al. 2019, table 10, with
fairseq's per-task commands; Lan et al. 2020, table 14; Clark et al. 2020, appendix B.
Deviations: a task that ALBERT's table lacks gets its commonest values for BERT's 3 epochs; where a
paper names several learning rates, to be tried, one of them is taken (`--grid` tries them);
ELECTRA's second copy of each MRPC and STS-B pair, in the other order, is not made; start and end
are scored separately in all of them, where ELECTRA's and ALBERT's end depends on the start.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from foretext.core.config import ModelConfig
from foretext.core.errors import ConfigError
from foretext.core.suggest import nearest
from foretext.models import FAMILIES
from foretext.tasks import task_module

Settings = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class PaperRecipe:
    """Settings by path; a data set's beat its task's, which beat those of all tasks."""

    paper: str
    left_to_right: bool = False  # for GPTs; else for encoders
    settings: Settings
    named: Mapping[str, Settings] = field(default_factory=dict)  # by task or data set
    sized: bool = (
        False  # the family's own settings by size, where the name begins with the family's
    )


_BERT: Settings = {
    "training.batch_size": 32,
    "training.optimizer": "bert-adamw",
    "training.betas": (0.9, 0.999),
    "training.eps": 1e-6,
    "training.learning_rate": 5e-5,
    "training.head_learning_rate": None,
    "training.layer_decay": 1.0,
    "training.weight_decay": 0.01,
    "training.clip_norm": 1.0,
    "training.schedule": "linear",
    "finetune.epochs": 3.0,
    "finetune.warmup_rate": 0.1,
    "finetune.dropout": 0.1,
    "task.dropout": 0.1,
}
_SQUAD_LENGTH = {"data.max_length": 384}
_BERT_NAMED: dict[str, Settings] = {
    "multiple-choice": {"training.learning_rate": 2e-5, "training.batch_size": 16},
    "question-answering": _SQUAD_LENGTH,
    "squad2": _SQUAD_LENGTH | {"training.batch_size": 48, "finetune.epochs": 2.0},
}

_ELECTRA = dict(_BERT) | {"training.weight_decay": 0.0}
_ELECTRA_NAMED: dict[str, Settings] = {
    "question-answering": {"finetune.epochs": 2.0, "data.max_length": 512},
    "squad2": {"task.answerable_head": True},
    "tagging": {"data.max_length": 256},
    "similarity": {"finetune.epochs": 10.0},
    "rte": {"finetune.epochs": 10.0},
}

_ROBERTA = dict(_BERT) | {
    "training.optimizer": "adamw",
    "training.betas": (0.9, 0.98),
    "training.learning_rate": 2e-5,
    "training.weight_decay": 0.1,
    "training.clip_norm": None,
    "training.schedule": "linear-from-peak",
    "finetune.epochs": 10.0,
    "finetune.warmup_rate": 0.06,
    "task.dropout": 0.0,
}
_ROBERTA_SQUAD = {
    "training.learning_rate": 1.5e-5,
    "training.batch_size": 48,
    "training.weight_decay": 0.01,
    "finetune.epochs": 2.0,
    "data.max_length": 512,
}
_ROBERTA_RACE = {
    "training.learning_rate": 1e-5,
    "training.batch_size": 16,
    "finetune.epochs": 4.0,
    "data.max_length": 512,
}
# Learning rate, batch, updates, of them warm-up: fairseq's commands for GLUE.
_ROBERTA_ROWS = {
    "mnli": (1e-5, 32, 123_873, 7_432),
    "qnli": (1e-5, 32, 33_112, 1_986),
    "qqp": (1e-5, 32, 113_272, 28_318),
    "rte": (2e-5, 16, 2_036, 122),
    "sst2": (1e-5, 32, 20_935, 1_256),
    "mrpc": (1e-5, 16, 2_296, 137),
    "cola": (1e-5, 16, 5_336, 320),
    "stsb": (2e-5, 16, 3_598, 214),
}
_ROBERTA_NAMED: dict[str, Settings] = {
    "question-answering": _ROBERTA_SQUAD,
    "squad2": {"task.answerable_head": True},
    "race": _ROBERTA_RACE,
}
# The same, dropout of the backbone and length: table 14 of ALBERT's paper.
_ALBERT_ROWS = {
    "cola": (1e-5, 16, 5_336, 320, 0.0, 512),
    "stsb": (2e-5, 16, 3_598, 214, 0.0, 512),
    "sst2": (1e-5, 32, 20_935, 1_256, 0.0, 512),
    "mnli": (3e-5, 128, 10_000, 1_000, 0.0, 512),
    "qnli": (1e-5, 32, 33_112, 1_986, 0.0, 512),
    "qqp": (5e-5, 128, 14_000, 1_000, 0.1, 512),
    "rte": (3e-5, 32, 800, 200, 0.1, 512),
    "mrpc": (2e-5, 32, 800, 200, 0.0, 512),
    "wnli": (2e-5, 16, 2_000, 250, 0.1, 512),
    "squad": (5e-5, 48, 3_649, 365, 0.0, 384),
    "squad2": (3e-5, 48, 8_144, 814, 0.0, 512),
    "race": (2e-5, 32, 12_000, 1_000, 0.1, 512),
}


def _counted(rate: float, batch: int, steps: int, warmup: int) -> dict[str, Any]:
    return {
        "training.learning_rate": rate,
        "training.batch_size": batch,
        "training.steps": steps,
        "finetune.warmup_rate": warmup / steps,
    }


def _albert(row: tuple[float, int, int, int, float, int]) -> dict[str, Any]:
    *counts, dropout, length = row
    counted = _counted(*counts)  # type: ignore[arg-type]
    return counted | {"finetune.dropout": dropout, "data.max_length": length}


PAPER_RECIPES: dict[str, PaperRecipe] = {
    "bert-paper": PaperRecipe(
        paper="Devlin et al. 2019, appendix A.3",
        settings=_BERT,
        named=_BERT_NAMED,
    ),
    "roberta-paper": PaperRecipe(
        paper="Liu et al. 2019, table 10",
        settings=_ROBERTA,
        named=_ROBERTA_NAMED | {name: _counted(*row) for name, row in _ROBERTA_ROWS.items()},
    ),
    "albert-paper": PaperRecipe(
        paper="Lan et al. 2020, table 14",
        settings=dict(_BERT)
        | {"training.learning_rate": 2e-5, "finetune.dropout": 0.0, "data.max_length": 512},
        named={
            name: _albert(row) | ({"task.answerable_head": True} if name == "squad2" else {})
            for name, row in _ALBERT_ROWS.items()
        },
    ),
    "electra-paper": PaperRecipe(
        paper="Clark et al. 2020, appendix B",
        settings=_ELECTRA,
        named=_ELECTRA_NAMED,
        sized=True,
    ),
    "gpt1-paper": PaperRecipe(
        paper="Radford et al. 2018, section 4.1",
        left_to_right=True,
        settings=dict(_BERT)
        | {
            "training.optimizer": "gpt1-adamw",
            "training.eps": 1e-8,
            "training.learning_rate": 6.25e-5,
            "training.schedule": "gpt1-linear",
            "finetune.warmup_rate": 0.002,
            "task.lm_weight": 0.5,
            "data.max_length": 512,
        },
    ),
}
_INSTEAD = {  # a user's word on the left leaves no place for the recipe's on the right
    "finetune.epochs": ("training.steps",),
    "training.learning_rate": ("training.head_learning_rate",),
}


def paper_settings(
    name: str, task: str, dataset: str, config: ModelConfig, *, left_to_right: bool
) -> dict[str, Any]:
    """What a paper's recipe sets, by path.

    Args:
        name: in PAPER_RECIPES.
        task: its name.
        dataset: of the data set; the task's where there is none.
        config: of the model.
        left_to_right: the model is a GPT.

    Raises:
        ConfigError: there is no such recipe, or it is not one for such a model.
    """
    if name not in PAPER_RECIPES:
        raise ConfigError(
            f"there is no recipe {name!r}; did you mean {nearest(name, PAPER_RECIPES)}? There are "
            f"{', '.join(PAPER_RECIPES)}"
        )
    recipe = PAPER_RECIPES[name]
    if recipe.left_to_right != left_to_right:
        fit = [n for n, r in PAPER_RECIPES.items() if r.left_to_right == left_to_right]
        kinds = ("an encoder", "a left-to-right model")
        raise ConfigError(
            f"the recipe {name} is for {kinds[recipe.left_to_right]}, and this is "
            f"{kinds[left_to_right]}; choose {' or '.join(fit)}, or leave --recipe out"
        )
    chosen = dict(recipe.settings)
    if recipe.sized:
        chosen |= FAMILIES[name.removesuffix("-paper")].finetune_recipe(config)
    chosen |= recipe.named.get(task, {})
    chosen |= recipe.named.get(dataset, {})
    module = task_module(task)
    known = {f"task.{f.name}" for f in fields(module.Config)}
    known |= {f"data.{f.name}" for f in fields(module.Input)}
    # Not every task has the auxiliary loss, or a dropout of its own.
    known |= {path for path in chosen if path.startswith(("training.", "finetune."))}
    return {path: value for path, value in chosen.items() if path in known}


def beneath(recipe: Settings, user: Settings) -> dict[str, Any]:
    """The recipe's settings that the user's leave in force."""
    gone = {path for mine, theirs in _INSTEAD.items() if mine in user for path in theirs}
    return {path: value for path, value in recipe.items() if path not in gone}
