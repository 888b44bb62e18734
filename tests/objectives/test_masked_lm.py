"""Masked LM: the statistics of Devlin et al. 2019, and a mask that belongs to its sample."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from foretext.core.errors import ConfigError
from foretext.objectives.base import assemble
from foretext.objectives.masked_lm import MaskedLM, MaskedLMConfig
from foretext.objectives.masking import MaskedBatch, _spans, choose_spans, where_of
from foretext.training.samples import choose
from tests.objectives.corpora import (
    CLS,
    FIRST_WORD,
    MASK,
    SEP,
    VOCAB,
    all_rows,
    picked,
    random_corpus,
    vocabulary,
)

CORPUS = random_corpus(700)


def objective(**changes: object) -> MaskedLM:
    config = MaskedLMConfig(**changes)  # type: ignore[arg-type]
    return MaskedLM(config=config, vocabulary=vocabulary(), max_length=64)


def masked(epoch: int = 0, **changes: object) -> tuple[MaskedBatch, torch.Tensor]:
    """All samples of an epoch, and their ids before corruption."""
    chosen = objective(**changes)
    some = picked(all_rows(chosen.plan(CORPUS, epoch)), epoch)
    batch = chosen.collate(CORPUS, some)
    original = batch.input_ids.clone()
    original[batch.targets] = batch.labels
    return batch, original


def test_fates_are_80_10_10() -> None:
    """Section 3.1: of the targets 80% [MASK], 10% random, 10% kept; over 10^5 tokens."""
    batch, original = masked()
    assert batch.num_tokens > 100_000
    seen, label = batch.input_ids[batch.targets], batch.labels
    assert abs((seen == MASK).float().mean().item() - 0.8) < 0.01
    assert abs((seen == label).float().mean().item() - 0.1) < 0.01
    random = seen[(seen != MASK) & (seen != label)]
    assert abs(len(random) / len(seen) - 0.1) < 0.01
    assert 0.45 < (random.float().mean() / VOCAB).item() < 0.55  # uniform over the vocabulary
    assert torch.equal(original[batch.targets], label)


@pytest.mark.parametrize("rate", [0.05, 0.15, 0.4, 0.8])
@pytest.mark.parametrize("whole_words", [False, True])
def test_each_sequence_has_its_quota(rate: float, whole_words: bool) -> None:
    """create_pretraining_data.py: max(1, round(rate * length)), [CLS] and [SEP] counted; whole
    words pass over what would exceed it and so may stay below."""
    batch, _ = masked(mask_rate=rate, whole_words=whole_words)
    lengths = batch.offsets.diff()
    sequence = torch.repeat_interleave(torch.arange(len(lengths)), lengths)
    found = torch.bincount(sequence[batch.targets], minlength=len(lengths))
    quota = torch.from_numpy(np.maximum(1, np.rint(rate * lengths.numpy()))).long()
    ordinary = torch.bincount(sequence[~batch.special_mask], minlength=len(lengths))
    quota = torch.minimum(quota, ordinary)
    if not whole_words:
        assert torch.equal(found, quota)
    assert (found <= quota).all()
    assert found.sum() > 0.97 * quota.sum()


def test_special_tokens_are_no_targets() -> None:
    """Section 3.1: [CLS] and [SEP] are never hidden."""
    batch, original = masked()
    assert not batch.special_mask[batch.targets].any()
    assert torch.isin(original[batch.special_mask], torch.tensor([CLS, SEP])).all()
    assert (batch.labels >= FIRST_WORD).all()


def test_whole_words_are_hidden_whole_and_stay_80_10_10() -> None:
    """Repository note of May 2019: all pieces of a word together, each with its own replacement."""
    batch, original = masked(whole_words=True)
    starts = torch.from_numpy(vocabulary().starts_word)[original]
    starts[1:] |= batch.special_mask[:-1]
    word = starts.long().cumsum(0)
    hidden = torch.zeros(len(original), dtype=torch.bool)
    hidden[batch.targets] = True
    for value in (True, False):
        words = set(word[(hidden == value) & ~batch.special_mask].tolist())
        others = set(word[(hidden != value) & ~batch.special_mask].tolist())
        assert not words & others
    pieces = starts[batch.targets].logical_not()
    assert 0.25 < pieces.float().mean() < 0.4  # a third of the tokens continue a word
    seen = batch.input_ids[batch.targets]
    for chosen in (pieces, ~pieces):
        assert abs((seen[chosen] == MASK).float().mean().item() - 0.8) < 0.02
        assert abs((seen[chosen] == batch.labels[chosen]).float().mean().item() - 0.1) < 0.02


def test_masks_are_new_each_epoch_unless_static() -> None:
    """Liu et al. 2019, section 4.1: dynamic masks; BERT's ten sets come round again."""
    assert not torch.equal(masked(0)[0].targets, masked(1)[0].targets)
    assert torch.equal(masked(3)[0].targets, masked(3)[0].targets)
    static = {epoch: masked(epoch, mask_sets=10)[0].input_ids for epoch in (2, 3, 12)}
    assert torch.equal(static[2], static[12])
    assert not torch.equal(static[2], static[3])


@settings(max_examples=20)
@given(st.lists(st.integers(0, 300), min_size=1, max_size=20, unique=True), st.booleans())
def test_a_sample_is_the_same_in_any_batch(numbers: list[int], whole_words: bool) -> None:
    """design.md: every draw is a function of (seed, epoch, sample)."""
    chosen = objective(whole_words=whole_words)
    everything = picked(all_rows(chosen.plan(CORPUS, 0)), 4)
    together = chosen.collate(CORPUS, choose(everything, np.array(numbers)))
    for place, number in enumerate(numbers):
        alone = chosen.collate(CORPUS, choose(everything, np.array([number])))
        start, stop = together.offsets[place], together.offsets[place + 1]
        assert torch.equal(together.input_ids[start:stop], alone.input_ids)


def test_every_token_is_in_one_sample() -> None:
    """Blocks of a document neither overlap nor leave anything out."""
    _, original = masked()
    kept = original[original >= FIRST_WORD].tolist()
    whole = [token for document in CORPUS.documents for s in document for token in s]
    assert kept == whole


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mask_rate": 0.0}, "mask_rate=0.0 must lie between 0 and 1"),
        ({"random_rate": 0.7, "keep_rate": 0.5}, "add up to more than 1"),
        ({"mask_sets": 0}, "mask_sets=0 must be at least 1"),
    ],
)
def test_impossible_rates_are_refused(changes: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        MaskedLMConfig(**changes)  # type: ignore[arg-type]


def test_a_tokenizer_without_mask_is_refused() -> None:
    lacking = replace(vocabulary(), mask_id=None)
    with pytest.raises(
        ConfigError, match="needs special tokens CLS, SEP, MASK, and this tokenizer lacks MASK"
    ):
        MaskedLM(config=MaskedLMConfig(), vocabulary=lacking, max_length=64)


def test_layout_of_a_pair() -> None:
    """Figure 2: [CLS] A [SEP] B [SEP], segment 0 up to and with the first [SEP]."""
    laid = assemble([[np.array([10, 11]), np.array([12])]], first=CLS, after=SEP)
    assert laid.ids.tolist() == [CLS, 10, 11, SEP, 12, SEP]
    assert laid.segments.tolist() == [0, 0, 0, 0, 1, 1]
    assert laid.special.tolist() == [True, False, False, True, False, True]


def test_spans_have_lengths_from_one_to_the_longest_alike() -> None:
    """choose_spans: anew in each epoch, never across [CLS] or [SEP], up to the quota exactly."""
    corpus = random_corpus(40)
    texts = [[corpus.tokens(d, 0, 60), corpus.tokens(d, 60, 90)] for d in range(40)]
    laid = assemble(texts, first=CLS, after=SEP)
    rows = np.stack([laid.lengths, np.arange(40)], axis=1).astype(np.int32)
    quota = np.full(40, 9)
    found = []
    for epoch in range(2):
        where = where_of(laid, picked(rows, epoch))
        targets = choose_spans(laid, where, quota, longest=3, seed=1)
        assert not laid.special[targets].any()
        hidden = np.bincount(laid.sequence[targets], minlength=40)
        assert np.array_equal(hidden, np.minimum(9, laid.lengths - 3))
        found.append(targets)
    assert not np.array_equal(found[0], found[1])
    everything = choose_spans(laid, where, np.full(40, 10**6), longest=3, seed=1)
    assert np.array_equal(everything, np.flatnonzero(~laid.special))
    starts, sizes = _spans(laid, where, 3, 1)
    inner = sizes[np.append(np.diff(starts) == sizes[:-1], False)]  # cut short by nothing
    assert abs(np.bincount(inner, minlength=4)[1:] / len(inner) - 1 / 3).max() < 0.05
