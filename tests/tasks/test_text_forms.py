"""Tasks in T5's words: sources, targets, and answers read back."""

from __future__ import annotations

import pytest

from foretext.labelled.squad import Answer, Question
from foretext.tasks.choices import ChoiceExample
from foretext.tasks.columns import TextExample
from foretext.tasks.tag_files import TaggingConfig
from foretext.tasks.tag_units import joined
from foretext.tasks.tagging import Tagging
from foretext.tasks.text_forms import (
    AnswerForm,
    ChoiceForm,
    LabelForm,
    ScoreForm,
    TagForm,
    spaced,
    wording_for,
)


def test_fields_are_in_alphabetical_order() -> None:
    """t5.md, b: `mnli hypothesis: ... premise: ...`."""
    form = LabelForm(wording_for("mnli", ("sentence1", "sentence2")), ("entailment", "neutral"))
    pair = TextExample(("It rains.", "It is wet."), "entailment")
    assert form.source(pair) == "mnli hypothesis: It is wet. premise: It rains."
    assert form.target(pair) == "entailment"


@pytest.mark.parametrize(
    ("name", "labels", "word"),
    [
        ("cola", ("0", "1"), "acceptable"),
        ("sst2", ("0", "1"), "positive"),
        ("mrpc", ("0", "1"), "equivalent"),
        ("qqp", ("0", "1"), "duplicate"),
        ("wnli", ("0", "1"), "entailment"),
        ("rte", ("entailment", "1"), "1"),
    ],
)
def test_labels_are_words_and_anything_else_is_none(
    name: str, labels: tuple[str, ...], word: str
) -> None:
    """t5.md, b: labels as words; any other output counts as wrong."""
    texts = ("a",) if name in ("cola", "sst2") else ("a", "b")
    form = LabelForm(wording_for(name, texts), labels)
    example = TextExample(texts, "1")
    assert form.source(example).startswith(f"{name} ")
    assert form.target(example) == word
    assert form.read(f" {word} ", example).label == "1"
    for other in ("", word.upper() + "x", f"{word} {word}", "2"):
        assert form.read(other, example).label is None


def test_a_task_of_the_user_is_worded_by_its_columns() -> None:
    form = LabelForm(wording_for("classification", ("headline",)), ("sport", "trade"))
    assert form.source(TextExample(("Cup final",))) == "classification headline: Cup final"
    assert wording_for("similarity", ("0", "1")).fields == ("sentence1", "sentence2")


@pytest.mark.parametrize(
    ("score", "text"),
    [("3.75", "3.8"), ("2.5", "2.4"), ("0.1", "0.0"), ("5", "5.0"), ("3.3", "3.2")],
)
def test_scores_of_stsb_are_in_steps_of_a_fifth(score: str, text: str) -> None:
    """t5.md, b: rounded to the nearest .2 and printed with one decimal; half to even, fp32."""
    form = ScoreForm(wording_for("stsb", ("0", "1")), 0.0, 5.0)
    assert form.target(TextExample(("a", "b"), score)) == text
    assert form.source(TextExample(("a", "b"))) == "stsb sentence1: a sentence2: b"


@pytest.mark.parametrize("text", ["", "high", "3.8.1", "nan", "1e3", "1_0"])
def test_what_is_no_number_scores_below_all(text: str) -> None:
    """The official string_to_float answers -1."""
    form = ScoreForm(wording_for("stsb", ("0", "1")), 0.0, 5.0)
    assert form.read(text, TextExample(("a", "b"))).score == -1.0
    assert form.read(" 3.8", TextExample(("a", "b"))).score == 3.8


def test_choices_are_numbered_from_one() -> None:
    example = ChoiceExample("The sky", ("is blue", "is a cat"), answer=1)
    form = ChoiceForm(wording_for("race", ()))
    assert form.source(example) == "race choice1: is blue choice2: is a cat context: The sky"
    asked = ChoiceExample("Ann ran.", ("She", "He"), prefix="Who ran?", answer=0)
    assert (
        form.source(asked) == "race question: Who ran? choice1: She choice2: He context: Ann ran."
    )
    assert form.target(example) == "choice2"
    assert form.read("choice2", example).index == 1
    for other in ("choice0", "choice3", "is a cat", "choice", ""):
        found = form.read(other, example)
        assert (found.index, found.answer) == (-1, other)


def test_punctuation_has_spaces_around_it() -> None:
    """t5.md, b: the SQuAD preprocessor; letters, digits, marks and _ are left together."""
    assert spaced("U.S. (1990s), snake_case e\u0301!") == "U . S . ( 1990s ) , snake_case e\u0301 !"


def test_an_answer_is_that_of_the_context() -> None:
    question = Question(
        "q", "Who won?", "In 1990, the U.S. team won.", (Answer("the U.S. team", 9),)
    )
    form = AnswerForm()
    assert form.source(question) == "question: Who won ? context: In 1990 , the U . S . team won ."
    assert form.target(question) == "the U . S . team"
    found = form.read("the U . S . team", question)
    assert (found.text, found.start, found.end) == ("the U.S. team", 9, 22)
    other = form.read("a French team", question)
    assert (other.text, other.start, other.end) == ("a French team", 0, 0)
    without = Question("q", "Who?", "Nobody.", ())
    assert form.target(without) == "no answer"
    assert form.read("no answer", without).text == ""


def test_tags_that_are_missing_or_unknown_are_outside() -> None:
    task = Tagging(TaggingConfig(labels=("O", "B-PER", "I-PER"), scheme="iob2"))
    form = TagForm(wording_for("conll2003", ()), task)
    example = joined(("Ann", "Lee", "left"), ("B-PER", "I-PER", "O"), characters=False)
    assert form.source(example) == "conll2003 tokens: Ann Lee left"
    assert form.target(example) == "B-PER I-PER O"
    assert form.read("B-PER I-PER O", example).tags == example.tags
    assert form.read("B-PER X", example).tags == ("B-PER", "O", "O")
    assert form.read("B-PER I-PER O O O", example).entities[0].text == "Ann Lee"
