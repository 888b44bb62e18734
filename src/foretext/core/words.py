"""The words of a batch as characters, for models that read words by their spelling.

Characters are numbered as in bilm-tf (Peters et al. 2018): the bytes of UTF-8, then five marks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

BEGIN_SENTENCE, END_SENTENCE, BEGIN_WORD, END_WORD, PAD = 256, 257, 258, 259, 260
NUM_CHARACTERS = 261
MAX_CHARACTERS = 50  # of a word, its two marks included; longer words are cut


@dataclass(frozen=True, kw_only=True)
class Words:
    """The different words of a batch, each spelled once."""

    characters: Tensor  # [words, longest] int64: begin of word, bytes, end of word, PAD
    of_token: Tensor  # [tokens] int64, the word that each token is

    def to(self, device: torch.device | str) -> Words:
        """The same on another device."""
        return Words(
            characters=self.characters.to(device, non_blocking=True),
            of_token=self.of_token.to(device, non_blocking=True),
        )


def spell(words: Sequence[bytes | int]) -> Tensor:
    """Characters [words, longest] of words in UTF-8; a number is a word of that mark alone."""
    most = MAX_CHARACTERS - 2
    rows = [[word] if isinstance(word, int) else word[:most] for word in words]
    lengths = np.array([len(row) for row in rows])
    characters = np.full((len(rows), int(lengths.max(initial=0)) + 2), PAD, np.int64)
    characters[:, 0] = BEGIN_WORD
    inside = np.arange(characters.shape[1] - 2) < lengths[:, None]
    characters[:, 1:-1][inside] = [character for row in rows for character in row]
    characters[np.arange(len(rows)), lengths + 1] = END_WORD
    return torch.from_numpy(characters)


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
