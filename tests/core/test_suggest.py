"""foretext.core.suggest: what was meant, for names and for paths of settings."""

from __future__ import annotations

import pytest

from foretext.core.suggest import nearest

KNOWN = [
    "data.max_length",
    "model.dropout",
    "model.hidden_size",
    "task.dropout",
    "training.eps",
    "training.batch_size",
    "training.learning_rate",
]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("training.lr", "training.learning_rate"),  # initials
        ("training.batchsize", "training.batch_size"),
        ("data.maxlength", "data.max_length"),
        ("modle.dropout", "model.dropout"),  # not task.dropout
        ("model.dropot", "model.dropout"),
        ("training.hidden_size", "model.hidden_size"),  # right but for the section
        ("hidden_size", "model.hidden_size"),
    ],
)
def test_a_setting(typed: str, meant: str) -> None:
    assert nearest(typed, KNOWN) == repr(meant)


def test_the_end_of_a_path_says_more_than_its_section() -> None:
    assert nearest("training.dropot", KNOWN) in ("'model.dropout'", "'task.dropout'")


def test_a_section_alone() -> None:
    assert nearest("trainig", KNOWN).startswith("'training.")


def test_a_name_without_sections() -> None:
    assert nearest("pretran", ["prepare", "pretrain", "predict"]) == "'pretrain'"
