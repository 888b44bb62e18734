"""The words of a batch as characters, for models that read words by their spelling.

Characters are numbered as in bilm-tf (Peters et al. 2018): the bytes of UTF-8, then five marks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
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
