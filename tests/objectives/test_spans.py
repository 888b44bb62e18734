"""T5's noise: length arithmetic, statistics over 10^5 tokens, and what becomes of a row."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from foretext.core import rng
from foretext.objectives import spans

SENTINELS = np.arange(999, 899, -1)  # <extra_id_0> has the highest id


def keys(count: int) -> list[int]:
    return [rng.key(0, "test", i) for i in range(count)]


def test_a_window_of_568_tokens_becomes_inputs_of_512_and_targets_of_114() -> None:
    """t5.md, c: recomputed from random_spans_helper."""
    assert spans.window_for(512, 0.15, 3.0) == 568
    noise, count = spans.noise_counts(np.array([568]), 0.15, 3.0)
    assert (noise.tolist(), count.tolist()) == ([85], [28])
    assert [int(x[0]) for x in spans.corrupted_lengths(np.array([568]), 0.15, 3.0)] == [512, 114]
    mask = spans.span_noise(568, 0.15, 3.0, keys(1)[0])
    ids = np.arange(568)
    assert len(spans.spans_to_sentinels(ids, mask, SENTINELS)) + 1 == 512
    assert len(spans.spans_to_sentinels(ids, ~mask, SENTINELS)) + 1 == 114


@pytest.mark.parametrize("length", [2, 3, 5, 10, 64, 190, 568, 1000])
@pytest.mark.parametrize("rate", [0.1, 0.15, 0.5, 0.8])
def test_lengths_are_those_of_the_arithmetic(length: int, rate: float) -> None:
    """Every row of a length has the same numbers of noise tokens and spans."""
    for key in keys(5):
        mask = spans.span_noise(length, rate, 3.0, key)
        noise, count = (int(x[0]) for x in spans.noise_counts(np.array([length]), rate, 3.0))
        assert (len(mask), mask.sum(), spans.starts(mask).sum()) == (length, noise, count)
        assert not mask[0]
        assert mask[-1]


def test_rounding_is_that_of_fp32() -> None:
    """t5.md, i: half to even in fp32 differs from exact arithmetic at these lengths."""
    noise, _ = spans.noise_counts(np.array([190, 350, 390, 670]), 0.15, 3.0)
    exact = np.rint(np.array([28.5, 52.5, 58.5, 100.5]))
    assert (noise != exact).all()


def test_a_tenth_of_a_million_tokens_has_the_rate_and_the_mean_span() -> None:
    """t5.md, c: density .15, mean span 3."""
    noise = [spans.span_noise(568, 0.15, 3.0, key) for key in keys(180)]
    hidden = sum(int(n.sum()) for n in noise)
    runs = sum(int(spans.starts(n).sum()) for n in noise)
    assert sum(map(len, noise)) > 100_000
    assert abs(hidden / (180 * 568) - 0.15) < 5e-4
    assert abs(hidden / runs - 3.0) < 0.05


def test_every_composition_is_as_likely() -> None:
    """t5.md, c: span lengths are a uniformly random composition."""
    wanted = {
        (a, b - a, 6 - b): 0 for a, b in combinations(range(1, 6), 2)
    }  # 10 ways to write 6 as 3 parts
    for key in keys(5_000):
        wanted[tuple(spans.composition(6, 3, key).tolist())] += 1
    assert len(wanted) == 10
    assert max(abs(n / 5_000 - 0.1) for n in wanted.values()) < 0.02


def test_a_noise_position_is_as_likely_in_every_place_but_at_the_ends() -> None:
    """The first token is kept and the last is noise; between them the share is about the rate."""
    hits = np.mean([spans.span_noise(100, 0.15, 3.0, key) for key in keys(2_000)], 0)
    assert hits[0] == 0
    assert hits[-1] == 1
    assert abs(hits[20:80] - 0.14).max() < 0.04
    rolled = np.mean([spans.span_noise(100, 0.15, 3.0, k, roll=True) for k in keys(2_000)], 0)
    assert abs(rolled - 0.15).max() < 0.035


def test_independent_noise_has_its_rate() -> None:
    noise = np.concatenate([spans.independent_noise(568, 0.15, key) for key in keys(180)])
    assert abs(noise.mean() - 0.15) < 0.005
    together = (noise[1:] & noise[:-1]).mean()
    assert abs(together - 0.15**2) < 0.002


def test_a_prefix_ends_anywhere_but_at_the_ends() -> None:
    """random_prefix_noise_mask: its length is uniform in [1, length)."""
    kept = [int((~spans.suffix_noise(5, key)).sum()) for key in keys(4_000)]
    shares = np.bincount(kept, minlength=6) / 4_000
    assert shares[0] == shares[5] == 0
    assert abs(shares[1:5] - 0.25).max() < 0.03


NOISE = np.array([0, 0, 1, 1, 0, 1, 0], bool)
IDS = np.array([10, 11, 12, 13, 14, 15, 16])


def test_inputs_and_targets_are_each_others_complement() -> None:
    """The paper's figure 2: a sentinel closes the targets where the row ends in kept text."""
    inputs = spans.spans_to_sentinels(IDS, NOISE, SENTINELS)
    targets = spans.spans_to_sentinels(IDS, ~NOISE, SENTINELS)
    assert inputs.tolist() == [10, 11, 999, 14, 998, 16]
    assert targets.tolist() == [999, 12, 13, 998, 15, 997]
    ending = spans.spans_to_sentinels(IDS[:6], ~NOISE[:6], SENTINELS)
    assert ending.tolist() == [999, 12, 13, 998, 15]


def test_a_row_that_begins_with_noise_shifts_the_sentinels_by_one() -> None:
    """t5.md, i: for independent noise; the complement rule of the official code."""
    noise = np.array([1, 0, 1], bool)
    assert spans.spans_to_sentinels(IDS[:3], noise, SENTINELS).tolist() == [999, 11, 998]
    assert spans.spans_to_sentinels(IDS[:3], ~noise, SENTINELS).tolist() == [10, 999, 12]


def test_spans_beyond_the_sentinels_are_kept() -> None:
    noise = np.tile([True, False], 200)
    kept = spans.with_at_most(noise, 100)
    assert kept.sum() == 100
    assert kept[:200].sum() == 100


def test_masks_are_nine_tenths_and_random_tokens_one() -> None:
    """t5.md, c: iid_15_r10s90; no token is kept on purpose."""
    ids, noise = np.full(100_000, 7), np.ones(100_000, bool)
    seen = spans.tokens_to_mask(
        ids, noise, mask_id=999, random_rate=0.1, vocab=np.arange(50), key=keys(1)[0]
    )
    assert abs((seen == 999).mean() - 0.9) < 0.005
    drawn = seen[seen != 999]
    assert set(drawn.tolist()) == set(range(50))


def test_a_shuffled_row_has_its_tokens() -> None:
    again = spans.shuffled(np.arange(100), keys(1)[0])
    assert sorted(again.tolist()) == list(range(100))
    assert again.tolist() != list(range(100))
