"""The settings of a run's updates: optimizer, schedule, batch, and when things are written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from foretext.core.errors import ConfigError
from foretext.training.batch_ramp import BatchSizes
from foretext.training.optimizers.config import OptimizerConfig
from foretext.training.precision import check_precision
from foretext.training.schedule import LEVEL, Schedule


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Optimizer, schedule and the run itself. Rates are shares, durations are steps."""

    steps: int = 10_000  # updates
    batch_size: int = 64  # sequences a step
    batch_ramp: tuple[int, ...] | None = None  # sequences: of step 0, and until steps are full
    micro_batch_size: int | None = None  # sequences computed at once; None = batch_size
    learning_rate: float = 1e-4  # at its peak
    optimizer: str = "adamw"  # or bert-adamw, gpt1-adamw, lamb, adafactor, adagrad (papers' code)
    betas: tuple[float, ...] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.01  # decoupled, on matrices and tables
    clip_norm: float | None = 1.0  # largest norm of the gradient
    clip_scope: str = "model"  # of the whole gradient; or tensor: each tensor's by itself (UniLM)
    gradient_scale: float = 1.0  # times the gradient before it is clipped (ELMo: 20)
    head_learning_rate: float | None = None  # of a task's new head; None = learning_rate
    layer_decay: float = 1.0  # rate of a layer over the rate of the layer above
    # or gpt1-linear, linear-from-peak, cosine, constant, inverse-sqrt, t5 (learning_rate over the
    # root of the step, or of warmup_steps at first)
    schedule: str = "linear"
    warmup_steps: int = 0
    warmup_tokens: int = 0  # instead of warmup_steps, where decay_tokens is given
    decay_tokens: int | None = None  # where the decay ends; None = at the last step
    final_rate: float = 0.0  # share of the peak learning rate at the end
    seed: int = 0
    threads: int | None = None  # None = all cores
    workers: int = 0  # processes that make batches
    save_every: int = 500  # steps
    keep: int = 2  # checkpoints
    log_every: int = 10  # steps
    eval_every: int = 500  # steps
    refresh_every: int = 500  # steps; of objectives that look at their corpus again
    precision: str = "fp32"  # fp32 | bf16 (autocast; weights, sums and norms stay fp32)
    compile: bool = False  # torch.compile; does not pay on a CPU

    def __post_init__(self) -> None:
        every = ("save_every", "log_every", "eval_every", "refresh_every")
        for name in ("steps", "batch_size", *every):
            if getattr(self, name) < 1:
                raise ConfigError(f"training.{name}={getattr(self, name)} must be at least 1")
        if not 0 <= self.seed < 2**63:
            raise ConfigError(f"training.seed={self.seed} must be from 0 to below 2^63")
        if self.micro_batch_size is not None and self.micro_batch_size < 1:
            raise ConfigError(
                f"training.micro_batch_size={self.micro_batch_size} must be at least 1 or none"
            )
        if self.keep < 2:
            raise ConfigError(
                f"training.keep={self.keep} must be at least 2, so that a torn checkpoint has one "
                "before it"
            )
        check_precision("training.precision", self.precision)
        if self.workers < 0 or (self.threads is not None and self.threads < 1):
            raise ConfigError("training.workers must not be negative and threads at least 1")
        self.optimizer_config()
        self.learning_schedule()
        self.batch_sizes()

    def optimizer_config(self) -> OptimizerConfig:
        """The optimizer's part."""
        if len(self.betas) != 2:
            raise ConfigError(f"training.betas={list(self.betas)} must be two numbers")
        return OptimizerConfig(
            name=self.optimizer,
            learning_rate=self.learning_rate,
            betas=(self.betas[0], self.betas[1]),
            eps=self.eps,
            weight_decay=self.weight_decay,
            clip_norm=self.clip_norm,
            clip_scope=self.clip_scope,
            gradient_scale=self.gradient_scale,
            head_learning_rate=self.head_learning_rate,
            layer_decay=self.layer_decay,
        )

    def learning_schedule(self) -> Schedule:
        """The learning rate's course."""
        by_tokens = self.decay_tokens is not None
        if (self.warmup_steps if by_tokens else self.warmup_tokens) > 0:
            raise ConfigError(
                "training.warmup_tokens goes with training.decay_tokens, and warmup_steps without; "
                f"here decay_tokens={self.decay_tokens}, so set the other one"
            )
        if self.decay_tokens is not None:
            return Schedule(
                name=self.schedule,
                warmup=self.warmup_tokens,
                total=self.decay_tokens,
                floor=self.final_rate,
                unit="tokens",
            )
        return Schedule(
            name=self.schedule,
            warmup=self.warmup_steps,
            total=self.steps,
            floor=self.final_rate,
        )

    def batch_sizes(self) -> BatchSizes:
        """Sequences of each step."""
        if self.batch_ramp is None:
            return BatchSizes(full=self.batch_size)
        if len(self.batch_ramp) != 2:
            raise ConfigError(
                f"training.batch_ramp={list(self.batch_ramp)} must be two numbers: the sequences "
                "of the first step, and those served until steps are full, e.g. [16, 100000]"
            )
        start, over = self.batch_ramp
        return BatchSizes(full=self.batch_size, start=start, over=over)

    def shortened(self, steps: int) -> TrainingConfig:
        """The same course in other steps: what is counted in tokens or sequences keeps its share.

        A warm-up of steps, in which the rate rises, is left at most a tenth of them.
        """
        kept = dict.fromkeys(("warmup_tokens", "decay_tokens", "batch_ramp"))
        kept = in_proportion({name: getattr(self, name) for name in kept}, steps, self.steps)
        rises = self.schedule != LEVEL
        warmup = min(self.warmup_steps, steps // 10) if rises else self.warmup_steps
        return replace(self, steps=steps, warmup_steps=warmup, **kept)


def in_proportion(values: Mapping[str, Any], new: int, old: int) -> dict[str, Any]:
    """Numbers of tokens or sequences of a run, for a run that is new / old as long."""
    scaled = {}
    for name, value in values.items():
        if isinstance(value, tuple):
            scaled[name] = (value[0], value[1] * new // old)
        else:
            scaled[name] = value and max(value * new // old, 1)
    return scaled
