"""AdamW and LAMB as in the papers, with a state that safetensors can hold.

Papers: Kingma & Ba 2015, https://arxiv.org/abs/1412.6980; Loshchilov & Hutter 2019,
https://arxiv.org/abs/1711.05101; the optimizers of Google's BERT (optimization.py) and of GPT-1
(opt.py); layer-wise rates of Howard & Ruder 2018, https://arxiv.org/abs/1801.06146, section 3.2.

With m and v the running means of the gradient and of its square, and t the update's number:

    adamw       w -= lr * (m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps) + decay * w)
    bert-adamw  w -= lr * (m / (sqrt(v) + eps) + decay * w)
    gpt1-adamw  w -= lr * sqrt(1 - b2^t) / (1 - b1^t) * (m / (sqrt(v) + eps) + decay * w)

    lamb        as bert-adamw, each tensor's step scaled to the tensor's length (lamb.py)

PyTorch's fused kernel computes the first. At t = infinity its corrections are 1, which gives the
second, and the third with another rate. The kernel is called without torch.optim.AdamW around it,
because that takes t from each parameter and imports the compiler, a second of start-up.

Deviation: a parameter that once had a gradient and now has none counts as having a zero one, so
that one t holds for all. One that never had any, such as an unused head, is left alone.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from foretext.core.errors import CheckpointError, ConfigError
from foretext.training.optimizers.lamb import lamb_step
from foretext.training.optimizers.norms import clip_gradients

OPTIMIZERS = ("adamw", "bert-adamw", "gpt1-adamw", "lamb")
_LAYER = re.compile(r"(?:^|\.)layers\.([0-9]+)\.")
_EMBEDDINGS = re.compile(r"(?:^|\.)embeddings(?:_projection)?\.")
_HEAD = "head."


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """How weights are updated; the defaults are the common ground of the papers."""

    learning_rate: float  # the schedule's peak, of the top layer
    name: str = "adamw"  # one of OPTIMIZERS
    betas: tuple[float, float] = (0.9, 0.999)  # memory of the gradient's mean and of its square's
    eps: float = 1e-8  # added to the root; BERT has 1e-6
    weight_decay: float = 0.01  # decoupled, times the rate of the update
    decay_excluded: tuple[str, ...] = ("norm", "bias")  # words in names; vectors never decay
    clip_norm: float | None = 1.0  # largest norm of the whole gradient; None = no limit
    head_learning_rate: float | None = None  # of parameters named head.*; None = learning_rate
    # Rate of a layer over the rate of the layer above; the top layer is one below the heads, the
    # embeddings are below layer 0. 1 = all equal. ELECTRA counts one step more to its heads: give
    # learning_rate * layer_decay as learning_rate, and learning_rate as head_learning_rate.
    layer_decay: float = 1.0

    def __post_init__(self) -> None:
        rules = {
            "name": (self.name in OPTIMIZERS, f"one of {', '.join(OPTIMIZERS)}"),
            "learning_rate": (0 <= self.learning_rate < math.inf, "finite and not negative"),
            "betas": (
                len(self.betas) == 2 and all(0 <= b < 1 for b in self.betas),
                "two numbers from 0 to below 1",
            ),
            "eps": (0 < self.eps < math.inf, "above 0, e.g. 1e-8"),
            "weight_decay": (0 <= self.weight_decay < math.inf, "not negative, e.g. 0.01"),
            "clip_norm": (self.clip_norm is None or self.clip_norm > 0, "above 0, or None for off"),
            "head_learning_rate": (
                self.head_learning_rate is None or 0 <= self.head_learning_rate < math.inf,
                "finite and not negative, or None for the learning rate",
            ),
            "layer_decay": (0 < self.layer_decay <= 1, "above 0 and at most 1, which is off"),
        }
        for name, (holds, rule) in rules.items():
            if not holds:
                path = "training.optimizer" if name == "name" else f"training.{name}"
                raise ConfigError(f"{path}={getattr(self, name)!r} must be {rule}")


@dataclass(frozen=True, kw_only=True)
class ParameterGroup:
    """Parameters with the same rate and the same decay, by name."""

    learning_rate: float  # at the schedule's peak
    weight_decay: float
    adapted: bool = False  # LAMB's ratio applies; its paper's norms and biases do without
    parameters: dict[str, nn.Parameter] = field(default_factory=dict)


class Optimizer:
    """Updates parameters; made by build_optimizer.

    Attributes:
        config: how.
        groups: what, and at which rates.
        steps: updates made.
    """

    def __init__(self, config: OptimizerConfig, groups: Sequence[ParameterGroup]) -> None:
        self.config = config
        self.groups = tuple(groups)
        self.steps = 0
        self._parameters = {n: p for group in groups for n, p in group.parameters.items()}
        self._moments: dict[str, tuple[Tensor, Tensor]] = {}

    def clip(self) -> Tensor:
        """Scale the gradients down to clip_norm; the norm before that, a scalar on their device."""
        return clip_gradients(self._parameters.values(), self.config.clip_norm)

    @torch.no_grad()
    def step(self, learning_rate_factor: float) -> None:
        """Update every parameter by its gradient.

        Args:
            learning_rate_factor: share of the peak rate, such as Schedule.factor gives.
        """
        self.steps += 1
        b1, b2 = self.config.betas
        factor, clock = learning_rate_factor, math.inf
        if self.config.name == "adamw":
            clock = float(self.steps)
        elif self.config.name == "gpt1-adamw":
            factor *= math.sqrt(1 - b2**self.steps) / (1 - b1**self.steps)
        for group in self.groups:
            self._step_group(group, factor, clock)

    def zero_grad(self) -> None:
        """Drop all gradients."""
        for parameter in self._parameters.values():
            parameter.grad = None

    def state_tensors(self) -> dict[str, Tensor]:
        """All that a resumed run needs, not copied: "step", exp_avg.<name>, exp_avg_sq.<name>."""
        tensors = {"step": torch.tensor(self.steps)}
        for name, (mean, square) in self._moments.items():
            tensors[f"exp_avg.{name}"] = mean
            tensors[f"exp_avg_sq.{name}"] = square
        return tensors

    def load_state_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from what state_tensors gave; the tensors are copied.

        Raises:
            CheckpointError: they belong to other parameters; nothing is changed.
        """
        names = [k.removeprefix("exp_avg.") for k in tensors if k.startswith("exp_avg.")]
        known = {"step", *(f"{kind}.{n}" for n in names for kind in ("exp_avg", "exp_avg_sq"))}
        strangers = sorted((known ^ tensors.keys()) | (set(names) - self._parameters.keys()))
        if strangers:
            raise CheckpointError(
                f"the optimizer's state does not fit this model, see {strangers[:3]}; "
                "resume with the recipe the run was begun with"
            )
        moments = {}
        for name in names:
            pair = tensors[f"exp_avg.{name}"], tensors[f"exp_avg_sq.{name}"]
            parameter = self._parameters[name]
            for value in pair:
                if value.shape != parameter.shape:
                    raise CheckpointError(
                        f"the optimizer's state of {name} has shape {list(value.shape)}, the "
                        f"parameter {list(parameter.shape)}; resume with the run's own recipe"
                    )
            moments[name] = (_like(parameter).copy_(pair[0]), _like(parameter).copy_(pair[1]))
        self._moments = moments
        self.steps = int(tensors["step"])

    def _step_group(self, group: ParameterGroup, factor: float, clock: float) -> None:
        parameters, gradients, means, squares = self._tensors(group)
        if not parameters:
            return
        if self.config.name == "lamb":
            lamb_step(
                parameters,
                gradients,
                list(zip(means, squares, strict=True)),
                learning_rate=group.learning_rate * factor,
                betas=self.config.betas,
                eps=self.config.eps,
                weight_decay=group.weight_decay,
                adapted=group.adapted,
            )
            return
        # float32, as torch.optim keeps it: exact up to 16 million updates.
        step = torch.tensor(clock, dtype=torch.float32, device=parameters[0].device)
        torch._fused_adamw_(
            parameters,
            gradients,
            means,
            squares,
            [],
            [step] * len(parameters),
            lr=group.learning_rate * factor,
            beta1=self.config.betas[0],
            beta2=self.config.betas[1],
            weight_decay=group.weight_decay,
            eps=self.config.eps,
            amsgrad=False,
            maximize=False,
        )

    def _tensors(self, group: ParameterGroup) -> tuple[list[Tensor], ...]:
        """Parameters, gradients, means and squares of a group, of those ever with a gradient."""
        parameters: list[Tensor] = []
        gradients: list[Tensor] = []
        means: list[Tensor] = []
        squares: list[Tensor] = []
        for name, parameter in group.parameters.items():
            if name not in self._moments:
                if parameter.grad is None:
                    continue
                self._moments[name] = _like(parameter), _like(parameter)
            parameters.append(parameter)
            gradients.append(_like(parameter) if parameter.grad is None else parameter.grad)
            means.append(self._moments[name][0])
            squares.append(self._moments[name][1])
        return parameters, gradients, means, squares


def build_optimizer(model: nn.Module, config: OptimizerConfig) -> Optimizer:
    """An optimizer of the trainable parameters, tied ones once, grouped by rate and decay.

    Names decide: `layers.{i}.` is layer i, `embeddings.` and its projection lie below layer 0, all
    else above the last layer, and `head.` at the start is the task's new head.

    Raises:
        ConfigError: no parameter is trainable.
    """
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    if not named:
        raise ConfigError("every parameter is frozen; leave at least the head trainable")
    layers = 1 + max((_layer(name) for name, _ in model.named_parameters()), default=-1)
    groups: dict[tuple[float, float, bool], ParameterGroup] = {}
    for name, parameter in named:
        rate = config.learning_rate * config.layer_decay ** _levels_below_heads(name, layers)
        if name.startswith(_HEAD) and config.head_learning_rate is not None:
            rate = config.head_learning_rate
        decays = _decays(name, parameter, config)
        decay, adapted = config.weight_decay if decays else 0.0, decays and config.name == "lamb"
        group = groups.setdefault(
            (rate, decay, adapted),
            ParameterGroup(learning_rate=rate, weight_decay=decay, adapted=adapted),
        )
        group.parameters[name] = parameter
    return Optimizer(config, list(groups.values()))


def _layer(name: str) -> int:
    match = _LAYER.search(name)
    return int(match[1]) if match else -1


def _levels_below_heads(name: str, layers: int) -> int:
    if (layer := _layer(name)) >= 0:
        return layers - layer
    return layers + 1 if _EMBEDDINGS.search(name) else 0


def _decays(name: str, parameter: Tensor, config: OptimizerConfig) -> bool:
    lower = name.lower()
    return parameter.ndim >= 2 and not any(word in lower for word in config.decay_excluded)


def _like(parameter: Tensor) -> Tensor:
    """Zeros of the parameter's shape, type, device and memory order, which the kernel relies on."""
    return torch.zeros_like(parameter, memory_format=torch.preserve_format)
