"""foretext.training.schedule: the papers' rates, by hand, and what holds for all of them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretext.core.errors import ConfigError
from foretext.training.schedule import SCHEDULES, Schedule

DECAYING = ("linear", "gpt1-linear", "cosine")


def test_bert_decays_from_step_0_and_warm_up_overrides() -> None:
    """Google's optimization.py: polynomial decay of the global step, then the warm-up branch."""
    schedule = Schedule(total=1_000_000, warmup=10_000)
    expected = {
        0: 0.0, 1: 1e-4, 9_999: 0.9999, 10_000: 0.99, 10_001: 0.989999, 500_000: 0.5,
        999_999: 1e-6, 1_000_000: 0.0, 2_000_000: 0.0,
    }  # fmt: skip
    assert {t: schedule.factor(t) for t in expected} == pytest.approx(expected, abs=1e-12)


def test_gpt1_fine_tuning_multiplies_warm_up_and_decay() -> None:
    """opt.py, warmup_linear(x) = (x / w if x < w else 1) * (1 - x), w = 0.002."""
    schedule = Schedule(name="gpt1-linear", total=1000, warmup=2)
    expected = {0: 0.0, 1: 0.5 * 0.999, 2: 0.998, 500: 0.5, 999: 0.001, 1000: 0.0}
    assert {t: schedule.factor(t) for t in expected} == pytest.approx(expected, abs=1e-12)


def test_gpt1_pre_training_is_warm_up_and_cosine_to_0() -> None:
    """Radford et al. 2018, section 4.1: 2,000 updates of warm-up, cosine to 0."""
    schedule = Schedule(name="cosine", total=8000, warmup=2000)
    expected = {
        0: 0.0, 1000: 0.5, 1999: 0.9995, 2000: (1 + 2**-0.5) / 2, 4000: 0.5,
        6000: (1 - 2**-0.5) / 2, 8000: 0.0, 9000: 0.0,
    }  # fmt: skip
    assert {t: schedule.factor(t) for t in expected} == pytest.approx(expected, abs=1e-12)


def test_gpt3_counts_tokens_and_ends_at_a_tenth() -> None:
    """Brown et al. 2020, appendix B: 375M tokens of warm-up, cosine to 10% at 260B, then level."""
    schedule = Schedule(
        name="cosine", total=260 * 10**9, warmup=375 * 10**6, floor=0.1, unit="tokens"
    )
    expected = {
        0: 0.0, 75 * 10**6: 0.2, 130 * 10**9: 0.55, 260 * 10**9: 0.1, 300 * 10**9: 0.1,
    }  # fmt: skip
    assert {t: schedule.factor(t) for t in expected} == pytest.approx(expected, abs=1e-12)


def test_t5_rates_are_absolute_and_level_at_first() -> None:
    """Raffel et al. 2020, section 3.1.2: 1 / sqrt(max(n, k)), n the update, k = 10,000."""
    schedule = Schedule(name="t5", total=1000, warmup=10_000)
    expected = {0: 0.01, 9_999: 0.01, 39_999: 0.005, 999_999: 0.001}
    assert {t: schedule.factor(t) for t in expected} == pytest.approx(expected, abs=1e-12)


def test_inverse_square_root_of_the_transformer() -> None:
    """Vaswani et al. 2017, section 5.3: min(t^-0.5, t * warmup^-1.5), over its peak."""
    schedule = Schedule(name="inverse-sqrt", total=100_000, warmup=4000)
    for t in (1, 2000, 4000, 16_000, 400_000):
        assert schedule.factor(t) == pytest.approx(min(t**-0.5, t * 4000**-1.5) * 4000**0.5)
    assert Schedule(name="inverse-sqrt", total=9).factor(4) == 0.5


def test_constant_rises_and_stays() -> None:
    """Schedule: warm-up from 0 to the peak."""
    schedule = Schedule(name="constant", total=10, warmup=4)
    assert [schedule.factor(t) for t in (0, 1, 4, 9, 99)] == [0, 0.25, 1, 1, 1]


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    name = draw(st.sampled_from(SCHEDULES))
    total = draw(st.integers(1, 10**12))
    return Schedule(
        name=name,
        total=total,
        warmup=draw(st.integers(0, total)),
        floor=draw(st.floats(0, 1)) if name in DECAYING else 0.0,
        unit=draw(st.sampled_from(["steps", "tokens"])),
    )


@given(schedules(), st.integers(0, 2 * 10**12))
def test_every_rate_is_a_share_of_the_peak(schedule: Schedule, done: int) -> None:
    """Schedule.factor: in [0, 1]."""
    assert 0 <= schedule.factor(done) <= 1


@given(schedules(), st.integers(0, 10**12), st.integers(0, 10**12))
def test_after_warm_up_no_rate_rises(schedule: Schedule, one: int, other: int) -> None:
    """All of them decay or stay."""
    first, second = sorted((one, other))
    late = schedule.factor(schedule.warmup + second)
    assert late <= schedule.factor(schedule.warmup + first) + 1e-12


@given(schedules(), st.integers(0, 10**12))
def test_the_floor_is_reached_at_the_total_and_held(schedule: Schedule, beyond: int) -> None:
    """Schedule.total: where linear and cosine reach the floor."""
    if schedule.name in DECAYING:
        assert schedule.factor(schedule.total + beyond) == schedule.floor


@given(schedules(), st.data())
def test_warm_up_is_linear(schedule: Schedule, data: Any) -> None:
    """Schedule.warmup: a linear rise, which gpt1-linear alone damps."""
    if schedule.warmup and schedule.rises:
        t = data.draw(st.integers(0, schedule.warmup - 1))
        share = t / schedule.warmup
        damped = Schedule(total=schedule.total, floor=schedule.floor).factor(t)
        expected = share * (damped if schedule.name == "gpt1-linear" else 1)
        assert schedule.factor(t) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("training.schedule", {"name": "cubic"}),
        ("unit", {"unit": "epochs"}),
        ("the schedule's end", {"total": 0}),
        ("training.warmup_steps", {"warmup": -1}),
        ("training.warmup_steps", {"warmup": 11}),
        ("training.warmup_tokens", {"warmup": 11, "unit": "tokens"}),
        ("training.final_rate", {"floor": 1.5}),
        ("training.final_rate", {"floor": 0.1, "name": "constant"}),
    ],
)
def test_impossible_settings_are_refused_by_name(name: str, wrong: dict[str, Any]) -> None:
    """Schedule: the value, the rule and the remedy, by the name a user gave."""
    with pytest.raises(ConfigError, match=f"^{name}=.* must be "):
        Schedule(**{"total": 10} | wrong)


def test_linear_from_peak_decays_from_the_end_of_the_warm_up() -> None:
    """fairseq, polynomial_decay (RoBERTa): no step down where the warm-up ends; 0 at the end."""
    schedule = Schedule(name="linear-from-peak", total=100, warmup=20)
    found = [schedule.factor(done) for done in (0, 10, 20, 60, 100, 120)]
    assert found == [0.0, 0.5, 1.0, 0.5, 0.0, 0.0]
    assert Schedule(name="linear", total=100, warmup=20).factor(20) == 0.8
