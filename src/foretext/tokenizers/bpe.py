"""Byte-pair encoding: over bytes (GPT-2), and over characters with an end-of-word mark (GPT-1).

Papers: Radford et al. 2018 (GPT-1), section 4.1; Radford et al. 2019 (GPT-2), section 2.2.
Deviations: GPT-1's text went through ftfy, replacements (long dashes to `-`, the ellipsis to `...`,
the acute accent to an apostrophe, newlines to a token) and spaCy before its merges; here BERT's
cleaning and splitting stand in their place, as in the layout others read, whose tokenizer class has
that cleaning built in (lower-cased; Hangul composed).
"""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import Tokenizer as Library
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

from foretext.tokenizers.base import Tokenizer
from foretext.tokenizers.components import bert_normalizer
from foretext.tokenizers.counting import (
    Progress,
    check_room,
    code_points,
    count_words,
    learn_merges,
)
from foretext.tokenizers.special import Style
from foretext.tokenizers.wordpiece import count_bert_words

END = "</w>"


def train_bytes(
    texts: Iterable[str],
    *,
    vocab_size: int,
    style: Style,
    lowercase: bool,
    progress: Progress | None = None,
) -> Tokenizer:
    """GPT-2's: any text is 256 byte symbols and what was merged of them; nothing is unknown."""
    cut = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    normalizer = normalizers.Lowercase() if lowercase else None
    symbols = sorted(pre_tokenizers.ByteLevel.alphabet())
    check_room(vocab_size, specials=len(style.tokens), alphabet=len(symbols))
    words = count_words(texts, normalizer=normalizer, pre_tokenizer=cut, progress=progress)
    codes = code_points(symbols)
    coded = str.maketrans(codes)
    pieces, merges = learn_merges(
        {word.translate(coded): count for word, count in words.items()},
        codes=codes,
        size=vocab_size - len(style.tokens),
    )
    library = Library(
        models.BPE(
            {t: i for i, t in enumerate(style.arrange(["".join(piece) for piece in pieces]))},
            [("".join(left), "".join(right)) for left, right in merges],
            continuing_subword_prefix="",
            end_of_word_suffix="",
            fuse_unk=False,
        )
    )
    if normalizer is not None:
        library.normalizer = normalizer
    library.pre_tokenizer = cut
    library.decoder = decoders.ByteLevel()
    library.post_processor = processors.ByteLevel(trim_offsets=False)
    return Tokenizer.finish(library, style=style, asked=vocab_size)


def train_words(
    texts: Iterable[str],
    *,
    vocab_size: int,
    style: Style,
    lowercase: bool,
    progress: Progress | None = None,
) -> Tokenizer:
    """GPT-1's: the last symbol of a word carries `</w>`."""
    words, compose = count_bert_words(texts, lowercase=lowercase, progress=progress)
    inner = sorted({character for word in words for character in word[:-1]})
    last = sorted({word[-1] for word in words})
    symbols = inner + [character + END for character in last]
    check_room(vocab_size, specials=len(style.tokens), alphabet=len(symbols))
    codes = code_points(symbols)
    inside = str.maketrans({character: codes[character] for character in inner})
    pieces, merges = learn_merges(
        {word[:-1].translate(inside) + codes[word[-1] + END]: n for word, n in words.items()},
        codes=codes,
        size=vocab_size - len(style.tokens),
    )
    library = Library(
        models.BPE(
            {t: i for i, t in enumerate(style.arrange(["".join(piece) for piece in pieces]))},
            [("".join(left), "".join(right)) for left, right in merges],
            continuing_subword_prefix="",
            end_of_word_suffix=END,
            fuse_unk=False,
            unk_token=style.roles["unk"],
        )
    )
    library.normalizer = bert_normalizer(lowercase=lowercase, compose=compose)
    library.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    library.decoder = decoders.BPEDecoder(suffix=END)
    return Tokenizer.finish(library, style=style, asked=vocab_size)
