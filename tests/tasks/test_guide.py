"""What a user is told of a task: complete, and true in model cards and errors."""

from __future__ import annotations

from pathlib import Path

import pytest

from foretext.cli.counted import column_settings
from foretext.core.errors import ConfigError
from foretext.models import FAMILIES
from foretext.recipes.task_recipe import TaskRecipe
from foretext.runs.card import opens, task_card
from foretext.tasks import TASKS


@pytest.mark.parametrize("name", TASKS)
def test_every_task_has_a_guide(name: str) -> None:
    guide = TASKS[name].GUIDE
    for field in ("files", "metrics", "labelled", "inputs", "hub", "unit"):
        assert getattr(guide, field)


@pytest.mark.parametrize(
    ("name", "settings", "told"),
    [
        ("classification", {"data.text": "a", "data.label": "b"}, "It reads `a`"),
        ("similarity", {"data.text": "a", "data.text_pair": "b"}, "It reads `a` and `b`"),
        (
            "multiple-choice",
            {"data.context": ("c",), "data.candidates": ("d", "e")},
            "`c`, `d` and",
        ),
        ("question-answering", {}, "learned from `answers`"),
        ("tagging", {}, "It reads `words`, at most 128\ntokens."),
    ],
)
def test_a_card_tells_the_usage_of_its_task(
    name: str, settings: dict[str, object], told: str
) -> None:
    """`predict sentences.txt` is nothing for a model of questions."""
    recipe = TaskRecipe.of(name, settings, left_to_right=False)
    card = task_card(
        Path("runs/x"), recipe, architecture="BertModel", metrics={}, baseline={}, steps=1
    )
    guide = TASKS[name].GUIDE
    assert f"foretext evaluate x --data {guide.labelled}\n" in card
    assert f"foretext predict x {guide.inputs}\n" in card
    assert f"pipeline_tag: {guide.hub}\n" in card
    assert told in card


def test_column_options_become_fields_of_the_task() -> None:
    assert column_settings("similarity", ["a", "b"], "c") == {
        "text": "a",
        "text_pair": "b",
        "label": "c",
    }
    assert column_settings("tagging", None, "3") == {"label": "3"}
    assert column_settings("question-answering", None, None) == {}


@pytest.mark.parametrize(
    ("task", "texts", "label", "says"),
    [
        ("multiple-choice", ["story"], None, "--text-column is not for multiple-choice; name the"),
        ("question-answering", ["q"], None, "leave it out"),
        ("question-answering", None, "answers", "--label-column is not for question-answering"),
        ("tagging", ["a", "b"], None, "given 2 times, but tagging reads 1 at most"),
        ("classification", ["a", "b", "c"], None, "given 3 times, but classification reads 2"),
    ],
)
def test_column_options_that_a_task_has_not_are_refused(
    task: str, texts: list[str] | None, label: str | None, says: str
) -> None:
    """Not an unknown path that the user never wrote."""
    with pytest.raises(ConfigError, match=says):
        column_settings(task, texts, label)


def test_a_card_names_no_class_that_transformers_has_not() -> None:
    """Some have no class there, as GPT-1's tagging, or one that pools in another way."""
    import transformers

    for family in FAMILIES.values():
        for name in family.hub.architectures:
            library, says = opens({"": name})
            assert (library == "transformers") <= hasattr(transformers, name), name
            assert (name in says) == (library == "transformers")
