"""WordPiece, BERT's tokenizer: greedy longest match, pieces inside a word marked `##`.

Paper: Devlin et al. 2019, section 3; the pre-tokenisation is that of the published tokenization.py.
Deviations: the vocabulary is learned by byte-pair merges (frequency), as the `tokenizers` library
does too, since the original learner was never published; the alphabet covers 99.95 % of the
characters; and where the text is Korean and uncased, NFC follows the stripping of accents, which
would otherwise leave every Hangul syllable decomposed into jamo.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping

from tokenizers import Tokenizer as Library
from tokenizers import decoders, models, pre_tokenizers

from foretext.tokenizers.base import Tokenizer
from foretext.tokenizers.components import bert_normalizer
from foretext.tokenizers.counting import (
    Progress,
    check_room,
    code_points,
    count_characters,
    count_words,
    covering,
    learn_merges,
)
from foretext.tokenizers.special import Style

MAX_WORD = 100  # characters; a longer word is unknown as a whole


def count_bert_words(
    texts: Iterable[str], *, lowercase: bool, progress: Progress | None
) -> tuple[dict[str, int], bool]:
    """Words as BERT cuts them, and whether they hold Hangul that was composed again.

    Only words of up to `MAX_WORD` characters, all of them among those that `covering` keeps.
    """
    words = count_words(
        texts,
        normalizer=bert_normalizer(lowercase=lowercase, compose=False),
        pre_tokenizer=pre_tokenizers.BertPreTokenizer(),
        progress=progress,
    )
    if lowercase:
        composed: Counter[str] = Counter()
        for word, count in words.items():
            composed[unicodedata.normalize("NFC", word)] += count
        kept = _usual(dict(sorted(composed.items())))
        if any("가" <= character <= "힣" for word in kept for character in word):
            return kept, True
    return _usual(words), False


def _usual(words: Mapping[str, int]) -> dict[str, int]:
    alphabet = set(covering(count_characters(words)))
    return {w: n for w, n in words.items() if len(w) <= MAX_WORD and alphabet.issuperset(w)}


def train(
    texts: Iterable[str],
    *,
    vocab_size: int,
    style: Style,
    lowercase: bool,
    progress: Progress | None = None,
) -> Tokenizer:
    """Learn a vocabulary; see `foretext.tokenizers.train`."""
    words, compose = count_bert_words(texts, lowercase=lowercase, progress=progress)
    first = sorted({word[0] for word in words})
    rest = sorted({character for word in words for character in word[1:]})
    symbols = first + ["##" + character for character in rest]
    check_room(vocab_size, specials=len(style.tokens), alphabet=len(symbols))
    codes = code_points(symbols)
    inside = str.maketrans({character: codes["##" + character] for character in rest})
    pieces, _ = learn_merges(
        {codes[word[0]] + word[1:].translate(inside): count for word, count in words.items()},
        codes=codes,
        size=vocab_size - len(style.tokens),
    )
    # "##" of every symbol but the first of a piece is dropped; that of the first is the piece's.
    learned = [piece[0] + "".join(symbol[2:] for symbol in piece[1:]) for piece in pieces]
    vocab = {token: i for i, token in enumerate(style.arrange(learned))}
    library = Library(
        models.WordPiece(vocab, unk_token=style.roles["unk"], max_input_chars_per_word=MAX_WORD)
    )
    library.normalizer = bert_normalizer(lowercase=lowercase, compose=compose)
    library.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    library.decoder = decoders.WordPiece(prefix="##")
    return Tokenizer.finish(library, style=style, asked=vocab_size)
