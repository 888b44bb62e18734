"""What the steps since the last report were: means, rates and time."""

from __future__ import annotations

import time
from collections.abc import Mapping

import torch
from torch import Tensor

from foretext.core.errors import TrainingError
from foretext.training.job import Job, Progress
from foretext.training.progress import StepReport
from foretext.training.step import MicroBatch, add_up


class Meter:
    """Means since the last report."""

    def __init__(self, job: Job, progress: Progress) -> None:
        self.job = job
        self.progress = progress
        self.finite: Tensor | None = None  # on the device, of the steps since the last check
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
        if self.job.device.type != "cpu":
            finite = torch.stack([t.isfinite().all() for t in (norm, *terms.values())]).all()
            self.finite = finite if self.finite is None else self.finite & finite
        self.norm, self.learning_rate = norm, rate
        self.tokens += tokens
        self.progress.tokens += tokens
        self.seconds += time.perf_counter() - self.begun
        self.resume()

    def check(self) -> None:
        """See that every loss and gradient since the last check was finite; waits for the device.

        Raises:
            TrainingError: one was not.
        """
        if self.finite is not None and not bool(self.finite):
            raise TrainingError(
                f"the loss or the gradient is not finite at step {self.progress.step} or shortly "
                "before it; checkpoints before it are whole; lower training.learning_rate, raise "
                "training.warmup_steps or set training.clip_norm=1.0"
            )
        if self.finite is not None:  # what the device still had to do counts as well
            self.seconds += time.perf_counter() - self.begun
            self.resume()
        self.finite = None

    def report(self) -> StepReport:
        """Means since the last one, told to the reporter too; begins anew."""
        self.progress.seconds += self.seconds
        count = len(self.terms)
        terms = {k: float(v) / count for k, v in add_up(self.terms).items()}
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
