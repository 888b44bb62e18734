"""Words known by their characters, whether the vocabulary holds them or not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from foretext.core.errors import TokenizerError
from foretext.core.words import PAD, spell
from foretext.tokenizers import Tokenizer, train
from foretext.tokenizers.spelling import OpenTokenizer, spelling_of

TEXT = 'He said: "the U.N.-led force doesn\'t cost $5," the (old) man said.'


def tokenizer(vocab_size: int = 100) -> Tokenizer:
    return train([TEXT], kind="spelled-words", vocab_size=vocab_size)


def test_marks_are_cut_off_the_edges_of_words_alone() -> None:
    words = tokenizer()
    pieces = " ".join(words.token(i) for i in words.encode(TEXT))
    assert pieces == ('He said : " the U.N.-led force doesn\'t cost $ 5 , " the ( old ) man said .')


def test_the_vocabulary_is_sorted_by_count_after_the_special_tokens() -> None:
    """The sampled softmax draws by rank; <S>, </S>, <UNK> first (bilm-tf's vocabulary files)."""
    words = tokenizer(9)
    found = " ".join(words.token(i) for i in range(9))
    assert found == '<S> </S> <UNK> " said the $ ( )'


def test_the_kind_is_known_from_the_folder(tmp_path: Path) -> None:
    tokenizer().save(tmp_path)
    again = Tokenizer.load(tmp_path)
    assert again.kind == "spelled-words"
    assert again.encode(TEXT) == tokenizer().encode(TEXT)


def test_characters_are_those_of_bilm_tf() -> None:
    """bilm/data.py: begin word 258, bytes of UTF-8, end word 259, padding 260; at most 50."""
    found = spell([b"it", "é".encode(), 256, b"x" * 70])
    assert found.shape == (4, 50)
    assert found[0].tolist() == [258, 105, 116, 259, *[PAD] * 46]
    assert found[1].tolist() == [258, 195, 169, 259, *[PAD] * 46]
    assert found[2].tolist() == [258, 256, 259, *[PAD] * 47]
    assert found[3].tolist() == [258, *[120] * 48, 259]
    assert spell([b"it", b"a"]).shape == (2, 4)


def test_words_of_a_batch_are_spelled_once() -> None:
    words = tokenizer()
    ids = np.array([0, *words.encode("the man the"), 1])
    found = spelling_of(words).words(ids)
    assert found.characters.shape[0] == 4
    the = found.characters[found.of_token[1]]
    assert the[:5].tolist() == [258, *b"the", 259]
    assert found.of_token[1] == found.of_token[3]
    assert found.characters[found.of_token[0], :3].tolist() == [258, 256, 259]
    assert found.characters[found.of_token[4], :3].tolist() == [258, 257, 259]


def test_unknown_words_keep_their_characters_in_use() -> None:
    """Ids after the vocabulary's, the same for the same word; the closed tokenizer says <UNK>."""
    closed = tokenizer()
    words, size = OpenTokenizer(closed), closed.vocab_size
    text = "the tiger, the lion: tiger"
    assert closed.encode(text)[1] == closed.special.unk
    ids, starts, stops = words.encode_spans([text])[0]
    assert ids[ids >= size].tolist() == [size, size + 1, size]
    assert [text[a:b] for a, b in zip(starts, stops, strict=True)][1] == "tiger"
    assert words.encode(text) == ids.tolist()
    assert words.decode([0, *ids, 1]) == "the tiger , the lion : tiger"
    assert words.spelling is not None
    spelled = words.spelling.words(ids)
    assert spelled.characters[spelled.of_token[1], :7].tolist() == [258, *b"tiger", 259]
    assert words.fingerprint == closed.fingerprint
    assert words.vocab_size == size


def test_an_uncased_tokenizer_adds_words_in_lower_case() -> None:
    closed = train(["The Man"], kind="spelled-words", vocab_size=9, lowercase=True)
    words = OpenTokenizer(closed)
    assert words.encode("TIGER") == words.encode("tiger")
    assert words.decode(words.encode("The TIGER")) == "the tiger"


def test_a_tokenizer_of_pieces_is_refused() -> None:
    pieces = train([TEXT], kind="wordpiece", vocab_size=60)
    with pytest.raises(TokenizerError, match="kind wordpiece, whose tokens are no words"):
        spelling_of(pieces)
