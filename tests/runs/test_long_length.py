"""The last steps of a run may read longer sequences: BERT's 128 tokens, then 512.

Devlin et al. 2019, appendix A.2. That such a run resumes to the same bits is in test_exactness.py.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from foretext.cli.plan import plan
from foretext.core.errors import ConfigError
from foretext.objectives.masked_lm import MaskedLM, MaskedLMConfig
from foretext.recipes.recipe import Recipe
from foretext.runs.options import PretrainOptions
from foretext.runs.pretrain import dry_run, pretrain
from foretext.training.loader import load
from foretext.training.samples import SamplePlan, StepDataset
from tests.objectives.corpora import random_corpus, vocabulary
from tests.training.small_run import settings

SHORT, LONG, BATCH = 16, 64, 4  # tokens, tokens, sequences


def epochs(folder: Path, *, until: int | None) -> SamplePlan:
    made = MaskedLM(config=MaskedLMConfig(), vocabulary=vocabulary(), max_length=SHORT, seed=1)
    corpus = random_corpus(8)
    then = SamplePlan(replace(made, max_length=LONG, seed=2), corpus, folder / "long", seed=2)
    return SamplePlan(made, corpus, folder, seed=1, until=until, then=then)


def longest(steps: StepDataset) -> list[int]:
    """Tokens of the longest sequence of each step."""
    found = []
    for parts in load(steps, workers=0):
        lengths = [n for part in parts for n in part.batch.offsets.diff().tolist()]
        assert sum(part.batch.num_sequences for part in parts) == BATCH == len(lengths)
        found.append(max(lengths))
    return found


def test_berts_last_tenth_of_the_steps_has_512_tokens() -> None:
    """Appendix A.2: 128 tokens for 90% of a million steps. A laptop's presets have one length."""
    recipe = Recipe.of("bert-base")
    assert (recipe.data.max_length, recipe.data.long_length) == (128, 512)
    assert recipe.long_from == 900_000
    assert Recipe.of("bert-large", {"training.steps": 50}).long_from == 45
    assert Recipe.of("bert-base", {"training.steps": 3}).long_from == 2
    assert Recipe.of("bert-base", {"data.max_length": 512}).long_from is None
    assert Recipe.of("bert-mini").long_from is None


def test_steps_are_short_until_the_border_and_then_long(tmp_path: Path) -> None:
    """Any step by itself is what it is in the whole run."""
    border = 6
    made = epochs(tmp_path, until=border * BATCH)
    steps = StepDataset(epochs=made, batch_size=BATCH, micro_batch_size=3, start=0, stop=12)
    found = longest(steps)
    assert max(found[:border]) <= SHORT < min(found[border:]) and max(found) <= LONG
    for number in (5, 6, 11):
        fresh = epochs(tmp_path / f"fresh-{number}", until=border * BATCH)
        alone = StepDataset(
            epochs=fresh, batch_size=BATCH, micro_batch_size=3, start=number, stop=12
        )
        for mine, its in zip(steps[number], alone[0], strict=True):
            assert mine.batch.input_ids.tolist() == its.batch.input_ids.tolist()


def test_each_part_reads_its_own_epochs_from_their_start(tmp_path: Path) -> None:
    """The long sequences that come first are those of an unbroken long run."""
    made = epochs(tmp_path, until=10)
    assert made.then is not None
    assert made.serving(9) == (made, 9) and made.serving(10) == (made.then, 0)
    assert made.shares(10) == [(made, 10)]
    assert made.shares(17) == [(made, 10), (made.then, 7)]
    everything = epochs(tmp_path / "all", until=None)
    assert everything.serving(10**6) == (everything, 10**6)


def test_known_sizes_are_remembered_for_both_lengths(tmp_path: Path) -> None:
    """What a checkpoint holds, so that a resumed run plans no epoch that is over."""
    made = epochs(tmp_path / "a", until=10)
    assert made.then is not None
    sizes = [made.size(0), made.size(1), made.then.size(0)]
    assert made.known_sizes == [sizes[:2], sizes[2:]]
    other = epochs(tmp_path / "b", until=10)
    other.remember(made.known_sizes)
    assert other.known_sizes == made.known_sizes
    assert not (tmp_path / "b").exists()


def test_a_recipe_that_cannot_be_is_refused() -> None:
    """One line that says which setting, the rule, and the remedy."""
    faults: dict[str, dict[str, object]] = {
        "data.long_length=512 is below data.max_length=600": {
            "data.max_length": 600,
            "model.max_position_embeddings": 600,
        },
        "data.long_length=512 exceeds the model's 256 positions": {
            "model.max_position_embeddings": 256
        },
        "data.long_rate=1.0 must lie between 0 and 1": {"data.long_rate": 1.0},
    }
    for says, changes in faults.items():
        with pytest.raises(ConfigError, match=says):
            Recipe.of("bert-base", changes)


def small(steps: int = 10) -> dict[str, object]:
    return settings("masked-lm", 0) | {
        "model.max_position_embeddings": 128,
        "data.long_length": 128,
        "data.long_rate": 0.4,
        "training.steps": steps,
        "training.batch_size": BATCH,
        "training.micro_batch_size": None,
    }


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    lines = [" ".join(f"word{(i * j) % 37}" for j in range(1, 60)) + "." for i in range(1, 400)]
    path.write_text("\n\n".join("\n".join(lines[i : i + 20]) for i in range(0, 400, 20)))
    return path


def test_a_runs_estimate_counts_both_lengths(text: Path, tmp_path: Path) -> None:
    """The tokens of the plan are about those that the run then reads; plan and card say both."""
    out = tmp_path / "run"
    result = pretrain("bert-tiny", out=out, options=PretrainOptions(text=[text], settings=small()))
    assert result.progress.step == 10
    assert result.estimate.tokens == pytest.approx(result.progress.tokens, rel=0.15)
    said = plan(result.recipe, result.estimate, out)
    assert "sequences   32 tokens, 128 in the last 4 steps\n" in said
    short = {"data.long_length": None}
    options = PretrainOptions(text=[text], settings=small() | short)
    _, cost = dry_run("bert-tiny", out=tmp_path / "short", options=options)
    assert result.estimate.tokens > 1.7 * cost.tokens
    assert result.estimate.flops / result.estimate.tokens > cost.flops / cost.tokens
    assert cost.growth == 1
    assert result.estimate.growth == pytest.approx(result.estimate.flops / cost.flops)
    assert "at most 32, in the last 4 128, tokens" in (out / "README.md").read_text()
