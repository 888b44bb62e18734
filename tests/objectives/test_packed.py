"""Packed causal LM: documents joined by end-of-text, cut into full rows (GPT-2 and GPT-3)."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from foretext.core import rng
from foretext.core.errors import ConfigError
from foretext.models.gpt import Gpt, GptConfig
from foretext.objectives.causal_lm import CausalLM, CausalLMConfig
from tests.objectives.corpora import EOT, ListCorpus, all_rows, picked, vocabulary

documents = st.lists(
    st.lists(st.lists(st.integers(10, 99), min_size=1, max_size=9), min_size=1, max_size=4),
    min_size=2,
    max_size=7,
)


def packed(length: int, seed: int = 0) -> CausalLM:
    return CausalLM(
        config=CausalLMConfig(packed=True),
        vocabulary=vocabulary(eot=True),
        max_length=length,
        seed=seed,
    )


@settings(max_examples=150)
@given(documents, st.integers(2, 40), st.integers(0, 3))
def test_every_token_is_a_target_once_and_rows_are_full_but_the_last(
    texts: list[list[list[int]]], length: int, epoch: int
) -> None:
    """Brown et al. 2020, appendix B: sequences are always full, documents joined by end-of-text."""
    corpus, objective = ListCorpus(texts), packed(length)
    rows = all_rows(objective.plan(corpus, epoch))
    flat = [[token for sentence in text for token in sentence] for text in texts]
    first = int(rng.integers(len(texts), rng.key(0, "pack", epoch)))
    stream = [token for text in flat[first:] + flat[:first] for token in [EOT, *text]]
    assert rows[:-1, 0].tolist() == [length] * (len(rows) - 1)
    assert rows[-1, 0] == len(stream) - length * (len(rows) - 1) > 0
    batch = objective.collate(corpus, picked(rows, epoch))
    assert batch.input_ids.tolist() == stream
    assert batch.labels.tolist() == [*stream[1:], EOT]
    assert batch.offsets.diff().tolist() == rows[:, 0].tolist()
    assert batch.special_mask.tolist() == [token == EOT for token in stream]
    assert batch.position_ids.tolist() == [i for n in rows[:, 0].tolist() for i in range(n)]


def test_epochs_cut_rows_elsewhere() -> None:
    """Each begins at a document of its own, which the seed and the epoch choose."""
    corpus = ListCorpus([[list(range(10, 10 + 7 * n))] for n in range(1, 9)])
    plans = {tuple(map(tuple, all_rows(packed(16).plan(corpus, e)).tolist())) for e in range(6)}
    assert len(plans) >= 3


def test_a_token_sees_the_documents_before_it_in_its_row_unless_they_are_apart() -> None:
    """Appendix B: no mask between documents; objective.packed=false isolates them."""
    corpus = ListCorpus([[[10, 11, 12]], [[20, 21, 22]]])
    other = ListCorpus([[[10, 11, 19]], [[20, 21, 22]]])
    config = GptConfig(
        vocab_size=1_000, hidden_size=16, num_layers=1, num_heads=2, intermediate_size=16,
        max_position_embeddings=16,
    )  # fmt: skip
    torch.manual_seed(0)
    model = Gpt(config).eval()
    for is_packed, changed in ((True, True), (False, False)):
        objective = CausalLM(
            config=CausalLMConfig(packed=is_packed), vocabulary=vocabulary(eot=True), max_length=16
        )
        epoch = next(e for e in range(99) if rng.integers(2, rng.key(0, "pack", e)) == 0)
        batches = [
            objective.collate(c, picked(all_rows(objective.plan(c, epoch)), epoch))
            for c in (corpus, other)
        ]
        states = [model(batch)[batch.input_ids == 22] for batch in batches]
        assert torch.equal(*states) is not changed


def test_packing_needs_an_end_of_text_token() -> None:
    """GPT-1's tokenizer has none."""
    with pytest.raises(ConfigError, match=r"packed=true .* end-of-text token"):
        CausalLM(config=CausalLMConfig(packed=True), vocabulary=vocabulary(eot=False), max_length=8)
