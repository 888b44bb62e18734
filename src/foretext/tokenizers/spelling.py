"""Words as ids and as characters, those outside the vocabulary too.

A model that knows words by their characters (ELMo) reads words that it has never seen. Shards hold
ids of the vocabulary alone; in use, a word outside it gets an id after the vocabulary's own, for as
long as the tokenizer lives, so that its characters can be found from the id like any other's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from foretext.core.errors import TokenizerError
from foretext.core.words import BEGIN_SENTENCE, END_SENTENCE, Words, spell
from foretext.tokenizers.base import Tokenizer

SPELLED = ("words", "spelled-words")  # kinds whose tokens are whole words


class Spelling:
    """Characters of a vocabulary's words, and of words that are added.

    Args:
        tokens: by id.
        begin, end: ids that stand for the begin and the end of a sentence; None for none.
    """

    def __init__(self, tokens: Sequence[str], *, begin: int | None, end: int | None) -> None:
        self._words = list(tokens)
        self._marks = {begin: BEGIN_SENTENCE, end: END_SENTENCE}
        self._added: dict[str, int] = {}

    def add(self, word: str) -> int:
        """The id of a word that is not in the vocabulary, the same each time."""
        if word not in self._added:
            self._added[word] = len(self._words)
            self._words.append(word)
        return self._added[word]

    def word(self, token_id: int) -> str:
        """Of an id, added or not."""
        return self._words[token_id]

    def words(self, ids: NDArray[np.int64]) -> Words:
        """The different words of tokens [tokens], each spelled once."""
        different, of_token = np.unique(ids, return_inverse=True)
        spelled = spell([self._marks.get(i) or self._words[i].encode() for i in different.tolist()])
        return Words(characters=spelled, of_token=torch.from_numpy(of_token))


def spelling_of(tokenizer: Tokenizer) -> Spelling:
    """The characters of a tokenizer's words.

    Raises:
        TokenizerError: its tokens are no words.
    """
    if tokenizer.kind not in SPELLED:
        raise TokenizerError(
            f"this model reads words by their characters, but the tokenizer is of kind "
            f"{tokenizer.kind}, whose tokens are no words; use one of kind "
            f"{' or '.join(SPELLED)} (data.tokenizer=spelled-words)"
        )
    tokens = [tokenizer.token(i) for i in range(tokenizer.vocab_size)]
    special = tokenizer.special
    return Spelling(tokens, begin=special.bos, end=special.eos)


class OpenTokenizer(Tokenizer):
    """A tokenizer of words in which no word is unknown: see the module docstring."""

    def __init__(self, closed: Tokenizer) -> None:
        """Take over a tokenizer.

        Raises:
            TokenizerError: its tokens are no words.
        """
        self.spelling = spelling_of(closed)
        library = closed._library
        super().__init__(
            library, roles=closed.roles, note=closed.note, max_length=closed.max_length
        )
        self._normalizer: Any = library.normalizer

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text, without template."""
        return [ids.tolist() for ids, _, _ in self.encode_spans(texts)]

    def encode_spans(
        self, texts: Sequence[str]
    ) -> list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
        """As Tokenizer's; an unknown word has an id of its own after the vocabulary's."""
        found = super().encode_spans(texts)
        for text, (ids, starts, stops) in zip(texts, found, strict=True):
            for place in np.flatnonzero(ids == self.special.unk).tolist():
                word = text[starts[place] : stops[place]]
                if self._normalizer is not None:
                    word = self._normalizer.normalize_str(word)
                ids[place] = self.spelling.add(word)
        return found

    def decode(self, ids: Iterable[int], *, skip_special: bool = True) -> str:
        """The words of ids, separated by spaces."""
        hidden = set(self.special_ids) if skip_special else set()
        return " ".join(self.spelling.word(int(i)) for i in ids if int(i) not in hidden)
