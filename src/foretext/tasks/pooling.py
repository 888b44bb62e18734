"""Which state stands for a sequence: that of the paper's token, or the mean of all.

A model pre-trained by masked LM alone has never used its first token's state, and a few hundred
labels are too few to teach it to gather the text; a mean has gathered it (bench/budget/RESULTS.md).
`transformers` has no classification class that averages, so a folder made so carries a setting that
it refuses, lest it compute something else with these weights.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from foretext.core.errors import ConfigError
from foretext.tasks.base import TaskBatch, TaskModel

POOLING = ("token", "mean")


def check_pooling(name: str) -> None:
    """Raise ConfigError if it is none."""
    if name not in POOLING:
        raise ConfigError(f"task.pooling={name!r} must be one of {', '.join(POOLING)}")


def pooled(model: TaskModel, hidden: Tensor, batch: TaskBatch, pooling: str) -> Tensor:
    """States that stand for sequences, [sequences, hidden], after the backbone's pooler.

    Args:
        hidden: states of all tokens, [tokens, hidden].
        pooling: in POOLING.
    """
    if pooling == "mean":
        lengths = batch.offsets.diff()
        rows = torch.arange(len(lengths), device=hidden.device).repeat_interleave(lengths)
        sums = hidden.new_zeros(len(lengths), hidden.shape[1]).index_add(0, rows, hidden)
        hidden = hidden.index_copy(0, model.sentence_tokens(batch), sums / lengths[:, None])
    states: Tensor = model.backbone.pooled_output(hidden, batch)
    return states


def hub_pooling(pooling: str) -> dict[str, Any]:
    """Keys of config.json: nothing for the token, what stops `transformers` for a mean."""
    if pooling == "token":
        return {}
    return {"pooling": pooling, "attn_implementation": "mean-pooled-classifier"}
