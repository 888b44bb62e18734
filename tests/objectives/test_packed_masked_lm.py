"""Packed sentences and RoBERTa's masks: Liu et al. 2019, sections 4.1 and 4.2, and fairseq."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from foretext.core.errors import ConfigError
from foretext.objectives.base import Rows
from foretext.objectives.masking import MaskedBatch
from foretext.objectives.packed_masked_lm import PACKINGS, PackedMaskedLM, PackedMaskedLMConfig
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

CORPUS = random_corpus(700)
LENGTH = 64
SHORT = ListCorpus([[[10 + d] * 3, [500 + d] * 4] for d in range(200)])  # 7 tokens a document


def objective(
    packing: str = "full-sentences", length: int = LENGTH, **changes: object
) -> PackedMaskedLM:
    config = PackedMaskedLMConfig(packing=packing, **changes)  # type: ignore[arg-type]
    return PackedMaskedLM(config=config, vocabulary=vocabulary(), max_length=length)


@cache
def masked(packing: str, epoch: int = 0) -> tuple[MaskedBatch, torch.Tensor, Rows]:
    """All samples of an epoch, their ids before corruption, and the rows."""
    made = objective(packing)
    rows = all_rows(made.plan(CORPUS, epoch))
    batch = made.collate(CORPUS, picked(rows, epoch))
    original = batch.input_ids.clone()
    original[batch.targets] = batch.labels
    return batch, original, rows


@pytest.mark.parametrize("packing", PACKINGS)
def test_every_token_is_in_one_row_in_order(packing: str) -> None:
    """Neither packing overlaps or leaves anything out."""
    _, original, _ = masked(packing)
    kept = original[original >= FIRST_WORD].tolist()
    assert kept == [token for document in CORPUS.documents for s in document for token in s]


@pytest.mark.parametrize("packing", PACKINGS)
def test_rows_say_their_length_and_are_full(packing: str) -> None:
    """ "Packed with full sentences such that the total length is at most 512 tokens"; here 64, with
    sentences of 20 on average."""
    batch, _, rows = masked(packing)
    assert rows[:, 0].max() <= LENGTH
    assert rows[:, 0].sum() == batch.num_tokens
    assert rows[:, 0].mean() > (0.75 if packing == "full-sentences" else 0.6) * LENGTH
    if packing == "full-sentences":
        assert torch.equal(batch.offsets.diff(), torch.from_numpy(rows[:, 0]).long())


def test_full_sentences_are_as_long_as_they_can_be() -> None:
    """No row has room for the next sentence, nor ends inside one (sentences have at most 40)."""
    _, _, rows = masked("full-sentences")
    halves = (0, CORPUS.num_documents // 2, CORPUS.num_documents)  # as the corpus gives them out
    for row, after in zip(rows[:-1].tolist(), rows[1:].tolist(), strict=True):
        length, _, _, last, stop = row
        offsets = CORPUS.sentence_offsets(last).tolist()
        assert stop in offsets
        if after[1] in halves:
            continue
        following = CORPUS.sentence_offsets(after[1]).tolist()
        size = following[following.index(after[2]) + 1] - after[2]
        assert length + size + (after[1] != last) > LENGTH


def test_documents_in_a_row_are_separated() -> None:
    """`<s> A </s> B </s>`: "we add an extra separator token between documents"; one sequence."""
    made = objective()
    batch = made.collate(SHORT, picked(all_rows(made.plan(SHORT, 0))[:1]))
    ids = batch.input_ids.clone()
    ids[batch.targets] = batch.labels
    expected = [CLS]
    for document in range(7):  # 1 + 7 * 8 = 57 and one sentence of 3 more with its </s> is 61
        expected += [10 + document] * 3 + [500 + document] * 4 + [SEP]
    assert ids.tolist() == [*expected, 17, 17, 17, SEP]
    assert batch.num_sequences == 1
    assert batch.position_ids.tolist() == list(range(61))
    assert not batch.token_type_ids.any()
    assert batch.special_mask.sum() == 9


def test_doc_sentences_never_cross_a_document() -> None:
    """ "They may not cross document boundaries": short documents share a row as sequences of their
    own, so that a step still has about as many tokens."""
    made = objective("doc-sentences")
    rows = all_rows(made.plan(SHORT, 0))
    batch = made.collate(SHORT, picked(rows[:1]))
    ids = batch.input_ids.clone()
    ids[batch.targets] = batch.labels
    assert batch.num_sequences == 7  # of 9 tokens: 63
    assert batch.offsets.diff().tolist() == [9] * 7
    assert ids[9:18].tolist() == [CLS, 11, 11, 11, 501, 501, 501, 501, SEP]
    assert batch.position_ids.tolist() == list(range(9)) * 7
    tokens = {packing: masked(packing)[2][:, 0].mean() for packing in PACKINGS}
    assert tokens["doc-sentences"] > 0.75 * tokens["full-sentences"]


def test_doc_sentences_are_cut_as_if_alone() -> None:
    """A document's sequences begin at its start and are as full as its sentences allow."""
    batch, original, _ = masked("doc-sentences")
    found = [original[a:b].tolist() for a, b in zip(batch.offsets, batch.offsets[1:], strict=False)]
    expected = []
    for document in CORPUS.documents:
        held: list[int] = []
        for sentence in document:
            if held and len(held) + len(sentence) > LENGTH - 2:
                expected.append([CLS, *held, SEP])
                held = []
            held = held + sentence
        expected.append([CLS, *held, SEP])
    assert found == expected


@pytest.mark.parametrize("packing", PACKINGS)
def test_a_sentence_longer_than_a_row_is_cut(packing: str) -> None:
    corpus = ListCorpus([[[10] * 5, [11] * 150, [12] * 5], [[13] * 2]])
    made = objective(packing)
    rows = all_rows(made.plan(corpus, 0))
    batch = made.collate(corpus, picked(rows))
    ids = batch.input_ids.clone()
    ids[batch.targets] = batch.labels
    assert (ids == 11).sum() == 150
    assert rows[:, 0].max() == LENGTH
    if packing == "full-sentences":
        # 5; 62; 62; 26 + 5; the corpus gives its two documents apart, so 2
        assert rows[:, 0].tolist() == [7, 64, 64, 33, 4]


@pytest.mark.parametrize("packing", PACKINGS)
def test_fates_are_80_10_10_over_ordinary_tokens(packing: str) -> None:
    """fairseq: random tokens are drawn from the entries that are not special; 10^5 tokens."""
    batch, original, _ = masked(packing)
    assert batch.num_tokens > 100_000
    seen, label = batch.input_ids[batch.targets], batch.labels
    assert abs((seen == MASK).float().mean().item() - 0.8) < 0.01
    assert abs((seen == label).float().mean().item() - 0.1) < 0.01
    random = seen[(seen != MASK) & (seen != label)]
    special = torch.tensor(vocabulary().special_ids)
    assert not torch.isin(random, special).any()
    spread = torch.bincount(random, minlength=VOCAB)[FIRST_WORD:]
    chi = ((spread - spread.float().mean()) ** 2 / spread.float().mean()).sum()
    assert abs(chi / (VOCAB - FIRST_WORD) - 1) < 0.2  # uniform: about 1, deviation .045
    assert not batch.special_mask[batch.targets].any()
    assert (original[batch.targets] == label).all()


@pytest.mark.parametrize("packing", PACKINGS)
def test_the_number_of_targets_is_rounded_at_random(packing: str) -> None:
    """mask_tokens_dataset.py: floor(.15 * length + u), so that its mean is exactly 15%."""
    batch, _, _ = masked(packing)
    lengths = batch.offsets.diff()
    sequence = torch.repeat_interleave(torch.arange(len(lengths)), lengths)
    found = torch.bincount(sequence[batch.targets], minlength=len(lengths))
    exact = 0.15 * lengths.double()
    assert ((found - exact).abs() < 1).all()
    up = found > exact.floor()
    share = exact - exact.floor()
    assert abs((up.double() - share).mean()) < 0.02
    assert abs(found.sum() / batch.num_tokens - 0.15) < 0.001


def test_sequences_of_one_row_have_masks_of_their_own() -> None:
    """Equal positions in two short documents of one row are drawn independently."""
    made = objective("doc-sentences", mask_rate=0.4)
    batch = made.collate(SHORT, picked(all_rows(made.plan(SHORT, 0))))
    hidden = torch.zeros(batch.num_tokens, dtype=torch.bool)
    hidden[batch.targets] = True
    rows = hidden[: 28 * 63].view(28, 7, 9)[:, :, 1:8].float()
    together = (rows[:, 0] * rows[:, 1]).mean()
    assert abs(together - rows.mean() ** 2) < 0.06  # of equal masks it would be the mean itself


def test_masks_are_new_each_epoch_unless_static() -> None:
    """Section 4.1: dynamic masks against ten static sets."""
    assert not torch.equal(
        masked("full-sentences", 0)[0].targets, masked("full-sentences", 1)[0].targets
    )
    made = objective(mask_sets=10)
    rows = all_rows(made.plan(CORPUS, 0))[:50]
    ids = [made.collate(CORPUS, picked(rows, epoch)).input_ids for epoch in (2, 12, 3)]
    assert torch.equal(ids[0], ids[1])
    assert not torch.equal(ids[0], ids[2])


@settings(max_examples=20)
@given(
    st.lists(st.integers(0, 300), min_size=1, max_size=20, unique=True), st.sampled_from(PACKINGS)
)
def test_a_sample_is_the_same_in_any_batch(numbers: list[int], packing: str) -> None:
    """design.md: every draw is a function of (seed, epoch, sample)."""
    made, rows = objective(packing), masked(packing)[2]
    everything = picked(rows, 4)
    together = made.collate(CORPUS, choose(everything, np.array(numbers)))
    alone = [made.collate(CORPUS, choose(everything, np.array([n]))) for n in numbers]
    assert together.input_ids.tolist() == [i for one in alone for i in one.input_ids.tolist()]
    assert together.labels.tolist() == [i for one in alone for i in one.labels.tolist()]


def test_an_unknown_packing_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"packing='sentences' must be one of full-sentences"):
        PackedMaskedLMConfig(packing="sentences")
