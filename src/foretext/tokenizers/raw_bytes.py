"""Bytes as tokens: nothing is learned, nothing is unknown.

Paper: Kitaev et al. 2020, "Reformer", https://arxiv.org/abs/2001.04451, section 5 (enwik8); ids as
in the official code: padding 0, end of text 1, byte b is b + 2.
"""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import Tokenizer as Library
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

from foretext.core.errors import TokenizerError
from foretext.tokenizers.base import Tokenizer
from foretext.tokenizers.counting import Progress, num_bytes
from foretext.tokenizers.special import Style

_BYTES = 256


def train(
    texts: Iterable[str],
    *,
    vocab_size: int,
    style: Style,
    lowercase: bool,
    progress: Progress | None = None,
) -> Tokenizer:
    """The 256 bytes and the style's tokens; of the texts it is asked that there are any.

    Raises:
        TokenizerError: vocab_size is too small for them, or the texts are empty.
    """
    needed = _BYTES + len(style.tokens)
    if vocab_size < needed:
        raise TokenizerError(
            f"vocab_size={vocab_size} is too small for {_BYTES} bytes and {len(style.tokens)} "
            f"special tokens; ask for {needed}"
        )
    if not sum(_sizes(texts, progress)):
        raise TokenizerError("the text to train a tokenizer on is empty; name files that hold text")
    vocab = {token: i for i, token in enumerate(style.arrange(symbols()))}
    library = Library(
        models.BPE(vocab, [], continuing_subword_prefix="", end_of_word_suffix="", fuse_unk=False)
    )
    if lowercase:
        library.normalizer = normalizers.Lowercase()
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    library.decoder = decoders.ByteLevel()
    library.post_processor = processors.ByteLevel(trim_offsets=False)
    return Tokenizer.finish(library, style=style, asked=vocab_size)


def symbols() -> list[str]:
    """The character that stands for each byte in the layout, in the bytes' order (GPT-2's)."""
    printed = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = iter(range(0x100, 0x100 + _BYTES))
    return [chr(byte if byte in printed else next(others)) for byte in range(_BYTES)]


def _sizes(texts: Iterable[str], progress: Progress | None) -> Iterable[int]:
    for text in texts:
        size = num_bytes(text)
        if progress is not None:
            progress(size)
        yield size
