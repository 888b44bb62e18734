"""What a run is: what is trained on what, and where it stands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from foretext.objectives.base import SomeObjective
from foretext.training.config import TrainingConfig
from foretext.training.progress import Reporter, Silent
from foretext.training.samples import SamplePlan
from foretext.training.step import TrainStep

_CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which weights a run keeps as its best, and when it gives up hope of better ones."""

    metric: str  # of the evaluation
    higher_is_better: bool
    patience: int | None = None  # evaluations without a better one before the run ends


@dataclass(frozen=True, kw_only=True)
class Job:
    """What to train, on what, and where it is kept."""

    model: nn.Module
    objective: SomeObjective
    epochs: SamplePlan
    config: TrainingConfig
    folder: Path  # checkpoints, metrics and the best weights go here
    evaluate: Callable[[], dict[str, float]] | None = None
    selection: Selection | None = None
    reporter: Reporter = field(default_factory=Silent)
    device: torch.device = _CPU
    start: Callable[[], None] | None = None  # completes initial weights; not after a checkpoint
    flops_per_token: float = 0.0  # forward and backward, on average
    peak_flops: float | None = None  # a second, measured; for the utilisation

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def best(self) -> Path:
        """Where the best weights so far are."""
        return self.folder / "best"

    @property
    def step(self) -> TrainStep:
        """The module whose forward is the loss."""
        return TrainStep(self.model, self.objective)


@dataclass
class Progress:
    """Where a run stands; all of it is in every checkpoint."""

    step: int = 0  # updates made
    tokens: int = 0
    seconds: float = 0.0  # spent in steps
    best: float | None = None  # of the selection's metric
    best_step: int = 0
    evaluations_since_best: int = 0
    last_metrics: dict[str, float] = field(default_factory=dict)
    stopped: bool = False  # by a signal, before the last step
    early: bool = False  # by the selection's patience
