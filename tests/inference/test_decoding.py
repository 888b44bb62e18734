"""Decoding rules: hand cases, and what holds for any scores."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from foretext.inference import decoding

SCORES = st.lists(st.floats(-20, 20, width=32), min_size=1, max_size=40)


def logits_of(*probabilities: float) -> Tensor:
    return torch.tensor([probabilities]).log()


def kept(logits: Tensor) -> list[int]:
    return [i for i, score in enumerate(logits[0].tolist()) if score > decoding.OUT]


def test_temperature_divides_the_scores() -> None:
    """Fact sheet, decoding rules: logits / T before any filter."""
    torch.testing.assert_close(decoding.apply_temperature(torch.tensor([[1.0, -2.0]]), 0.5)[0],
                               torch.tensor([2.0, -4.0]))  # fmt: skip


@pytest.mark.parametrize(
    ("k", "expected"),
    [(0, [0, 1, 2, 3]), (1, [1]), (2, [1, 2, 3]), (3, [1, 2, 3]), (9, [0, 1, 2, 3])],
)
def test_top_k_keeps_scores_at_least_the_kth(k: int, expected: list[int]) -> None:
    """GPT-2 repository: keep logits >= the k-th largest (ties stay); 0 is off."""
    assert kept(decoding.top_k(torch.tensor([[0.0, 3.0, 2.0, 2.0]]), k)) == expected


@pytest.mark.parametrize(
    ("p", "expected"),
    [(0.1, [2]), (0.51, [2]), (0.74, [2]), (0.8, [1, 2]), (0.94, [0, 1, 2]), (1, [0, 1, 2, 3])],
)
def test_top_p_keeps_the_tokens_whose_mass_is_at_most_p(p: float, expected: list[int]) -> None:
    """GPT-2 repository: the last kept is the last whose cumulative mass is <= p, at least one."""
    assert kept(decoding.top_p(logits_of(0.18, 0.25, 0.5, 0.07), p)) == expected


def test_top_p_keeps_one_token_fewer_than_hugging_face() -> None:
    """Papers README, trap 13: theirs also keeps the token that crosses p."""
    transformers = pytest.importorskip("transformers")
    logits = logits_of(0.5, 0.3, 0.15, 0.05)
    theirs = transformers.TopPLogitsWarper(0.9)(torch.tensor([[0]]), logits)
    assert kept(theirs) == [0, 1, 2]
    assert kept(decoding.top_p(logits, 0.9)) == [0, 1]


def test_top_p_sorts_all_of_a_flat_vocabulary() -> None:
    """The shortcut over the highest scores must not cut a nucleus that is larger."""
    assert len(kept(decoding.top_p(torch.zeros(1, 1000), 0.5))) == 1000  # ties are all kept
    falling = -torch.arange(1000.0)[None] / 1000
    mass = falling.softmax(-1).cumsum(-1)
    assert len(kept(decoding.top_p(falling, 0.7))) == int((mass <= 0.7).sum()) > 256


@given(SCORES, st.integers(1, 45))
def test_top_k_keeps_at_least_k_and_never_a_lower_score(scores: list[float], k: int) -> None:
    """Every kept score is at least every dropped one; kept scores are unchanged."""
    logits = torch.tensor([scores])
    stay = kept(decoding.top_k(logits, k))
    assert len(stay) >= min(k, len(scores))
    dropped = [s for i, s in enumerate(scores) if i not in stay]
    assert not dropped or min(scores[i] for i in stay) > max(dropped)


@given(SCORES, st.floats(0.01, 0.99))
def test_top_p_keeps_the_likeliest_up_to_p(scores: list[float], p: float) -> None:
    """The kept mass, but for ties at the threshold, is at most p; one more would pass it."""
    logits = torch.tensor([scores])
    stay = kept(decoding.top_p(logits, p))
    assert scores.index(max(scores)) in stay
    dropped = [s for i, s in enumerate(scores) if i not in stay]
    lowest = min(scores[i] for i in stay)
    assert not dropped or lowest > max(dropped)
    probabilities = logits.double().softmax(-1)[0]
    above = sum(float(probabilities[i]) for i in stay if scores[i] > lowest)
    assert above <= p + 1e-5
    if dropped:
        whole = sum(float(probabilities[i]) for i in stay)
        assert whole + float(probabilities[scores.index(max(dropped))]) > p - 1e-5


def test_repetition_penalty_divides_positive_and_multiplies_negative_scores() -> None:
    """Fact sheet: for every token already present, logit/theta if positive else logit*theta."""
    logits = torch.tensor([[2.0, -2.0, 1.0], [2.0, -2.0, 1.0]])
    got = decoding.penalise_repetition(logits, [[0, 1, 1], []], 2.0)
    torch.testing.assert_close(got, torch.tensor([[1.0, -4.0, 1.0], [2.0, -2.0, 1.0]]))


@given(st.lists(st.floats(-9, 9, width=32), min_size=6, max_size=6), st.lists(st.integers(0, 5)))
def test_repetition_penalty_equals_transformers(scores: list[float], present: list[int]) -> None:
    """transformers' RepetitionPenaltyLogitsProcessor."""
    transformers = pytest.importorskip("transformers")
    logits = torch.tensor([scores])
    ids = torch.tensor([present], dtype=torch.int64).reshape(1, -1)
    want = transformers.RepetitionPenaltyLogitsProcessor(1.3)(ids, logits.clone())
    torch.testing.assert_close(decoding.penalise_repetition(logits, [present], 1.3), want)


def test_forbidden_and_early_stop_tokens_cannot_be_drawn() -> None:
    """No other score changes; stop tokens are free again at the minimum length."""
    logits = torch.zeros(1, 5)
    assert kept(decoding.suppress(logits, (1, 3))) == [0, 2, 4]
    assert kept(decoding.min_length(logits, 2, 3, [4])) == [0, 1, 2, 3]
    assert kept(decoding.min_length(logits, 3, 3, [4])) == [0, 1, 2, 3, 4]


def test_length_penalty_is_gnmts() -> None:
    """Wu et al. 2016, equation 14: (5 + |Y|)^alpha / (5 + 1)^alpha."""
    assert decoding.length_penalty(1, 0.6) == 1
    assert decoding.length_penalty(7, 0.6) == pytest.approx(2**0.6)
    assert decoding.length_penalty(7, 0) == 1


def test_draws_follow_the_probabilities() -> None:
    """Inverting the distribution function maps equal steps of the number to equal mass."""
    numbers = (torch.arange(1000) + 0.5) / 1000
    drawn = decoding.draw(logits_of(0.2, 0.5, 0.3).expand(1000, 3), numbers)
    assert drawn.bincount().tolist() == [200, 500, 300]


@given(st.floats(0, 1, exclude_max=True), st.lists(st.booleans(), min_size=1, max_size=9))
def test_a_filtered_token_is_never_drawn(number: float, allowed: list[bool]) -> None:
    """Not even at the ends of [0, 1)."""
    if not any(allowed):
        allowed[0] = True
    logits = torch.tensor([[0.5 if a else -math.inf for a in allowed]])
    assert allowed[int(decoding.draw(logits, torch.tensor([number], dtype=torch.float64)))]
