"""What a run will cost, before it starts: parameters, tokens, FLOPs, memory, disk and time.

Parameters are exact. FLOPs count matrix multiplies alone, forward and backward: 6 a weight and
token in the backbone, 6 a weight and target in the vocabulary head, and 12 * layers * hidden *
length a token in attention (Kaplan et al. 2020, https://arxiv.org/abs/2001.08361, section 2.1).
Where a network predicts masked tokens, its last layer is computed at these alone (nn/blocks.py).
Time is measured, not guessed: a few real steps on weights that are thrown away. It is that of a
machine with nothing else to do: other work makes steps slower, never faster, so the fast ones
count.

Of fine-tuning, parameters, samples, tokens and steps are exact, and memory is reckoned as here.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from torch import nn

from foretext.nn.backbone import Network
from foretext.recipes.recipe import Recipe
from foretext.recipes.task_recipe import TaskRecipe
from foretext.tasks.base import SampleTable, TaskModel
from foretext.training.job import Job
from foretext.training.optimizers.build import build_optimizer
from foretext.training.samples import SamplePlan, StepDataset
from foretext.training.state import refresh
from foretext.training.step import MicroBatch, TrainStep, gradients

_PROBE_SECONDS = 6.0  # spent on measuring, at most, unless a step takes longer
_PROBE_STEPS = 10  # measured, unless they take too long; others are these once more
_WARM_UP_STEPS = 2  # before them: memory is taken, kernels are chosen
_WARM_UP_SECONDS = 2.0  # after which one of them is enough
_FAST = 0.1  # quantile of the steps' seconds a token that is taken
_BUDGET_SHARE = 0.02  # of a budget, spent on measuring what fits into it
_BUDGET_SECONDS = 20.0  # of it at most
_BYTES = 4  # fp32


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A run's cost."""

    parameters: int  # exact, tied ones once
    embedding_parameters: int  # of these, in lookup tables
    samples_per_epoch: int
    tokens_per_step: float
    tokens: float  # of the whole run
    epochs: float
    flops: float  # of the whole run, forward and backward
    memory_bytes: float  # weights, gradients, moments and one micro-batch's activations
    disk_bytes: float  # checkpoints and final weights
    seconds_per_step: float | None = None  # measured
    seconds: float | None = None  # of the whole run
    full_steps: float = 0.0  # of batch_size that hold as many sequences as the run
    growth: float = 1.0  # FLOPs of a mean step over those of the first: the last may be longer
    peak_flops: float | None = None  # of a matrix multiply on this machine, a second

    @property
    def flops_per_token(self) -> float:
        return self.flops / self.tokens

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"flops_per_token": self.flops_per_token}


@dataclass(frozen=True, kw_only=True)
class _Part:
    """The sequences of a run that have one length at most."""

    sequences: int
    tokens: float
    epochs: float
    mean: float  # tokens of a sequence
    attended: float  # tokens of a token's sequence, on average

    @classmethod
    def of(cls, epochs: SamplePlan, sequences: int) -> _Part:
        lengths = _sample_lengths(epochs)
        mean = float(lengths.mean())
        return cls(
            sequences=sequences,
            tokens=mean * sequences,
            epochs=sequences / epochs.size(0),
            mean=mean,
            attended=float((lengths.astype(np.float64) ** 2).sum() / lengths.sum()),
        )


def estimate(recipe: Recipe, model: Network, epochs: SamplePlan) -> Estimate:
    """What can be computed without running: all but the time."""
    training = recipe.training
    sequences = training.batch_sizes().before(training.steps)
    parts = [_Part.of(one, served) for one, served in epochs.shares(sequences) if served]
    tokens = sum(part.tokens for part in parts)
    parameters = sum(p.numel() for p in model.parameters())
    tables = sum(m.weight.numel() for m in model.modules() if isinstance(m, nn.Embedding))
    rate = epochs.objective.target_rate
    costs = [[one.token_cost(part.attended, rate) for one in model.backbones] for part in parts]
    flops = [
        6 * sum(cost.weights + cost.attention for cost in several) * part.tokens
        for part, several in zip(parts, costs, strict=True)
    ]
    micro = min(training.micro_batch_size or training.batch_size, training.batch_size)
    activations = max(
        part.mean * sum(cost.kept for cost in several)
        for part, several in zip(parts, costs, strict=True)
    )
    return Estimate(
        parameters=parameters,
        embedding_parameters=tables,
        samples_per_epoch=epochs.size(0),
        tokens_per_step=tokens * training.batch_size / sequences,
        tokens=tokens,
        epochs=sum(part.epochs for part in parts),
        full_steps=sequences / training.batch_size,
        growth=sum(flops) / sequences / (flops[0] / parts[0].sequences),
        flops=sum(flops),
        memory_bytes=4 * _BYTES * parameters + micro * activations,
        disk_bytes=(3 * training.keep + 1) * _BYTES * parameters,
    )


def _sample_lengths(epochs: SamplePlan) -> np.ndarray[Any, Any]:
    """Lengths of the first epoch's samples, or of enough of them."""
    rows = epochs.rows(0)
    stride = max(1, len(rows) // 100_000)
    return np.asarray(rows[::stride, 0])


def probe(job: Job, *, minutes: float | None = None) -> tuple[float, int]:
    """Seconds that a step takes on this machine, and the steps measured; the job is untouched.

    Real steps of the run's own data on a copy of the weights, the first not counted. A step's
    seconds a token are taken, of the fast steps (the lowest tenth), times the mean tokens; so a
    short burst of other work changes nothing. See Estimate.growth for the run's later steps.

    Args:
        job: of the run.
        minutes: a budget that depends on the result, which is worth measuring for longer.
    """
    model = copy.deepcopy(job.model)
    optimizer = build_optimizer(model, job.config.optimizer_config())
    optimizer.set_rate(0.0)
    config = job.config
    refresh(model, job.epochs, 0)
    steps = StepDataset(
        epochs=replace(job.epochs.serving(0)[0], until=None, then=None),
        batch_size=config.batch_size,
        micro_batch_size=config.micro_batch_size,
        start=0,
        stop=max(config.steps, _PROBE_STEPS),
    )
    model.train()

    def step(number: int) -> tuple[float, int]:
        begun = time.perf_counter()
        parts = steps[number % _PROBE_STEPS]
        _probe_step(job, model, parts, optimizer.zero_grad)
        optimizer.clip()
        optimizer.step()
        return time.perf_counter() - begun, sum(part.batch.num_tokens for part in parts)

    return _fast_seconds(step, 0.0 if minutes is None else 60 * minutes)


def _fast_seconds(step: Callable[[int], tuple[float, int]], budget: float) -> tuple[float, int]:
    """Seconds of a mean step where nothing slows it, and the steps measured.

    Args:
        step: makes the step of this number; its seconds and tokens.
        budget: seconds; a small share of them is spent at least.
    """
    warm = 0
    while warm < _WARM_UP_STEPS and step(warm)[0] < _WARM_UP_SECONDS:
        warm += 1
    at_least = min(_BUDGET_SHARE * budget, _BUDGET_SECONDS)
    taken: list[tuple[float, int]] = []
    spent = 0.0
    while spent < at_least or (len(taken) < _PROBE_STEPS and spent < _PROBE_SECONDS):
        taken.append(step(warm + len(taken)))
        spent += taken[-1][0]
    seconds, tokens = np.array(taken).T
    fast = np.quantile(seconds / tokens, _FAST, method="lower")
    return float(fast * tokens.mean()), len(taken)


def _probe_step(
    job: Job, model: nn.Module, parts: list[MicroBatch], zero_grad: Callable[[], None]
) -> None:
    zero_grad()
    module = TrainStep(model, job.objective)
    gradients(module, parts, 0, device=job.device, precision=job.config.precision)


def with_time(estimate: Estimate, seconds_per_step: float, peak: float) -> Estimate:
    """The estimate with its measured part."""
    return replace(
        estimate,
        seconds_per_step=seconds_per_step,
        seconds=seconds_per_step * estimate.full_steps,
        peak_flops=peak,
    )


def steps_in(minutes: float, seconds_per_step: float) -> int:
    """Steps that fit a budget of minutes, with a twentieth left for evaluating and saving."""
    return max(1, int(minutes * 60 * 0.95 / seconds_per_step))


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
    training = recipe.training
    every = sum(p.numel() for p in model.parameters())
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    head = sum(p.numel() for p in model.head.parameters())
    lengths = samples.lengths.astype(np.float64)
    attended = float((lengths**2).sum() / max(lengths.sum(), 1))  # of a token, on average
    micro = min(training.micro_batch_size or training.batch_size, training.batch_size)
    held = model.backbone.token_cost(attended, 0.0).kept
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
