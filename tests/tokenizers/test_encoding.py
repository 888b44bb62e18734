"""Batches, long texts, offsets, word borders, further special tokens."""

from __future__ import annotations

import pickle
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretext.tokenizers import KINDS, Tokenizer, train
from foretext.tokenizers import base as base_module
from foretext.tokenizers.splitting import split_long
from tests.tokenizers.samples import documents, latin


@pytest.fixture(scope="module", params=KINDS)
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return train(documents(), kind=request.param, vocab_size=400)


@given(st.text(st.sampled_from("ab.'1 \n가,")), st.integers(1, 9))
def test_split_pieces_make_up_the_text(text: str, size: int) -> None:
    """splitting.py: nothing lost, each cut in front of a single space."""
    pieces = split_long(text, size)
    assert "".join(pieces) == text
    for left, right in pairwise(pieces):
        assert len(left) >= size
        assert right[0] == " " and not right[1].isspace() and not left[-1].isspace()


@settings(max_examples=60)
@given(
    text=st.text(st.sampled_from("abé.'s1 \n가,[MASK]"), max_size=80),
    kind=st.sampled_from(list(KINDS)),
)
def test_cut_texts_have_the_tokens_of_the_whole(text: str, kind: str) -> None:
    """splitting.py: the tokens of the pieces, put together, are those of the text."""
    tokenizer = _trained(kind)
    whole = tokenizer.encode(text)
    parts = [i for piece in split_long(text, 3) for i in tokenizer.encode(piece)]
    assert parts == whole


_CACHE: dict[str, Tokenizer] = {}


def _trained(kind: str) -> Tokenizer:
    if kind not in _CACHE:
        texts = [*documents(), "ab's é가, 1a. sa\nb, [a] 11"]
        _CACHE[kind] = train(texts, kind=kind, vocab_size=400)
    return _CACHE[kind]


def test_long_texts_are_cut_and_give_the_same(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ecosystem.md 3 row 12: one giant line must not take memory many times its size."""
    text = " ".join(documents())
    whole, offsets = tokenizer.encode(text), tokenizer.encode_offsets([text])
    monkeypatch.setattr(base_module, "_PIECE", 50)
    monkeypatch.setattr(base_module, "_GROUP", 500)
    assert len(list(tokenizer._groups([text]))) > 10
    assert tokenizer.encode(text) == whole
    for cut, uncut in zip(tokenizer.encode_offsets([text])[0], offsets[0], strict=True):
        assert np.array_equal(cut, uncut)


def test_a_batch_is_its_texts_one_by_one(tokenizer: Tokenizer) -> None:
    texts = [*documents(), "", " ", "[MASK] <|endoftext|>"]
    assert tokenizer.encode_batch(texts) == [tokenizer.encode(text) for text in texts]
    assert tokenizer.encode_batch([]) == []


def test_offsets_say_where_tokens_start(tokenizer: Tokenizer) -> None:
    """Contract: character start of each token; a carried space is not the start."""
    text = " the mi  mithe\nlro 가나 the"
    ids, starts = tokenizer.encode_offsets([text])[0]
    assert ids.tolist() == tokenizer.encode(text)
    assert ids.dtype == starts.dtype == np.int64
    assert np.all(np.diff(starts) >= 0)
    if tokenizer.kind != "characters":
        words = {1, 5, 9, 15, 19, 22}
        assert words <= set(starts.tolist())


@pytest.mark.parametrize("kind", KINDS)
def test_word_borders_are_those_of_the_text(kind: str) -> None:
    """Contract: token i starts a word iff starts_word[i] or the token before it ends_word."""
    tokenizer = train(latin(), kind=kind, vocab_size=270 if "byte" in kind else 50)
    text = "the mithe kal roingun sothe"
    ids, starts = tokenizer.encode_offsets([text])[0]
    assert len(ids) > 5 or "words" in kind  # words are cut in pieces
    begins = tokenizer.starts_word[ids]
    begins[1:] |= tokenizer.ends_word[ids[:-1]]
    begins[0] = True
    # A space that is a token of its own begins the word.
    found = {s + text[s].isspace() for s in starts[begins].tolist()}
    assert found == {0, 4, 10, 14, 22}
    assert tokenizer.starts_word.shape == tokenizer.ends_word.shape == (tokenizer.vocab_size,)


def test_a_line_break_ends_a_word_of_bytes() -> None:
    """GPT-2's pattern cuts after a newline, where no space marks the next word."""
    tokenizer = train(["the\nmi the\nmi"], kind="byte-bpe", vocab_size=262)
    ids = tokenizer.encode("the\nmi")
    assert [tokenizer.token(i) for i in ids] == ["the", "Ċ", "mi"]
    assert tokenizer.ends_word[ids].tolist() == [False, True, False]


def test_added_tokens_come_last_and_change_nothing_else(tokenizer: Tokenizer) -> None:
    """GPT-1's start, delimiter and extract tokens; papers/gpt.md 1b."""
    size = tokenizer.vocab_size
    wider = tokenizer.add_tokens(["_start_", "_delimiter_", "_extract_"])
    assert [wider.id_of(t) for t in ("_start_", "_delimiter_", "_extract_")] == [
        size,
        size + 1,
        size + 2,
    ]
    assert (wider.vocab_size, tokenizer.vocab_size) == (size + 3, size)
    assert wider.special == tokenizer.special
    assert wider.special_ids == [*tokenizer.special_ids, size, size + 1, size + 2]
    assert size in wider.encode("the _start_ mi")
    assert wider.encode_batch(documents()) == tokenizer.encode_batch(documents())
    assert wider.fingerprint != tokenizer.fingerprint


def test_a_tokenizer_survives_pickling(tokenizer: Tokenizer) -> None:
    """Workers that prepare shards receive it."""
    again = pickle.loads(pickle.dumps(tokenizer))
    assert again.fingerprint == tokenizer.fingerprint
    assert again.special == tokenizer.special


def test_tokens_and_ids_are_inverse(tokenizer: Tokenizer) -> None:
    assert [tokenizer.id_of(tokenizer.token(i)) for i in range(tokenizer.vocab_size)] == list(
        range(tokenizer.vocab_size)
    )
    assert tokenizer.id_of("no such token") is None
