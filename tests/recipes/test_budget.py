"""Sizes and recipes by budget: each rule, and that a run so chosen goes on as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from foretext.core.errors import ConfigError
from foretext.models import FAMILIES
from foretext.recipes.budget import Choice, TextFacts, choose
from foretext.recipes.recipe import Recipe
from foretext.recipes.small import small_start
from foretext.runs.options import PretrainOptions
from foretext.runs.pretrain import pretrain
from foretext.training.progress import Silent

LAPTOP = 140e9  # FLOPs a second of two cores
REVIEWS = TextFacts(tokens=3.5e6, document_tokens=17)
BOOKS = TextFacts(tokens=13e6, document_tokens=3_000)


def chosen(family: str, text: TextFacts, minutes: float) -> tuple[Choice, Recipe]:
    choice = choose(FAMILIES[family], text, minutes=minutes, flops_per_second=LAPTOP)
    return choice, Recipe.of(choice.preset, choice.settings)


@pytest.mark.parametrize(
    ("minutes", "preset"), [(10, "bert-tiny"), (30, "bert-tiny"), (120, "bert-mini")]
)
def test_a_size_is_taken_once_it_reads_enough(minutes: float, preset: str) -> None:
    choice, recipe = chosen("bert", REVIEWS, minutes)
    assert choice.preset == recipe.preset == preset
    assert choice.reasons[0].startswith(f"{preset}: in {minutes} minutes it reads about")


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_family_has_a_recipe_that_can_be(family: str) -> None:
    """For reviews and for books; the start from counts is in each."""
    sizes = FAMILIES[family].presets
    if f"{family}-tiny" not in sizes:
        pytest.skip(f"{family} has no small sizes")
    for text in (REVIEWS, BOOKS):
        choice, recipe = chosen(family, text, 10)
        assert choice.preset.startswith(family)
        assert recipe.start == small_start(choice.preset, recipe.model, "adamw").get(
            "model.start", "random"
        )
        assert recipe.training.optimizer != "lamb"


def test_rates_fall_with_width() -> None:
    assert chosen("bert", REVIEWS, 10)[1].training.learning_rate == 7e-4
    assert chosen("bert", REVIEWS, 120)[1].training.learning_rate == 3.5e-4


def test_small_presets_have_a_rate_for_their_width() -> None:
    """At 1.5e-3 a width of 256 was back on the plateau; LAMB's rate is of another kind."""
    rates = {name: Recipe.of(name).training.learning_rate for name in ("bert-tiny", "bert-mini")}
    assert rates == {"bert-tiny": 7e-4, "bert-mini": 3.5e-4}
    assert Recipe.of("albert-tiny").training.learning_rate == 5e-3
    assert Recipe.of("bert-base").training.learning_rate == 1e-4


def test_long_documents_are_read_in_short_sequences_first() -> None:
    reviews, books = (chosen("bert", text, 10)[1] for text in (REVIEWS, BOOKS))
    assert (reviews.data.max_length, reviews.data.long_length) == (128, None)
    assert (books.data.max_length, books.data.long_length) == (32, 128)
    assert reviews.training.batch_size == 2048 // 17
    assert books.training.batch_size == 64


def test_dropout_comes_with_many_readings() -> None:
    little = TextFacts(tokens=2e5, document_tokens=20)
    config: Any = chosen("bert", little, 10)[1].model
    assert config.dropout == 0.1
    config = chosen("bert", BOOKS, 10)[1].model
    assert config.dropout == 0.0
    assert chosen("bert", little, 10)[1].data.vocab_size == 4_000


def test_pairs_are_not_judged() -> None:
    assert chosen("bert", BOOKS, 10)[1].objective_name == "masked-lm"
    assert chosen("gpt", BOOKS, 10)[1].objective_name == "causal-lm"


def test_a_family_needs_minutes(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("a text\n\nand another", encoding="utf-8")
    with pytest.raises(ConfigError, match="bert is a family; give --minutes"):
        pretrain("bert", out=tmp_path / "run", options=PretrainOptions(text=[text]))
    assert not (tmp_path / "run").exists()


def test_what_was_chosen_stays(tmp_path: Path) -> None:
    """The same command, given again, looks at neither text nor machine anew."""
    text = tmp_path / "text.txt"
    lines = [f"the {n % 9} birds of {n % 7} trees sing in the {n % 5} gardens." for n in range(90)]
    text.write_text("\n\n".join(lines), encoding="utf-8")
    small = {
        "model.hidden_size": 16,
        "model.num_layers": 1,
        "model.num_heads": 2,
        "model.intermediate_size": 16,
        "data.held_out": 0.1,
        "training.steps": 3,
        "training.threads": 1,
    }

    class Heard(Silent):
        lines: list[str] = []  # noqa: RUF012

        def message(self, text: str) -> None:
            self.lines.append(text)

    options = PretrainOptions(text=[text], settings=small, minutes=0.01)
    first = pretrain("bert", out=tmp_path / "run", options=options, reporter=Heard())
    assert any(line.startswith("bert-tiny: in 0.01 minutes") for line in Heard.lines)
    assert first.recipe.data.vocab_size == 4_000 and first.recipe.training.batch_size > 64
    Heard.lines.clear()
    again = pretrain("bert", out=tmp_path / "run", options=options, reporter=Heard())
    assert again.recipe == first.recipe
    assert not any("in 0.01 minutes it reads" in line for line in Heard.lines)
