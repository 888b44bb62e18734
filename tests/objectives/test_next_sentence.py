"""Next-sentence prediction against the official procedure, whose literal code is the reference."""

from __future__ import annotations

import numpy as np
import torch

from foretext.objectives.base import Ints
from foretext.objectives.next_sentence import NextSentence, NextSentenceConfig
from tests.objectives.corpora import (
    CLS,
    SEP,
    ListCorpus,
    all_rows,
    picked,
    random_corpus,
    vocabulary,
)

CORPUS = random_corpus(400, sentences=60)
LENGTH = 128
ROOM = LENGTH - 3


def objective(**changes: float) -> NextSentence:
    config = NextSentenceConfig(**changes)  # type: ignore[arg-type]
    return NextSentence(config=config, vocabulary=vocabulary(), max_length=LENGTH)


ROWS = all_rows(objective().plan(CORPUS, 0))


def test_half_of_the_pairs_are_random_and_from_another_document() -> None:
    """Section 3.1: 50% of the time B is a random sentence from the corpus. Chunks of a single
    sentence are always random, so the share lies a little above."""
    random = ROWS[:, 7] == 1
    assert len(ROWS) > 2_000
    assert 0.5 < random.mean() < 0.6
    assert (ROWS[random, 1] != ROWS[random, 4]).all()
    follows = ROWS[~random]
    assert (follows[:, 1] == follows[:, 4]).all()
    assert (follows[:, 5] >= follows[:, 3]).all()


def test_text_without_pairs_is_warned_of() -> None:
    """A document of one sentence has no second: its B is always random."""
    assert objective().warning(CORPUS) is None
    sentences = ListCorpus([[[10, 11, 12]]] * 40 + [[[10], [11]]] * 2)
    assert "of the documents have one sentence" in str(objective().warning(sentences))
    assert "one document" in str(objective().warning(ListCorpus([[[10], [11]] * 9])))


def test_a_true_partner_follows_without_a_gap_but_for_cuts() -> None:
    """B is the rest of the chunk: where nothing was cut, it starts where A stops."""
    uncut = ROWS[(ROWS[:, 7] == 0) & (ROWS[:, 0] < LENGTH)]
    assert len(uncut) > 50
    assert (uncut[:, 3] == uncut[:, 5]).all()


def test_lengths_follow_the_procedure() -> None:
    """No pair is longer than max_length; a tenth aims at a shorter length."""
    assert ROWS[:, 0].max() == LENGTH
    sizes = (ROWS[:, 3] - ROWS[:, 2]) + (ROWS[:, 6] - ROWS[:, 5])
    assert (sizes + 3 == ROWS[:, 0]).all()
    assert ((ROWS[:, 3] > ROWS[:, 2]) & (ROWS[:, 6] > ROWS[:, 5])).all()
    never = all_rows(objective(short_seq_rate=0.0).plan(CORPUS, 0))
    always = all_rows(objective(short_seq_rate=1.0).plan(CORPUS, 0))
    assert np.mean(never[:, 0] == LENGTH) > np.mean(ROWS[:, 0] == LENGTH) > 0.6
    assert abs(np.mean(always[:, 0]) - 0.5 * LENGTH) < 0.2 * LENGTH


def test_cuts_come_from_both_ends_alike() -> None:
    """truncate_seq_pair: the longer one loses a token from its front or its back, each half the
    time. Of single sentences of 200 tokens, A and B lose their excess evenly at both ends."""
    corpus = ListCorpus([[[10 + s] * 200] for s in range(300)])
    rows = all_rows(objective(short_seq_rate=0.0).plan(corpus, 0))
    for start, stop in ((2, 3), (5, 6)):
        front, back = rows[:, start], 200 - rows[:, stop]
        assert abs(front.mean() / (front + back).mean() - 0.5) < 0.02
        assert front.std() > 3  # of 137 coin flips: 5.9
    assert ((rows[:, 3] - rows[:, 2]) - (rows[:, 6] - rows[:, 5]) == 1).all()  # B loses ties


def test_statistics_equal_the_official_code() -> None:
    """create_instances_from_document, written out with a random stream of its own: mean length,
    samples and share of random pairs agree over several epochs."""
    ours = [all_rows(objective().plan(CORPUS, epoch)) for epoch in range(4)]
    theirs = [official(CORPUS, seed) for seed in range(4)]
    samples = np.mean([len(rows) for rows in ours]) / np.mean([len(rows) for rows in theirs])
    assert abs(samples - 1) < 0.02
    for column, tolerance in ((0, 1.5), (1, 1.5), (2, 0.02)):
        mine = np.concatenate([np.stack([summary(r) for r in rows]) for rows in ours])
        official_rows = np.concatenate(theirs)
        assert abs(mine[:, column].mean() - official_rows[:, column].mean()) < tolerance


def summary(row: Ints) -> Ints:
    return np.array([row[3] - row[2], row[6] - row[5], row[7]])


def official(corpus: ListCorpus, seed: int) -> Ints:
    """Google's procedure, literally: rows of (length of A, length of B, random)."""
    stream = np.random.default_rng(seed)
    documents = corpus.documents
    found = []
    for index, document in enumerate(documents):
        target = ROOM if stream.random() >= 0.1 else stream.integers(2, ROOM + 1)
        chunk: list[list[int]] = []
        length, i = 0, 0
        while i < len(document):
            chunk.append(document[i])
            length += len(document[i])
            if i == len(document) - 1 or length >= target:
                a_end = 1 if len(chunk) < 2 else int(stream.integers(1, len(chunk)))
                a = [t for s in chunk[:a_end] for t in s]
                b: list[int] = []
                random = len(chunk) == 1 or stream.random() < 0.5
                if random:
                    for _ in range(10):
                        other = int(stream.integers(0, len(documents)))
                        if other != index:
                            break
                    partner = documents[other]
                    for j in range(int(stream.integers(0, len(partner))), len(partner)):
                        b += partner[j]
                        if len(b) >= target - len(a):
                            break
                    i -= len(chunk) - a_end
                else:
                    b = [t for s in chunk[a_end:] for t in s]
                while len(a) + len(b) > ROOM:
                    longer = a if len(a) > len(b) else b
                    longer.pop(0 if stream.random() < 0.5 else -1)
                found.append((len(a), len(b), int(random)))
                chunk, length = [], 0
                target = ROOM if stream.random() >= 0.1 else stream.integers(2, ROOM + 1)
            i += 1
    return np.array(found)


def test_pairs_are_new_each_epoch_and_the_same_when_asked_again() -> None:
    again = all_rows(objective().plan(CORPUS, 0))
    other = all_rows(objective().plan(CORPUS, 1))
    assert np.array_equal(again, ROWS)
    assert len(other) != len(ROWS) or not np.array_equal(other, ROWS)


def test_a_batch_holds_the_pair_and_its_label() -> None:
    """[CLS] A [SEP] B [SEP]; label 0 = is next, 1 = random."""
    chosen = objective()
    batch = chosen.collate(CORPUS, picked(ROWS[:50]))
    ids = batch.input_ids.clone()
    ids[batch.targets] = batch.labels
    for number in range(50):
        row = ROWS[number].tolist()
        start, stop = batch.offsets[number], batch.offsets[number + 1]
        a, b = CORPUS.tokens(*row[1:4]).tolist(), CORPUS.tokens(*row[4:7]).tolist()
        assert ids[start:stop].tolist() == [CLS, *a, SEP, *b, SEP]
        segments = batch.token_type_ids[start:stop].tolist()
        assert segments == [0] * (len(a) + 2) + [1] * (len(b) + 1)
    assert batch.pair_labels.tolist() == ROWS[:50, 7].tolist()
    assert torch.equal(chosen.counts(batch)["nsp"], torch.tensor(50))


def test_one_document_is_its_own_partner() -> None:
    """The official code gives up after ten tries and takes the same document."""
    rows = all_rows(objective().plan(ListCorpus([[[10] * 5, [11] * 5] * 300]), 0))
    assert (rows[:, 4] == 0).all()
    assert 0.2 < rows[:, 7].mean() < 0.8
