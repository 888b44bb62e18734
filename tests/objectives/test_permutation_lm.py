"""XLNet's objective: orders, spans, streams both ways; samples do not depend on batches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from foretext.core import rng
from foretext.core.errors import ConfigError
from foretext.objectives.base import SampleBatch
from foretext.objectives.orders import ranks_of, sample_single, sample_spans
from foretext.objectives.permutation_lm import OrderBatch, PermutationLM, PermutationLMConfig
from tests.objectives.corpora import random_corpus, vocabulary

CORPUS = random_corpus(60)
LENGTH = 64


def made(**changes: Any) -> tuple[PermutationLM, SampleBatch, OrderBatch]:
    objective = PermutationLM(
        config=PermutationLMConfig(**changes),
        vocabulary=vocabulary(eot=True),
        max_length=LENGTH,
        seed=3,
    )
    rows = np.concatenate(list(objective.plan(CORPUS, 0)))
    picked = SampleBatch(
        rows=rows, epochs=np.zeros(len(rows), np.int64), samples=np.arange(len(rows))
    )
    return objective, picked, objective.collate(CORPUS, picked)


def test_samples_are_full_and_end_with_sep_and_cls() -> None:
    """papers/xlnet.md b: CLS last, segments 0, 1 and 2."""
    objective, _picked, batch = made()
    v = objective.vocabulary
    assert set(batch.offsets.diff().tolist()) == {LENGTH}
    rows = batch.input_ids.view(-1, LENGTH)
    assert set(rows[:, -1].tolist()) == {v.cls_id}
    assert set(rows[:, -2].tolist()) == {v.sep_id}
    types = batch.token_type_ids.view(-1, LENGTH)
    assert set(types[:, -1].tolist()) == {2}
    assert bool((types[:, :-1].diff() >= 0).all())


def test_a_sixth_is_predicted_and_never_a_special_token() -> None:
    """papers/xlnet.md c: 85 of 512, fewer by the special tokens that were chosen."""
    _objective, _picked, batch = made()
    share = len(batch.targets) / batch.num_tokens
    assert abs(share - 1 / 6) < 0.01
    assert not batch.special_mask[batch.targets].any()
    assert torch.equal(batch.input_ids[batch.targets], batch.labels)


def test_spans_have_the_published_lengths() -> None:
    """Over 10^5 tokens: n from 1 to 5 with probability proportional to 1/n, K times it apart."""
    size = 100_000
    found = sample_spans(
        np.ones(size, bool), np.zeros(size, bool), 10**6, 6, rng.uniform(1, np.arange(3 * size))
    )
    edges = np.flatnonzero(np.diff(np.concatenate([[0], found.astype(int), [0]])))
    lengths = (edges[1::2] - edges[::2])[:1000]
    # Without a goal that ends it the walk covers all; singles fill up what is left over.
    assert found.all()
    walk = sample_spans(
        np.ones(size, bool), np.zeros(size, bool), size // 7, 6, rng.uniform(2, np.arange(3 * size))
    )
    edges = np.flatnonzero(np.diff(np.concatenate([[0], walk.astype(int), [0]])))
    lengths = edges[1::2] - edges[::2]
    shares = np.bincount(np.minimum(lengths, 6), minlength=7)[1:6] / len(lengths)
    expected = (1 / np.arange(1, 6)) / (1 / np.arange(1, 6)).sum()
    # A span of which the context's cut leaves nothing touches the next one, so a few are longer.
    assert np.abs(shares - expected).max() < 0.06
    assert abs(walk.mean() - 1 / 7) < 1e-3


def test_every_order_is_as_likely() -> None:
    """Of four targets each is first a quarter of the time."""
    target, functional = np.ones(4, bool), np.zeros(4, bool)
    firsts = np.bincount(
        [
            int(np.argmin(ranks_of(target, functional, rng.uniform(7, i, np.arange(4)), 0)))
            for i in range(4000)
        ],
        minlength=4,
    )
    assert np.abs(firsts / 4000 - 0.25).max() < 0.03


def test_the_first_part_does_not_see_the_rest_which_sees_all_of_it() -> None:
    """papers/xlnet.md c, Factorisation order."""
    objective, _, batch = made()
    ranks = batch.ranks.view(-1, LENGTH)
    assert bool((ranks[:, : objective.reused].amax(1) < ranks[:, objective.reused :].amin(1)).all())
    plain = torch.ones(batch.num_tokens, dtype=torch.bool)
    plain[batch.targets] = False
    plain[batch.special_mask] = False
    assert set(batch.ranks[plain].tolist()) == {0, 2 * LENGTH}


def test_a_stream_moves_on_by_what_it_reuses_both_ways() -> None:
    objective, picked, batch = made()
    rows = batch.input_ids.view(-1, LENGTH)
    half = len(rows) // 2
    step = objective.reused
    forward, backward = rows[:half], rows[half:]
    for part in (forward, backward):
        kept = torch.cat([row[:step] for row in part[:4]])
        one = objective._texts(CORPUS, picked.rows[0 if part is forward else half].tolist(), 0, 0)
        assert torch.equal(kept[:step], torch.from_numpy(one[0][:step].copy()))
    # The same text lies in both, one way and the other.
    together = torch.cat([row[:step] for row in forward])
    turned = torch.cat([row[:step] for row in backward]).flip(0)
    shift = LENGTH - step - 3
    assert torch.equal(together[shift:], turned[: len(together) - shift])


def test_nothing_before_the_first_row_of_a_way_is_remembered() -> None:
    objective, picked, _ = made()
    half = len(picked.rows) // 2
    some = SampleBatch(
        rows=picked.rows[half - 1 : half + 2], epochs=np.zeros(3, np.int64),
        samples=np.arange(3), slots=np.arange(3), continues=np.ones(3, bool),
    )  # fmt: skip
    assert objective.collate(CORPUS, some).continues.tolist() == [True, False, True]


def test_a_sample_is_the_same_in_any_batch() -> None:
    objective, picked, batch = made()
    one = SampleBatch(rows=picked.rows[5:6], epochs=picked.epochs[5:6], samples=picked.samples[5:6])
    alone = objective.collate(CORPUS, one)
    part = slice(5 * LENGTH, 6 * LENGTH)
    assert torch.equal(alone.input_ids, batch.input_ids[part])
    assert torch.equal(alone.ranks, batch.ranks[part])


def test_the_ablations_are_options() -> None:
    """Table 6: single tokens instead of spans; no backward data."""
    _, picked, batch = made(spans=False, bidirectional_data=False)
    assert not picked.rows[:, 3].any()
    assert abs(len(batch.targets) / batch.num_tokens - 1 / 6) < 0.01
    special = np.array([True, False, False])
    assert not sample_single(special, 3, np.zeros(3))[0]


def test_a_factor_of_0_is_refused() -> None:
    with pytest.raises(ConfigError, match="factor=0"):
        PermutationLMConfig(factor=0)
