"""Fine-tuning: it learns, goes on to the same bits, chooses, freezes, and refuses in one line."""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from foretext.core.config import read_toml
from foretext.core.errors import ConfigError, DataError
from foretext.evaluation.labelled import evaluate
from foretext.inference.task_run import load_task
from foretext.models.folder import load_model
from foretext.runs.finetune import FinetuneOptions, finetune
from foretext.runs.seeds import FinetuneResult
from foretext.tasks.base import TaskModel
from foretext.tasks.classification import Classification, ClassificationConfig
from foretext.training.log import read_metrics
from foretext.training.optimizers.build import build_optimizer
from foretext.training.optimizers.config import OptimizerConfig
from foretext.training.progress import Silent, StepReport
from tests.tasks.tiny import backbone_folder, sentence_file
from tests.training.killed import KillAt, Killed

SHORT = {"training.steps": 6, "finetune.eval_every": 2, "training.learning_rate": 1e-3}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Backbones and small files that no test changes."""
    folder = tmp_path_factory.mktemp("finetune")
    for model_type in ("bert", "gpt2", "openai-gpt"):
        backbone_folder(folder / model_type, model_type, noise=0.3, num_layers=3)
    sentence_file(folder / "train.tsv", 70, 0)
    sentence_file(folder / "dev.tsv", 40, 9)
    return folder


def run(
    place: Path,
    out: Path,
    model_type: str = "bert",
    settings: Mapping[str, Any] | None = None,
    **options: Any,
) -> FinetuneResult:
    """A short run; dev=False does without the development file."""
    reporter = options.pop("reporter", None)
    train = options.pop("train", place / "train.tsv")
    dev = options.pop("dev", place / "dev.tsv") or None
    chosen = FinetuneOptions(settings=SHORT | dict(settings or {}), **options)
    return finetune(
        place / model_type,
        "classification",
        train=train,
        dev=dev,
        out=out,
        options=chosen,
        reporter=reporter,
    )


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


# Eight seeds of eight learn it; at 1e-2 two did.
SLOWLY = {"training.learning_rate": 2e-3, "training.batch_size": 16, "finetune.epochs": 6.0}


@pytest.mark.parametrize(
    ("model_type", "rows", "layers", "settings"),
    [
        ("bert", 200, 1, SLOWLY),
        ("gpt2", 400, 2, {"training.learning_rate": 3e-3, "finetune.epochs": 4}),
    ],
)
def test_it_learns_which_words_make_a_label(
    tmp_path: Path, model_type: str, rows: int, layers: int, settings: dict[str, Any]
) -> None:
    """From random weights, so that the whole path must work: inputs, loss, updates, selection."""
    backbone = backbone_folder(tmp_path / "backbone", model_type, num_layers=layers)
    dev = sentence_file(tmp_path / "dev.tsv", 100, 9)
    result = finetune(
        backbone,
        "classification",
        train=sentence_file(tmp_path / "train.tsv", rows, 0),
        dev=dev,
        out=tmp_path / "out",
        options=FinetuneOptions(settings=settings | {"data.max_length": 24}),
    )
    assert result.best.metrics["accuracy"] > 0.95
    assert result.degenerate == ()
    assert evaluate(tmp_path / "out", dev) == pytest.approx(result.best.metrics)


@pytest.mark.parametrize("model_type", ["bert", "gpt2"])
def test_a_killed_run_ends_with_the_same_bits(place: Path, tmp_path: Path, model_type: str) -> None:
    """design.md: killed at any moment and resumed, the weights are equal bit for bit."""
    settings = {"training.log_every": 1, "training.save_every": 2, "training.micro_batch_size": 9}
    run(place, tmp_path / "whole", model_type, settings)
    for step in (1, 5):
        with pytest.raises(Killed):
            run(place, tmp_path / "cut", model_type, settings, reporter=KillAt(step))
    run(place, tmp_path / "cut", model_type, settings)
    for name in ("model.safetensors", "result.json", "config.json", "tokenizer.json"):
        one, other = ((tmp_path / run / name).read_bytes() for run in ("whole", "cut"))
        assert one == other, name


class InterruptAt(Silent):
    def __init__(self, step: int) -> None:
        self.at = step

    def step(self, report: StepReport) -> None:
        if report.step == self.at:
            signal.raise_signal(signal.SIGINT)


def test_an_interrupted_run_saves_and_goes_on(place: Path, tmp_path: Path) -> None:
    """Ctrl-C saves; with several seeds it ends them all, and the same command goes on."""
    settings = {"training.log_every": 1}
    stopped = run(place, tmp_path / "cut", settings=settings, seeds=2, reporter=InterruptAt(3))
    assert [(seed.finished, seed.steps) for seed in stopped.seeds] == [(False, 4)]
    assert not stopped.finished
    gone_on = run(place, tmp_path / "cut", settings=settings, seeds=2)
    whole = run(place, tmp_path / "whole", settings=settings, seeds=2)
    assert gone_on.summary == whole.summary
    assert gone_on.finished


def test_layers_decay_under_the_backbones_names(place: Path) -> None:
    """optimizers/build.py finds layers by name; a layer has half the rate of the one above."""
    backbone: Any = load_model(place / "bert").model
    task = Classification(ClassificationConfig(labels=("a", "b")))
    model = TaskModel(backbone, task.head(backbone, torch.Generator()))
    config = OptimizerConfig(learning_rate=1.0, layer_decay=0.5, head_learning_rate=7.0)
    rates = {
        name: group["peak_lr"]
        for group in build_optimizer(model, config).param_groups
        for name in group["param_names"]
    }
    assert rates["head.linear.weight"] == rates["head.linear.bias"] == 7.0
    assert rates["backbone.pooler.weight"] == 1.0
    assert rates["backbone.layers.2.attention.query.weight"] == 0.5
    assert rates["backbone.layers.0.attention.query.weight"] == 0.125
    assert rates["backbone.embeddings.token.weight"] == 0.0625


class Listener(Silent):
    def __init__(self) -> None:
        self.heard: list[str] = []

    def message(self, text: str) -> None:
        self.heard.append(text)


def test_rows_at_fault_are_counted_aloud(place: Path, tmp_path: Path) -> None:
    path = sentence_file(tmp_path / "t.tsv", 40, 0)
    with path.open("a", encoding="utf-8") as file:
        file.write("\tgood\n")
    reporter = Listener()
    run(place, tmp_path / "out", train=path, on_error="skip", reporter=reporter)
    assert f"{path}: 1 rows were skipped and 0 mended" in reporter.heard
    rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()[:-1]]
    records = [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]
    broken, reporter = tmp_path / "t.json", Listener()
    broken.write_text(json.dumps(records)[:-1] + ", {]", encoding="utf-8")
    run(place, tmp_path / "broken", train=broken, on_error="skip", reporter=reporter)
    (rest,) = [line for line in reporter.heard if "was not read" in line]
    assert rest.startswith(f"{broken}:1: the file ends before its list does")
    assert not any("were skipped" in line for line in reporter.heard)


def test_a_finished_run_is_not_begun_again(place: Path, tmp_path: Path) -> None:
    first = run(place, tmp_path / "out", reporter=KillAt(-1))
    again = run(place, tmp_path / "out", reporter=KillAt(6))
    assert again.seeds == first.seeds


def test_other_settings_or_other_text_are_refused_by_name(place: Path, tmp_path: Path) -> None:
    run(place, tmp_path / "out")
    with pytest.raises(ConfigError, match=r"training\.learning_rate: 0\.001 -> 0\.5; give another"):
        run(place, tmp_path / "out", settings={"training.learning_rate": 0.5})
    with pytest.raises(ConfigError, match=r"finetune\.eval_every: 2 -> 3"):
        run(place, tmp_path / "out", settings={"finetune.eval_every": 3})
    with pytest.raises(ConfigError, match=r"source\.train: "):
        run(place, tmp_path / "out", train=sentence_file(tmp_path / "t.tsv", 70, 1))
    with pytest.raises(ConfigError, match=r"source\.holds: run -> seeds"):
        run(place, tmp_path / "out", seeds=2)
    with pytest.raises(ConfigError, match="add --force"):
        run(place, tmp_path / "out", fresh=True)
    result = run(place, tmp_path / "out", settings={"training.steps": 2}, fresh=True, force=True)
    assert result.best.steps == 2


def test_a_run_older_than_a_setting_goes_on(place: Path, tmp_path: Path) -> None:
    """What run.toml does not name yet has the value that it had then, the default."""
    often = {"training.log_every": 1}
    with pytest.raises(Killed):
        run(place, tmp_path / "out", settings=often, reporter=KillAt(3))
    path = tmp_path / "out" / "run.toml"
    old = path.read_text(encoding="utf-8")
    assert "new_head = false\n" in old
    path.write_text(old.replace("new_head = false\n", ""), encoding="utf-8")
    assert run(place, tmp_path / "out", settings=often).seeds[0].finished
    with pytest.raises(ConfigError, match=r"finetune\.new_head: False -> True"):
        run(place, tmp_path / "out", settings={"finetune.new_head": True})


def test_the_best_weights_on_dev_are_kept(place: Path, tmp_path: Path) -> None:
    """Also when later ones are worse: the rate is far too high."""
    result = run(place, tmp_path / "out", settings={"training.learning_rate": 0.05})
    seen = [
        (record["eval/accuracy"], -record["step"])
        for record in read_metrics(tmp_path / "out")
        if "eval/accuracy" in record
    ]
    assert [-step for _, step in seen] == [2, 4, 6]
    assert (result.best.metrics["accuracy"], -result.best.best_step) == max(seen)


def test_patience_ends_a_run_early_and_for_good(place: Path, tmp_path: Path) -> None:
    settings = {"training.learning_rate": 0.0, "finetune.patience": 1}
    first = run(place, tmp_path / "out", settings=settings)
    assert (first.best.steps, first.best.best_step) == (4, 2)
    (tmp_path / "out" / "result.json").unlink()  # killed before it was written
    again = run(place, tmp_path / "out", settings=settings)
    assert again.seeds == first.seeds


def test_frozen_layers_and_embeddings_stay(place: Path, tmp_path: Path) -> None:
    run(place, tmp_path / "out", settings={"finetune.freeze": 2}, dev=False)
    before, after = weights(place / "bert"), weights(tmp_path / "out")
    for name, tensor in after.items():
        if name.startswith("classifier"):
            continue
        frozen = any(part in name for part in ("embeddings", "layer.0.", "layer.1."))
        # The gradient of a key's bias is zero: softmax does not see what all scores share.
        if not name.endswith("key.bias"):
            assert torch.equal(tensor, before[name]) == frozen, name


@pytest.mark.parametrize("family", ["albert", "electra"])
def test_freezing_embeddings_freezes_their_projection(tmp_path: Path, family: str) -> None:
    backbone = backbone_folder(tmp_path / family, family, embedding_size=16)
    rows = sentence_file(tmp_path / "train.tsv", 8, 0)
    settings = {"finetune.freeze": 0, "training.steps": 2, "training.learning_rate": 0.1}
    options = FinetuneOptions(settings=settings)
    finetune(backbone, "classification", train=rows, out=tmp_path / "out", options=options)
    before, after = weights(backbone), weights(tmp_path / "out")
    frozen = [name for name in after if "embedding" in name]
    assert any("embeddings_project" in name or "mapping_in" in name for name in frozen)
    assert all(torch.equal(after[name], before[name]) for name in frozen)


def test_the_head_has_a_rate_of_its_own(place: Path, tmp_path: Path) -> None:
    settings = {"training.learning_rate": 0.0, "training.head_learning_rate": 0.1}
    run(place, tmp_path / "out", settings=settings, dev=False)
    before, after = weights(place / "bert"), weights(tmp_path / "out")
    backbone = [name for name in after if not name.startswith("classifier")]
    assert all(torch.equal(after[name], before[name]) for name in backbone)
    assert float(after["classifier.weight"].abs().max()) > 0.1


def test_random_weights_are_another_backbone(place: Path, tmp_path: Path) -> None:
    settings = {"training.learning_rate": 0.0, "finetune.random_weights": True}
    run(place, tmp_path / "out", settings=settings, dev=False)
    name = "bert.encoder.layer.0.attention.self.query.weight"
    assert float(weights(place / "bert")[name].std()) > 0.2
    assert float(weights(tmp_path / "out")[name].std()) < 0.03


def test_several_seeds_give_median_spread_and_degenerate_runs(place: Path, tmp_path: Path) -> None:
    """Devlin et al. 2019, section 4.1: some runs on small sets degenerate; restarts find it out."""
    result = run(place, tmp_path / "out", settings={"training.seed": 4}, seeds=3)
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    values = [seed.metrics["accuracy"] for seed in result.seeds]
    assert [seed.seed for seed in result.seeds] == [4, 5, 6]
    assert summary["summary"]["accuracy"] == {
        "median": sorted(values)[1],
        "lowest": min(values),
        "highest": max(values),
    }
    majority = result.seeds[0].baseline["accuracy"]
    assert summary["degenerate"] == [4 + i for i, v in enumerate(values) if v <= majority]
    assert result.best.metrics["accuracy"] == max(values)
    heads = [weights(seed.folder)["classifier.weight"] for seed in result.seeds]
    assert not torch.equal(heads[0], heads[1])
    assert load_task(tmp_path / "out").folder == result.best.folder
    assert evaluate(tmp_path / "out", place / "dev.tsv") == pytest.approx(result.best.metrics)


def test_one_of_several_seeds_is_the_run_of_that_seed_alone(place: Path, tmp_path: Path) -> None:
    run(place, tmp_path / "many", seeds=2)
    run(place, tmp_path / "one", settings={"training.seed": 1})
    one, other = tmp_path / "one", tmp_path / "many" / "seed-1"
    assert (one / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("model_type", "expected"),
    [
        ("bert", {"optimizer": "bert-adamw", "learning_rate": 5e-4, "schedule": "linear",
                  "eps": 1e-6, "steps": 7, "warmup_steps": 1}),
        ("gpt2", {"optimizer": "gpt1-adamw", "learning_rate": 5e-4, "schedule": "gpt1-linear",
                  "eps": 1e-8, "steps": 7, "warmup_steps": 1}),
    ],
)  # fmt: skip
def test_the_defaults_are_the_papers_but_a_rate_for_the_width(
    place: Path, tmp_path: Path, model_type: str, expected: dict[str, Any]
) -> None:
    """bert.md e and gpt.md 1e: batch 32, 3 epochs; 70 rows make 6.6 steps. small.py: 5e-4."""
    finetune(place / model_type, "classification", train=place / "train.tsv", out=tmp_path / "o")
    recipe = read_toml(tmp_path / "o" / "run.toml")
    training = expected | {"batch_size": 32, "weight_decay": 0.01, "clip_norm": 1.0}
    assert training.items() <= recipe["training"].items()
    assert recipe["task"]["labels"] == ["bad", "good"]
    assert recipe["task"]["lm_weight"] == (0.0 if model_type == "bert" else 0.5)
    assert recipe["data"] == {
        "text": "sentence", "text_pair": "none", "label": "label", "header": True,
        "format": "none",
        "max_length": 40, "long_text": "head",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"training.learning_rat": 1.0}, r"no setting 'training\.learning_rat'.*learning_rate"),
        ({"model.num_layers": 1}, r"no setting 'model\.num_layers'"),
        ({"finetune.freeze": 4}, r"finetune\.freeze=4 exceeds the model's 3 layers"),
        ({"data.max_length": 41}, r"data\.max_length=41 exceeds the model's 40 positions"),
        ({"finetune.metric": "bleu"}, "'bleu' is not measured; choose one of accuracy"),
        ({"finetune.epochs": 0.0}, r"finetune\.epochs=0\.0 must be above 0"),
        ({"finetune.patience": 0}, r"finetune\.patience=0 must be at least 1"),
        ({"finetune.warmup_rate": 2.0}, r"finetune\.warmup_rate=2\.0 must lie in"),
        ({"task.lm_weight": 0.5}, "reads left to right"),
    ],
)
def test_settings_that_cannot_be_are_refused(
    place: Path, tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        run(place, tmp_path / "out", settings=settings)
    assert not (tmp_path / "out").exists()


def test_a_task_without_a_threshold_is_not_calibrated(place: Path, tmp_path: Path) -> None:
    """--calibrate would do nothing."""
    options = FinetuneOptions(calibrate="tune.tsv")
    with pytest.raises(ConfigError, match="classification has nothing to calibrate"):
        finetune(
            place / "bert",
            "classification",
            train=place / "train.tsv",
            out=tmp_path / "out",
            options=options,
        )


def test_patience_needs_a_development_file(place: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"finetune\.patience needs a development file"):
        run(place, tmp_path / "out", settings={"finetune.patience": 1}, dev=False)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("sentence\tlabel\nit\tgood\nthe\tugly\n", r"f\.tsv:3: the label 'ugly' is not among"),
        ("sentence\tlabel\nit\tgood\n\tgood\n", r"f\.tsv:3: the column 'sentence' holds no text"),
        ("sentence\tstars\nit\tgood\n", r"f\.tsv: there is no column 'label'"),
        ("", r"f\.tsv: there is no row \(the file holds none\)"),
    ],
)
def test_a_development_file_at_fault_leaves_nothing_behind(
    place: Path, tmp_path: Path, content: str, message: str
) -> None:
    path = tmp_path / "f.tsv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        run(place, tmp_path / "out", dev=path)
    assert not (tmp_path / "out").exists()


def test_a_missing_file_is_named(place: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.tsv"):
        run(place, tmp_path / "out", train=tmp_path / "none.tsv")
    with pytest.raises(DataError, match=r"none\.tsv"):
        run(place, tmp_path / "out", dev=tmp_path / "none.tsv")
