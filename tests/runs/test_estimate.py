"""How long a step takes: measured on a clock of the test's own, on a machine that is often busy."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest

from foretext.recipes.recipe import Recipe
from foretext.runs import estimate
from foretext.runs.estimate import probe, steps_in
from foretext.runs.options import PretrainOptions
from foretext.runs.pretrain import prepare_run, pretrain
from foretext.training.job import Job
from foretext.training.optimizers.base import Optimizer
from foretext.training.progress import Silent
from foretext.training.step import MicroBatch
from tests.training.small_run import settings
from tests.training.test_exactness import text


class Clock:
    """Seconds that pass by the token, more of them while the machine is busy."""

    def __init__(self, per_token: float, slower: Callable[[int], float] = lambda _: 1.0) -> None:
        self.now, self.steps, self.tokens = 0.0, 0, 0
        self._per_token, self._slower = per_token, slower

    def perf_counter(self) -> float:
        return self.now

    def step(self, _job: Job, _model: Any, parts: list[MicroBatch], _zero_grad: Any) -> None:
        tokens = sum(part.batch.num_tokens for part in parts)
        self.now += tokens * self._per_token * self._slower(self.steps)
        self.steps, self.tokens = self.steps + 1, self.tokens + tokens


@cache
def job() -> Job:
    recipe = Recipe.of("bert-tiny", settings("masked-lm", 0))
    options = PretrainOptions(text=[text()])
    return prepare_run(Path(mkdtemp()) / "run", recipe, options, Silent()).job


def measured(
    monkeypatch: pytest.MonkeyPatch, clock: Clock, minutes: float | None = None
) -> tuple[float, int]:
    measurable = job()  # made by the real clock
    monkeypatch.setattr(estimate, "time", clock)
    monkeypatch.setattr(estimate, "_probe_step", clock.step)
    monkeypatch.setattr(Optimizer, "clip", lambda _: None)
    monkeypatch.setattr(Optimizer, "step", lambda *_: None)
    return probe(measurable, minutes=minutes)


def mean_tokens(monkeypatch: pytest.MonkeyPatch) -> float:
    """Of the ten measured steps, by a clock that counts them."""
    return measured(monkeypatch, Clock(1e-4))[0] / 1e-4


@pytest.mark.parametrize(
    ("slower", "minutes"),
    [
        (lambda step: 20.0 if step < 7 else 1.0, None),  # until shortly before the end
        (lambda step: 20.0 if step % 4 else 1.0, None),  # most of the time
        (lambda step: 20.0 if step < 12 else 1.0, 10.0),  # long, but the budget is worth waiting
        (lambda step: 20.0 if step < 2 else 1.0, None),  # the warm-up
    ],
)
def test_other_work_on_the_machine_does_not_change_the_measured_time(
    monkeypatch: pytest.MonkeyPatch, slower: Callable[[int], float], minutes: float | None
) -> None:
    expected = mean_tokens(monkeypatch) * 1e-4
    found, _ = measured(monkeypatch, Clock(1e-4, slower), minutes)
    assert found == pytest.approx(expected, rel=0.02)
    assert steps_in(1, found) == pytest.approx(57 / expected, rel=0.02)


def test_slower_steps_take_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = mean_tokens(monkeypatch)
    for rate in (1e-5, 1e-3, 0.1):
        assert measured(monkeypatch, Clock(rate))[0] == pytest.approx(rate * expected, rel=0.15)


@pytest.mark.parametrize(
    ("per_step", "minutes", "steps"),
    [
        (0.01, None, 10),
        (1.0, None, 6),
        (50.0, None, 1),  # one step is more than all that measuring may take
        (0.1, 5.0, 60),  # a fiftieth of the budget
        (0.1, 600.0, 200),  # 20 s at most
        (50.0, 600.0, 1),
    ],
)
def test_measuring_takes_steps_or_seconds_and_a_share_of_a_budget(
    per_step: float, minutes: float | None, steps: int
) -> None:
    _, found = estimate._fast_seconds(lambda _: (per_step, 7), 60 * (minutes or 0))
    assert abs(found - steps) <= 1


def test_the_run_says_how_many_steps_the_budget_became(tmp_path: Path) -> None:
    said: list[str] = []

    class Heard(Silent):
        def message(self, text: str) -> None:
            said.append(text)

    chosen = {k: v for k, v in settings("next-sentence", 0).items() if k != "training.steps"}
    options = PretrainOptions(text=[text()], settings=chosen, minutes=0.01)
    result = pretrain("bert-tiny", out=tmp_path / "run", options=options, reporter=Heard())
    steps = result.recipe.training.steps
    assert steps == result.progress.step
    (line,) = [line for line in said if "budget" in line]
    assert line.startswith(f"a budget of 0.01 minutes: {steps:,} steps of ")
    assert steps == steps_in(0.01, result.estimate.seconds_per_step or 0)


@pytest.mark.parametrize("preset", ["bert-tiny", "gpt-tiny"])
def test_operations_are_those_of_the_weights_that_tokens_pass(preset: str) -> None:
    """By hand: 6 a weight and token; BERT's last layer and vocabulary at masked tokens alone."""
    name = "masked-lm" if preset == "bert-tiny" else "causal-lm"
    recipe = Recipe.of(preset, settings(name, 0) | {"data.long_length": None})
    options = PretrainOptions(text=[text()])
    ready = prepare_run(Path(mkdtemp()) / "run", recipe, options, Silent())
    c: Any = ready.recipe.model
    objective: Any = ready.recipe.objective
    read = objective.mask_rate if name == "masked-lm" else 1.0
    h, wide = c.hidden_size, c.intermediate_size
    seen_by_all = 3 * h * h  # queries, keys and values
    own = h * h + 2 * h * wide
    weights = (c.num_layers - 1) * (seen_by_all + own) + seen_by_all + read * own
    lengths = ready.job.epochs.rows(0)[:, 0].astype(float)
    attention = 2 * c.num_layers * h * (lengths**2).sum() / lengths.sum()
    expected = 6 * (weights + read * c.vocab_size * h + attention)
    assert ready.estimate.flops_per_token == pytest.approx(expected, rel=1e-4)
