"""finetune at the command line: grids, recipes, calibration, and what lies in one folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from foretext.core.config import read_toml
from foretext.inference.task_run import load_task
from foretext.tasks.datasets import DATASETS
from tests.cli.conftest import Cli, World
from tests.tasks.questions import question_file, questions


@pytest.fixture(scope="module")
def files(world: World) -> list[str]:
    return ["--train", str(world.train), "--dev", str(world.dev)]


def test_a_grid_prints_a_table_and_its_folder_is_a_model(
    cli: Cli, world: World, bert: Path, files: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "grid"
    arguments = [*("finetune", bert, "classification"), *files, *("--out", out, "--steps", "2")]
    grid = ["--grid", "training.learning_rate=1e-3,1e-2", "--seeds", "2"]
    said = cli(*arguments, *grid)
    assert said.code == 0
    header, first, second, best = said.out.splitlines()
    assert header.split() == ["median", "lowest", "highest", "degenerate", "seeds"]
    assert (first.split()[0], second.split()[0]) == ("learning_rate=0.001", "learning_rate=0.01")
    assert "the best median of accuracy" in best
    record = json.loads(cli(*arguments, *grid, "--json").out.splitlines()[-1])
    assert record["event"] == "done"
    assert [point["settings"] for point in record["points"]] == [
        {"training.learning_rate": 1e-3},
        {"training.learning_rate": 1e-2},
    ]
    assert cli("predict", out, "--text", "The film was good .").code == 0
    assert cli("export", out, tmp_path / "export").code == 0
    said = cli("evaluate", out, "--data", world.dev)
    assert said.code == 0
    inner = out / record["best"]
    assert f"{out} holds several runs; the best is {inner}" in said.err


def test_a_grid_without_dev_is_refused(cli: Cli, world: World, bert: Path, tmp_path: Path) -> None:
    said = cli(
        "finetune", bert, "classification", "--train", world.train, "--out", tmp_path / "o",
        "--grid", "training.learning_rate=1e-3",
    )  # fmt: skip
    assert (said.code, said.out) == (1, "")
    assert "give --dev" in said.err


def test_a_recipe_is_named_and_refused_by_name(
    cli: Cli, bert: Path, files: list[str], tmp_path: Path
) -> None:
    arguments = [*("finetune", bert, "classification"), *files, *("--out", tmp_path / "o")]
    said = cli(*arguments, "--recipe", "bert-papers")
    assert (said.code, said.err.count("\n")) == (1, 1)
    assert "did you mean 'bert-paper'?" in said.err
    assert cli(*arguments, "--recipe", "bert-paper", "--steps", "1").code == 0
    assert 'recipe = "bert-paper"' in (tmp_path / "o" / "run.toml").read_text()


def test_the_file_of_calibration_is_a_part_of_the_run(cli: Cli, bert: Path, tmp_path: Path) -> None:
    """Another one makes another run, so it is refused by name."""
    file = tmp_path / "questions.json"
    question_file(file, questions(6, 0, impossible=0.5))
    arguments = ["finetune", bert, "squad2", "--train", file, "--out", tmp_path / "o"]
    arguments += ["--set", "finetune.unknown_rate=1", "--steps", "1"]
    assert cli(*arguments, "--calibrate", file).code == 0
    said = cli(*arguments)
    assert said.code == 1
    assert "source.calibrate" in said.err


def test_two_models_are_compared_with_an_interval(
    cli: Cli, world: World, bert: Path, task: Path, files: list[str], tmp_path: Path
) -> None:
    other = tmp_path / "other"
    finetuned = cli("finetune", bert, "classification", *files, "--out", other, "--steps", "3")
    assert finetuned.code == 0
    arguments = ["evaluate", task, other, "--data", world.dev, "--resamples", "200"]
    said = cli(*arguments)
    lines = said.out.splitlines()
    assert lines[0] == f"A = {task}, B = {other}"
    assert lines[1].split() == ["A", "B", "B", "-", "A", "from", "to"]
    assert lines[2].startswith("accuracy")
    assert lines[-1] == (
        "from, to: between them lies B - A in 95 % of 200 paired draws of the 20 examples"
    )
    record = json.loads(cli(*arguments, "--json").out.splitlines()[-1])
    accuracy = record["metrics"]["accuracy"]
    assert accuracy["difference"] == pytest.approx(accuracy["b"] - accuracy["a"])
    assert accuracy["low"] <= accuracy["difference"] <= accuracy["high"]
    assert cli("evaluate", task, bert, "--data", world.dev).code == 2
    assert cli("evaluate", task, other, bert, "--data", world.dev).code == 2


def test_predictions_go_to_a_file_whole_or_not_at_all(cli: Cli, task: Path, tmp_path: Path) -> None:
    path, out = tmp_path / "t.txt", tmp_path / "answers.tsv"
    path.write_text("The film was good .\n\nThe plot was bad .\n", encoding="utf-8")
    assert cli("predict", task, path, "--out", out).code == 1
    assert not out.exists()
    said = cli("predict", task, path, "--out", out, "--on-error", "skip")
    assert (said.code, said.out) == (0, "")
    assert "1 inputs were skipped and have a dash for an answer" in said.err
    assert [line.split("\t")[0] for line in out.read_text().splitlines()][1] == "-"
    said = cli("predict", task, path, "--on-error", "skip", "--json")
    records = [json.loads(line) for line in said.out.splitlines()]
    assert records[1] == {"error": f"{path}:2: there is no text"}
    assert records[0].keys() == {"label", "probabilities"}


def test_the_plan_is_said_once_before_the_steps(
    cli: Cli, bert: Path, files: list[str], tmp_path: Path
) -> None:
    """Its numbers are those of the model that comes out of it."""
    arguments = ["finetune", bert, "classification", *files, "--steps", "2", "--seeds", "2"]
    said = cli(*arguments, "--out", tmp_path / "one")
    assert said.err.count("in the backbone") == 1
    assert said.err.index("in the backbone") < said.err.index("step 2/2")
    records = [json.loads(line) for line in cli(*arguments, "--out", tmp_path / "two", "--json")
               .out.splitlines()]  # fmt: skip
    plans = [record for record in records if record["event"] == "plan"]
    assert len(plans) == 1
    cost = plans[0]["estimate"]
    model = load_task(tmp_path / "two").model
    assert cost["head_parameters"] == sum(p.numel() for p in model.head.parameters())
    assert cost["backbone_parameters"] == sum(p.numel() for p in model.backbone.parameters())
    assert (cost["samples"], cost["steps"]) == (60, 2)
    assert cost["memory_bytes"] > 16 * cost["trained_parameters"]


@pytest.mark.parametrize("more", [[], ["--seeds", "2", "--grid", "training.learning_rate=1e-3,1"]])
def test_a_dry_run_prints_recipe_and_cost_and_writes_nothing(
    cli: Cli, bert: Path, files: list[str], tmp_path: Path, more: list[str]
) -> None:
    """docs/recipes.md: it is the recipe that run.toml keeps, and a --config."""
    out = tmp_path / "o"
    arguments = ["finetune", bert, "classification", *files, "--out", out]
    rate = ["--steps", "2", "--set", "training.learning_rate=1e-3"]
    said = cli(*arguments, *rate, *more, "--dry-run")
    _, _, cost = said.err.partition("\nclassification\n")
    cost = cost.partition("\nNothing")[0]
    assert said.code == 0 and "  memory " in cost
    assert "Nothing was written" in said.err
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "recipe.toml").write_text(said.out, encoding="utf-8")
    run = cli(*arguments, "--config", tmp_path / "recipe.toml")
    assert run.code == 0
    kept = read_toml(out / "run.toml")
    del kept["source"]
    assert kept == read_toml(tmp_path / "recipe.toml")
    assert cost in run.err


def test_a_dry_run_refuses_what_a_run_does(
    cli: Cli, bert: Path, files: list[str], tmp_path: Path
) -> None:
    arguments = ["finetune", bert, "classification", "--out", tmp_path / "o", "--dry-run"]
    for more, why in (
        ([*files, "--seeds", "0"], "seeds=0 must be at least 1"),
        ([*files, "--set", "data.max_length=4000"], "lower it"),
        ([*files[:2], "--grid", "training.learning_rate=1e-3,1"], "give --dev"),
    ):
        said = cli(*arguments, *more)
        assert (said.code, said.out) == (1, "")
        assert why in said.err


def test_what_is_frozen_is_said(cli: Cli, bert: Path, files: list[str], tmp_path: Path) -> None:
    said = cli("finetune", bert, "classification", *files, "--out", tmp_path / "o", "--steps", "1",
               "--set", "finetune.freeze=1")  # fmt: skip
    assert "stay as they are" in said.err


def test_tasks_lists_the_data_sets_of_each(cli: Cli) -> None:
    text = cli("tasks").out
    for name, dataset in DATASETS.items():
        assert f"    {name} " in text
        assert dataset.about in text
    records = [json.loads(line) for line in cli("tasks", "--json").out.splitlines()]
    found = {name for record in records for name in record.get("datasets", ())}
    assert found == set(DATASETS)
