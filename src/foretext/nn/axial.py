"""Axial position embeddings: a position's vector is its row's and its column's, side by side.

Paper: Kitaev et al. 2020, "Reformer", https://arxiv.org/abs/2001.04451, section 4 and the official
code: position p of a text laid out in n2 columns lies in row p // n2 and column p % n2. Tables of
n1 and n2 rows serve n1 * n2 positions.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class AxialPositions(nn.Module):
    """Vectors of positions 0 to rows * columns - 1.

    Args:
        shape: rows and columns.
        sizes: of the row's part of a vector and of the column's; they add up to the vector's.
    """

    def __init__(self, shape: Sequence[int], sizes: Sequence[int]) -> None:
        super().__init__()
        # As the Hugging Face layout has them: [n1, 1, d1] and [1, n2, d2].
        self.rows = nn.Parameter(torch.empty(shape[0], 1, sizes[0]))
        self.columns = nn.Parameter(torch.empty(1, shape[1], sizes[1]))

    @property
    def num_positions(self) -> int:
        return self.rows.shape[0] * self.columns.shape[1]

    def forward(self, position_ids: Tensor) -> Tensor:
        """[tokens] int64 -> [tokens, size]."""
        width = self.columns.shape[1]
        row, column = position_ids // width, position_ids % width
        parts = (
            nn.functional.embedding(row, self.rows[:, 0]),
            nn.functional.embedding(column, self.columns[0]),
        )
        return torch.cat(parts, -1)
