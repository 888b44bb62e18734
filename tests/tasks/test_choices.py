"""Files of multiple choice: the forms they come in, and what is at fault in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from foretext.core.errors import ConfigError, DataError
from foretext.tasks.choices import ChoiceExample, ChoiceInput, given_choices, read_choices
from foretext.tasks.datasets import DATASETS
from foretext.text.errors import CorpusStats, Faults, OnError
from tests.tasks.tiny import write_tsv

COLUMNS = ChoiceInput(context=("context",), candidates=("a", "b"), label="label")
NAMES = ["context", "a", "b", "label"]


def write_jsonl(path: Path, *records: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def columns_of(dataset: str, path: Path) -> ChoiceInput:
    settings = DATASETS[dataset].settings
    return ChoiceInput(**{k.removeprefix("data."): v for k, v in settings.items()}).resolved(path)


def test_swag(tmp_path: Path) -> None:
    """A column each; sent2 begins every ending; its label counts from 0."""
    names = ["sent1", "sent2", *(f"ending{i}" for i in range(4)), "label"]
    path = write_tsv(tmp_path / "t.tsv", names, [["He sat.", "He", *"abcd", "2"]])
    (found,) = read_choices(path, columns_of("swag", path))
    assert found == ChoiceExample("He sat.", ("a", "b", "c", "d"), prefix="He", answer=2)
    assert found.continuations() == ["He a", "He b", "He c", "He d"]


def test_storycloze(tmp_path: Path) -> None:
    """Four sentences are the context; the label counts from 1."""
    names = [f"InputSentence{i}" for i in range(1, 5)]
    names += ["RandomFifthSentenceQuiz1", "RandomFifthSentenceQuiz2", "AnswerRightEnding"]
    path = write_tsv(tmp_path / "t.tsv", names, [["A.", " B. ", "C.", "D.", "x", "y", "2"]])
    (found,) = read_choices(path, columns_of("storycloze", path))
    assert found == ChoiceExample("A. B. C. D.", ("x", "y"), answer=1)


def test_openbookqa(tmp_path: Path) -> None:
    """The candidates of one cell stand behind (A), (B) ...; other brackets are text."""
    names = ["Question Stem", "Choices", "Answer Key"]
    rows = [["Why", "(A) puppies (or so) (B) rats", "B"], ["How", "(A)x(B)  y (C) z", "a"]]
    path = write_tsv(tmp_path / "t.tsv", names, rows)
    assert list(read_choices(path, columns_of("openbookqa", path))) == [
        ChoiceExample("Why", ("puppies (or so)", "rats"), answer=1),
        ChoiceExample("How", ("x", "y", "z"), answer=0),
    ]


def test_openbookqas_json_has_objects_for_candidates(tmp_path: Path) -> None:
    """CommonsenseQA's too; what is in them besides the text, such as a letter, is left."""
    choices = [{"text": "puppies", "label": "A"}, {"text": "rats", "label": "B"}]
    record = {"id": "7", "question": {"stem": "Why", "choices": choices}, "answerKey": "B"}
    path = write_jsonl(tmp_path / "t.jsonl", record)
    columns = ChoiceInput(
        context=("question.stem",),
        candidates=("question.choices",),
        label="answerKey",
        label_kind="letter",
    )
    (found,) = read_choices(path, columns)
    assert found == ChoiceExample("Why", ("puppies", "rats"), answer=1)


def test_race(tmp_path: Path) -> None:
    """A list in .jsonl, of any length; letters name the answer; the question begins each option."""
    record = {"article": "Long ago.", "question": "When?", "options": ["now", "then"]}
    other = record | {"options": ["a", "b", "c"], "answer": "c"}
    path = write_jsonl(tmp_path / "t.jsonl", record | {"answer": "B"}, other)
    first, second = read_choices(path, columns_of("race", path))
    assert first == ChoiceExample("Long ago.", ("now", "then"), prefix="When?", answer=1)
    assert (second.candidates, second.answer) == (("a", "b", "c"), 2)


def test_a_label_may_be_the_text_of_the_answer(tmp_path: Path) -> None:
    path = write_jsonl(
        tmp_path / "t.jsonl", {"context": "x", "choices": ["one", "two"], "label": "two"}
    )
    columns = ChoiceInput(label_kind="text").resolved(path)
    assert [example.answer for example in read_choices(path, columns)] == [1]


def test_a_cell_of_a_csv_may_hold_a_json_list(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('context,options,label\nx,"[""a"", ""\\ud800b""]",1\n', encoding="utf-8")
    (found,) = read_choices(path, ChoiceInput().resolved(path))
    assert found == ChoiceExample("x", ("a", "\ufffdb"), answer=1)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["question", "choices"], ("choices",)),
        (["context", "ending0", "ending1", "ending10", "ending2"],
         ("ending0", "ending1", "ending2", "ending10")),
        (["text", "choice2", "choice1", "option1"], ("choice1", "choice2")),
    ],
)  # fmt: skip
def test_columns_are_guessed(tmp_path: Path, names: list[str], expected: tuple[str, ...]) -> None:
    path = write_tsv(tmp_path / "t.tsv", [*names, "label"], [["x"] * (len(names) + 1)])
    found = ChoiceInput().resolved(path)
    assert (found.context, found.candidates, found.label) == ((names[0],), expected, "label")


@pytest.mark.parametrize(
    ("names", "field"), [(["premise", "choices"], "context"), (["context", "x"], "candidates")]
)
def test_what_cannot_be_guessed_is_asked_for(tmp_path: Path, names: list[str], field: str) -> None:
    path = write_tsv(tmp_path / "t.tsv", names, [["x", "y"]])
    with pytest.raises(DataError, match=rf"t\.tsv: .* holds the {field}; .*data\.{field}="):
        ChoiceInput().resolved(path)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            "x\ty\tz\t2",
            r"t\.tsv:3: the label '2' names none of the 2 candidates, 0 to 1; .*label_k",
        ),
        ("x\ty\tz\t-1", r"t\.tsv:3: the label '-1' names none"),
        ("x\ty\tz\tB", r"t\.tsv:3: the label 'B' names none"),
        ("x\ty\tz\t", r"t\.tsv:3: the label '' names none"),
        ("x\ty\t \t0", r"t\.tsv:3: there is one candidate"),
        (" \ty\tz\t0", r"t\.tsv:3: the context holds no text"),
        ("x\ty\tz", r"t\.tsv:3: the row has 3 columns"),
    ],
)
def test_rows_at_fault_are_named_or_skipped_and_counted(
    tmp_path: Path, row: str, message: str
) -> None:
    path = tmp_path / "t.tsv"
    path.write_text("\t".join(NAMES) + f"\nx\ty\tz\t0\n{row}\n", encoding="utf-8")
    with pytest.raises(DataError, match=message) as caught:
        list(read_choices(path, COLUMNS))
    assert "\n" not in str(caught.value)
    counts = CorpusStats()
    found = list(read_choices(path, COLUMNS, on_error="skip", stats=counts))
    assert found == [ChoiceExample("x", ("y", "z"), answer=0)]
    assert counts.skipped == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["a"], r"t\.jsonl:1: there is one candidate"),
        ([], r"t\.jsonl:1: there is no candidate"),
        (["a", ""], r"t\.jsonl:1: candidate 2 of 2 holds no text"),
        ("a or b", r"t\.jsonl:1: the column 'options' holds 'a or b', which is no list"),
        ("[1, 2]", r"t\.jsonl:1: .* no list of candidates"),
        ("[" * 5000, r"t\.jsonl:1: .* no list of candidates"),
        ("(A) one", r"t\.jsonl:1: there is one candidate"),
        (["a", None], r"t\.jsonl:1: the field 'options, item 2' must be text or a number"),
        (["a", ["b"]], r"t\.jsonl:1: the field 'options, item 2' must be text or a number"),
    ],
)
def test_lists_at_fault_are_named(tmp_path: Path, options: Any, message: str) -> None:
    path = write_jsonl(tmp_path / "t.jsonl", {"context": "x", "options": options, "label": 0})
    with pytest.raises(DataError, match=message):
        list(read_choices(path, ChoiceInput().resolved(path)))


def test_every_row_skipped_is_an_error(tmp_path: Path) -> None:
    path = write_tsv(tmp_path / "t.tsv", NAMES, [["x", "y", "z", "9"]])
    with pytest.raises(DataError, match="every row was skipped"):
        list(read_choices(path, COLUMNS, on_error="skip"))


def test_labels_are_not_needed_to_predict(tmp_path: Path) -> None:
    path = write_tsv(tmp_path / "t.tsv", NAMES[:3], [["x", "y", "z"]])
    assert list(read_choices(path, COLUMNS, labelled=False)) == [ChoiceExample("x", ("y", "z"))]


def test_bare_texts_are_a_context_and_its_candidates() -> None:
    stop = Faults(OnError.STOP, CorpusStats())
    assert list(given_choices([("text 1", ("x", "y", "z"))], stop)) == [
        ChoiceExample("x", ("y", "z"))
    ]
    for texts, message in [
        (("x",), "text 1: there is no candidate"),
        (("x", "y"), "text 1: there is one candidate"),
        (("x", "y", " "), "text 1: candidate 2 of 2 holds no text"),
    ]:
        with pytest.raises(DataError, match=message):
            list(given_choices([("text 1", texts)], stop))
    skip = Faults(OnError.SKIP, CorpusStats())
    assert not list(given_choices([("text 1", ("x",))], skip))
    (composed,) = given_choices([("text 1", ("e\u0301", "y", "z"))], stop)
    assert composed.context == "é"
    assert skip.stats.skipped == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"label_kind": "roman"}, "choose from-0, from-1"), ({"max_length": 7}, "at least 8 tokens")],
)
def test_configs_that_cannot_be_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ChoiceInput(**settings)


def race_folder(folder: Path) -> Path:
    """Articles as RACE publishes them, a file each."""
    for number, answers in ((2, ["B"]), (10, ["A", "C"])):
        article = {
            "answers": answers,
            "options": [["he ran", "it\u0301", "c"]] * len(answers),
            "questions": ["The man _ .", "Who?"][: len(answers)],
            "article": f"Story {number}.\nIt ends.",
            "id": f"high{number}.txt",
        }
        path = folder / "high" / f"{number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(article), encoding="utf-8")
    return folder


def test_race_is_read_from_its_folders(tmp_path: Path) -> None:
    """2.txt before 10.txt; an option fills the blank of a cloze question, else it follows."""
    folder = race_folder(tmp_path)
    columns = columns_of("race", folder)
    first, second, third = read_choices(folder, columns)
    assert [one.answer for one in (first, second, third)] == [1, 0, 2]
    assert first.context == "Story 2.\nIt ends."
    assert first.candidates == ("he ran", "it\u0301", "c")
    assert second.continuations() == ["The man he ran .", "The man it\u0301 .", "The man c ."]
    assert third.continuations()[0] == "Who? he ran"
    assert list(read_choices(folder / "high" / "2.txt", columns)) == [first]
    assert columns.is_table(folder / "high" / "2.txt")
    unlabelled = list(read_choices(folder, columns, labelled=False))
    assert [one.answer for one in unlabelled] == [None] * 3


def test_faults_of_races_files_are_named_or_skipped(tmp_path: Path) -> None:
    folder = race_folder(tmp_path)
    columns = columns_of("race", folder)
    (folder / "high" / "3.txt").write_text('{"article": "x", "questions": ["a"]}')
    (folder / "high" / "4.txt").write_text("{")
    other = {"article": "x", "questions": [None], "options": [["a", "b"]], "answers": ["A"]}
    (folder / "high" / "5.txt").write_text(json.dumps(other))
    stats = CorpusStats()
    assert len(list(read_choices(folder, columns, on_error="skip", stats=stats))) == 3
    assert stats.skipped == 3
    with pytest.raises(DataError, match=r"3\.txt: no RACE article but an object of"):
        list(read_choices(folder, columns))
    (folder / "none").mkdir()
    with pytest.raises(DataError, match=r"there is no file \.txt or \.json in it"):
        list(read_choices(folder / "none", columns))
    with pytest.raises(DataError, match="use the data set race"):
        list(read_choices(folder, COLUMNS))


@pytest.mark.parametrize(
    ("rows", "candidates", "answers"),
    [
        ("context,ending0,ending1,ending2,label\nx,a,b,,1\n", ("a", "b"), (1,)),
        ("context,ending0,ending1,ending2,label\nx,a,,c,2\n", ("a", "c"), (1,)),
        ("question,A,B,C,answer\nx,a,b,c,C\n", ("a", "b", "c"), (2,)),
        ("goal,sol1,sol2,label\nx,a,b,1\n", ("a", "b"), (1,)),
    ],
)
def test_empty_columns_hold_no_candidate_and_letters_name_columns(
    tmp_path: Path, rows: str, candidates: tuple[str, ...], answers: tuple[int, ...]
) -> None:
    """A label keeps counting the columns, empty ones too."""
    path = tmp_path / "t.csv"
    path.write_text(rows, encoding="utf-8")
    (found,) = read_choices(path, ChoiceInput().resolved(path))
    assert (found.candidates, found.answers) == (candidates, answers)


def test_a_label_of_an_empty_column_is_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("context,ending0,ending1,ending2,label\nx,a,,c,1\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"t\.csv:2: the label '1' names an empty candidate"):
        list(read_choices(path, ChoiceInput().resolved(path)))


def test_several_candidates_may_be_right(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"context": "x", "candidates": ["a", "b", "c"], "label": [0, 2]}\n')
    (found,) = read_choices(path, ChoiceInput().resolved(path))
    assert (found.answer, found.answers) == (0, (0, 2))
