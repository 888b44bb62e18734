"""Tokenizers: text to token ids, trained the same to the byte on every run.

    tokenizer = train(texts, kind="wordpiece", vocab_size=8000)
    tokenizer.save(Path("tok"))
    Tokenizer.load(Path("tok")).encode("The man went to the store.")

A kind is one module or function and one line of `KINDS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from foretext.core.errors import TokenizerError
from foretext.tokenizers import bpe, characters, raw_bytes, unigram, wordpiece
from foretext.tokenizers.base import Tokenizer
from foretext.tokenizers.special import STYLES, SpecialTokens, Style, style_named

__all__ = ["KINDS", "STYLES", "Kind", "SpecialTokens", "Style", "Tokenizer", "train"]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """How a kind is trained, and what it takes when nothing is said.

    Attributes:
        train: the function of its module.
        style: special tokens, a row of `STYLES`.
        lowercase: BERT's and GPT-1's tokenizers are uncased.
    """

    train: Callable[..., Tokenizer]
    style: str = "bert"
    lowercase: bool = False


KINDS = {
    "wordpiece": Kind(train=wordpiece.train, lowercase=True),
    "byte-bpe": Kind(train=bpe.train_bytes, style="gpt2"),
    "bpe": Kind(train=bpe.train_words, style="gpt1", lowercase=True),
    "unigram": Kind(train=unigram.train),
    "characters": Kind(train=characters.train_characters),
    "words": Kind(train=characters.train_words),
    "spelled-words": Kind(train=characters.train_spelled_words, style="elmo"),
    "bytes": Kind(train=raw_bytes.train, style="bytes"),
}


def train(
    texts: Iterable[str],
    *,
    kind: str,
    vocab_size: int,
    style: str | None = None,
    lowercase: bool | None = None,
    progress: Callable[[int], None] | None = None,
) -> Tokenizer:
    """Learn a tokenizer from texts; the same texts in the same order give the same bytes.

    Args:
        texts: documents, read once; memory grows with the number of distinct words alone.
        kind: a name of `KINDS`.
        vocab_size: tokens, special ones included. Reached exactly, or `note` of the result says why
            not.
        style: special tokens, a name of `STYLES`; None for the kind's own.
        lowercase: None for the kind's own. BERT's and GPT-1's kinds then strip accents too.
        progress: called with the number of UTF-8 bytes read since the call before.

    Raises:
        TokenizerError: kind or style is not known, vocab_size is too small for the special tokens
            and the alphabet, or the texts hold no words.
    """
    if kind not in KINDS:
        raise TokenizerError(
            f"tokenizer kind {kind!r} is not known; choose one of {', '.join(KINDS)}"
        )
    own = KINDS[kind]
    return own.train(
        texts,
        vocab_size=vocab_size,
        style=style_named(own.style if style is None else style),
        lowercase=own.lowercase if lowercase is None else lowercase,
        progress=progress,
    )
