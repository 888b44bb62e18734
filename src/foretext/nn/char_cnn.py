"""Word vectors from characters: convolutions, a maximum over positions, highways, a projection.

Papers: Kim et al. 2016, "Character-Aware Neural Language Models", section 2; Jozefowicz et al.
2016, section 3.3; as Peters et al. 2018 (ELMo) use it, bilm/training.py. Characters are bytes:

    [begin word] bytes [end word] pad pad ... up to 50

The padding of a word is part of its definition there: it has an embedding, and windows over it take
part in the maximum. All windows that lie wholly in the padding are equal, so one of them is enough:
words are padded by as much as the widest filter only, with the same result to the bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foretext.core.words import MAX_CHARACTERS, NUM_CHARACTERS, PAD

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": F.relu, "tanh": torch.tanh}


class Highway(nn.Module):
    """y = g * relu(W_t x + b_t) + (1 - g) * x with g = sigmoid(W_c x + b_c)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.transform = nn.Linear(size, size)
        self.carry = nn.Linear(size, size)

    def forward(self, rows: Tensor) -> Tensor:
        """[words, size] -> [words, size]."""
        gate = torch.sigmoid(self.carry(rows))
        return torch.lerp(rows, F.relu(self.transform(rows)), gate)


class CharCnn(nn.Module):
    """A vector for each word.

    Args:
        filters: width in characters and number of each kind of filter.
        embedding_size: of a character.
        num_highways: layers.
        output_size: of a word's vector.
        activation: a name in ACTIVATIONS, after the maximum.
    """

    def __init__(
        self,
        filters: Sequence[tuple[int, int]],
        *,
        embedding_size: int,
        num_highways: int,
        output_size: int,
        activation: str,
    ) -> None:
        super().__init__()
        self.widest = max(width for width, _ in filters)
        self.activation = ACTIVATIONS[activation]
        self.characters = nn.Embedding(NUM_CHARACTERS, embedding_size)
        self.filters = nn.ModuleList(
            nn.Conv1d(embedding_size, number, width) for width, number in filters
        )
        size = sum(number for _, number in filters)
        self.highways = nn.ModuleList(Highway(size) for _ in range(num_highways))
        # bilm-tf has no projection where nothing changes.
        self.projection = nn.Linear(size, output_size) if size != output_size else None

    def initialise(self, generator: torch.Generator) -> None:
        """The initial weights of bilm/training.py, for both activations."""
        relu = self.activation is ACTIVATIONS["relu"]
        with torch.no_grad():
            self.characters.weight.uniform_(-1, 1, generator=generator)
            for conv in self.filters:
                assert isinstance(conv, nn.Conv1d)
                fan = conv.kernel_size[0] * conv.in_channels
                if relu:
                    conv.weight.uniform_(-0.05, 0.05, generator=generator)
                else:
                    conv.weight.normal_(0, fan**-0.5, generator=generator)
                assert conv.bias is not None
                conv.bias.zero_()
            linears = [m for m in self.modules() if isinstance(m, nn.Linear)]
            for linear in linears:
                linear.weight.normal_(0, linear.in_features**-0.5, generator=generator)
                linear.bias.zero_()
            for highway in self.highways:
                assert isinstance(highway, Highway)
                highway.carry.bias.fill_(-2.0)

    def forward(self, characters: Tensor) -> Tensor:
        """Vectors [words, output] of words' characters.

        Args:
            characters: [words, longest] int64, of each word its marks and its bytes, then PAD.
        """
        longest = characters.shape[1]
        more = min(MAX_CHARACTERS - longest, self.widest)
        padded = F.pad(characters, (0, max(more, 0)), value=PAD)
        embedded = self.characters(padded).transpose(1, 2)  # [words, embedding, characters]
        largest = [conv(embedded).amax(-1) for conv in self.filters]
        hidden = self.activation(torch.cat(largest, 1))
        for highway in self.highways:
            hidden = highway(hidden)
        return hidden if self.projection is None else self.projection(hidden)
