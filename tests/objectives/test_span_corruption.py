"""T5's objectives over a corpus: what becomes of windows, and that nothing else decides it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from foretext.core.errors import ConfigError, DataError
from foretext.objectives.base import SampleBatch
from foretext.objectives.span_corruption import (
    KINDS,
    DenoisingBatch,
    SpanCorruption,
    SpanCorruptionConfig,
)
from tests.objectives.corpora import (
    EOS,
    PAD,
    SENTINELS,
    ListCorpus,
    random_corpus,
    vocabulary_of_t5,
)


def objective(max_length: int = 64, seed: int = 0, **settings: Any) -> SpanCorruption:
    config = SpanCorruptionConfig(**settings)
    return SpanCorruption(
        config=config, vocabulary=vocabulary_of_t5(), max_length=max_length, seed=seed
    )


def pick(
    one: SpanCorruption, corpus: ListCorpus, numbers: list[int] | slice, epoch: int = 0
) -> SampleBatch:
    rows = np.concatenate(list(one.plan(corpus, epoch)))
    chosen = np.arange(len(rows))[numbers]
    return SampleBatch(rows=rows[chosen], epochs=np.full(len(chosen), epoch), samples=chosen)


def pairs(batch: DenoisingBatch) -> list[tuple[list[int], list[int], list[int]]]:
    """Source, target and labels of each pair."""
    cut = [b.offsets.tolist() for b in (batch.source, batch.target)]
    return [
        (
            batch.source.input_ids[cut[0][i] : cut[0][i + 1]].tolist(),
            batch.target.input_ids[cut[1][i] : cut[1][i + 1]].tolist(),
            batch.labels[cut[1][i] : cut[1][i + 1]].tolist(),
        )
        for i in range(batch.num_sequences)
    ]


def restored(source: list[int], labels: list[int]) -> list[int]:
    """The text of which inputs and targets tell different parts."""
    said: dict[int, list[int]] = {}
    current: list[int] = []
    for token in labels[:-1]:
        if token in SENTINELS:
            current = said.setdefault(token, [])
        else:
            current.append(token)
    return [t for token in source[:-1] for t in (said[token] if token in SENTINELS else [token])]


def test_inputs_have_at_most_max_length_tokens_and_full_windows_exactly() -> None:
    """t5.md, c: 512 -> windows of 568, targets of 114."""
    corpus = ListCorpus([[list(range(10, 900))], [[11] * 568], [[12] * 30]])
    one = objective(512)
    found = pairs(one.collate(corpus, pick(one, corpus, slice(None))))
    assert [(len(found[i][0]), len(found[i][1])) for i in (0, 2)] == [(512, 114)] * 2
    rows = np.concatenate(list(one.plan(corpus, 0)))
    assert rows[:, 3].tolist() == [568, 322, 568, 30]
    assert rows[:, 0].tolist() == [len(s) + len(t) for s, t, _ in found]


@pytest.mark.parametrize("packed", [False, True])
def test_source_and_target_tell_the_whole_text(packed: bool) -> None:
    corpus = random_corpus(12)
    one = objective(packed=packed)
    batch = one.collate(corpus, pick(one, corpus, slice(None)))
    texts = [restored(source, labels) for source, _, labels in pairs(batch)]
    whole = [t for d in corpus.documents for s in d for t in s]
    joined = [t for text in texts for t in text]
    if not packed:
        singles = sum(sum(map(len, d)) % one.window == 1 for d in corpus.documents)
        assert len(joined) + singles == len(whole)
    assert sorted(set(joined)) == sorted(set(whole))
    assert len(joined) > 0.95 * len(whole)


def test_targets_are_shifted_by_the_start_token() -> None:
    """t5.md, a: the decoder starts with pad; c: end of text ends inputs and targets."""
    corpus = random_corpus(3)
    one = objective()
    for source, target, labels in pairs(one.collate(corpus, pick(one, corpus, slice(None)))):
        assert target == [PAD, *labels[:-1]]
        assert source[-1] == labels[-1] == EOS
        assert source.count(SENTINELS[0]) == labels.count(SENTINELS[0]) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_ask_what_their_table_says(kind: str) -> None:
    """The study's objectives, t5.md, c."""
    corpus = ListCorpus([[list(range(100, 160))]])
    text = list(range(100, 160))
    one = objective(kind=kind, noise_rate=0.3)
    ((source, _, labels),) = pairs(one.collate(corpus, pick(one, corpus, slice(None))))
    source, labels = source[:-1], labels[:-1]
    ordinary = sorted(t for t in source + labels if t not in SENTINELS)
    if kind == "spans":
        assert restored([*source, EOS], [*labels, EOS]) == text
    elif kind == "replace":  # where noise comes first, the sentinels of the two differ by one
        assert ordinary == text
        assert source.count(SENTINELS[0]) == labels.count(SENTINELS[0]) == 1
    elif kind == "drop":
        assert sorted(source + labels) == ordinary == text
    elif kind == "prefix-lm":
        assert source + labels == text
    else:
        assert labels == text
    if kind == "mass":
        hidden = [s for s, t in zip(source, text, strict=True) if s != t]
        assert set(hidden) == {SENTINELS[0]}
    if kind == "deshuffle":
        assert sorted(source) == text != source


def test_a_sample_is_the_same_whatever_batch_it_lands_in() -> None:
    """design.md: everything random is a function of (seed, epoch, sample)."""
    corpus = random_corpus(6)
    for kind in KINDS:
        one = objective(kind=kind)
        alone = pairs(one.collate(corpus, pick(one, corpus, [5])))
        among = pairs(one.collate(corpus, pick(one, corpus, [2, 5, 3])))
        assert alone[0] == among[1]
        later = pairs(one.collate(corpus, pick(one, corpus, [5], epoch=1)))
        other = objective(kind=kind, seed=1)
        assert later != alone != pairs(other.collate(corpus, pick(other, corpus, [5])))


def test_the_share_of_targets_is_what_estimates_take() -> None:
    corpus = ListCorpus([[list(range(10, 578))]] * 20)
    one = objective(512)
    batch = one.collate(corpus, pick(one, corpus, slice(None)))
    assert one.target_rate == pytest.approx(len(batch.labels) / batch.num_tokens)


def test_noise_that_needs_more_sentinels_than_there_are_is_kept() -> None:
    corpus = ListCorpus([[list(range(10, 900))]])
    one = objective(800, kind="replace", noise_rate=0.5)
    for source, _, labels in pairs(one.collate(corpus, pick(one, corpus, slice(None)))):
        shown = sorted(t for t in source + labels if t >= 10 and t not in SENTINELS)
        assert shown == list(range(shown[0], shown[0] + len(shown)))
        assert sum(t in SENTINELS for t in source) == 99


def test_too_few_sentinels_are_refused() -> None:
    with pytest.raises(ConfigError, match="has 170 spans, but the tokenizer has 100 sentinels"):
        objective(512, noise_rate=0.5, mean_span=2.0)
    bare = replace(vocabulary_of_t5(), sentinel_ids=())
    with pytest.raises(ConfigError, match="special_tokens=t5"):
        SpanCorruption(config=SpanCorruptionConfig(), vocabulary=bare, max_length=64)


def test_a_sentinel_in_the_text_is_refused() -> None:
    corpus = ListCorpus([[[10, 11]], [[10, SENTINELS[7], 11]]])
    with pytest.raises(DataError, match="document 2 of the text holds a sentinel"):
        objective().warning(corpus)


def test_windows_of_one_token_are_counted() -> None:
    corpus = ListCorpus([[[10, 11]], [[10]], [[12]]])
    one = objective()
    assert "2 windows of one token" in (one.warning(corpus) or "")
    assert len(np.concatenate(list(one.plan(corpus, 0)))) == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "span"}, "must be one of spans, replace"),
        ({"noise_rate": 1.0}, "noise_rate=1.0 must lie between"),
        ({"mean_span": 0.5}, "mean_span=0.5 must be at least 1"),
        ({"z_loss": -1.0}, "z_loss=-1.0 must not be negative"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        objective(**settings)
