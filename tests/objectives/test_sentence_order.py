"""Sentence order and n-gram masks: Lan et al. 2020, and the official code written out."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from foretext.core.errors import ConfigError
from foretext.objectives.base import Ints, Rows
from foretext.objectives.masking import run_lengths
from foretext.objectives.pairs import PairBatch
from foretext.objectives.sentence_order import SentenceOrder, SentenceOrderConfig
from foretext.training.samples import choose
from tests.objectives.corpora import (
    CLS,
    FIRST_WORD,
    MASK,
    SEP,
    VOCAB,
    ListCorpus,
    all_rows,
    picked,
    random_corpus,
    vocabulary,
)

CORPUS = random_corpus(400, sentences=60)
LENGTH = 128
ROOM = LENGTH - 3


def objective(**changes: object) -> SentenceOrder:
    config = SentenceOrderConfig(**changes)  # type: ignore[arg-type]
    return SentenceOrder(config=config, vocabulary=vocabulary(), max_length=LENGTH)


ROWS = all_rows(objective().plan(CORPUS, 0))


@cache
def masked(epoch: int = 0, **changes: object) -> tuple[PairBatch, torch.Tensor]:
    """All samples of an epoch, and their ids before corruption."""
    made = objective(**changes)
    batch = made.collate(CORPUS, picked(ROWS, epoch))
    original = batch.input_ids.clone()
    original[batch.targets] = batch.labels
    return batch, original


def kinds(rows: Rows) -> tuple[Ints, Ints, Ints]:
    """Which rows are in order, swapped, or have a random B."""
    other = rows[:, 1] != rows[:, 4]
    return (
        np.flatnonzero(rows[:, 7] == 0),
        np.flatnonzero((rows[:, 7] == 1) & ~other),
        np.flatnonzero(other),
    )


def test_half_of_the_neighbours_are_swapped() -> None:
    """Section 3.1: the same two consecutive segments with their order swapped; label 1."""
    in_order, swapped, random = kinds(ROWS)
    assert len(ROWS) > 2_000
    assert abs(len(swapped) / (len(swapped) + len(in_order)) - 0.5) < 0.03
    assert (ROWS[random, 7] == 1).all()
    assert (ROWS[in_order, 5] >= ROWS[in_order, 3]).all()  # B lies after A
    assert (ROWS[swapped, 2] >= ROWS[swapped, 6]).all()  # B lies before A
    uncut = swapped[ROWS[swapped, 0] < LENGTH]
    assert len(uncut) > 50
    assert (ROWS[uncut, 6] == ROWS[uncut, 2]).all()  # neighbours without a gap


def test_a_chunk_of_one_sentence_has_a_random_partner() -> None:
    """The official code: `len(current_chunk) == 1` takes another document's text, label 1."""
    _, _, random = kinds(ROWS)
    assert 0 < len(random) < 0.2 * len(ROWS)
    for row in ROWS[random].tolist():
        offsets = CORPUS.sentence_offsets(row[1]).tolist()
        assert not [o for o in offsets if row[2] < o < row[3]]  # A is within one sentence
    alone = ListCorpus([[[10 + d] * 30] for d in range(50)])
    rows = all_rows(objective().plan(alone, 0))
    assert len(rows) == 50
    assert (rows[:, 7] == 1).all()
    assert (rows[:, 1] != rows[:, 4]).all()


def test_the_alternative_is_next_sentence_prediction() -> None:
    """random_next_sentence: B from another document half of the time; nothing is swapped."""
    made = objective(pairs="next")
    rows = all_rows(made.plan(CORPUS, 0))
    _, swapped, random = kinds(rows)
    assert len(swapped) == 0
    assert 0.5 < len(random) / len(rows) < 0.6
    batch = made.collate(CORPUS, picked(rows[:8]))
    assert made.counts(batch).keys() == {"mlm", "nsp"}
    assert objective().counts(batch).keys() == {"mlm", "sop"}


def test_statistics_of_pairs_equal_the_official_code() -> None:
    """create_instances_from_document, written out with a random stream of its own: samples, lengths
    of A and B, shares of the three kinds."""
    ours = [all_rows(objective().plan(CORPUS, epoch)) for epoch in range(4)]
    theirs = [official_pairs(CORPUS, seed) for seed in range(4)]
    assert abs(sum(map(len, ours)) / sum(map(len, theirs)) - 1) < 0.02
    mine = np.concatenate(ours)
    sizes = np.stack([mine[:, 3] - mine[:, 2], mine[:, 6] - mine[:, 5]], axis=1)
    official = np.concatenate(theirs)
    assert (abs(sizes.mean(0) - official[:, :2].mean(0)) < 1.5).all()
    for kind, rows in enumerate(kinds(mine)):
        assert abs(len(rows) / len(mine) - (official[:, 2] == kind).mean()) < 0.015


def official_pairs(corpus: ListCorpus, seed: int) -> Ints:
    """Google's procedure: rows of (length of A, length of B, 0 in order, 1 swapped, 2 random)."""
    stream = np.random.default_rng(seed)
    found = []
    for index, document in enumerate(corpus.documents):
        target = ROOM if stream.random() >= 0.1 else stream.integers(2, ROOM + 1)
        chunk: list[list[int]] = []
        i = 0
        while i < len(document):
            chunk.append(document[i])
            if i == len(document) - 1 or sum(map(len, chunk)) >= target:
                a_end = 1 if len(chunk) < 2 else int(stream.integers(1, len(chunk)))
                a = [t for s in chunk[:a_end] for t in s]
                b = [t for s in chunk[a_end:] for t in s]
                kind = 0
                if len(chunk) == 1:
                    other = index
                    while other == index:
                        other = int(stream.integers(0, len(corpus.documents)))
                    partner = corpus.documents[other]
                    kind, b = 2, []
                    for sentence in partner[int(stream.integers(0, len(partner))) :]:
                        b += sentence
                        if len(b) >= target - len(a):
                            break
                elif stream.random() < 0.5:
                    kind, a, b = 1, b, a
                while len(a) + len(b) > ROOM:
                    longer = a if len(a) > len(b) else b
                    longer.pop(0 if stream.random() < 0.5 else -1)
                found.append((len(a), len(b), kind))
                chunk = []
                target = ROOM if stream.random() >= 0.1 else stream.integers(2, ROOM + 1)
            i += 1
    return np.array(found)


def words_of(batch: PairBatch, original: torch.Tensor) -> tuple[Ints, Ints]:
    """Of each token its word, -1 at special tokens, and its row."""
    starts = torch.from_numpy(vocabulary().starts_word)[original]
    starts[1:] |= batch.special_mask[:-1]
    word = (starts & ~batch.special_mask).long().cumsum(0).numpy() - 1
    word[batch.special_mask.numpy()] = -1
    lengths = batch.offsets.diff().numpy()
    return word, np.repeat(np.arange(len(lengths)), lengths)


def test_whole_words_are_hidden_within_the_quota() -> None:
    """create_masked_lm_predictions: all pieces of a word or none; at most max(1, round(.15 * len)),
    and nearly that."""
    batch, original = masked()
    assert batch.num_tokens > 100_000
    word, row = words_of(batch, original)
    hidden = np.zeros(batch.num_tokens, bool)
    hidden[batch.targets.numpy()] = True
    assert not set(word[hidden]) & set(word[~hidden]) - {-1}
    assert not batch.special_mask.numpy()[hidden].any()
    found = np.bincount(row[hidden], minlength=batch.num_sequences)
    quota = np.maximum(1, np.rint(0.15 * batch.offsets.diff().numpy()))
    assert (found <= quota).all()
    assert found.sum() > 0.97 * quota.sum()


def test_fates_are_80_10_10_by_token() -> None:
    """Each token of a run draws its own replacement."""
    batch, _ = masked()
    seen, label = batch.input_ids[batch.targets], batch.labels
    assert abs((seen == MASK).float().mean().item() - 0.8) < 0.01
    assert abs((seen == label).float().mean().item() - 0.1) < 0.01
    random = seen[(seen != MASK) & (seen != label)]
    assert 0.45 < (random.float().mean() / VOCAB).item() < 0.55
    neighbours = batch.targets[1:] == batch.targets[:-1] + 1
    kept = (seen == label).float()
    both = (kept[1:] * kept[:-1])[neighbours].mean()
    assert abs(both - 0.01) < 0.006  # of one replacement for a run it would be .1


def test_lengths_of_runs_are_6_3_and_2_of_11() -> None:
    """p(n) = (1/n) / sum(1/k); what is drawn at each word, before the quota shortens anything."""
    drawn = run_lengths(np.full(200_000, 9), np.random.default_rng(0).random(200_000), 3)
    shares = np.bincount(drawn, minlength=4) / len(drawn)
    assert (abs(shares - np.array([0, 6, 3, 2]) / 11) < 0.005).all()


@pytest.mark.parametrize(("left", "expected"), [(1, [1, 0, 0]), (2, [2 / 3, 1 / 3, 0])])
def test_near_the_end_of_a_row_the_lengths_that_fit_share_the_probability(
    left: int, expected: list[float]
) -> None:
    """papers/albert.md c: p is renormalised over the n that fit."""
    drawn = run_lengths(np.full(50_000, left), np.random.default_rng(0).random(50_000), 3)
    shares = np.bincount(drawn, minlength=4)[1:] / len(drawn)
    assert (abs(shares - np.array(expected)) < 0.01).all()


def test_runs_equal_the_official_code() -> None:
    """create_masked_lm_predictions, written out: shares of hidden stretches by their words, and of
    hidden tokens."""
    batch, original = masked()
    word, row = words_of(batch, original)
    hidden = np.zeros(batch.num_tokens, bool)
    hidden[batch.targets.numpy()] = True
    stream = np.random.default_rng(0)
    official = np.zeros_like(hidden)
    for number in range(batch.num_sequences):
        at = np.flatnonzero(row == number)
        words: list[list[int]] = []
        for token in at[word[at] >= 0].tolist():
            if words and word[words[-1][-1]] == word[token]:
                words[-1].append(token)
            else:
                words.append([token])
        for token in official_runs(words, max(1, round(0.15 * len(at))), stream):
            official[token] = True
    assert abs(hidden.mean() - official.mean()) < 0.002
    ours, theirs = stretches(word, row, hidden), stretches(word, row, official)
    assert (abs(ours - theirs) < 0.02).all()
    assert ours[1] < 0.65  # single words would be over .85 of the stretches


def stretches(word: Ints, row: Ints, hidden: np.ndarray) -> np.ndarray:
    """Shares of the stretches of 1, 2, ... 5 hidden words in a row."""
    first = np.flatnonzero(np.diff(word, prepend=-2) * (word >= 0))
    flags, rows = hidden[first], row[first]
    sizes, run = np.zeros(30), 0
    for i, flag in enumerate(flags):
        if run and (not flag or rows[i] != rows[i - 1]):
            sizes[run] += 1
            run = 0
        run += int(flag)
    return np.asarray(sizes / sizes.sum())[:6]


def official_runs(words: list[list[int]], quota: int, stream: np.random.Generator) -> list[int]:
    """Google's loop over shuffled starting points; the row's end as the fact sheet has it."""
    p = 1 / np.arange(1, 4)
    covered: list[int] = []
    for start in stream.permutation(len(words)).tolist():
        if len(covered) >= quota:
            break
        fits = min(3, len(words) - start)
        n = int(stream.choice(np.arange(1, fits + 1), p=p[:fits] / p[:fits].sum()))
        run = [t for w in words[start : start + n] for t in w]
        while len(covered) + len(run) > quota and n > 1:
            n -= 1
            run = [t for w in words[start : start + n] for t in w]
        if len(covered) + len(run) <= quota and not set(run) & set(covered):
            covered += run
    return covered


def test_single_words_are_one_option() -> None:
    """max_ngram = 1 is whole-word masking."""
    single = run_lengths(np.full(100, 5), np.linspace(0, 0.999, 100), 1)
    assert (single == 1).all()


def test_a_batch_holds_the_pair_as_it_was_swapped() -> None:
    """[CLS] A [SEP] B [SEP]; label 0 = in order, 1 = swapped."""
    batch, original = masked()
    for number in range(50):
        row = ROWS[number].tolist()
        start, stop = batch.offsets[number], batch.offsets[number + 1]
        a, b = CORPUS.tokens(*row[1:4]).tolist(), CORPUS.tokens(*row[4:7]).tolist()
        assert original[start:stop].tolist() == [CLS, *a, SEP, *b, SEP]
        segments = batch.token_type_ids[start:stop].tolist()
        assert segments == [0] * (len(a) + 2) + [1] * (len(b) + 1)
    assert batch.pair_labels.tolist() == ROWS[:, 7].tolist()


@settings(max_examples=20)
@given(st.lists(st.integers(0, 300), min_size=1, max_size=20, unique=True))
def test_a_sample_is_the_same_in_any_batch(numbers: list[int]) -> None:
    """design.md: every draw is a function of (seed, epoch, sample)."""
    made, everything = objective(), picked(ROWS, 4)
    together = made.collate(CORPUS, choose(everything, np.array(numbers)))
    alone = [made.collate(CORPUS, choose(everything, np.array([n]))) for n in numbers]
    assert together.input_ids.tolist() == [i for one in alone for i in one.input_ids.tolist()]
    assert together.labels.tolist() == [i for one in alone for i in one.labels.tolist()]


def test_masks_and_pairs_are_new_each_epoch() -> None:
    assert not torch.equal(masked(0)[0].targets, masked(1)[0].targets)
    assert (masked(0)[0].labels >= FIRST_WORD).all()
    other = all_rows(objective().plan(CORPUS, 1))
    assert len(other) != len(ROWS) or not np.array_equal(other, ROWS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_ngram": 0}, "max_ngram=0 must be at least 1"),
        ({"pairs": "sop"}, "pairs='sop' must be one of order, next"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SentenceOrderConfig(**changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["short_seq_rate", "pair_rate"])
def test_rates_beyond_1_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"objective.{name}=1.5 must lie between 0 and 1"):
        SentenceOrderConfig(**{name: 1.5})  # type: ignore[arg-type]
