"""Words as ids and as characters, those outside the vocabulary too.

A model that knows words by their characters (ELMo) reads words that it has never seen. Shards hold
ids of the vocabulary alone; in use, a word outside it gets an id after the vocabulary's own, for as
long as the tokenizer lives, so that its characters can be found from the id like any other's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretext.core.errors import TokenizerError
from foretext.core.words import Spelling
from foretext.tokenizers.base import Tokenizer

SPELLED = ("words", "spelled-words")  # kinds whose tokens are whole words


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
        library = closed._library
        super().__init__(
            library, roles=closed.roles, note=closed.note, max_length=closed.max_length
        )
        self.spelling = self._added = spelling_of(closed)
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
                ids[place] = self._added.add(word)
        return found

    def decode(self, ids: Iterable[int], *, skip_special: bool = True) -> str:
        """The words of ids, separated by spaces."""
        hidden = set(self.special_ids) if skip_special else set()
        return " ".join(self._added.word(int(i)) for i in ids if int(i) not in hidden)
