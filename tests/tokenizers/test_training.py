"""What is learned: sizes, alphabets, the place of special tokens, the pre-tokenisation."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

import pytest
from tokenizers import pre_tokenizers

from foretext.core.errors import DataError, TokenizerError
from foretext.tokenizers import KINDS, STYLES, SpecialTokens, Tokenizer, train
from foretext.tokenizers.counting import count_words, covering
from tests.tokenizers.samples import documents, latin

PIECES = ["wordpiece", "byte-bpe", "bpe", "unigram"]


def tokens(tokenizer: Tokenizer) -> list[str]:
    return [tokenizer.token(i) for i in range(tokenizer.vocab_size)]


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("kind", PIECES)
def test_vocabulary_size_is_reached_exactly(kind: str, style: str) -> None:
    """Issue 2, Tokenizers: vocabulary size reached exactly or the reason said."""
    tokenizer = train(documents(400), kind=kind, vocab_size=411, style=style)
    assert tokenizer.vocab_size == len(set(tokens(tokenizer))) == 411
    assert tokenizer.note == ""


@pytest.mark.parametrize("kind", KINDS)
def test_a_small_text_says_how_many_tokens_it_gave(kind: str) -> None:
    """Issue 2, Tokenizers: vocabulary size reached exactly or the reason said."""
    tokenizer = train(["low lower lowest low lower"], kind=kind, vocab_size=5000)
    assert tokenizer.vocab_size < 300
    assert f"{tokenizer.vocab_size} tokens, not 5000" in tokenizer.note


@pytest.mark.parametrize("kind", ["wordpiece", "byte-bpe", "bpe", "unigram", "words"])
def test_too_small_a_vocabulary_is_refused_with_the_least_size(kind: str) -> None:
    """style.md: errors give the value, the rule and the remedy."""
    with pytest.raises(TokenizerError, match=r"vocab_size=1 must exceed .* ask for at least"):
        train(latin(), kind=kind, vocab_size=1)


def test_the_least_size_named_suffices() -> None:
    """The remedy in the message works."""
    with pytest.raises(TokenizerError) as error:
        train(latin(), kind="wordpiece", vocab_size=7)
    least = int(str(error.value).split("at least ")[1].split(",")[0])
    assert train(latin(), kind="wordpiece", vocab_size=least).vocab_size == least


@pytest.mark.parametrize("kind", KINDS)
def test_text_without_words_is_refused(kind: str) -> None:
    """Issue 2, Corpus: an empty corpus ends in one clear line."""
    with pytest.raises(TokenizerError, match="name files that hold text"):
        train(["", ""], kind=kind, vocab_size=500)


@pytest.mark.parametrize("kind", KINDS)
def test_lone_surrogates_are_refused(kind: str) -> None:
    """They are no text: tokenizer.json could not be written in UTF-8."""
    with pytest.raises(TokenizerError, match=r"U\+D800 at character 2"):
        train(["ab\ud800"], kind=kind, vocab_size=500)


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_while_reading_passes_through(kind: str) -> None:
    """A DataError of the corpus, with its file and line, is not hidden by the library."""

    def texts() -> Iterator[str]:
        yield "the cat"
        raise DataError("books.txt, line 3: bad")

    with pytest.raises(DataError, match="line 3"):
        train(texts(), kind=kind, vocab_size=500)


def test_unknown_kind_and_style_name_the_known_ones() -> None:
    with pytest.raises(TokenizerError, match=r"'letters' is not known; choose one of wordpiece"):
        train(["a"], kind="letters", vocab_size=300)
    with pytest.raises(TokenizerError, match=r"'tiger' .* choose one of bert"):
        train(["a"], kind="words", vocab_size=300, style="tiger")


def test_bert_specials_have_ids_0_to_4() -> None:
    """Contract of the style bert."""
    tokenizer = train(latin(), kind="wordpiece", vocab_size=100)
    assert tokenizer.special == SpecialTokens(pad=0, unk=1, cls=2, sep=3, mask=4)
    assert tokenizer.special_ids == [0, 1, 2, 3, 4]


def test_gpt2_starts_with_the_bytes_and_ends_with_end_of_text() -> None:
    """papers/gpt.md 2a: 256 byte symbols in order of their code points, merges, <|endoftext|>."""
    tokenizer = train(latin(), kind="byte-bpe", vocab_size=300)
    assert tokens(tokenizer)[:256] == sorted(pre_tokenizers.ByteLevel.alphabet())
    assert tokenizer.special == SpecialTokens(unk=299, bos=299, eos=299)
    assert tokenizer.token(299) == "<|endoftext|>"


def test_gpt1_unknown_has_id_0_and_words_end_in_a_mark() -> None:
    """papers/gpt.md 1a: end-of-word marker </w>, id 0 is the unknown token."""
    tokenizer = train(["low low lower lower"], kind="bpe", vocab_size=20)
    assert tokenizer.special == SpecialTokens(unk=0)
    assert [tokenizer.token(i) for i in tokenizer.encode("Low lower")] == ["low</w>", "lower</w>"]


def test_uncased_hangul_stays_composed() -> None:
    """design.md, Text to shards: Korean is never decomposed into jamo."""
    for kind in ("wordpiece", "bpe", "unigram"):
        tokenizer = train(
            ["학교에 갔다 학교는 크다 École"] * 3, kind=kind, vocab_size=60, lowercase=True
        )
        learned = "".join(tokens(tokenizer))
        assert unicodedata.normalize("NFC", learned) == learned
        assert tokenizer.decode(tokenizer.encode("학교는")) == "학교는"


def test_a_single_hangul_word_leaves_an_english_tokenizer_as_bert_has_it() -> None:
    """The exact BERT normaliser, unless Hangul is in the alphabet; wordpiece.py."""
    english = train(["the school is big"] * 2000 + ["학교"], kind="wordpiece", vocab_size=40)
    assert english.description["normalizer"]["type"] == "BertNormalizer"


def test_uncased_strips_accents_and_cased_keeps_them() -> None:
    """papers/bert.md b: uncased lower-cases and strips accents."""
    uncased = train(["Élan élan"], kind="wordpiece", vocab_size=30)
    cased = train(["Élan élan"], kind="wordpiece", vocab_size=30, lowercase=False)
    assert uncased.decode(uncased.encode("Élan")) == "elan"
    assert cased.decode(cased.encode("Élan")) == "Élan"


def test_wordpiece_takes_the_longest_match_and_whole_words_as_unknown() -> None:
    """papers/bert.md b: greedy longest-match-first; an unmatched rest makes the word [UNK]."""
    tokenizer = train(["low low low lower lower lowest"], kind="wordpiece", vocab_size=22)
    spelled = [tokenizer.token(i) for i in tokenizer.encode("lower lowz $^ " + "low" * 34)]
    assert spelled[0] == "lower"
    assert spelled[1:] == ["[UNK]"] * 4


def test_alphabet_covers_the_asked_share_and_ties_go_by_code_point() -> None:
    """counting.covering: most frequent first, ties by code point, result sorted."""
    counts = {"d": 1, "c": 1, "b": 1, "a": 97}
    assert covering(counts, coverage=0.98) == ["a", "b"]
    assert covering(counts, coverage=1.0) == ["a", "b", "c", "d"]


def test_rare_characters_take_no_place_in_the_vocabulary() -> None:
    """ALPHABET_COVERAGE: 99.95 % of the characters; a sign seen once in 20,000 is left out."""
    texts = ["the cat sat"] * 2000 + ["\u2603"]
    for kind in ("wordpiece", "bpe", "unigram"):
        assert not any("\u2603" in t for t in tokens(train(texts, kind=kind, vocab_size=60)))


def test_private_use_characters_of_the_text_are_learned_like_others() -> None:
    """The trainer's own code points lie in the same planes; counting.code_points."""
    text = "\U000f0000\U000f0001 \U000f0000\U000f0001 \U000f0001\U000f0000\U000f0000"
    for kind in ("unigram", "byte-bpe"):  # BERT's cleaning removes them
        tokenizer = train([text], kind=kind, vocab_size=300)
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_words_and_characters_rank_by_count_then_code_point() -> None:
    words = train(["b a c a C1 C1"], kind="words", vocab_size=9)
    assert tokens(words)[5:] == ["C1", "a", "b", "c"]
    characters = train(["bacab"], kind="characters", vocab_size=7)
    assert tokens(characters)[5:] == ["a", "b"]


def test_words_outside_the_vocabulary_are_unknown() -> None:
    tokenizer = train(["CC(=O)O c1ccccc1 CC(=O)O"], kind="words", vocab_size=6)
    assert tokenizer.encode("CC(=O)O  c1ccccc1\nN") == [5, 1, 1]


def test_progress_counts_every_byte_once() -> None:
    """The callback is told the UTF-8 bytes read since the call before."""
    texts = documents()
    for kind in KINDS:
        told: list[int] = []
        train(texts, kind=kind, vocab_size=500, progress=told.append)
        assert sum(told) == sum(len(text.encode()) for text in texts)


def test_texts_are_read_once_from_an_iterator() -> None:
    """Memory grows with the distinct words alone: a generator is enough."""
    one = train((text for text in latin()), kind="wordpiece", vocab_size=90)
    assert one.fingerprint == train(latin(), kind="wordpiece", vocab_size=90).fingerprint


def test_counts_are_those_of_a_plain_count() -> None:
    """counting.count_words reads the library's trainer state; checked against str.split."""
    counts = count_words(
        ["a b a", "b\nc", "x" * 10 + " a"],
        normalizer=None,
        pre_tokenizer=pre_tokenizers.WhitespaceSplit(),
    )
    assert counts == {"a": 3, "b": 2, "c": 1, "x" * 10: 1}
    assert list(counts) == sorted(counts)


def test_bytes_have_the_ids_of_the_official_reformer() -> None:
    """papers/reformer.md: 258 = 256 bytes + padding + end of text; byte b is id b + 2."""
    tokenizer = train(["any text"], kind="bytes", vocab_size=258)
    text = "Grüße, 한국어 🙂\t\r\n\x00"
    assert tokenizer.encode(text) == [byte + 2 for byte in text.encode()]
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert (tokenizer.kind, tokenizer.vocab_size, tokenizer.note) == ("bytes", 258, "")
    assert (tokenizer.special.pad, tokenizer.special.bos, tokenizer.special.eos) == (0, 1, 1)
    for size in (3, 257):
        with pytest.raises(TokenizerError, match="ask for 258"):
            train(["any text"], kind="bytes", vocab_size=size)
