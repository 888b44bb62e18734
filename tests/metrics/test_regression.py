"""Correlations equal scipy.stats, ties and odd scales included."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from foretext.metrics.regression import mse, pearson, ranks, spearman

stats = pytest.importorskip("scipy.stats")
PAIRS = arrays(
    np.float64, st.tuples(st.integers(2, 40), st.just(2)), elements=st.integers(0, 10).map(float)
)


@given(PAIRS)
def test_with_ties_they_equal_scipy(pairs: np.ndarray) -> None:
    gold, predicted = pairs.T
    if len(set(gold)) > 1 and len(set(predicted)) > 1:
        assert pearson(gold, predicted) == pytest.approx(
            stats.pearsonr(gold, predicted).statistic, abs=1e-12
        )
        assert spearman(gold, predicted) == pytest.approx(
            stats.spearmanr(gold, predicted).statistic, abs=1e-12
        )


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
def test_the_scale_of_either_side_does_not_matter(scale: float) -> None:
    drawn = np.random.default_rng(0)
    gold, predicted = drawn.normal(size=(2, 100))
    assert pearson(gold, scale * predicted) == pytest.approx(pearson(gold, predicted), abs=1e-12)
    assert spearman(gold, np.exp(predicted)) == spearman(gold, predicted)


def test_equal_values_share_the_mean_of_their_ranks() -> None:
    values = np.array([3.0, 1.0, 3.0, 2.0, 3.0, 1.0])
    assert ranks(values).tolist() == [5.0, 1.5, 5.0, 3.0, 5.0, 1.5]
    assert ranks(values).tolist() == stats.rankdata(values).tolist()


def test_a_constant_correlates_with_nothing() -> None:
    """scipy gives nan; 0 is what an answer blind to the input is worth."""
    varied, constant = np.array([1.0, 2.0, 4.0]), np.full(3, 0.1)
    for one, other in ((varied, constant), (constant, varied), (constant, constant)):
        assert pearson(one, other) == spearman(one, other) == 0.0
    assert pearson(np.zeros(0), np.zeros(0)) == 0.0


def test_perfect_agreement_is_exactly_within_the_range() -> None:
    values = np.random.default_rng(1).normal(size=1000)
    assert pearson(values, 3 * values + 1) == pytest.approx(1.0, abs=1e-12)
    assert -1.0 <= pearson(values, -values) <= pearson(values, values) <= 1.0
    assert math.isclose(mse(values, values + 2), 4.0)
