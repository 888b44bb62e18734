"""Question answering from file to folder: learned, calibrated, and opened in `transformers`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from foretext.api import convert
from foretext.cli import main
from foretext.evaluation.labelled import evaluate, predict
from foretext.inference.predict import encode_windows
from foretext.inference.task_run import TaskRun, load_task
from foretext.runs.finetune import FinetuneOptions, finetune
from foretext.runs.seeds import FinetuneResult
from tests.tasks.questions import question_file, questions
from tests.tasks.tiny import MODELS, backbone_folder

LEARN = {
    "training.steps": 150,
    "training.learning_rate": 3e-3,
    "training.batch_size": 16,
    "finetune.eval_every": 75,
    "task.doc_stride": 12,
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("questions")
    backbone_folder(folder / "bert", "bert", noise=0.1)
    question_file(folder / "train.json", questions(200, 0, impossible=0.4))
    question_file(folder / "dev.json", questions(60, 1, impossible=0.4))
    question_file(folder / "tune.json", questions(60, 2, impossible=0.4))
    question_file(folder / "long.json", questions(20, 3, words=60))
    return folder


def run(place: Path, name: str, **options: Any) -> FinetuneResult:
    settings = LEARN | options.pop("settings", {})
    return finetune(
        place / "bert",
        "question-answering",
        train=place / "train.json",
        dev=options.pop("dev", place / "dev.json"),
        out=place / name,
        options=FinetuneOptions(settings=settings, **options),
    )


@pytest.fixture(scope="module", params=[False, True], ids=["null-score", "joint-head"])
def learned(place: Path, request: pytest.FixtureRequest) -> tuple[FinetuneResult, TaskRun]:
    name = f"out-{request.param}"
    settings = {"task.answerable_head": request.param}
    result = run(place, name, settings=settings, calibrate=place / "tune.json")
    return result, load_task(place / name)


def test_it_learns_answers_and_their_absence(learned: tuple[FinetuneResult, TaskRun]) -> None:
    result, _ = learned
    metrics = result.best.metrics
    assert result.best.baseline["f1"] < 60
    assert metrics["f1"] > 85
    assert metrics["HasAns_f1"] > 75
    assert metrics["NoAns_f1"] > 75


def test_the_threshold_is_tuned_on_the_file_named_for_it_and_kept(
    place: Path, learned: tuple[FinetuneResult, TaskRun]
) -> None:
    _, task_run = learned
    kept = json.loads((task_run.folder / "calibration.json").read_text(encoding="utf-8"))
    assert kept == {"null_threshold": task_run.task.config.null_threshold}
    found = evaluate(task_run, place / "tune.json")
    assert found["f1"] == pytest.approx(found["best_f1"])
    assert found["best_f1_thresh"] < kept["null_threshold"]


def test_the_threshold_is_tuned_without_a_development_file_too(place: Path) -> None:
    few = {"training.steps": 3, "finetune.eval_every": 3}
    out = run(place, "no-dev", settings=few, dev=None, calibrate=str(place / "tune.json"))
    assert (out.best.folder / "calibration.json").exists()
    found = evaluate(out.best.folder, place / "tune.json")
    assert found["f1"] == pytest.approx(found["best_f1"])


def test_a_copy_answers_the_same(
    place: Path, learned: tuple[FinetuneResult, TaskRun], tmp_path: Path
) -> None:
    """Window, stride and threshold go with the model."""
    _, task_run = learned
    convert(task_run.folder, tmp_path / "copy")
    assert evaluate(tmp_path / "copy", place / "long.json") == evaluate(
        task_run.folder, place / "long.json"
    )


def test_the_folder_gives_what_training_measured(
    place: Path, learned: tuple[FinetuneResult, TaskRun]
) -> None:
    result, task_run = learned
    found = evaluate(task_run.folder, place / "dev.json")
    assert found == pytest.approx(result.best.metrics, abs=1e-4)


def test_answers_in_bf16_are_as_good(place: Path, learned: tuple[FinetuneResult, TaskRun]) -> None:
    _, task_run = learned
    half = evaluate(load_task(task_run.folder, precision="bf16"), place / "dev.json")
    assert half["f1"] == pytest.approx(evaluate(task_run, place / "dev.json")["f1"], abs=4)


def test_files_and_pairs_are_answered_alike(
    place: Path, learned: tuple[FinetuneResult, TaskRun]
) -> None:
    _, task_run = learned
    asked = questions(60, 1, impossible=0.4)
    of_file = list(predict(task_run, place / "dev.json"))
    of_pairs = list(predict(task_run, [(q.question, q.context) for q in asked]))
    assert [p.id for p in of_file] == [q.id for q in asked]
    assert [p.text for p in of_file] == [p.text for p in of_pairs]
    for question, prediction in zip(asked, of_file, strict=True):
        assert question.context[prediction.start : prediction.end] == prediction.text


def test_predict_answers_a_json_file_in_order_with_a_dash_for_what_is_skipped(
    learned: tuple[FinetuneResult, TaskRun],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """On the command line; a paragraph without a context has a dash for each of its questions."""
    _, task_run = learned
    asked = questions(12, 1)
    document = json.loads(question_file(tmp_path / "t.json", asked).read_text(encoding="utf-8"))
    paragraphs = document["data"][0]["paragraphs"]
    paragraphs[0]["qas"][0]["question"] = " "
    paragraphs[5]["qas"] *= 2
    del paragraphs[5]["context"]
    paragraphs[11]["qas"][0]["question"] = 3
    for paragraph in paragraphs:
        for one in paragraph["qas"]:
            one.pop("answers", None)
    (tmp_path / "t.json").write_text(json.dumps(document), encoding="utf-8")
    command = ["predict", str(task_run.folder), str(tmp_path / "t.json"), "--quiet"]
    assert main(command) == 1
    assert capsys.readouterr().out == ""
    assert main([*command, "--on-error", "skip"]) == 0
    lines = capsys.readouterr().out.splitlines()
    pairs = [(q.question, q.context) for q in asked]
    expected = [prediction.line for prediction in predict(task_run, pairs)]
    assert lines == ["-", *expected[1:5], "-", "-", *expected[6:11], "-"]


def test_an_answer_far_into_a_long_context_is_found(
    place: Path, learned: tuple[FinetuneResult, TaskRun]
) -> None:
    """60 words, where the model reads 40 tokens at once."""
    _, task_run = learned
    asked = questions(20, 3, words=60)
    windows = [task_run.task.encode([question], task_run.layout)[0] for question in asked]
    assert max(map(len, windows)) > 3
    right = [
        prediction.n_best[0].start == (question.answers or ())[0].start
        for question, prediction in zip(asked, predict(task_run, place / "long.json"), strict=True)
    ]
    assert np.mean(right) > 0.7


CLASSES = {
    "bert": "BertForQuestionAnswering",
    "roberta": "RobertaForQuestionAnswering",
    "albert": "AlbertForQuestionAnswering",
    "electra": "ElectraForQuestionAnswering",
    "gpt2": "GPT2ForQuestionAnswering",
}


@pytest.fixture
def transformers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    library = pytest.importorskip("transformers")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    level = library.logging.get_verbosity()
    library.logging.set_verbosity_error()
    library.logging.disable_progress_bar()
    yield library
    library.logging.set_verbosity(level)


@pytest.mark.parametrize("joint", [False, True])
@pytest.mark.parametrize("model_type", MODELS)
def test_transformers_opens_the_folder_and_gives_the_same_logits(
    tmp_path: Path, model_type: str, joint: bool, transformers: Any
) -> None:
    """The issue: the matching class reads start and end, ragged against padded, to 1e-4."""
    backbone = backbone_folder(tmp_path / "backbone", model_type, noise=0.3, num_layers=3)
    train = question_file(tmp_path / "t.json", questions(40, 0, words=40, impossible=0.3))
    settings = {
        "training.steps": 3,
        "training.head_learning_rate": 0.3,
        "task.doc_stride": 9,
        "task.answerable_head": joint,
    }
    options = FinetuneOptions(settings=settings)
    finetune(backbone, "question-answering", train=train, out=tmp_path / "out", options=options)
    if model_type not in CLASSES:  # transformers has no class for it; ours reads its own
        again = load_task(tmp_path / "out")
        assert len(list(predict(again, train))) == 40
        return
    task_run = load_task(tmp_path / "out")
    (window,) = encode_windows(questions(9, 7, words=40), task_run.task, task_run.layout)
    batch = window.samples.batch(np.arange(len(window.samples)))
    with torch.no_grad():
        outputs = task_run.task.outputs(task_run.model, task_run.model(batch), batch)
    theirs = getattr(transformers, CLASSES[model_type]).from_pretrained(tmp_path / "out").eval()
    assert theirs.config.architectures == [CLASSES[model_type]]
    lengths = batch.offsets.diff().tolist()
    assert len(set(lengths)) > 2

    def padded(values: torch.Tensor, fill: int) -> torch.Tensor:
        rows = list(values.split(lengths))
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=fill)

    inputs = {
        "input_ids": padded(batch.input_ids, theirs.config.pad_token_id),
        "attention_mask": padded(torch.ones_like(batch.input_ids), 0),
    }
    if model_type in {"bert", "albert", "electra"}:
        inputs["token_type_ids"] = padded(batch.token_type_ids, 0)
    with torch.no_grad():
        found = theirs(**inputs)
    for number, (output, length) in enumerate(zip(outputs, lengths, strict=True)):
        for side, logits in enumerate((found.start_logits, found.end_logits)):
            own = torch.from_numpy(output[side, 1:])
            torch.testing.assert_close(own, logits[number, :length], atol=1e-5, rtol=0)
            assert float(own.std()) > 2e-4  # tokens differ, so a mixed-up one would show
