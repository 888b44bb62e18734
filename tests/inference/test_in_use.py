"""Settings that a finished model is used with, and what training has fixed."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from foretext.cli import main
from foretext.core.errors import ConfigError, DataError
from foretext.evaluation.labelled import evaluate
from foretext.inference.task_run import load_task
from foretext.metrics.tag_schemes import convert
from foretext.runs.finetune import FinetuneOptions, finetune
from tests.tasks.questions import question_file, questions
from tests.tasks.tagged import sentence, tag_file
from tests.tasks.tiny import backbone_folder, sentence_file

SHORT = FinetuneOptions(settings={"training.steps": 2, "training.head_learning_rate": 0.5})


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models of sentences, tags and questions, all of them with answers."""
    found = tmp_path_factory.mktemp("in_use")
    backbone = backbone_folder(found / "backbone", "bert", noise=0.3)
    for task, path in (
        ("classification", sentence_file(found / "train.tsv", 12, 0)),
        ("tagging", tag_file(found / "train.conll", 20, 0)),
        ("question-answering", question_file(found / "train.json", questions(12, 0))),
    ):
        finetune(backbone, task, train=path, out=found / task, options=SHORT)
    return found


def test_a_model_of_tags_is_measured_on_files_of_another_scheme(place: Path) -> None:
    """Trained on IOB2; the same sentences in BIOES have the same metrics."""
    drawn = random.Random(3)
    files = {"iob2": "", "bioes": ""}
    for _ in range(20):
        words, tags = zip(*sentence(drawn), strict=True)
        for scheme in files:
            rows = zip(words, convert(tags, "iob2", scheme), strict=True)
            files[scheme] += "".join(f"{w} {t}\n" for w, t in rows) + "\n"
    for scheme, text in files.items():
        (place / f"{scheme}.conll").write_text(text)
    expected = evaluate(place / "tagging", place / "iob2.conll")
    with pytest.raises(DataError, match=r"no tag of IOB2.*task\.scheme"):
        evaluate(place / "tagging", place / "bioes.conll")
    run = load_task(place / "tagging", settings={"task.scheme": "bioes"})
    assert evaluate(run, place / "bioes.conll") == expected


def test_a_model_that_always_answers_may_be_told_not_to(place: Path) -> None:
    """As one of SQuAD 2.0 from elsewhere, of which nothing says that it learned to."""
    test = question_file(place / "test.json", questions(20, 1, impossible=0.5))
    always = evaluate(place / "question-answering", test)
    assert always["NoAns_exact"] < 50  # an article alone counts as no answer
    settings = {"task.allow_impossible": True, "task.null_threshold": -1e6}
    never = evaluate(load_task(place / "question-answering", settings=settings), test)
    assert (never["NoAns_exact"], never["HasAns_exact"]) == (100, 0)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("task.labels", r"task\.labels was fixed by training; what can be set is 'data\.text'"),
        ("training.steps", r"training\.steps was fixed by training"),
        ("data.formt", r"no setting 'data\.formt'; did you mean 'data\.format'"),
    ],
)
def test_what_training_fixed_is_refused(place: Path, path: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_task(place / "classification", settings={path: 1})


def test_tables_come_from_standard_input_where_their_format_is_said(place: Path) -> None:
    table = (place / "train.tsv").read_text()
    command = [sys.executable, "-m", "foretext"]
    model, said = str(place / "classification"), ["--set", "data.format=tsv", "--json"]
    found = []
    for verb in (["evaluate", model, "--data", "-"], ["predict", model, "-"]):
        done = subprocess.run(
            [*command, *verb, *said], input=table, capture_output=True, text=True, check=True
        )
        found.append([json.loads(line) for line in done.stdout.splitlines()])
    assert found[0][-1]["accuracy"] == evaluate(model, place / "train.tsv")["accuracy"]
    assert len([record for record in found[1] if "label" in record]) == 12


def test_predictions_go_through_links_and_pipes(place: Path, tmp_path: Path) -> None:
    """What was there stays what it is."""
    arguments = ["predict", str(place / "classification"), str(place / "train.tsv"), "--quiet"]
    link, target, pipe = (tmp_path / name for name in ("link", "target", "pipe"))
    target.touch()
    link.symlink_to(target)
    assert main([*arguments, "--out", str(link)]) == 0
    assert link.is_symlink()
    assert len(target.read_text().splitlines()) == 12
    os.mkfifo(pipe)
    reader = subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE, text=True)
    assert main([*arguments, "--out", str(pipe)]) == 0
    assert reader.communicate(timeout=60)[0] == target.read_text()
    assert pipe.is_fifo()


def test_predictions_are_not_compressed(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(place / "p.jsonl.gz")
    arguments = ["predict", str(place / "classification"), str(place / "train.tsv"), "--out", out]
    assert main(arguments) == 1
    assert "written as it is, not compressed" in capsys.readouterr().err


def test_json_says_what_was_skipped(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One and two models alike; the words for readers are not printed there."""
    table = place / "ragged.tsv"
    table.write_text((place / "train.tsv").read_text() + "one cell\n")
    model = str(place / "classification")
    for models in ([model], [model, model]):
        assert (
            main(["evaluate", *models, "--data", str(table), "--on-error", "skip", "--json"]) == 0
        )
        record = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert (record["skipped"], record["unread"]) == (1, [])
