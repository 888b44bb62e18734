"""Adafactor as T5 was trained: rates relative to a tensor's size, second moments in two vectors.

Papers: Shazeer & Stern 2018, https://arxiv.org/abs/1804.04235, algorithms 4 to 6; Raffel et al.
2020, https://arxiv.org/abs/1910.10683, section 3.1.2, with mesh_tensorflow's optimize.py: no
momentum, the rate given (relative step off), scaled by the parameter's RMS, clip threshold 1,
decay 1 - t^-0.8. With R and C the running means of the rows and columns of g^2 + 1e-30:

    u = g / sqrt(R C / mean(R))       where both sides have 128 or more; else g / sqrt(V)
    u = u / max(1, RMS(u))
    w -= lr * max(RMS(w), 1e-3) * (u + decay * w)

Deviation: tensors of more than two dimensions are not factored.
"""

from __future__ import annotations

from torch import Tensor

from foretext.training.optimizers.base import Group, Optimizer, State, like
from foretext.training.optimizers.norms import exact_norm

_SMALLEST = 128  # rows and columns of a matrix that is factored (min_dim_size_to_factor)
_SQUARE = 1e-30  # added to squares
_SCALE = 1e-3  # of a parameter, at least
_THRESHOLD = 1.0  # of an update's RMS
_DECAY = 0.8


class Adafactor(Optimizer):
    """See the module docstring. It reads neither betas nor eps."""

    def fresh_state(self, parameter: Tensor) -> State:
        """Running means of rows and columns, or of every square."""
        if parameter.ndim == 2 and min(parameter.shape) >= _SMALLEST:
            rows, columns = parameter.shape
            return {
                "exp_avg_sq_row": parameter.new_zeros(rows),
                "exp_avg_sq_col": parameter.new_zeros(columns),
            }
        return {"exp_avg_sq": like(parameter)}

    def update(
        self,
        group: Group,
        parameters: list[Tensor],
        gradients: list[Tensor],
        states: list[State],
    ) -> None:
        """See Optimizer."""
        new = group["steps"] ** -_DECAY  # share of the newest square in the means
        for weight, gradient, state in zip(parameters, gradients, states, strict=True):
            change = _normalised(gradient, state, new)
            change.div_((_rms(change) / _THRESHOLD).clamp(min=1))
            if group["weight_decay"]:
                change.add_(weight, alpha=group["weight_decay"])
            rate = group["lr"] * _rms(weight).clamp(min=_SCALE)
            weight.sub_(change.mul_(rate.to(change.dtype)))


def _normalised(gradient: Tensor, state: State, new: float) -> Tensor:
    """The gradient over the root of its squares' running mean, which is brought up to date."""
    square = gradient.square().add_(_SQUARE)
    if "exp_avg_sq" in state:
        mean = state["exp_avg_sq"].lerp_(square, new)
        return gradient * mean.rsqrt()
    rows = state["exp_avg_sq_row"].lerp_(square.mean(1), new)
    columns = state["exp_avg_sq_col"].lerp_(square.mean(0), new)
    # A sum of positive numbers is the squared norm of their roots, whose order is fixed.
    mean = exact_norm([rows.sqrt()]).square() / len(rows)
    return gradient * (rows / mean).rsqrt()[:, None] * columns.rsqrt()


def _rms(tensor: Tensor) -> Tensor:
    """Root of the mean square, a scalar on the tensor's device."""
    return exact_norm([tensor]) / max(tensor.numel(), 1) ** 0.5
