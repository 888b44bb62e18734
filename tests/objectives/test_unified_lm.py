"""UniLM's objective: the mix, the masks, the cloze, and that no target sees what it may not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from foretext.core.batch import Batch
from foretext.core.errors import ConfigError
from foretext.objectives.base import Assembled, SampleBatch
from foretext.objectives.unified_lm import (
    UnifiedBatch,
    UnifiedLM,
    UnifiedLMConfig,
    Way,
    choose_cloze,
)
from tests.objectives.corpora import random_corpus, vocabulary

CORPUS = random_corpus(400)


def made(samples: int | None = None, **changes: Any) -> tuple[UnifiedLM, SampleBatch, UnifiedBatch]:
    objective = UnifiedLM(
        config=UnifiedLMConfig(**changes), vocabulary=vocabulary(), max_length=64, seed=3
    )
    rows = np.concatenate(list(objective.plan(CORPUS, 0)))[:samples]
    picked = SampleBatch(
        rows=rows, epochs=np.zeros(len(rows), np.int64), samples=np.arange(len(rows))
    )
    return objective, picked, objective.collate(CORPUS, picked)


def test_the_mix_is_a_third_a_third_a_sixth_a_sixth() -> None:
    """Section 2.5; a stretch of one sentence is read in one direction instead."""
    _, picked, _ = made()
    ways = picked.rows[:, 1]
    shares = np.bincount(ways, minlength=4) / len(ways)
    assert abs(shares[Way.BOTH_WAYS] - 1 / 3) < 0.05
    assert shares[Way.SOURCE_TO_TARGET] > 0.2
    assert abs(shares[Way.LEFT_TO_RIGHT] - shares[Way.RIGHT_TO_LEFT]) < 0.05


def test_rows_are_as_long_as_they_say_and_fit() -> None:
    _, picked, batch = made()
    assert picked.rows[:, 0].tolist() == batch.offsets.diff().tolist()
    assert int(picked.rows[:, 0].max()) <= 64


def test_segments_say_how_a_sample_is_read() -> None:
    """papers/unilm.md a: 0 and 1, 2, 3, source 4 and target 5."""
    _, picked, batch = made(200)
    for way, (start, stop) in zip(
        picked.rows[:, 1], zip(batch.offsets[:-1], batch.offsets[1:], strict=True), strict=True
    ):
        found = set(batch.token_type_ids[start:stop].tolist())
        assert found <= {0: {0, 1}, 1: {4, 5}, 2: {2}, 3: {3}}[int(way)]


def test_masks_are_the_four_of_figure_1() -> None:
    _, picked, batch = made(60)
    assert batch.mask is not None
    for number, row in enumerate(picked.rows):
        length = int(row[0])
        seen = batch.mask.dense(batch.layout, number)
        i, j = torch.arange(length)[:, None], torch.arange(length)
        source = int(row[4] - row[3]) + 2
        expected = {
            Way.BOTH_WAYS: torch.ones(length, length, dtype=torch.bool),
            Way.LEFT_TO_RIGHT: j <= i,
            Way.RIGHT_TO_LEFT: j >= i,
            Way.SOURCE_TO_TARGET: (j < source) | ((i >= source) & (j <= i)),
        }[Way(int(row[1]))]
        assert torch.equal(seen, expected)


def test_a_fifth_of_the_picks_hide_two_or_three_tokens() -> None:
    """Section 2.3: 80% of the time one token, 20% a bigram or a trigram; in 50,000 tokens."""
    size = 50_000
    plain = np.zeros(size, np.int64)
    laid = Assembled(
        ids=plain, segments=plain, special=np.zeros(size, bool), lengths=np.array([size])
    )
    where = (plain, plain, np.arange(size))
    beside = []
    for rate in (0.2, 0.0):
        chosen = choose_cloze(
            laid, where, np.array([size // 50]), ~laid.special, run_rate=rate, seed=1
        )
        assert len(chosen) == size // 50
        beside.append(float((np.diff(chosen) == 1).mean()))
    # of 10 picks 8 hide one and 2 hide 2.5 tokens: 3 in 13 targets follow another of their pick
    assert beside[0] - beside[1] == pytest.approx(3 / 13, abs=0.04)


def test_fifteen_percent_are_hidden() -> None:
    objective, picked, batch = made()
    quota = np.maximum(1, np.rint(0.15 * picked.rows[:, 0])).sum()
    assert abs(len(batch.targets) / quota - 1) < 0.01
    mask = torch.full_like(batch.targets, objective.vocabulary.mask_id or 0)
    masked = batch.input_ids[batch.targets].eq(mask)
    assert abs(float(masked.float().mean()) - 0.8) < 0.03


def test_only_the_end_of_a_target_is_a_special_token_that_hides() -> None:
    _, picked, batch = made()
    special = batch.targets[batch.special_mask[batch.targets]]
    ends = dict(zip((batch.offsets[1:] - 1).tolist(), picked.rows[:, 1].tolist(), strict=True))
    assert len(special)
    assert {ends[int(token)] for token in special} == {Way.SOURCE_TO_TARGET}


def test_a_sample_is_the_same_in_any_batch() -> None:
    objective, picked, batch = made(40)
    one = SampleBatch(rows=picked.rows[7:8], epochs=picked.epochs[7:8], samples=picked.samples[7:8])
    alone = objective.collate(CORPUS, one)
    start, stop = batch.offsets[7:9].tolist()
    assert torch.equal(alone.input_ids, batch.input_ids[start:stop])


def test_shares_above_one_are_refused() -> None:
    with pytest.raises(ConfigError, match="add up to 1\\.2"):
        UnifiedLMConfig(source_target_rate=0.8, left_to_right_rate=0.2, right_to_left_rate=0.2)


def test_pairs_alone_have_a_next_sentence_loss() -> None:
    objective, picked, batch = made(100)
    both = int((picked.rows[:, 1] == Way.BOTH_WAYS).sum())
    assert int(objective.counts(batch)["nsp"]) == both == len(batch.pair_labels)
    assert isinstance(batch, Batch)
