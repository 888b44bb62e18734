"""check-data --task: counts and faults of every task's files, through the task's own reader."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from foretext.cli import main
from foretext.core.errors import ConfigError, DataError
from foretext.evaluation.task_data import inspect_task

CONLL = "The O\nold B-who\nactor I-who\nlaughed O\n\nParis B-place\nslept O\n\n"


def squad(folder: Path, *rows: tuple[str, list[str]]) -> Path:
    """Questions of (context, answers that stand in it) in SQuAD's JSON."""
    qas = [
        {
            "context": context,
            "qas": [
                {
                    "id": str(number),
                    "question": "Who?",
                    "is_impossible": not answers,
                    "answers": [{"text": a, "answer_start": context.find(a)} for a in answers],
                }
            ],
        }
        for number, (context, answers) in enumerate(rows)
    ]
    path = folder / "qa.json"
    path.write_text(json.dumps({"data": [{"paragraphs": qas}]}), encoding="utf-8")
    return path


def test_questions_are_counted_by_whether_they_have_an_answer(tmp_path: Path) -> None:
    path = squad(tmp_path, ("Ann sat.", ["Ann"]), ("Bo ran.", ["Bo"]), ("It rained.", []))
    report = inspect_task("squad2", path)
    assert (report.train.rows, report.unit) == (3, "questions")
    assert report.train.labels == {"answered": 2, "no answer": 1}
    assert report.train.lengths.median == len("Who?Ann sat.")
    assert report.majority_rate is None  # to have an answer is not the answer
    only = inspect_task("squad", squad(tmp_path, ("Ann sat.", ["Ann"])))
    assert not any("nothing to learn" in warning for warning in only.warnings)


def test_tags_are_counted_by_word_and_sentences_are_compared(tmp_path: Path) -> None:
    train, dev = tmp_path / "train.conll", tmp_path / "dev.conll"
    train.write_text(CONLL * 2, encoding="utf-8")
    dev.write_text(CONLL.replace("B-place", "O"), encoding="utf-8")
    report = inspect_task("tagging", train, dev)
    assert report.train.labels == {"O": 6, "B-place": 2, "B-who": 2, "I-who": 2}
    assert (report.train.rows, report.train.duplicates, report.overlap) == (4, 2, 2)
    assert report.only_in_train == ("B-place",)


def test_choices_are_counted_by_the_right_position(tmp_path: Path) -> None:
    path = tmp_path / "choice.jsonl"
    rows = [{"context": "It rained.", "candidates": ["wet", "dry"], "label": n} for n in (0, 0, 1)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    report = inspect_task("multiple-choice", path)
    assert report.train.labels == {"candidate 1": 2, "candidate 2": 1}
    assert report.majority_rate == pytest.approx(2 / 3)
    assert report.train.conflicting == 1


def test_scores_are_counted_by_the_whole_number(tmp_path: Path) -> None:
    path = tmp_path / "pairs.tsv"
    path.write_text("sentence1\tsentence2\tscore\na\tb\t4.2\nc\td\t3.9\ne\tf\t0\n")
    report = inspect_task("similarity", path)
    assert report.train.labels == {"about 4": 2, "about 0": 1}
    assert report.majority_rate is None


def test_faults_stop_with_their_place_or_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.conll"
    path.write_text(CONLL + "slept\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"bad\.conll:9"):
        inspect_task("tagging", path)
    assert main(["check-data", str(path), "--task", "tagging", "--on-error", "skip"]) == 0
    said = capsys.readouterr().out
    assert "train       2 sentences" in said
    assert "skipped" in said and "1 training sentences (1 words) were skipped" in said


def test_the_rest_of_a_broken_file_is_no_skipped_question(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody knows how many questions it holds, so it is a warning of its own."""
    path = squad(tmp_path, ("Ann sat.", ["Ann"]), ("Bo ran.", ["Bo"]))
    path.write_text(path.read_text()[:-2] + ", {]}", encoding="utf-8")
    assert main(["check-data", str(path), "--task", "squad", "--on-error", "skip"]) == 0
    said = capsys.readouterr().out
    assert f"warning: {path}:1:" in said
    assert "what comes after it was not read" in said
    assert "questions were skipped" not in said


def test_settings_name_the_columns_and_unknown_ones_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.write_text("a\tb\nx\t1\ny\t0\n")
    settings = {"data.text": "a", "data.label": "b"}
    assert inspect_task("classification", path, settings=settings).train.rows == 2
    with pytest.raises(ConfigError, match=r"data\.lable"):
        inspect_task("classification", path, settings={"data.lable": "b"})


@pytest.mark.parametrize(
    ("name", "text", "task"),
    [("a.json", '{"data": []}', "question-answering"), ("a.conllu", "# text\n", "tagging")],
)
def test_files_of_a_task_name_it_when_it_is_not_given(
    name: str, text: str, task: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not a report on a corpus of JSON."""
    path = tmp_path / name
    path.write_text(text)
    assert main(["check-data", str(path)]) == 1
    assert capsys.readouterr().err.endswith(f"name its task, such as --task {task}\n")


def test_a_table_of_another_task_is_sent_to_its_task(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "choice.tsv"
    path.write_text("context\tending0\tending1\tlabel\nIt rained.\twet\tdry\t0\n")
    assert main(["check-data", str(path)]) == 1
    said = capsys.readouterr().err
    assert "--text-column" in said and "--task multiple-choice" in said
    assert main(["check-data", str(path), "--task", "multiple-choice"]) == 0


def test_continued_pre_training_has_no_labels_to_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check-data", str(tmp_path), "--task", "masked"]) == 1
    assert "without --task" in capsys.readouterr().err
