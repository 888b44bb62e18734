"""Recipes by name are the papers' numbers, fit the model, and stay beneath the user's settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from foretext.core.config import read_toml
from foretext.core.errors import ConfigError
from foretext.inference.task_run import load_task
from foretext.models import FAMILIES
from foretext.nn.dropout import Dropout
from foretext.recipes.papers import PAPER_RECIPES, beneath, paper_settings
from foretext.recipes.task_recipe import TaskRecipe
from foretext.runs.finetune import FinetuneOptions, finetune
from foretext.tasks import TASKS
from tests.tasks.tiny import backbone_folder, sentence_file

BASE = FAMILIES["bert"].presets["bert-base"]
GUESSED = {"data.text": None, "data.text_pair": None}
LARGE = FAMILIES["bert"].presets["bert-large"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("papers")
    for model_type in ("bert", "gpt2"):
        backbone_folder(folder / model_type, model_type, noise=0.3)
    sentence_file(folder / "train.tsv", 70, 0)
    return folder


def settings_of(name: str, dataset: str = "classification", config: Any = BASE) -> dict[str, Any]:
    found = paper_settings(
        name, "classification", dataset, config, left_to_right=name == "gpt1-paper"
    )
    return {path.partition(".")[2]: value for path, value in found.items()}


@pytest.mark.parametrize(
    ("name", "dataset", "expected"),
    [
        # Devlin et al. 2019, A.3 and 4.1; run_classifier.py's optimizer.
        ("bert-paper", "mrpc", {"learning_rate": 5e-5, "batch_size": 32, "epochs": 3.0,
                                "warmup_rate": 0.1, "weight_decay": 0.01, "eps": 1e-6,
                                "optimizer": "bert-adamw", "dropout": 0.1}),
        # Clark et al. 2020, appendix B: base 1e-4, decay .8, no weight decay, RTE 10 epochs.
        ("electra-paper", "rte", {"head_learning_rate": 1e-4, "layer_decay": 0.8, "epochs": 10.0,
                                  "weight_decay": 0.0, "warmup_rate": 0.1, "batch_size": 32}),
        ("electra-paper", "sst2", {"epochs": 3.0}),
        # Lan et al. 2020, table 14: rate, batch, steps, warm-up, ALBERT dropout, length.
        ("albert-paper", "rte", {"learning_rate": 3e-5, "batch_size": 32, "steps": 800,
                                 "warmup_rate": 0.25, "dropout": 0.1, "max_length": 512}),
        ("albert-paper", "qqp", {"learning_rate": 5e-5, "batch_size": 128, "steps": 14_000}),
        # fairseq's command for CoLA, and Liu et al. 2019, table 10.
        ("roberta-paper", "cola", {"learning_rate": 1e-5, "batch_size": 16, "steps": 5_336,
                                   "betas": (0.9, 0.98), "weight_decay": 0.1,
                                   "clip_norm": None}),
        ("roberta-paper", "-", {"epochs": 10.0, "warmup_rate": 0.06}),
        # Radford et al. 2018, 4.1; train.py.
        ("gpt1-paper", "sst2", {"learning_rate": 6.25e-5, "batch_size": 32, "epochs": 3.0,
                                "warmup_rate": 0.002, "lm_weight": 0.5, "dropout": 0.1,
                                "optimizer": "gpt1-adamw", "schedule": "gpt1-linear"}),
    ],
)  # fmt: skip
def test_the_numbers_are_the_papers(name: str, dataset: str, expected: dict[str, Any]) -> None:
    found = settings_of(name, dataset)
    assert {key: found[key] for key in expected} == expected


def test_alberts_backbone_has_no_dropout_but_its_head_has() -> None:
    """Table 14: "ALBERT DR" 0 and "Classifier DR" 0.1 on MRPC."""
    found = paper_settings("albert-paper", "classification", "mrpc", BASE, left_to_right=False)
    assert (found["finetune.dropout"], found["task.dropout"]) == (0.0, 0.1)


@pytest.mark.parametrize("paper", ["roberta", "albert", "electra"])
def test_squad_2_has_a_classifier_of_answerability_but_in_berts_paper(paper: str) -> None:
    """Liu et al. 2019, section 5; Lan et al. 2020, appendix; Clark et al. 2020, appendix B."""
    for name, expected in ((f"{paper}-paper", True), ("bert-paper", None)):
        found = paper_settings(name, "question-answering", "squad2", BASE, left_to_right=False)
        assert found.get("task.answerable_head") is expected
        one = paper_settings(name, "question-answering", "squad", BASE, left_to_right=False)
        assert "task.answerable_head" not in one


def test_robertas_head_has_no_dropout() -> None:
    """fairseq's commands: --pooler-dropout 0.0; the backbone's is 0.1."""
    found = paper_settings("roberta-paper", "classification", "mrpc", BASE, left_to_right=False)
    assert (found["finetune.dropout"], found["task.dropout"]) == (0.1, 0.0)


def test_electras_rate_is_that_of_the_models_size() -> None:
    """Appendix B: 5e-5 and a decay of .9 for large models."""
    found = settings_of("electra-paper", config=LARGE)
    assert (found["head_learning_rate"], found["layer_decay"]) == (5e-5, 0.9)


@pytest.mark.parametrize("name", PAPER_RECIPES)
@pytest.mark.parametrize("task", TASKS)
def test_every_recipe_is_a_valid_one_of_every_task(name: str, task: str) -> None:
    """Also where a task lacks a setting, such as the auxiliary loss's weight."""
    left_to_right = PAPER_RECIPES[name].left_to_right
    settings = paper_settings(name, task, task, BASE, left_to_right=left_to_right)
    recipe = TaskRecipe.of(task, settings, left_to_right=left_to_right)
    assert recipe.training.batch_size == settings["training.batch_size"]


def test_the_users_settings_lie_above_the_recipe(place: Path, tmp_path: Path) -> None:
    """And a number of epochs takes the place of the recipe's number of steps."""
    options = FinetuneOptions(
        recipe="albert-paper",
        settings={"finetune.epochs": 1.0, "training.batch_size": 35, "task.labels": (), **GUESSED},
    )
    finetune(place / "bert", "rte", train=place / "train.tsv", out=tmp_path / "o", options=options)
    made = read_toml(tmp_path / "o" / "run.toml")
    assert (made["training"]["steps"], made["training"]["warmup_steps"]) == (2, 1)
    assert made["training"]["learning_rate"] == 3e-5
    assert made["data"]["max_length"] == 40  # all the positions there are


def test_the_name_is_kept_in_run_toml_and_the_card(place: Path, tmp_path: Path) -> None:
    options = FinetuneOptions(recipe="bert-paper", settings={"training.steps": 2})
    finetune(
        place / "bert",
        "classification",
        train=place / "train.tsv",
        out=tmp_path / "o",
        options=options,
    )
    assert read_toml(tmp_path / "o" / "run.toml")["recipe"] == "bert-paper"
    assert "Recipe `bert-paper`: 2 of 2 steps" in (tmp_path / "o" / "README.md").read_text()
    assert load_task(tmp_path / "o").recipe.paper == "bert-paper"


def test_dropout_reaches_every_layer_of_the_backbone_and_its_config(
    place: Path, tmp_path: Path
) -> None:
    options = FinetuneOptions(settings={"training.steps": 1, "finetune.dropout": 0.25})
    finetune(
        place / "bert",
        "classification",
        train=place / "train.tsv",
        out=tmp_path / "o",
        options=options,
    )
    backbone: Any = load_task(tmp_path / "o").model.backbone
    rates = {m.rate for m in backbone.modules() if isinstance(m, Dropout)}
    assert rates == {0.25}
    assert (backbone.config.dropout, backbone.config.attention_dropout) == (0.25, 0.25)


@pytest.mark.parametrize(
    ("model_type", "recipe", "message"),
    [
        ("bert", "gpt1-paper", "gpt1-paper is for a left-to-right model, and this is an encoder; "
                               "choose bert-paper or"),
        ("gpt2", "electra-paper", "is for an encoder, and this is a left-to-right model; choose "
                                  "gpt1-paper"),
        ("bert", "bert-papr", "no recipe 'bert-papr'; did you mean 'bert-paper'"),
    ],
)  # fmt: skip
def test_a_recipe_that_does_not_fit_is_refused(
    place: Path, tmp_path: Path, model_type: str, recipe: str, message: str
) -> None:
    options = FinetuneOptions(recipe=recipe)
    with pytest.raises(ConfigError, match=message):
        finetune(
            place / model_type,
            "classification",
            train=place / "train.tsv",
            out=tmp_path / "o",
            options=options,
        )
    assert not (tmp_path / "o").exists()


def test_a_setting_that_replaces_another_drops_it() -> None:
    recipe = {"training.steps": 800, "training.head_learning_rate": 1.0, "training.eps": 1.0}
    assert beneath(recipe, {"finetune.epochs": 1}).keys() == recipe.keys() - {"training.steps"}
    assert beneath(recipe, {}) == recipe
