"""Answers that no prediction could be are counted, and no run is chosen among wrong ones."""

from __future__ import annotations

from pathlib import Path

from foretext.evaluation.labelled import evaluate
from foretext.inference.task_run import load_task
from foretext.labelled.squad import Answer, Question
from foretext.runs.finetune import FinetuneOptions, dry_run, finetune
from foretext.training.progress import Silent
from tests.tasks.questions import question_file
from tests.tasks.tiny import backbone_folder, tokenizer_of


class Heard(Silent):
    """Keeps the messages."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def message(self, text: str) -> None:
        self.lines.append(text)


def asked(count: int, length: int) -> list[Question]:
    """Contexts of 60 words whose answer has this many."""
    text = " ".join(["film"] * 20 + ["good"] * length + ["plot"] * (40 - length))
    answer = Answer(" ".join(["good"] * length), 100)
    return [Question(f"q{length}-{i}", "was it", text, (answer,)) for i in range(count)]


def test_the_longest_answer_admitted_follows_the_training_file(tmp_path: Path) -> None:
    train = question_file(tmp_path / "t.json", asked(8, 34))
    backbone, heard = (
        backbone_folder(tmp_path / "bert", "bert", num_layers=1, max_position_embeddings=400),
        Heard(),
    )
    files = {"train": train, "dev": train}
    options = FinetuneOptions(settings={"training.steps": 1, "data.max_length": 400})
    recipe, _ = dry_run(backbone, "question-answering", **files, options=options, reporter=heard)
    tokens = len(tokenizer_of("bert").encode(" ".join(["good"] * 34)))
    assert recipe.task.max_answer_length == tokens > 30
    said = f"task.max_answer_length goes from 30 to {tokens}: answers are that long"
    assert said in heard.lines
    assert not [line for line in heard.lines if line.startswith("warning")]


def test_few_long_answers_leave_the_papers_length_and_are_counted(tmp_path: Path) -> None:
    train = question_file(tmp_path / "t.json", [*asked(50, 3), *asked(2, 34)])
    backbone, heard = (
        backbone_folder(tmp_path / "bert", "bert", num_layers=1, max_position_embeddings=400),
        Heard(),
    )
    options = FinetuneOptions(settings={"training.steps": 1, "data.max_length": 400})
    files = {"train": train, "dev": train, "out": tmp_path / "out"}
    found = finetune(backbone, "question-answering", **files, options=options, reporter=heard)
    assert found.recipe.task.max_answer_length == 30
    said = "2 answers are longer than task.max_answer_length=30 tokens"
    assert sum(said in line for line in heard.lines) == 2, "of train and of dev"
    run = load_task(tmp_path / "out")
    evaluate(run, train)
    assert any(said in line for line in run.tally.said("questions", run.layout))


def test_a_length_that_was_set_stays_and_is_warned_of(tmp_path: Path) -> None:
    train = question_file(tmp_path / "t.json", asked(8, 34))
    backbone, heard = (
        backbone_folder(tmp_path / "bert", "bert", num_layers=1, max_position_embeddings=400),
        Heard(),
    )
    settings = {"task.max_answer_length": 10, "data.max_length": 400}
    options = FinetuneOptions(settings=settings)
    recipe, _ = dry_run(
        backbone, "question-answering", train=train, options=options, reporter=heard
    )
    assert recipe.task.max_answer_length == 10
    assert any("8 answers are longer than task.max_answer_length=10" in x for x in heard.lines)


def test_answers_in_no_window_are_counted(tmp_path: Path) -> None:
    train = question_file(tmp_path / "t.json", [*asked(8, 34), *asked(8, 2)])
    backbone, heard = (
        backbone_folder(tmp_path / "bert", "bert", num_layers=1, max_position_embeddings=400),
        Heard(),
    )
    options = FinetuneOptions(settings={"data.max_length": 30, "task.doc_stride": 5})
    dry_run(backbone, "question-answering", train=train, options=options, reporter=heard)
    (line,) = [line for line in heard.lines if line.startswith("warning")]
    assert "8 answers are in no window; raise data.max_length or lower task.doc_stride" in line
