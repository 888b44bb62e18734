"""The head that most tasks put on single states, and how new heads begin.

Initial weights of .02: truncated normal for encoders (Devlin et al. 2019, run_classifier.py),
normal for GPT (Radford et al. 2018, section 4.1).
"""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from foretext.nn.dropout import Dropout
from foretext.nn.initialise import normal, truncated_normal
from foretext.tasks.inputs import reads_left_to_right

_STD = 0.02
H = TypeVar("H", bound=nn.Module)


class SentenceHead(nn.Module):
    """Dropout and a linear layer on the states that stand for sequences, or words.

    Args:
        hidden_size: of the state.
        num_labels: of the scores.
        dropout: probability.
        bias: of the linear layer.
    """

    def __init__(self, hidden_size: int, num_labels: int, *, dropout: float, bias: bool) -> None:
        super().__init__()
        self.dropout = Dropout(dropout)
        self.linear = nn.Linear(hidden_size, num_labels, bias=bias)

    def forward(self, states: Tensor, tokens: Tensor) -> Tensor:
        """Scores [sequences, labels] of states [sequences, hidden]; tokens: as Dropout's."""
        return self.linear(self.dropout(states, tokens))


def sentence_head(
    backbone: Any, num_labels: int, *, dropout: float, bias: bool, generator: torch.Generator
) -> SentenceHead:
    """A new head for a backbone; the bias is 0."""
    head = SentenceHead(backbone.state_size, num_labels, dropout=dropout, bias=bias)
    return initialised(head, backbone, generator)


def initialised(head: H, backbone: Any, generator: torch.Generator) -> H:
    """The head with the initial weights of its backbone's kind."""
    (normal if reads_left_to_right(backbone) else truncated_normal)(head, _STD, generator)
    return head
