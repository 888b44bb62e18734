"""The training loop: a function that can be stopped at any step and resumed to the same bits.

Everything random in a step is a function of (seed, step); what a checkpoint holds beside weights
and moments is the step's number and the sizes of the epochs planned so far. The loss of a step is a
sum over its targets divided by their count over all micro-batches, never a mean of means.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from foretext.core import rng
from foretext.core.atomic import atomic_folder, remove_folder
from foretext.core.errors import TrainingError
from foretext.core.heap import Heap
from foretext.hub.weight_files import write_tensors
from foretext.nn.dropout import seed_dropout
from foretext.objectives.base import SomeObjective
from foretext.training.checkpoint import Checkpoint, latest_checkpoint, save_checkpoint
from foretext.training.config import TrainingConfig
from foretext.training.loader import load
from foretext.training.log import MetricsLog
from foretext.training.optimizers.base import Optimizer
from foretext.training.optimizers.build import build_optimizer
from foretext.training.precision import multiplying
from foretext.training.progress import Reporter, Silent, StepReport, StopRequest, stop_on_signals
from foretext.training.samples import MicroBatch, SamplePlan, StepDataset

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


def train(job: Job) -> Progress:
    """Train until the last step, from the newest whole checkpoint if there is one.

    Returns:
        Where the run stands: done, ended early, or stopped by a signal and saved.

    Raises:
        TrainingError: the loss or the gradient is not finite; the step is saved.
        CheckpointError: a checkpoint cannot be written or read.
    """
    optimizer = build_optimizer(job.model, job.config.optimizer_config())
    progress = _resume(job, optimizer)
    if progress.early:
        return progress  # it had lost patience before it was stopped
    with MetricsLog(job.folder, progress.step) as log, stop_on_signals() as stop:
        _run(job, optimizer, progress, log, stop)
    if progress.stopped:
        job.reporter.message(f"stopped at step {progress.step}; the same command goes on from it")
    return progress


def _run(
    job: Job, optimizer: Optimizer, progress: Progress, log: MetricsLog, stop: StopRequest
) -> None:
    config, schedule = job.config, job.config.learning_schedule()
    meter = _StepLog(job, progress)
    steps = StepDataset(
        epochs=job.epochs,
        batch_size=config.batch_sizes(),
        micro_batch_size=config.micro_batch_size,
        start=progress.step,
        stop=config.steps,
    )
    saved_at = progress.step
    heap = Heap()
    job.model.train()
    for parts in load(steps, workers=config.workers):
        factor = schedule.factor(progress.tokens if schedule.unit == "tokens" else progress.step)
        terms, norm = update(job, optimizer, parts, step=progress.step, factor=factor)
        progress.step += 1
        meter.add(parts, terms, norm, config.learning_rate * factor)
        ending = bool(stop) or progress.step == config.steps
        if progress.step % config.log_every == 0 or ending:
            log.write(meter.report().as_record())
        if progress.step % config.eval_every == 0 or progress.step == config.steps:
            _evaluate(job, progress, log)
        ending = ending or progress.early
        if progress.step % config.save_every == 0 or ending:
            _save(job, optimizer, progress)
            saved_at = progress.step
        heap.check()
        meter.resume()
        if ending:
            break
    progress.stopped = bool(stop) and progress.step < config.steps
    assert saved_at == progress.step


def update(
    job: Job, optimizer: Optimizer, parts: list[MicroBatch], *, step: int, factor: float
) -> tuple[dict[str, Tensor], Tensor]:
    """One update from the micro-batches of a step.

    Args:
        step: updates made before it.
        factor: share of the peak learning rate.

    Returns:
        The loss terms in nats per target, and the norm of the gradient before clipping.
    """
    optimizer.zero_grad()
    terms = gradients_of(job, job.model, parts, dropout_key(job.config, step))
    norm = optimizer.clip()
    if not math.isfinite(float(norm)) or not all(math.isfinite(float(t)) for t in terms.values()):
        _give_up(job, parts, terms, step, factor)
    optimizer.set_rate(factor)
    optimizer.step()
    return terms, norm


def gradients_of(
    job: Job, model: nn.Module, parts: list[MicroBatch], key: int
) -> dict[str, Tensor]:
    """As gradients, of the job's objective, device and precision; the model may be a copy."""
    device, precision = job.device, job.config.precision
    return gradients(model, job.objective, parts, key, device=device, precision=precision)


def gradients(
    model: nn.Module,
    objective: SomeObjective,
    parts: list[MicroBatch],
    key: int,
    *,
    device: torch.device = _CPU,
    precision: str = "fp32",
) -> dict[str, Tensor]:
    """Add a step's gradient to the parameters, however it is cut into micro-batches.

    Args:
        key: of the step's dropout.
        device: of the model.
        precision: of its products, see precision.py.

    Returns:
        The loss terms in nats per target, over all micro-batches.
    """
    counts = _add_up(objective.counts(part.batch) for part in parts)
    totals: dict[str, Tensor] = {}
    for part in parts:
        batch = part.batch.to(device)
        seed_dropout(model, key, part.first_token)
        with multiplying(precision, device):
            terms = objective.loss(model, batch, counts)
        torch.stack(list(terms.values())).sum().backward()
        totals = _add_up((totals, {name: term.detach() for name, term in terms.items()}))
    return totals


def dropout_key(config: TrainingConfig, step: int) -> int:
    """The key of one step's dropout."""
    return rng.key(config.seed, "dropout", step)


def _add_up(several: Iterable[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    total: dict[str, Tensor] = {}
    for terms in several:
        for name, value in terms.items():
            total[name] = total[name] + value if name in total else value
    return total


def _evaluate(job: Job, progress: Progress, log: MetricsLog) -> None:
    """Held-out numbers; the best weights so far are kept, if the job selects by a metric."""
    if job.evaluate is None:
        return
    job.model.eval()
    metrics = job.evaluate()
    job.model.train()
    progress.last_metrics = metrics
    log.write({"step": progress.step} | {f"eval/{k}": v for k, v in metrics.items()})
    job.reporter.evaluated(progress.step, metrics)
    if job.selection is None:
        return
    value = metrics[job.selection.metric]
    sign = 1 if job.selection.higher_is_better else -1
    if progress.best is None or sign * value > sign * progress.best:
        progress.best, progress.best_step = value, progress.step
        progress.evaluations_since_best = 0
        _save_best(job)
        return
    progress.evaluations_since_best += 1
    patience = job.selection.patience
    progress.early = patience is not None and progress.evaluations_since_best >= patience


def _save_best(job: Job) -> None:
    best = job.folder / "best"
    if best.exists():
        remove_folder(best)
    with atomic_folder(best) as folder:
        write_tensors(folder, dict(job.model.named_parameters()))


def _save(job: Job, optimizer: Optimizer, progress: Progress) -> None:
    tensors: dict[str, Mapping[str, Tensor]] = {
        "model": dict(job.model.named_parameters()),
        "optimizer": optimizer.state_tensors(),
    }
    state = {
        "progress": {k: v for k, v in vars(progress).items() if k != "stopped"},
        "epoch_sizes": job.epochs.known_sizes,
    }
    save_checkpoint(
        job.checkpoints, progress.step, tensors=tensors, state=state, keep=job.config.keep
    )


def _resume(job: Job, optimizer: Optimizer) -> Progress:
    """The state of the newest whole checkpoint, in place; a fresh state if there is none."""
    checkpoint = latest_checkpoint(job.checkpoints, job.reporter.message)
    if checkpoint is None:
        if job.start is not None:
            job.start()
        return Progress()
    load_weights(job.model, checkpoint)
    optimizer.load_state_tensors(checkpoint.tensors("optimizer"))
    job.epochs.remember(checkpoint.state["epoch_sizes"])
    job.reporter.message(f"going on from step {checkpoint.step}")
    return Progress(**checkpoint.state["progress"])


@torch.no_grad()
def load_weights(model: nn.Module, checkpoint: Checkpoint) -> None:
    """Copy a checkpoint's weights into a model of the same shape."""
    saved = checkpoint.tensors("model")
    for name, parameter in model.named_parameters():
        parameter.copy_(saved[name])


def _give_up(
    job: Job, parts: list[MicroBatch], terms: Mapping[str, Tensor], step: int, factor: float
) -> None:
    """Save the step whose loss or gradient is not finite, and say so."""
    folder = job.folder / f"failed-step-{step:06d}"
    if folder.exists():
        remove_folder(folder)
    with atomic_folder(folder) as place:
        batch = {
            f"{number}.{name}": value.contiguous()
            for number, part in enumerate(parts)
            for name, value in vars(part.batch).items()
            if isinstance(value, Tensor)
        }
        weights = {f"weights.{n}": p.detach() for n, p in job.model.named_parameters()}
        write_tensors(place, batch | weights)
    bad = [name for name, value in terms.items() if not math.isfinite(float(value))]
    what = f"the loss {' and '.join(bad)} is" if bad else "the gradient is"
    raise TrainingError(
        f"{what} not finite at step {step}, learning rate "
        f"{job.config.learning_rate * factor:.3g}; its batch "
        f"and the weights before it are in {folder}; lower training.learning_rate, raise "
        f"training.warmup_steps or set training.clip_norm=1.0"
    )


class _StepLog:
    """Means since the last report."""

    def __init__(self, job: Job, progress: Progress) -> None:
        self.job = job
        self.progress = progress
        self._start()

    def _start(self) -> None:
        self.terms: list[Mapping[str, Tensor]] = []
        self.norm: Tensor | float = 0.0
        self.learning_rate = 0.0
        self.tokens = 0
        self.seconds = 0.0
        self.resume()

    def resume(self) -> None:
        """Start the clock again after what is no training: logging, evaluating, saving."""
        self.begun = time.perf_counter()

    def add(
        self, parts: list[MicroBatch], terms: Mapping[str, Tensor], norm: Tensor, rate: float
    ) -> None:
        tokens = sum(part.batch.num_tokens for part in parts)
        self.terms.append(terms)
        self.norm, self.learning_rate = norm, rate
        self.tokens += tokens
        self.progress.tokens += tokens
        self.seconds += time.perf_counter() - self.begun
        self.resume()

    def report(self) -> StepReport:
        """Means since the last one, told to the reporter too; begins anew."""
        self.progress.seconds += self.seconds
        count = len(self.terms)
        terms = {k: float(v) / count for k, v in _add_up(self.terms).items()}
        speed = self.tokens / self.seconds
        peak = self.job.peak_flops
        sizes = self.job.config.batch_sizes()
        served = sizes.before(self.progress.step)
        left = sizes.before(self.job.config.steps) - served
        report = StepReport(
            step=self.progress.step,
            steps=self.job.config.steps,
            loss=sum(terms.values()),
            terms=terms,
            learning_rate=self.learning_rate,
            gradient_norm=float(self.norm),
            tokens=self.progress.tokens,
            tokens_per_second=speed,
            utilisation=speed * self.job.flops_per_token / peak if peak else None,
            seconds_left=left * self.progress.seconds / max(served, 1),
        )
        self.job.reporter.step(report)
        self._start()
        return report
