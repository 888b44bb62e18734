"""Softmax over a sample of a large vocabulary.

Papers: Bengio & Senécal 2008; Jean et al. 2015, section 3; as TensorFlow's sampled_softmax_loss
computes it. Wrong classes are drawn log-uniformly, P(k) = log((k + 2) / (k + 1)) / log(V + 1),
which is about a word's frequency if ids are sorted by it; until there are enough different ones.
From every score the logarithm of how often its class is expected in such a sample is taken away,
and a drawn class that is a target's own does not count for it.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from foretext.core import rng


def log_uniform_sample(vocab_size: int, number: int, key: int) -> tuple[NDArray[np.int64], int]:
    """Different classes drawn log-uniformly.

    Args:
        vocab_size: classes are 0 to vocab_size - 1, the most frequent first.
        number: classes wanted, below vocab_size.
        key: the same gives the same, see core/rng.py.

    Returns:
        The classes [number] in the order in which they were first drawn, and how many draws it
        took.
    """
    draws = 2 * number
    while True:
        uniform = rng.uniform(key, np.arange(draws))
        drawn = np.exp(uniform * np.log(vocab_size + 1)).astype(np.int64) - 1
        drawn = np.clip(drawn, 0, vocab_size - 1)
        first = np.sort(np.unique(drawn, return_index=True)[1])
        if len(first) >= number:
            first = first[:number]
            return drawn[first], int(first[-1]) + 1
        draws *= 2


def log_expected(classes: Tensor, vocab_size: int, draws: int) -> Tensor:
    """Log of how often each class is expected among the different ones of so many draws, fp32."""
    numbers = classes.double()
    share = torch.log((numbers + 2) / (numbers + 1)) / np.log(vocab_size + 1)
    return torch.log(-torch.expm1(draws * torch.log1p(-share))).float()


def sampled_cross_entropy(
    hidden: Tensor, table: Tensor, bias: Tensor, labels: Tensor, sample: Tensor, draws: int
) -> Tensor:
    """Sum over targets of the cross-entropy against a sample of wrong classes, in nats.

    Args:
        hidden: [targets, size].
        table: [vocab, size], the output matrix, rows sorted by frequency.
        bias: [vocab].
        labels: [targets] int64.
        sample: [wrong] int64, different classes, as log_uniform_sample drew them.
        draws: it took.
    """
    vocab = table.shape[0]
    right = (hidden * table[labels]).sum(-1).float() + bias[labels]
    right = right - log_expected(labels, vocab, draws)
    shift = bias[sample] - log_expected(sample, vocab, draws)
    wrong = (hidden @ table[sample].T).float() + shift
    wrong = wrong.masked_fill(labels[:, None] == sample, float("-inf"))
    scores = torch.cat([right[:, None], wrong], 1)
    return F.cross_entropy(scores, torch.zeros_like(labels), reduction="sum")
