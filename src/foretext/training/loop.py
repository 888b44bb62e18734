"""The training loop: a function that can be stopped at any step and resumed to the same bits.

Everything random in a step is a function of (seed, step); what a checkpoint holds beside weights
and moments is the step's number, the sizes of the epochs planned so far, and whatever a network or
an objective carries from step to step (state.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from foretext.core import rng
from foretext.core.atomic import atomic_folder, remove_folder
from foretext.core.errors import TrainingError
from foretext.core.heap import Heap
from foretext.hub.weight_files import write_tensors
from foretext.training.checkpoint import Checkpoint, latest_checkpoint, save_checkpoint, seal
from foretext.training.config import TrainingConfig
from foretext.training.job import Job, Progress
from foretext.training.loader import load
from foretext.training.log import MetricsLog
from foretext.training.meter import Meter
from foretext.training.optimizers.base import Optimizer
from foretext.training.optimizers.build import build_optimizer
from foretext.training.progress import StopRequest, stop_on_signals
from foretext.training.samples import StepDataset
from foretext.training.state import (
    load_state_groups,
    looking_elsewhere,
    refresh,
    refreshes,
    state_groups,
)
from foretext.training.step import MicroBatch, TrainStep, gradients, tensors_of


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
    log = MetricsLog(job.folder, progress.step, job.reporter.message)
    with log, stop_on_signals() as stop:
        _run(job, optimizer, progress, log, stop)
    if progress.stopped:
        job.reporter.message(f"stopped at step {progress.step}; the same command goes on from it")
    return progress


def _run(
    job: Job, optimizer: Optimizer, progress: Progress, log: MetricsLog, stop: StopRequest
) -> None:
    config, schedule = job.config, job.config.learning_schedule()
    meter, module, heap = Meter(job, progress), job.step, Heap()
    saved_at = progress.step
    module.train()
    for parts in _steps(job, progress.step):
        factor = schedule.factor(progress.tokens if schedule.unit == "tokens" else progress.step)
        terms, norm = update(job, module, optimizer, parts, step=progress.step, factor=factor)
        progress.step += 1
        meter.add(parts, terms, norm, config.learning_rate * factor)
        ending = bool(stop) or progress.step == config.steps
        saving = progress.step % config.save_every == 0
        if progress.step % config.log_every == 0 or saving or ending:
            meter.check()
        if progress.step % config.log_every == 0 or ending:
            log.write(meter.report().as_record())
        if progress.step % config.eval_every == 0 or progress.step == config.steps:
            _evaluate(job, progress, log)
        ending = ending or progress.early
        if saving or ending:
            _save(job, optimizer, progress)
            saved_at = progress.step
        heap.check()
        meter.resume()
        if ending:
            break
    progress.stopped = bool(stop) and progress.step < config.steps
    assert saved_at == progress.step


def _steps(job: Job, start: int) -> Iterator[list[MicroBatch]]:
    """The micro-batches of each step; between some of them the objective looks at its corpus.

    The loader is made anew after that, so that its workers know what was found.
    """
    config = job.config
    every = config.refresh_every if refreshes(job.epochs) else None
    while start < config.steps:
        stop = config.steps
        if every is not None:
            if start % every == 0:
                refresh(job.model, job.epochs, start)
            stop = min(stop, start - start % every + every)
        steps = StepDataset(
            epochs=job.epochs,
            batch_size=config.batch_sizes(),
            micro_batch_size=config.micro_batch_size,
            start=start,
            stop=stop,
            steps=config.steps,
        )
        yield from load(steps, workers=config.workers)
        start = stop


def update(
    job: Job,
    module: TrainStep,
    optimizer: Optimizer,
    parts: list[MicroBatch],
    *,
    step: int,
    factor: float,
) -> tuple[dict[str, Tensor], Tensor]:
    """One update from the micro-batches of a step.

    On a CPU a loss or gradient that is not finite ends the run before the update; elsewhere looking
    at each would wait for the device, so the meter looks before anything is logged or saved.

    Args:
        module: of the job.
        step: updates made before it.
        factor: share of the peak learning rate.

    Returns:
        The loss terms in nats per target, and the norm of the gradient before clipping.
    """
    optimizer.zero_grad()
    key, precision = dropout_key(job.config, step), job.config.precision
    terms = gradients(module, parts, key, device=job.device, precision=precision)
    norm = optimizer.clip()
    if job.device.type == "cpu" and not all(torch.isfinite(t) for t in (norm, *terms.values())):
        _give_up(job, parts, terms, step, factor)
    optimizer.set_rate(factor)
    optimizer.step()
    return terms, norm


def dropout_key(config: TrainingConfig, step: int) -> int:
    """The key of one step's dropout."""
    return rng.key(config.seed, "dropout", step)


def _evaluate(job: Job, progress: Progress, log: MetricsLog) -> None:
    """Held-out numbers; the best weights so far are kept, if the job selects by a metric."""
    if job.evaluate is None:
        return
    with looking_elsewhere(job.model):
        metrics = job.evaluate()
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
        _save_best(job, progress.step)
        return
    progress.evaluations_since_best += 1
    patience = job.selection.patience
    progress.early = patience is not None and progress.evaluations_since_best >= patience


def _save_best(job: Job, step: int) -> None:
    if job.best.exists():
        remove_folder(job.best)
    with atomic_folder(job.best) as folder:
        write_tensors(folder, dict(job.model.named_parameters()))
        seal(folder, step)


def _save(job: Job, optimizer: Optimizer, progress: Progress) -> None:
    tensors: dict[str, Mapping[str, Tensor]] = {
        "model": dict(job.model.named_parameters()),
        "optimizer": optimizer.state_tensors(),
        **state_groups(job.model, job.epochs),
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
    load_state_groups(job.model, job.epochs, checkpoint)
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
            for name, value in tensors_of(part.batch).items()
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
