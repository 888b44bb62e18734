"""Decoding rules: pure functions on vocabulary scores, a row for each sequence.

Papers: Fan et al. 2018, https://arxiv.org/abs/1805.04833 (top-k); Holtzman et al. 2020,
https://arxiv.org/abs/1904.09751 (nucleus, top-p); Keskar et al. 2019,
https://arxiv.org/abs/1909.05858, section 4.1 (repetition penalty); Wu et al. 2016,
https://arxiv.org/abs/1609.08144, section 7 (length penalty).
Deviation from Hugging Face: top_p follows the GPT-2 repository, which keeps the tokens whose
cumulative probability is at most p (and always the likeliest); theirs also keeps the token that
crosses p, one more. With p = 0.9 and probabilities 0.5 0.3 0.2 this file keeps two, theirs three.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

OUT = float("-inf")  # the score of a token that cannot be drawn
_HEAD = 256  # scores sorted before all of them are


def apply_temperature(logits: Tensor, temperature: float) -> Tensor:
    """Scores divided by the temperature; before any filter, as in the GPT-2 repository.

    Args:
        logits: [rows, vocab].
        temperature: above 0; below 1 sharpens, above 1 flattens.
    """
    return logits if temperature == 1 else logits / temperature


def top_k(logits: Tensor, k: int) -> Tensor:
    """Keep the scores that are at least the k-th highest of their row; ties are all kept.

    Args:
        logits: [rows, vocab].
        k: 0 keeps everything, as in the GPT-2 repository.
    """
    if not 0 < k < logits.shape[-1]:
        return logits
    threshold = logits.topk(k).values[..., -1:]
    return logits.masked_fill(logits < threshold, OUT)


def top_p(logits: Tensor, p: float) -> Tensor:
    """Keep the likeliest tokens while their probabilities add up to at most p; always one.

    Args:
        logits: [rows, vocab].
        p: probability; 1 keeps everything.
    """
    if p >= 1:
        return logits
    vocab = logits.shape[-1]
    total = logits.logsumexp(-1, keepdim=True)
    # A sort of the vocabulary costs more than a small model, and the nucleus is mostly small.
    size = min(_HEAD, vocab)
    if bool((logits.amax(-1, keepdim=True) - total).exp().mul(size).le(p).any()):
        size = vocab  # so flat that not even `size` times the likeliest would reach p
    highest, mass = _cumulated(logits, total, size)
    if size < vocab and bool((mass[:, -1] <= p).any()):
        highest, mass = _cumulated(logits, total, vocab)
    last = ((mass <= p).sum(-1, keepdim=True) - 1).clamp(min=0)
    return logits.masked_fill(logits < highest.gather(-1, last), OUT)


def _cumulated(logits: Tensor, total: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The highest scores of each row [rows, size] and their cumulative probability."""
    if size < logits.shape[-1]:
        highest = logits.topk(size).values
    else:
        highest = logits.sort(descending=True).values
    return highest, (highest - total).exp().cumsum(-1)


def penalise_repetition(logits: Tensor, present: Sequence[Sequence[int]], theta: float) -> Tensor:
    """Lower the scores of tokens that a sequence already holds.

    A score above 0 is divided by theta, another multiplied, as in the Hugging Face port; the
    paper divides throughout, which would raise negative scores.

    Args:
        logits: [rows, vocab].
        present: ids of each row's sequence, prompt included.
        theta: 1 does nothing; the paper suggests 1.2.
    """
    if theta == 1:
        return logits
    rows = [row for row, ids in enumerate(present) for _ in ids]
    columns = [i for ids in present for i in ids]
    index = torch.tensor([rows, columns], dtype=torch.int64, device=logits.device)
    scores = logits[index[0], index[1]]
    lowered = torch.where(scores > 0, scores / theta, scores * theta)
    return logits.index_put((index[0], index[1]), lowered)


def suppress(logits: Tensor, ids: Sequence[int]) -> Tensor:
    """Scores [rows, vocab] in which these tokens cannot be drawn."""
    if not ids:
        return logits
    columns = torch.tensor(list(ids), dtype=torch.int64, device=logits.device)
    return logits.index_fill(-1, columns, OUT)


def min_length(logits: Tensor, length: int, minimum: int, stop_ids: Sequence[int]) -> Tensor:
    """Scores [rows, vocab] in which no stop token can be drawn before `minimum` tokens.

    Args:
        length: tokens generated so far.
    """
    return suppress(logits, stop_ids) if length < minimum else logits


def length_penalty(length: int, alpha: float) -> float:
    """GNMT's ((5 + length) / 6) ** alpha, by which a beam's log-probability is divided.

    Hugging Face divides by length ** alpha, so the same alpha is another number there; GPT-3 used
    0.6 of this one.
    """
    return ((5 + length) / 6) ** alpha


def draw(logits: Tensor, numbers: Tensor) -> Tensor:
    """Sample one token a row by inverting the distribution function.

    Args:
        logits: [rows, vocab], after all filters.
        numbers: [rows] in [0, 1), one for each row; the same number draws the same token in any
            batch.

    Returns:
        Token ids [rows].
    """
    mass = logits.softmax(-1).double().cumsum(-1)
    target = numbers.to(mass.device, torch.float64)[:, None] * mass[:, -1:]
    return torch.searchsorted(mass, target, right=True).squeeze(-1)
