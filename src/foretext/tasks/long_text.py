"""Texts that do not fit a model's input: their head, head and tail, or all of it in windows.

    head       the first tokens; the rest is left out
    head+tail  a quarter of what fits from the beginning, the rest from the end
    windows    every token, in windows that begin every half window; the scores of a text are the
               mean of its windows', in training and after

Of a pair the longer text is cut first, as in inputs.py; windows go over what is cut, and the other
text stands whole in each.

Paper: Sun et al. 2019, "How to Fine-Tune BERT for Text Classification?", section 5.3.1 (head+tail:
128 and 382 of 510 tokens).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from foretext.core.errors import ConfigError
from foretext.tasks.inputs import Input, InputFormat, longest_first

LONG_TEXT = ("head", "head+tail", "windows")


def check_long_text(how: str) -> None:
    """Refuse another way than LONG_TEXT has."""
    if how not in LONG_TEXT:
        raise ConfigError(f"data.long_text={how!r} is none; choose one of {', '.join(LONG_TEXT)}")


def arrange_long(layout: InputFormat, texts: Sequence[Sequence[int]], how: str) -> list[Input]:
    """The sequences of one text or of two: one, or with windows several.

    Args:
        layout: puts texts into a sequence.
        texts: one or two, as ids [tokens].
        how: of LONG_TEXT, what happens to what does not fit.
    """
    keep: tuple[int, ...]
    if len(texts) == 1:
        keep = (min(len(texts[0]), layout.max_tokens()),)
    else:
        keep = longest_first(len(texts[0]), len(texts[1]), layout.max_tokens(0))
    left_out = sum(map(len, texts)) - sum(keep)
    if how == "head" or left_out <= 0:
        return [layout.arrange(*texts)]
    if how == "head+tail":
        parts = [_ends(ids, size) for ids, size in zip(texts, keep, strict=True)]
        return [replace(layout.arrange(*parts), left_out=left_out)]
    cuts = [_windows(len(ids), size) for ids, size in zip(texts, keep, strict=True)]
    found = []
    for number in range(max(map(len, cuts))):
        spans = [cut[min(number, len(cut) - 1)] for cut in cuts]
        parts = [ids[begin:stop] for ids, (begin, stop) in zip(texts, spans, strict=True)]
        found.append(layout.arrange(*parts))
    return found


def mean_of_windows(scores: Tensor, samples: Tensor) -> Tensor:
    """The mean of each sample's scores, [samples, n], of scores of its sequences [sequences, n].

    Args:
        scores: of the sequences.
        samples: their borders, as TaskBatch.samples.
    """
    count = samples.shape[0] - 1
    if count == scores.shape[0]:
        return scores
    sizes = samples.diff()
    owner = torch.arange(count, device=scores.device).repeat_interleave(sizes)
    return scores.new_zeros(count, scores.shape[1]).index_add(0, owner, scores) / sizes[:, None]


def _ends(ids: Sequence[int], size: int) -> Sequence[int]:
    """The first quarter of `size` ids and the rest of them from the end."""
    if len(ids) <= size:
        return ids
    tail = size - size // 4
    return [*ids[: size // 4], *ids[len(ids) - tail :]]


def _windows(total: int, size: int) -> list[tuple[int, int]]:
    """First and last + 1 of each window; together they cover all."""
    if total <= size:
        return [(0, total)]
    begins = [*range(0, total - size, max(size // 2, 1)), total - size]
    return [(begin, begin + size) for begin in begins]
