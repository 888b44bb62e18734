"""A short GPT-3 run: the rate follows tokens, the batch grows, the folder says what it is."""

from __future__ import annotations

import json
from functools import cache
from itertools import pairwise
from pathlib import Path
from tempfile import mkdtemp

import pytest

from foretext.cli.plan import plan
from foretext.models.folder import load_model
from foretext.recipes.recipe import Recipe
from foretext.runs.card import opens
from foretext.runs.estimate import Estimate
from foretext.runs.options import PretrainOptions
from foretext.runs.pretrain import dry_run, pretrain
from tests.training.golden import CHANGES, SETTINGS
from tests.training.test_exactness import text

CHOSEN = SETTINGS | CHANGES["gpt3-mini"]


@cache
def finished() -> tuple[Path, Recipe, Estimate]:
    out = Path(mkdtemp()) / "run"
    options = PretrainOptions(text=[text()], settings=CHOSEN)
    result = pretrain("gpt3-mini", out=out, options=options)
    return out, result.recipe, result.estimate


def records(out: Path) -> list[dict[str, float]]:
    lines = map(json.loads, (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    return [line for line in lines if "loss" in line]


def test_the_rate_follows_the_tokens_seen() -> None:
    """Appendix B: warm-up and cosine are counted in tokens, not in steps."""
    out, recipe, _ = finished()
    training, before = recipe.training, 0.0
    schedule = training.learning_schedule()
    for record in records(out):
        expected = training.learning_rate * schedule.factor(int(before))
        assert record["learning_rate"] == pytest.approx(expected)
        before = record["tokens"]


def test_the_batch_grows_to_its_full_size() -> None:
    """Appendix B: linearly, from a small number of rows; every row but an epoch's last is full."""
    out, recipe, _ = finished()
    tokens = [0.0, *(record["tokens"] for record in records(out))]
    rows = [(b - a) / 32 for a, b in pairwise(tokens)]
    sizes = recipe.training.batch_sizes()
    assert rows[0] == 2 and max(rows) == rows[-1] == 8
    assert all(sizes.size(i) - 1 < n <= sizes.size(i) for i, n in enumerate(rows))


def test_the_estimate_counts_the_ramp() -> None:
    """Tokens within a row or two of those read; the plan names both ends of the ramp."""
    out, recipe, cost = finished()
    assert cost.tokens == pytest.approx(records(out)[-1]["tokens"], rel=0.01)
    assert cost.full_steps < recipe.training.steps
    assert "30 of 2 to 8 sequences" in plan(recipe, cost, None)


def test_a_band_costs_less_in_the_estimate() -> None:
    """Half of the layers compare a token with 6 others, not with up to 32."""
    out, _, narrow = finished()
    settings = CHOSEN | {"model.attention_window": "none"}
    options = PretrainOptions(shards=out / "shards", settings=settings)
    _, dense = dry_run("gpt3-mini", options=options)
    # 6 FLOP for each of 2 * width * the 32 - 6 keys that one of the two layers leaves out
    spared = (dense.flops - narrow.flops) / narrow.tokens
    assert spared == pytest.approx(6 * 2 * 32 * (32 - 6), rel=0.02)


def test_the_card_says_that_transformers_refuses_it() -> None:
    """design.md: a model card; no claim that another tool would contradict."""
    out, _, _ = finished()
    card = (out / "README.md").read_text(encoding="utf-8")
    assert "It opens in foretext alone" in card and "library_name: foretext" in card
    assert "1,280 tokens of warm-up" in card
    assert load_model(out).architecture == "ForetextGptLMHeadModel"
    assert opens({"": "GPT2LMHeadModel"}) == (
        "transformers",
        "It opens in `transformers` as `GPT2LMHeadModel`.",
    )


def test_a_budget_of_minutes_shortens_the_course_and_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was not asked for keeps its share of the steps that fit; the same command goes on."""
    monkeypatch.setattr("foretext.runs.pretrain.probe", lambda *_, **__: (0.006, 10))
    out, _, _ = finished()
    chosen = ("training.steps", "training.batch_ramp")
    settings = {name: value for name, value in CHOSEN.items() if name not in chosen}
    options = PretrainOptions(shards=out / "shards", settings=settings, minutes=0.003)
    first = pretrain("gpt3-mini", out=tmp_path / "run", options=options)
    training = first.recipe.training
    usual = Recipe.of("gpt3-mini", settings).training
    assert first.progress.step == training.steps < usual.steps
    assert training.decay_tokens == usual.shortened(training.steps).decay_tokens
    assert training.batch_ramp == usual.shortened(training.steps).batch_ramp
    assert training.warmup_tokens == settings["training.warmup_tokens"]
    again = pretrain("gpt3-mini", out=tmp_path / "run", options=options)
    assert again.recipe == first.recipe
