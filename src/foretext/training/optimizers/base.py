"""An optimizer of named parameters whose state safetensors can hold.

It is a torch.optim.Optimizer, so that PyTorch's distributed checkpoint, its hooks and its profiler
know it: the moments lie in `state`, rates, decay and the number of updates in `param_groups`.

Deviation: a parameter that once had a gradient and now has none counts as having a zero one, so
that one count of updates holds for all. One that never had any, such as an unused head, is left
alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from foretext.core.errors import CheckpointError
from foretext.training.optimizers.config import OptimizerConfig
from foretext.training.optimizers.norms import clip_each, clip_gradients

Group = dict[str, Any]  # params, param_names, lr, peak_lr, weight_decay, adapted, steps
State = dict[str, Tensor]  # of one parameter


class Optimizer(torch.optim.Optimizer):
    """Updates parameters; made by build_optimizer. A subclass gives fresh_state and update.

    Args:
        groups: each with "params", "param_names", "peak_lr", "weight_decay" and "adapted".
        config: how.
    """

    def __init__(self, groups: list[Group], config: OptimizerConfig) -> None:
        self.config = config
        super().__init__(groups, {"lr": config.learning_rate, "steps": 0})
        self.set_rate(1.0)

    def fresh_state(self, parameter: Tensor) -> State:
        """The state of a parameter that had no gradient yet."""
        raise NotImplementedError

    def update(
        self,
        group: Group,
        parameters: list[Tensor],
        gradients: list[Tensor],
        states: list[State],
    ) -> None:
        """One update of a group, in place; group["steps"] counts it already."""
        raise NotImplementedError

    @property
    def steps(self) -> int:
        """Updates made."""
        steps: int = self.param_groups[0]["steps"]
        return steps

    @property
    def named_parameters(self) -> dict[str, Tensor]:
        """What it updates, by name."""
        return {
            name: parameter
            for group in self.param_groups
            for name, parameter in zip(group["param_names"], group["params"], strict=True)
        }

    def set_rate(self, factor: float) -> None:
        """Set every rate to a share of its peak, such as Schedule.factor gives."""
        for group in self.param_groups:
            group["lr"] = group["peak_lr"] * factor

    @torch.no_grad()
    def clip(self) -> Tensor:
        """Scale the gradients down to clip_norm; the norm before that, a scalar on their device."""
        config, parameters = self.config, self.named_parameters.values()
        if config.gradient_scale != 1:
            gradients = [p.grad for p in parameters if p.grad is not None]
            torch._foreach_mul_(gradients, config.gradient_scale)
        if config.clip_scope == "tensor" and config.clip_norm is not None:
            norm = clip_gradients(parameters, None)
            clip_each(parameters, config.clip_norm)
            return norm
        return clip_gradients(parameters, config.clip_norm)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update every parameter by its gradient, at the rates of set_rate."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            group["steps"] += 1
            known = [p for p in group["params"] if p.grad is not None or p in self.state]
            if not known:
                continue
            for parameter in known:
                if parameter not in self.state:
                    self.state[parameter] = self.fresh_state(parameter)
            gradients = [like(p) if p.grad is None else p.grad for p in known]
            self.update(group, known, gradients, [self.state[p] for p in known])
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop all gradients, or set them to zero."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if set_to_none or parameter.grad is None:
                    parameter.grad = None
                else:
                    parameter.grad.zero_()

    def add_param_group(self, param_group: Group) -> None:
        """As PyTorch's, which is wrapped so that its first call imports the compiler: a second."""
        bare = torch.optim.Optimizer.add_param_group.__wrapped__  # type: ignore[attr-defined]
        bare(self, param_group)

    def state_tensors(self) -> dict[str, Tensor]:
        """All that a resumed run needs, not copied: "step", and such as exp_avg.<name>."""
        tensors = {"step": torch.tensor(self.steps)}
        for name, parameter in self.named_parameters.items():
            for key, value in self.state.get(parameter, {}).items():
                tensors[f"{key}.{name}"] = value
        return tensors

    def load_state_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from what state_tensors gave; the tensors are copied.

        Raises:
            CheckpointError: they belong to other parameters; nothing is changed.
        """
        found, known = {}, {"step"}
        for name, parameter in self.named_parameters.items():
            state = self.fresh_state(parameter)
            keys = {f"{key}.{name}": key for key in state}
            if not keys.keys() & tensors.keys():
                continue  # it never had a gradient
            known |= keys.keys()
            for path, key in keys.items():
                if path in tensors:
                    _check_shape(name, tensors[path], state[key])
                    state[key].copy_(tensors[path])
            found[parameter] = state
        if strangers := sorted(known ^ tensors.keys()):
            raise CheckpointError(
                f"the optimizer's state does not fit this model, see {strangers[:3]}; "
                "resume with the recipe the run was begun with"
            )
        self.state.clear()
        self.state.update(found)
        for group in self.param_groups:
            group["steps"] = int(tensors["step"])


def _check_shape(name: str, saved: Tensor, wanted: Tensor) -> None:
    if saved.shape != wanted.shape:
        raise CheckpointError(
            f"the optimizer's state of {name} has shape {list(saved.shape)}, the "
            f"parameter needs {list(wanted.shape)}; resume with the run's own recipe"
        )


def like(parameter: Tensor) -> Tensor:
    """Zeros of the parameter's shape, type, device and memory order, which the kernel relies on."""
    return torch.zeros_like(parameter, memory_format=torch.preserve_format)
