"""Input layouts of encoders and of left-to-right models."""

from __future__ import annotations

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as Library

from foretext.core.errors import ConfigError
from foretext.models.bert import Bert
from foretext.models.gpt import Gpt
from foretext.tasks.inputs import (
    EncoderFormat,
    ExtractFormat,
    fit_to_tokens,
    input_format_for,
    longest_first,
    task_tokenizer,
)
from tests.tasks.tiny import model_of, tokenizer_of

A, B = [10, 11, 12, 13, 14], [20, 21, 22, 23]


def encoder(max_length: int) -> EncoderFormat:
    return EncoderFormat(tokenizer=tokenizer_of("bert"), max_length=max_length)


def extract(max_length: int) -> ExtractFormat:
    return ExtractFormat(tokenizer=task_tokenizer(tokenizer_of("gpt2"), Gpt), max_length=max_length)


def test_encoder_inputs_are_cls_a_sep_b_sep() -> None:
    """Devlin et al. 2019, figure 2: segment 0 up to the first [SEP], 1 after it."""
    single, pair = encoder(99).arrange(A), encoder(99).arrange(A, B)
    assert single.ids == [2, *A, 3]
    assert single.segments == [0] * 7
    assert pair.ids == [2, *A, 3, *B, 3]
    assert pair.segments == [0] * 7 + [1] * 5
    assert pair.special == [True] + [False] * 5 + [True] + [False] * 4 + [True]


def test_roberta_has_two_separators_between_the_texts_of_a_pair() -> None:
    """papers/roberta.md b: `<s> A </s></s> B </s>`, as its tokenizer's template says."""
    layout = EncoderFormat(tokenizer=tokenizer_of("roberta"), max_length=99)
    pair = layout.arrange(A, B)
    assert pair.ids == [0, *A, 2, 2, *B, 2]
    assert pair.special == [True] + [False] * 5 + [True] * 2 + [False] * 4 + [True]
    assert len(pair.segments) == len(pair.ids)
    assert layout.arrange(A).ids == [0, *A, 2]
    short = EncoderFormat(tokenizer=tokenizer_of("roberta"), max_length=9)
    assert short.arrange(A, B).ids == [0, *A[:3], 2, 2, *B[:2], 2]


def test_encoder_inputs_are_cut_to_the_length() -> None:
    """run_classifier.py: a single text keeps its beginning; of a pair the longer one is cut."""
    assert encoder(5).arrange(A).ids == [2, *A[:3], 3]
    assert encoder(8).arrange(A, B).ids == [2, *A[:3], 3, *B[:2], 3]


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 40))
def test_pairs_are_cut_longest_first(first: int, second: int, limit: int) -> None:
    """run_classifier.py, _truncate_seq_pair, written as there."""
    a, b = first, second
    while a + b > limit:
        if a > b:
            a -= 1
        else:
            b -= 1
    assert longest_first(first, second, limit) == (a, b)


def test_left_to_right_inputs_are_start_delimiter_extract() -> None:
    """Radford et al. 2018, section 3.3; the extract token is the last."""
    layout = extract(99)
    start, delimiter, classify = (
        layout.tokenizer.id_of(t) for t in ("_start_", "_delimiter_", "_classify_")
    )
    assert layout.arrange(A).ids == [start, *A, classify]
    pair = layout.arrange(A, B)
    assert pair.ids == [start, *A, delimiter, *B, classify]
    assert set(pair.segments) == {0}
    assert pair.special == [True] + [False] * 5 + [True] + [False] * 4 + [True]


@given(st.integers(0, 12), st.integers(0, 12), st.integers(6, 20), st.booleans())
def test_other_tools_cut_a_pair_alike(
    first: int, second: int, limit: int, left_to_right: bool
) -> None:
    """As the saved tokenizer; where both lose and one token is over, BERT's code gives it to A."""
    layout = extract(limit) if left_to_right else encoder(limit)
    library = Library.from_str(json.dumps(layout.tokenizer.description))
    library.enable_truncation(limit, strategy="longest_first")
    texts = "good " * first, "bad " * second
    a, b = layout.tokenizer.encode_batch(texts)
    found = layout.arrange(a, b).ids
    max_tokens = layout.max_tokens(0)
    if min(len(a), len(b)) <= max_tokens // 2 or len(a) > len(b) or max_tokens % 2 == 0:
        assert found == library.encode(*texts).ids
    else:
        assert len(found) == len(library.encode(*texts).ids)


def test_new_tokens_stand_at_the_end_and_get_small_normal_rows() -> None:
    """gpt.md 1e: new rows N(0, .02); the old ones stay as they are."""
    before = tokenizer_of("gpt2")
    after = task_tokenizer(before, Gpt)
    model = model_of("gpt2", before.vocab_size, hidden_size=1024, num_layers=1)
    old = model.embeddings.token.weight.detach().clone()
    fit_to_tokens(model, before, after, torch.Generator().manual_seed(0))
    table = model.embeddings.token.weight
    assert after.vocab_size == before.vocab_size + 3 == model.config.vocab_size == len(table)
    assert torch.equal(table[:-3], old)
    assert abs(float(table[-3:].detach().std()) - 0.02) < 0.001
    assert model.logits(torch.zeros(1, 1024)).shape == (1, after.vocab_size)


def test_a_model_with_the_tokens_keeps_its_rows() -> None:
    """Fine-tuning a fine-tuned model adds nothing."""
    tokenizer = task_tokenizer(tokenizer_of("gpt2"), Gpt)
    model = model_of("gpt2", tokenizer.vocab_size)
    old = model.embeddings.token.weight.detach().clone()
    again = task_tokenizer(tokenizer, Gpt)
    fit_to_tokens(model, tokenizer, again, torch.Generator())
    assert again.vocab_size == tokenizer.vocab_size
    assert torch.equal(model.embeddings.token.weight, old)


def test_an_encoder_needs_cls_and_sep() -> None:
    with pytest.raises(ConfigError, match=r"needs \[CLS\] and \[SEP\]"):
        input_format_for(Bert, tokenizer_of("gpt2"), 16)


def test_a_tokenizer_larger_than_the_model_is_refused() -> None:
    tokenizer = tokenizer_of("gpt2")
    model = model_of("gpt2", tokenizer.vocab_size - 1)
    with pytest.raises(ConfigError, match="do not belong together"):
        fit_to_tokens(model, tokenizer, task_tokenizer(tokenizer, Gpt), torch.Generator())
