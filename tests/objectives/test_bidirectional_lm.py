"""Streams read in both directions: every word once in each, window after window."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from foretext.core.errors import ConfigError, DataError
from foretext.core.words import Spelling
from foretext.objectives.base import Rows, SampleBatch, Vocabulary
from foretext.objectives.bidirectional_lm import (
    BidirectionalLM,
    BidirectionalLMConfig,
    StreamBatch,
)
from foretext.objectives.streams import read_both_ways, unit_ends
from tests.objectives.corpora import VOCAB, ListCorpus, all_rows, random_corpus, vocabulary

BEGIN, END, UNKNOWN = 0, 1, 2
WINDOW, STREAMS = 6, 3


def words() -> Vocabulary:
    tokens = [f"w{i}" for i in range(VOCAB)]
    return replace(
        vocabulary(),
        bos_id=BEGIN,
        eos_id=END,
        unk_id=UNKNOWN,
        special_ids=(BEGIN, END, UNKNOWN),
        spelling=Spelling(tokens, begin=BEGIN, end=END),
    )


def objective(**config: int) -> BidirectionalLM:
    return BidirectionalLM(
        config=BidirectionalLMConfig(**config), vocabulary=words(), max_length=WINDOW, seed=1
    )


def served(rows: Rows, streams: int, time: int, epoch: int = 0) -> SampleBatch:
    """Sample number `time` of each of so many streams, which are parts of the plan."""
    numbers = np.arange(streams) * (len(rows) // streams) + time
    return SampleBatch(
        rows=rows[numbers],
        epochs=np.full(streams, epoch),
        samples=numbers,
        slots=np.arange(streams),
        continues=np.full(streams, time > 0),
        time=time,
    )


def batches(made: BidirectionalLM, corpus: ListCorpus, streams: int = STREAMS) -> list[StreamBatch]:
    """The steps of an epoch, one sample of each stream."""
    rows = all_rows(made.plan(corpus, 0))
    return [
        made.collate(corpus, served(rows, streams, time)) for time in range(len(rows) // streams)
    ]


def test_a_sentence_is_read_as_bilm_tf_reads_it() -> None:
    """bilm/data.py: <S> w1 .. wn predicts w1 .. wn </S>; </S> wn .. w1 predicts wn .. w1 <S>."""
    corpus = ListCorpus([[[11, 12, 13], [14]]])
    forward, backward = read_both_ways(corpus, 0, 0, 6, begin=BEGIN, end=END)
    assert forward.ids.tolist() == [BEGIN, 11, 12, 13, BEGIN, 14]
    assert forward.labels.tolist() == [11, 12, 13, END, 14, END]
    assert backward.ids.tolist() == [END, 13, 12, 11, END, 14]
    assert backward.labels.tolist() == [13, 12, 11, BEGIN, 14, BEGIN]


def test_any_stretch_is_a_part_of_the_whole() -> None:
    """Cut anywhere, over sentences and documents and from the last document to the first."""
    corpus = random_corpus(4, seed=5, sentences=3)
    total = int(unit_ends(corpus)[-1])
    whole = read_both_ways(corpus, 0, 0, total, begin=BEGIN, end=END)
    ends = [0, *unit_ends(corpus).tolist()]
    for document in range(corpus.num_documents):
        for start in range(ends[document + 1] - ends[document]):
            found = read_both_ways(corpus, document, start, 25, begin=BEGIN, end=END)
            places = (ends[document] + start + np.arange(25)) % total
            for part, all_of_it in zip(found, whole, strict=True):
                assert np.array_equal(part.ids, all_of_it.ids[places])
                assert np.array_equal(part.labels, all_of_it.labels[places])


def test_windows_follow_each_other_and_none_is_read_twice() -> None:
    corpus = random_corpus(9, seed=2)
    total = int(unit_ends(corpus)[-1])
    steps = batches(objective(), corpus, streams=1)
    assert len(steps) == total // WINDOW
    joined = [label for step in steps for label in step.labels[step.is_forward].tolist()]
    whole = read_both_ways(corpus, 0, 0, total, begin=BEGIN, end=END)[0].labels.tolist()
    doubled = whole + whole
    begins = [i for i in range(total) if doubled[i : i + 40] == joined[:40]]
    assert [doubled[i : i + len(joined)] for i in begins] == [joined]  # one stretch, once


def test_epochs_begin_elsewhere_and_are_functions_of_the_seed() -> None:
    corpus, made = random_corpus(9, seed=2), objective()
    first, again, second = (all_rows(made.plan(corpus, epoch)) for epoch in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, second)
    other = replace(made, seed=2)
    assert not np.array_equal(first, all_rows(other.plan(corpus, 0)))


def test_pairs_have_equal_lengths_and_lie_one_after_another() -> None:
    """So a token's number in the step does not depend on micro-batches."""
    step = batches(objective(), random_corpus(9))[0]
    assert step.layout.lengths == (WINDOW,) * 2 * STREAMS
    assert step.is_forward.tolist() == ([True] * WINDOW + [False] * WINDOW) * STREAMS
    assert step.words is not None
    assert torch.equal(step.words.of_token.unique(), torch.arange(step.words.characters.shape[0]))


def test_the_words_drawn_are_the_same_throughout_a_step_and_differ_between_steps() -> None:
    corpus, made = random_corpus(9), objective(sampled_words=5)
    rows = all_rows(made.plan(corpus, 0))

    def key(streams: int, time: int, epoch: int = 0) -> int:
        return int(made.collate(corpus, served(rows, streams, time, epoch)).key)

    assert key(3, 1) == key(1, 1)
    assert len({key(3, 0), key(3, 1), key(3, 2), key(3, 0, 1)}) == 4


def test_words_that_are_not_predicted_are_unknown_as_targets_alone() -> None:
    class Network:
        num_predicted = 100

    step = batches(objective(), random_corpus(9))[0]
    found = objective()._labels(Network(), step)  # type: ignore[arg-type]
    assert (step.labels >= 100).any()
    assert torch.equal(found, step.labels.where(step.labels < 100, UNKNOWN))
    assert (step.input_ids >= 100).any()


def test_a_text_too_small_for_a_window_is_refused() -> None:
    with pytest.raises(DataError, match="3 words and sentence ends, fewer than a window of 6"):
        all_rows(objective().plan(ListCorpus([[[11, 12]]]), 0))


def test_tokenizers_without_words_are_refused() -> None:
    with pytest.raises(ConfigError, match="tokens are no words"):
        replace(objective(), vocabulary=replace(words(), spelling=None))
    with pytest.raises(ConfigError, match="BOS"):
        replace(objective(), vocabulary=replace(words(), bos_id=None))
