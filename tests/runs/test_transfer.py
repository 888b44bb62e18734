"""Fine-tuning beside what it must beat, the verdict, and early news of the plateau."""

from __future__ import annotations

import builtins
import json
import math
import statistics
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from foretext.core.errors import ConfigError
from foretext.evaluation.baselines import Baseline
from foretext.objectives.base import Predicts, Term
from foretext.recipes.recipe import Recipe
from foretext.recipes.small import finetune_rate
from foretext.recipes.task_recipe import TaskRecipe
from foretext.runs.finetune import FinetuneOptions
from foretext.runs.options import PretrainOptions
from foretext.runs.pretrain import pretrain
from foretext.runs.seeds import FinetuneResult, SeedResult
from foretext.runs.transfer import Transfer, still_on_plateau, transfer
from foretext.runs.verdict import Gain, blind_advice, verdict
from foretext.runs.watch import PlateauWatch, remedy
from foretext.training.progress import Silent, StepReport
from tests.tasks.tiny import backbone_folder, sentence_file

SHORT = {"training.steps": 4, "training.threads": 1}


class Heard(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def message(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("transfer")
    backbone_folder(folder / "bert", "bert", noise=0.3, num_layers=1)
    sentence_file(folder / "train.tsv", 60, 0)
    sentence_file(folder / "dev.tsv", 40, 9)
    return folder


def run(place: Path, out: Path, **changes: Any) -> tuple[Transfer, list[str]]:
    heard = Heard()
    options = FinetuneOptions(settings=SHORT, seeds=changes.pop("seeds", 1))
    dev = changes.pop("dev", place / "dev.tsv")
    train = changes.pop("train", place / "train.tsv")
    found = transfer(
        place / "bert", "classification", train=train, dev=dev, out=out, options=options,
        reporter=heard, **changes,
    )  # fmt: skip
    return found, heard.lines


def test_a_model_stands_beside_bags_and_itself_untrained(place: Path, tmp_path: Path) -> None:
    """What must be beaten is said before the first step, and kept."""
    found, said = run(place, tmp_path / "out", untrained=True, seeds=2)
    assert [one.name for one in found.baselines] == ["bag of words", "bag of characters"]
    to_beat = [number for number, line in enumerate(said) if line.startswith("to beat: bag of")]
    assert len(to_beat) == 2 and said.index("seed 1 of 2") > max(to_beat)
    assert found.untrained is not None and len(found.untrained.seeds) == 2
    assert all(seed.folder.parent.name == "untrained" for seed in found.untrained.seeds)
    assert found.verdict[0].startswith("pre-training was worth")
    kept = json.loads((tmp_path / "out" / "verdict.json").read_text("utf-8"))
    assert kept["verdict"] == found.verdict
    again, said = run(place, tmp_path / "out", untrained=True, seeds=2)
    assert again.baselines == found.baselines and again.verdict == found.verdict


def test_baselines_are_found_anew_for_another_training_file(place: Path, tmp_path: Path) -> None:
    found, _ = run(place, tmp_path / "one")
    other = sentence_file(tmp_path / "train.tsv", 30, 5)
    kept = (tmp_path / "one" / "baseline.json").read_text("utf-8")
    found, _ = run(place, tmp_path / "two", train=other)
    assert (tmp_path / "two" / "baseline.json").read_text("utf-8") != kept
    assert found.baselines


def test_without_scikit_learn_fine_tuning_goes_on(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("sklearn"):
            raise ModuleNotFoundError(name=name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    found, said = run(place, tmp_path / "out")
    assert found.finished and not found.baselines
    assert any("pip install 'foretext[baseline]'" in line for line in said)


def test_untrained_needs_labels_to_compare_on(place: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="give --dev"):
        run(place, tmp_path / "out", untrained=True, dev=None)
    assert run(place, tmp_path / "plain", dev=None)[0].verdict == []


def test_the_interval_is_student_s() -> None:
    values = [0.02, 0.035, 0.01, 0.05]
    gain = Gain.of(values)
    low, high = stats.t.interval(0.95, 3, loc=statistics.fmean(values), scale=stats.sem(values))
    assert (gain.low, gain.high) == pytest.approx((low, high), abs=1e-5)
    assert gain.certain
    one = Gain.of([0.1])
    assert not one.certain and one.low == -math.inf


def result(values: list[float], metric: str = "accuracy", **settings: Any) -> FinetuneResult:
    recipe = TaskRecipe.of(
        "classification", {"task.labels": ("a", "b")} | settings, left_to_right=False
    )
    seeds = [
        SeedResult(folder=Path("x"), seed=n, steps=1, metrics={metric: value})
        for n, value in enumerate(values)
    ]
    return FinetuneResult(folder=Path("x"), recipe=recipe, seeds=tuple(seeds))


def test_the_verdict_says_what_the_numbers_show() -> None:
    bag = Baseline(name="bag of words", metrics={"accuracy": 0.75})
    lines = verdict(result([0.8, 0.81, 0.82]), [bag], result([0.7, 0.7, 0.72]))
    assert lines[0] == (
        "pre-training was worth +0.1033 accuracy (95 % interval +0.0890 to +0.1177, 3 seeds)"
    )
    assert lines[1] == "accuracy 0.8100 is better than 0.7500 of the bag of words"
    lines = verdict(result([0.7, 0.74]), [bag], result([0.72, 0.7]))
    assert "may be chance" in lines[0]
    assert "no better than 0.7500 of the bag of words" in lines[1]
    assert "--set task.pooling=mean" in lines[1]
    lines = verdict(result([0.7, 0.74], **{"task.pooling": "mean"}), [bag], None)
    assert "task.pooling" not in lines[0]
    assert "--seeds 3" in verdict(result([0.7]), [], result([0.6]))[0]


def test_a_loss_is_better_when_it_is_lower() -> None:
    settings: dict[str, Any] = {"finetune.metric": "loss"}
    bag = Baseline(name="bag of words", metrics={"loss": 0.5})
    lines = verdict(result([0.4], "loss", **settings), [bag], result([0.6], "loss", **settings))
    assert lines[0].startswith("pre-training was worth +0.2000 loss")
    assert "better than 0.5000" in lines[1]


@pytest.mark.parametrize(("rate", "wanted"), [(5e-5, "a larger"), (2e-3, "a smaller")])
def test_advice_about_the_rate_fits_the_width(
    place: Path, tmp_path: Path, rate: float, wanted: str
) -> None:
    """A model of 32 wants more than the papers' 5e-5."""
    assert finetune_rate(768) is None and finetune_rate(32) == 5e-4
    found, _ = run(place, tmp_path / "out")
    assert found.result.recipe.training.learning_rate == 5e-4
    settings: dict[str, Any] = {"training.learning_rate": rate}
    changed = result([0.5], **settings)
    seeds = (SeedResult(folder=found.result.best.folder, seed=0, steps=1),)
    given = FinetuneResult(folder=Path("x"), recipe=changed.recipe, seeds=seeds)
    assert f"{wanted} training.learning_rate" in blind_advice(given)


TERM = Term(name="mlm", title="masked LM", unit="nats", predicts=Predicts.SOME)


def report(step: int, loss: float) -> StepReport:
    return StepReport(
        step=step, steps=1_000, loss=loss, terms={"mlm": loss}, learning_rate=0.1,
        gradient_norm=1.0, tokens=step, tokens_per_second=1.0, utilisation=None, seconds_left=1.0,
    )  # fmt: skip


@pytest.mark.parametrize(("loss", "warnings"), [(7.45, 1), (7.3, 0)])
def test_the_plateau_is_told_once_after_a_tenth(loss: float, warnings: int) -> None:
    heard = Heard()
    watch = PlateauWatch(heard, (TERM,), 1_000, lambda: 7.5, "try this")
    for step in range(10, 50, 10):
        watch.step(report(step, 9.0))  # what came long before does not count
    for step in range(50, 100, 10):
        watch.step(report(step, loss))
    assert heard.lines == []
    for step in range(100, 400, 10):
        watch.step(report(step, loss))
    assert len(heard.lines) == warnings
    for line in heard.lines:
        assert line.startswith(f"warning: at step 100 of 1,000 the loss (mlm {loss:.2f} nats)")
        assert line.endswith("stop by Ctrl-C and try this")


def test_a_loss_that_still_falls_to_the_plateau_is_waited_for() -> None:
    """Till a fifth of the run: 8 nats are not yet those of frequencies, 7.5, and 7.2 are below."""
    heard = Heard()
    watch = PlateauWatch(heard, (TERM,), 1_000, lambda: 7.5, "try this")
    for step in range(10, 200, 10):
        watch.step(report(step, 8.0 if step < 120 else 7.2))
    assert heard.lines == []
    watch = PlateauWatch(heard, (TERM,), 1_000, lambda: 7.5, "try this")
    for step in range(10, 400, 10):
        watch.step(report(step, 8.0))
    assert heard.lines[0].startswith("warning: at step 200 of 1,000")


def test_a_run_that_goes_on_is_not_judged_late() -> None:
    heard = Heard()
    watch = PlateauWatch(heard, (TERM,), 1_000, lambda: 7.5, "try this")
    for step in range(510, 600, 10):
        watch.step(report(step, 9.0))
    assert heard.lines == []


def test_the_remedy_is_not_what_the_recipe_has() -> None:
    assert "model.start=cooccurrence" in remedy(Recipe.of("bert-base"))
    assert "model.start" not in remedy(Recipe.of("bert-tiny"))


def test_a_model_no_better_than_frequencies_is_told_before_fine_tuning(
    place: Path, tmp_path: Path
) -> None:
    assert still_on_plateau(place / "bert") is None  # no run of ours
    text = tmp_path / "text.txt"
    text.write_text("\n\n".join(f"the {n} birds of {n % 7} trees sing." for n in range(80)))
    settings = {
        "model.num_layers": 1,
        "model.hidden_size": 16,
        "model.num_heads": 2,
        "model.intermediate_size": 16,
        "model.start": "random",
        "data.vocab_size": 200,
        "data.held_out": 0.2,
        "training.steps": 2,
        "training.batch_size": 4,
        "training.threads": 1,
    }
    found = pretrain(
        "bert-tiny", out=tmp_path / "run", options=PretrainOptions(text=[text], settings=settings)
    )
    heard = Heard()
    options = FinetuneOptions(settings=SHORT | {"finetune.unknown_rate": 1.0})
    transfer(
        found.folder, "classification", train=place / "train.tsv", out=tmp_path / "out",
        options=options, reporter=heard,
    )  # fmt: skip
    assert heard.lines[0].startswith("warning: held-out mlm is")
    assert "still on the plateau" in heard.lines[0]
