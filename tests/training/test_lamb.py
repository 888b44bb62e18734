"""LAMB: ALBERT's formula, and the same bits for any number of threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn

from foretext.training.optimizers.build import build_optimizer
from foretext.training.optimizers.config import OptimizerConfig

STEPS = 12
CONFIG = OptimizerConfig(
    name="lamb", learning_rate=0.02, eps=1e-6, weight_decay=0.1, clip_norm=None
)


class Toy(nn.Module):
    """A matrix, a bias and a norm; three sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(5, 7)
        self.norm = nn.LayerNorm(7)


def toy() -> Toy:
    torch.manual_seed(0)
    return Toy()


def gradient(name: str, like: Tensor, step: int) -> Tensor:
    drawn = torch.Generator().manual_seed(step * 100 + len(name))
    return torch.randn(like.shape, generator=drawn, dtype=torch.float64)


def trained(model: nn.Module, config: OptimizerConfig = CONFIG) -> dict[str, Tensor]:
    optimizer = build_optimizer(model, config)
    for step in range(STEPS):
        for name, parameter in model.named_parameters():
            parameter.grad = gradient(name, parameter, step).to(parameter.dtype)
        optimizer.set_rate((step + 1) / STEPS)
        optimizer.step()
    return {name: p.detach() for name, p in model.named_parameters()}


def reference(name: str, weight: Tensor, *, excluded: bool) -> Tensor:
    """lamb_optimizer.py, LAMBOptimizer.apply_gradients, line by line in double precision."""
    weight = weight.double()
    mean, square = torch.zeros_like(weight), torch.zeros_like(weight)
    for step in range(STEPS):
        grad = gradient(name, weight, step)
        mean = 0.9 * mean + (1.0 - 0.9) * grad
        square = 0.999 * square + (1.0 - 0.999) * grad.square()
        update = mean / (square.sqrt() + 1e-6)
        if not excluded:
            update = update + 0.1 * weight
        ratio = 1.0
        if not excluded:
            w_norm, g_norm = float(weight.norm()), float(update.norm())
            ratio = w_norm / g_norm if w_norm > 0 and g_norm > 0 else 1.0
        weight = weight - ratio * (0.02 * (step + 1) / STEPS) * update
    return weight


def test_it_is_the_official_formula() -> None:
    """papers/albert.md d: no bias correction, ratio by tensor, norms and biases without it."""
    start = {name: p.detach().clone() for name, p in toy().named_parameters()}
    for name, found in trained(toy()).items():
        expected = reference(name, start[name], excluded=name != "dense.weight")
        torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("zero", ["weight", "update"])
def test_a_norm_of_zero_gives_the_ratio_1(zero: str) -> None:
    """Else a tensor that begins at 0 would never move, or 0 / 0 would spoil it."""
    model = toy()
    optimizer = build_optimizer(model, CONFIG)
    nothing = torch.zeros(7, 5)
    with torch.no_grad():
        model.dense.weight.zero_()
    model.dense.weight.grad = nothing if zero == "update" else nothing + 1
    optimizer.step()
    # m / sqrt(v) of a first gradient of 1 is .1 / sqrt(.001)
    expected = nothing if zero == "update" else nothing - 0.02 * 0.1 / (0.001**0.5 + 1e-6)
    torch.testing.assert_close(model.dense.weight.detach(), expected)


def test_weights_without_decay_are_still_adapted() -> None:
    """The ratio's exclusions are names, not a decay of 0."""
    from dataclasses import replace

    bare = replace(CONFIG, weight_decay=0.0)
    plain = replace(bare, name="bert-adamw")
    one, other = trained(toy(), bare), trained(toy(), plain)
    assert not torch.allclose(one["dense.weight"], other["dense.weight"], atol=1e-3)
    torch.testing.assert_close(one["dense.bias"], other["dense.bias"])


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def test_the_bits_do_not_depend_on_threads() -> None:
    """Tensors beyond 32,768 numbers, where PyTorch divides the work."""

    def run(count: int) -> Tensor:
        torch.manual_seed(0)
        model = nn.Linear(301, 257)
        optimizer = build_optimizer(model, CONFIG)
        with threads(count):
            for step in range(3):
                torch.manual_seed(step)
                for parameter in model.parameters():
                    parameter.grad = torch.randn_like(parameter)
                optimizer.step()
        return model.weight.detach()

    assert torch.equal(run(1), run(2))
    assert torch.equal(run(1), run(3))
