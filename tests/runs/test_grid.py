"""A grid runs every point, decides by the median on dev, and goes on where it was stopped."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

import pytest

from foretext.core.config import read_toml
from foretext.core.errors import ConfigError, TrainingError
from foretext.evaluation.labelled import evaluate
from foretext.inference.task_run import load_task
from foretext.runs import grid as grid_module
from foretext.runs.finetune import FinetuneOptions, FinetunePlan, encode, finetune
from foretext.runs.grid import GridResult, finetune_grid, parse_grid, points_of
from foretext.runs.labelled_data import Labelled, LabelledFiles
from foretext.training.progress import Silent, StepReport
from tests.tasks.tiny import backbone_folder, sentence_file
from tests.training.killed import Killed

RATE = "training.learning_rate"
SHORT = {"training.steps": 3, "training.log_every": 1}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("grid")
    backbone_folder(folder / "bert", "bert", noise=0.3)
    sentence_file(folder / "train.tsv", 70, 0)
    sentence_file(folder / "dev.tsv", 40, 9)
    return folder


def search(place: Path, out: Path, grid: dict[str, list[Any]], **options: Any) -> GridResult:
    reporter = options.pop("reporter", None)
    settings = SHORT | options.pop("settings", {})
    return finetune_grid(
        place / "bert",
        "classification",
        train=place / "train.tsv",
        dev=place / "dev.tsv",
        out=out,
        grid=grid,
        options=FinetuneOptions(settings=settings, **options),
        reporter=reporter,
    )


def test_every_point_is_the_run_of_its_settings_alone(place: Path, tmp_path: Path) -> None:
    result = search(place, tmp_path / "grid", {RATE: [1e-3, 1e-2]})
    assert [point.name for point in result.points] == ["learning_rate=0.001", "learning_rate=0.01"]
    options = FinetuneOptions(settings=SHORT | {RATE: 1e-2})
    finetune(
        place / "bert",
        "classification",
        train=place / "train.tsv",
        dev=place / "dev.tsv",
        out=tmp_path / "one",
        options=options,
    )
    one, other = tmp_path / "one", tmp_path / "grid" / "learning_rate=0.01"
    assert (one / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes()


def test_the_best_point_is_that_of_the_best_median(place: Path, tmp_path: Path) -> None:
    """And the grid's folder serves as the model of its best seed."""
    out = tmp_path / "grid"
    grid: dict[str, list[Any]] = {RATE: [0.0, 5e-3], "training.batch_size": [16, 32]}
    result = search(place, out, grid, seeds=2, settings={"training.head_learning_rate": 0.02})
    medians = {
        point.name: statistics.median(seed.metrics["accuracy"] for seed in point.result.seeds)
        for point in result.points
        if point.result
    }
    assert len(medians) == 4
    assert medians[result.best.name] == max(medians.values())
    written = json.loads((out / "grid.json").read_text())
    assert (written["best"], written["metric"]) == (result.best.name, "accuracy")
    assert {p["folder"]: p["spread"]["median"] for p in written["points"]} == medians
    assert result.best.result
    best = result.best.result.best
    assert load_task(out).folder == best.folder == out / result.best.name / best.folder.name
    assert evaluate(out, place / "dev.tsv") == pytest.approx(best.metrics)
    assert "learning_rate" not in read_toml(out / "run.toml")["training"]


class KillLater(Silent):
    """Dies in a step, counted over all points."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def step(self, report: StepReport) -> None:
        self.left -= report.step > 0
        if self.left == 0:
            raise Killed


def test_a_killed_grid_goes_on_to_the_same_bits(place: Path, tmp_path: Path) -> None:
    """Ended points are not run again, and one may be added."""
    grid: dict[str, list[Any]] = {RATE: [1e-3, 1e-2]}
    whole = search(place, tmp_path / "whole", {RATE: [1e-3, 1e-2, 2e-2]})
    with pytest.raises(Killed):
        search(place, tmp_path / "cut", grid, reporter=KillLater(5))
    assert (tmp_path / "cut" / "learning_rate=0.001" / "result.json").is_file()
    search(place, tmp_path / "cut", grid)
    again = search(place, tmp_path / "cut", {RATE: [1e-3, 1e-2, 2e-2]}, reporter=KillLater(4))
    assert again.best.name == whole.best.name
    for point in whole.points:
        one, other = (tmp_path / name / point.name for name in ("whole", "cut"))
        weights = [(folder / "model.safetensors").read_bytes() for folder in (one, other)]
        assert weights[0] == weights[1]


def test_the_same_data_settings_are_encoded_once(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def counted(plan: FinetunePlan, files: LabelledFiles) -> Labelled:
        calls.append(plan)
        return encode(plan, files)

    monkeypatch.setattr(grid_module, "encode", counted)
    search(place, tmp_path / "grid", {"data.max_length": [16, 24], RATE: [1e-3, 1e-2]})
    assert [plan.recipe.data.max_length for plan in calls] == [16, 24]


def test_a_point_that_fails_does_not_end_the_grid(place: Path, tmp_path: Path) -> None:
    grid: dict[str, list[Any]] = {RATE: [1e30, 1e-3]}
    result = search(place, tmp_path / "grid", grid, settings={"training.clip_norm": None})
    assert "finite" in (result.points[0].problem or "")
    assert result.best.name == "learning_rate=0.001"
    assert result.finished
    with pytest.raises(TrainingError, match="no point of the grid has a result"):
        _ = search(
            place, tmp_path / "bad", {RATE: [1e30]}, settings={"training.clip_norm": None}
        ).best


def test_other_settings_are_refused_before_anything_runs(place: Path, tmp_path: Path) -> None:
    search(place, tmp_path / "grid", {RATE: [1e-3]})
    with pytest.raises(ConfigError, match=r"training\.weight_decay: 0\.01 -> 0\.5; give another"):
        search(place, tmp_path / "grid", {RATE: [2e-3]}, settings={"training.weight_decay": 0.5})
    assert not (tmp_path / "grid" / "learning_rate=0.002").exists()
    with pytest.raises(ConfigError, match=r"training\.learning_rat.; did you mean"):
        search(place, tmp_path / "new", {RATE: [1e-3], "training.learning_rat": [1]})
    assert not (tmp_path / "new").exists()


def test_a_grid_is_written_as_values_of_a_path() -> None:
    assert parse_grid([f"{RATE}=2e-5,3e-5", "finetune.freeze=none, 2"]) == {
        RATE: [2e-5, 3e-5],
        "finetune.freeze": ["none", 2],
    }
    assert parse_grid(["training.betas=[0.9, 0.98],[0.9, 0.999]"]) == {
        "training.betas": [[0.9, 0.98], [0.9, 0.999]]
    }
    names = [p.name for p in points_of({"a.x": ["u/v", True], "b.x": [0.00002, [1, 2]]})]
    assert names == [
        "a.x=u_v,b.x=2e-05", "a.x=u_v,b.x=1+2", "a.x=true,b.x=2e-05", "a.x=true,b.x=1+2",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["training.learning_rate"], "must be path=value,value"),
        (["=1"], "must be path=value,value"),
        (["a.b="], "must be path=value,value"),
        (["a.b=1", "a.b=2"], r"names a\.b twice"),
        (["a.b=1,1"], r"the grid of a\.b is 1, 1; give different values"),
        (["finetune.metric=f1,mcc"], r"cannot hold finetune\.metric: points are compared"),
        (["training.seed=1,2"], "give --seeds"),
        ([], "the grid is empty"),
    ],
)
def test_a_grid_that_cannot_be_is_refused(options: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        points_of(parse_grid(options))
