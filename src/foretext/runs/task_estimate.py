"""What fine-tuning will cost, before it starts: parameters, samples, steps and memory.

Parameters, samples, tokens and steps are exact; memory is reckoned as in estimate.py.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from foretext.recipes.task_recipe import TaskRecipe
from foretext.runs.estimate import activation_bytes
from foretext.tasks.base import SampleTable, TaskModel

_BYTES = 4  # fp32


@dataclass(frozen=True, kw_only=True)
class TaskEstimate:
    """A run's cost."""

    backbone_parameters: int  # tied ones once
    head_parameters: int
    trained_parameters: int  # of both, those that are not frozen
    samples: int  # of the training file
    tokens_per_epoch: int
    epochs: float  # of the whole run
    steps: int
    memory_bytes: float  # weights, gradients, moments and one micro-batch's activations

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def estimate_task(recipe: TaskRecipe, model: TaskModel, samples: SampleTable) -> TaskEstimate:
    """The cost of a run.

    Args:
        recipe: with its steps.
        model: as training begins.
        samples: of the training file.
    """
    training, config = recipe.training, model.backbone.config
    every = sum(p.numel() for p in model.parameters())
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    head = sum(p.numel() for p in model.head.parameters())
    lengths = samples.lengths.astype(np.float64)
    attended = float((lengths**2).sum() / max(lengths.sum(), 1))  # of a token, on average
    micro = min(training.micro_batch_size or training.batch_size, training.batch_size)
    held = config.num_layers * activation_bytes(config, attended)
    return TaskEstimate(
        backbone_parameters=every - head,
        head_parameters=head,
        trained_parameters=trained,
        samples=len(samples),
        tokens_per_epoch=samples.num_tokens,
        epochs=training.steps * training.batch_size / max(len(samples), 1),
        steps=training.steps,
        memory_bytes=_BYTES * (every + 3 * trained) + micro * float(lengths.mean()) * held,
    )
