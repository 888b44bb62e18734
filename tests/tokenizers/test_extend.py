"""New tokens are whole words, keep all that was there, and mean the same to other tools."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from foretext.core.errors import TokenizerError
from foretext.tokenizers import Tokenizer, extend, train
from foretext.tokenizers.extend import learn_tokens, named_tokens, pieces_of, refused
from tests.tokenizers.samples import latin

KINDS = ("wordpiece", "byte-bpe", "unigram")
DOMAIN = [
    "The thesokami unlroso is a Milsoka, ka thesokami ro unlroso.",
    "a thesokami and thesokamis, unlroso: kathesokami",
] * 5


@cache
def trained(kind: str) -> Tokenizer:
    size = 320 if kind == "byte-bpe" else 120
    letters = " ".join("abcdefghijklmnopqrstuvwxyzTM,.:")
    return train([*latin(), letters], kind=kind, vocab_size=size)


@cache
def extended(kind: str) -> tuple[Tokenizer, list[str]]:
    new = [token.token for token in learn_tokens(trained(kind), DOMAIN, limit=2)]
    return extend.extend(trained(kind), new), new


@pytest.mark.parametrize("kind", KINDS)
def test_learned_words_save_the_most_pieces(kind: str) -> None:
    """count * (pieces - 1), counted by hand from the old tokenizer's own pieces."""
    new = learn_tokens(trained(kind), DOMAIN, limit=2)
    assert [token.word for token in new] == ["thesokami", "unlroso"]
    assert [token.count for token in new] == [15, 15]
    for token in new:
        pieces = len(trained(kind).encode(f" {token.word}"))
        assert token.saved == token.count * (pieces - 1) > 0


@pytest.mark.parametrize("kind", KINDS)
def test_new_words_are_one_token_and_all_else_stays(kind: str) -> None:
    old, (new, tokens) = trained(kind), extended(kind)
    assert new.vocab_size == old.vocab_size + 2
    assert [new.id_of(t) for t in tokens] == [old.vocab_size, old.vocab_size + 1]
    assert new.encode(" thesokami") == [new.id_of(tokens[0])]
    assert all(new.token(i) == old.token(i) for i in range(old.vocab_size))
    assert new.special == old.special
    for text in latin(20, seed=3):
        assert new.encode(text) == old.encode(text)


@pytest.mark.parametrize("kind", ["wordpiece", "byte-bpe"])
def test_new_words_are_not_found_inside_other_words(kind: str) -> None:
    old, (new, _) = trained(kind), extended(kind)
    for text in (" thesokamis", " kathesokami", " thesokamithesokami"):
        assert new.encode(text) == old.encode(text)


def test_a_unigram_word_joins_pieces_but_moves_no_border() -> None:
    old, (new, tokens) = trained("unigram"), extended("unigram")
    long = "thesokamis"
    pieces = [new.token(i) for i in new.encode(long)]
    borders = {len("".join(pieces[:n])) for n in range(len(pieces))}
    before = [old.token(i) for i in old.encode(long)]
    assert borders <= {len("".join(before[:n])) for n in range(len(before))}
    assert pieces[0] == tokens[0]


def test_lower_casing_reaches_new_words() -> None:
    new, tokens = extended("wordpiece")
    expected = new.id_of(tokens[0])
    assert new.encode("Thesokami THESOKAMI thesokami") == [expected] * 3
    assert expected in new.encode("(Thesokami, ro)")


@pytest.mark.parametrize("kind", KINDS)
def test_other_tools_give_the_same_ids(kind: str, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    new, _ = extended(kind)
    new.save(tmp_path)
    again = Tokenizer.load(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert again.fingerprint == new.fingerprint
    assert len(theirs) == new.vocab_size
    for text in (*DOMAIN[:2], *latin(5, seed=4)):
        assert again.encode(text) == new.encode(text)
        assert theirs(text, add_special_tokens=False)["input_ids"] == new.encode(text)
        ids = new.encode(text)
        assert theirs.decode(ids, skip_special_tokens=True) == new.decode(ids)


def test_byte_level_words_of_any_script_come_back() -> None:
    """An added token é would be read as one byte; the vocabulary's entries are spelled in bytes."""
    old = trained("byte-bpe")
    words = [token.token for token in named_tokens(old, [("f:1", "thésoka"), ("f:2", "형태소")])]
    new = extend.extend(old, words)
    text = "le thésoka, 형태소 분석"
    assert new.decode(new.encode(text)) == text
    assert {new.id_of(word) for word in words} < set(new.encode(text))


@pytest.mark.parametrize("kind", KINDS)
def test_counting_in_bounded_memory_finds_the_same(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = learn_tokens(trained(kind), DOMAIN + latin(100, seed=7), limit=2)
    monkeypatch.setattr(extend, "_CHUNK", 200)
    monkeypatch.setattr(extend, "_MAX_WORDS", 40)
    bounded = learn_tokens(trained(kind), DOMAIN + latin(100, seed=7), limit=2)
    assert [token.token for token in bounded] == [token.token for token in whole]


def test_pieces_of_a_new_word_are_the_old_tokenizers() -> None:
    for kind in KINDS:
        _, tokens = extended(kind)
        assert pieces_of(trained(kind), tokens)[0] == trained(kind).encode(" thesokami")


def test_named_words_keep_their_order_and_leave_out_tokens() -> None:
    old = trained("wordpiece")
    words = [("f:1", "unlroso"), ("f:2", "the"), ("f:3", "Thesokami"), ("f:4", "unlroso")]
    assert old.id_of("the") is not None
    assert [token.token for token in named_tokens(old, words)] == ["unlroso", "thesokami"]


@pytest.mark.parametrize("word", ["new york", "co-author"])
def test_an_entry_of_several_words_is_named_by_its_line(word: str) -> None:
    with pytest.raises(TokenizerError, match=r"words\.txt:7: .* is \d words to this tokenizer"):
        named_tokens(trained("wordpiece"), [("words.txt:7", word)])


@pytest.mark.parametrize(("kind", "why"), [("bpe", "GPT-1's </w>"), ("characters", "no pieces")])
def test_a_tokenizer_that_cannot_have_new_words_says_so(kind: str, why: str) -> None:
    with pytest.raises(TokenizerError, match=why):
        learn_tokens(train(latin(), kind=kind, vocab_size=120), DOMAIN, limit=5)


def test_a_token_that_is_there_is_not_added_again() -> None:
    new, tokens = extended("wordpiece")
    with pytest.raises(TokenizerError, match="has the token 'thesokami' already"):
        extend.extend(new, tokens)


@pytest.mark.parametrize("kind", ["wordpiece", "byte-bpe", "unigram"])
def test_named_words_that_are_left_out_are_told_with_the_reason(kind: str) -> None:
    tokenizer = train(latin(), kind=kind, vocab_size=400)
    words = [("v:1", "covidium"), ("v:2", "\U0001f602"), ("v:3", "1234567"), ("v:4", "x" * 500)]
    added = named_tokens(tokenizer, words)
    assert [new.word for new in added] == ["covidium"]
    emoji, number, long = refused(tokenizer, words, added)
    assert emoji.startswith("v:2: ") and "holds no letter" in emoji
    assert number.startswith("v:3: '1234567' is not added")
    assert "is longer than" in long
    twice = refused(extend.extend(tokenizer, [added[0].token]), words[:1], [])
    assert twice == ["v:1: 'covidium' is not added: it is a token already"]
