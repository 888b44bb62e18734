"""Text to ids and back, for any text."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretext.core.errors import TokenizerError
from foretext.tokenizers import Tokenizer, train
from tests.tokenizers.samples import documents

_TEXT = st.text(st.characters(exclude_categories=["Cs"]))
_LETTERS = "abé가나"
_WORDS = st.lists(st.text(st.sampled_from(_LETTERS), min_size=1, max_size=20), max_size=8)
_GAPS = st.sampled_from([" ", "  ", "\n", "\t "])


@cache
def over_letters(kind: str, *, lowercase: bool = False) -> Tokenizer:
    """A tokenizer whose alphabet is `_LETTERS`, each at every place of a word."""
    texts = [f"{x}{y}{x} {x}" for x in _LETTERS for y in _LETTERS]
    return train([*texts, " \n\t"], kind=kind, vocab_size=40, lowercase=lowercase)


@cache
def over_bytes() -> Tokenizer:
    return train(documents(), kind="byte-bpe", vocab_size=500)


@given(_TEXT)
def test_bytes_come_back_exactly(text: str) -> None:
    """Issue 2, Tokenizers: round trip of text; byte-level BPE knows every text."""
    assert over_bytes().decode(over_bytes().encode(text)) == text


@given(_WORDS, _GAPS)
@pytest.mark.parametrize("kind", ["wordpiece", "bpe", "unigram"])
def test_words_over_the_alphabet_come_back_with_single_spaces(
    kind: str, words: list[str], gap: str
) -> None:
    """decode(encode(x)) is x with its white space normalised."""
    tokenizer = over_letters(kind)
    assert tokenizer.decode(tokenizer.encode(gap.join(words))) == " ".join(words)


@given(_WORDS)
def test_uncased_words_come_back_lower_cased_without_accents(words: list[str]) -> None:
    """papers/bert.md b, and Hangul composed."""
    tokenizer = over_letters("wordpiece", lowercase=True)
    text = " ".join(words)
    assert tokenizer.decode(tokenizer.encode(text.upper())) == text.replace("é", "e")


@given(st.text(st.sampled_from(_LETTERS + " \n\t")))
def test_characters_come_back_exactly(text: str) -> None:
    """characters.py: spaces and newlines are tokens like others."""
    tokenizer = over_letters("characters")
    ids = tokenizer.encode(text)
    assert len(ids) == len(text)
    assert tokenizer.decode(ids) == text


@given(st.lists(st.sampled_from(["C1", "CC(=O)", "[Na+]", "ㅋㅋ"]), max_size=9))
def test_symbols_come_back(symbols: list[str]) -> None:
    tokenizer = train(["C1 CC(=O) [Na+] ㅋㅋ"], kind="words", vocab_size=9)
    assert tokenizer.decode(tokenizer.encode("  ".join(symbols))) == " ".join(symbols)


def test_special_tokens_are_left_out_of_the_text_unless_asked_for() -> None:
    tokenizer = over_letters("wordpiece")
    ids = [2, *tokenizer.encode("ab [MASK]"), 3]
    assert tokenizer.decode(ids) == "ab"
    assert tokenizer.decode(ids, skip_special=False) == "[CLS] ab [MASK] [SEP]"


@pytest.mark.parametrize("token_id", [-1, 10_000])
def test_ids_outside_the_vocabulary_are_refused(token_id: int) -> None:
    with pytest.raises(TokenizerError, match=f"token id {token_id} is not in 0"):
        over_letters("wordpiece").decode([5, token_id])


def test_lone_surrogates_are_refused() -> None:
    """They are no text; the library would end in a UnicodeEncodeError or a panic."""
    with pytest.raises(TokenizerError, match="cannot be tokenised"):
        over_bytes().encode("a\ud800")
