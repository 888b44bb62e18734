"""T5's Adafactor, ELMo's Adagrad, UniLM's clipping; and what PyTorch asks of an optimizer."""

from __future__ import annotations

import copy
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)

from foretext.training.optimizers.build import build_optimizer
from foretext.training.optimizers.config import OPTIMIZERS, OptimizerConfig
from foretext.training.optimizers.norms import clip_each

CONFIG = OptimizerConfig(
    name="adafactor", learning_rate=0.01, weight_decay=0.0, clip_norm=None, decay_excluded=()
)
STEPS = 6


def toy() -> nn.Module:
    """A matrix that is factored, one that is too narrow for it, and a vector."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(130, 140, bias=False), nn.Linear(140, 3))


def draw(model: nn.Module, step: int) -> None:
    generator = torch.Generator().manual_seed(step)
    for number, parameter in enumerate(model.parameters()):
        scale = 10.0 ** (number - 1)
        parameter.grad = scale * torch.randn(parameter.shape, generator=generator)


def trained(model: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> list[Tensor]:
    for step in steps:
        draw(model, step)
        optimizer.step()
    return [p.detach().clone() for p in model.parameters()]


def test_adafactor_of_a_factored_matrix_is_that_of_transformers() -> None:
    """papers/t5.md d: relative step off, scaled by the parameter's RMS, threshold 1, t^-.8."""
    hf = pytest.importorskip("transformers.optimization")
    torch.manual_seed(0)
    ours = nn.Linear(130, 140, bias=False)
    theirs = nn.Linear(130, 140, bias=False)
    theirs.load_state_dict(ours.state_dict())
    peer = hf.Adafactor(
        theirs.parameters(), lr=0.01, relative_step=False, scale_parameter=True, warmup_init=False
    )
    found = trained(ours, build_optimizer(ours, CONFIG), range(STEPS))
    for one, other in zip(found, trained(theirs, peer, range(STEPS)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)


def test_adafactor_of_other_tensors_is_the_formula() -> None:
    """mesh_tensorflow's optimize.py: whole squares where a side is below 128."""
    model = toy()
    start = [p.detach().double() for p in model.parameters()]
    found = trained(model, build_optimizer(model, CONFIG), range(STEPS))
    for number in (1, 2):
        weight, mean = start[number], torch.zeros_like(start[number])
        for step in range(STEPS):
            draw(model, step)
            grad = list(model.parameters())[number].grad
            assert grad is not None
            decay = 1 - (step + 1) ** -0.8
            mean = decay * mean + (1 - decay) * (grad.double().square() + 1e-30)
            change = grad.double() / mean.sqrt()
            change = change / max(1.0, float(change.square().mean().sqrt()))
            weight = weight - 0.01 * max(float(weight.square().mean().sqrt()), 1e-3) * change
        torch.testing.assert_close(found[number].double(), weight, rtol=1e-5, atol=1e-7)


def test_adafactor_keeps_two_vectors_of_a_matrix() -> None:
    model = toy()
    optimizer = build_optimizer(model, CONFIG)
    trained(model, optimizer, range(1))
    sizes = {name: tuple(value.shape) for name, value in optimizer.state_tensors().items()}
    assert sizes["exp_avg_sq_row.0.weight"] == (140,)
    assert sizes["exp_avg_sq_col.0.weight"] == (130,)
    assert sizes["exp_avg_sq.1.weight"] == (3, 140)


def test_adagrad_is_that_of_tensorflow() -> None:
    """papers/elmo.md: squares add up from 1.0; torch's with eps 0 is the same."""
    ours, theirs = toy(), toy()
    config = replace(CONFIG, name="adagrad", learning_rate=0.2)
    peer = torch.optim.Adagrad(theirs.parameters(), lr=0.2, initial_accumulator_value=1.0, eps=0.0)
    found = trained(ours, build_optimizer(ours, config), range(STEPS))
    for one, other in zip(found, trained(theirs, peer, range(STEPS)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)


def test_each_tensor_can_be_clipped_by_itself() -> None:
    """papers/unilm.md: each tensor's gradient to norm 1, the small ones left as they are."""
    small, large = (nn.Parameter(torch.zeros(2)) for _ in range(2))
    small.grad, large.grad = torch.tensor([0.3, 0.4]), torch.tensor([3.0, 4.0])
    clip_each([small, large], 1.0)
    torch.testing.assert_close(small.grad, torch.tensor([0.3, 0.4]))
    torch.testing.assert_close(large.grad, torch.tensor([0.6, 0.8]))
    model = toy()
    optimizer = build_optimizer(model, replace(CONFIG, clip_norm=1.0, clip_scope="tensor"))
    draw(model, 0)
    before = [float(p.grad.norm()) for p in model.parameters() if p.grad is not None]
    assert float(optimizer.clip()) == pytest.approx(sum(n**2 for n in before) ** 0.5, rel=1e-5)
    after = [float(p.grad.norm()) for p in model.parameters() if p.grad is not None]
    assert after == pytest.approx([min(n, 1.0) for n in before], rel=1e-5)


def test_the_gradient_is_scaled_before_it_is_clipped() -> None:
    """papers/elmo.md: the gradient of loss x 20 is clipped at 10."""
    parameter = nn.Linear(1, 2, bias=False)
    optimizer = build_optimizer(
        parameter, replace(CONFIG, name="adagrad", clip_norm=10.0, gradient_scale=20.0)
    )
    parameter.weight.grad = torch.tensor([[0.3], [0.4]])
    assert float(optimizer.clip()) == pytest.approx(10.0)
    torch.testing.assert_close(parameter.weight.grad, torch.tensor([[6.0], [8.0]]))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_pytorchs_distributed_checkpoint_knows_the_state(name: str) -> None:
    """The state by parameter's names, taken out of one and put into another, goes on alike."""
    config = replace(CONFIG, name=name, weight_decay=0.01)
    one, other = toy(), toy()
    first, second = build_optimizer(one, config), build_optimizer(other, config)
    trained(one, first, range(3))
    other.load_state_dict(one.state_dict())
    saved = copy.deepcopy(get_optimizer_state_dict(one, first))
    set_optimizer_state_dict(other, second, saved)
    assert second.steps == 3
    expected = trained(one, first, range(3, STEPS))
    found = trained(other, second, range(3, STEPS))
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_making_and_stepping_one_imports_no_compiler() -> None:
    """torch.optim's own first construction imports torch._dynamo, a second of start-up."""
    code = (
        "import sys, torch; from foretext.training.optimizers.build import build_optimizer\n"
        "from foretext.training.optimizers.config import OptimizerConfig\n"
        "m = torch.nn.Linear(2, 2); o = build_optimizer(m, OptimizerConfig(learning_rate=.1))\n"
        "m(torch.ones(1, 2)).sum().backward(); o.clip(); o.step(); o.zero_grad()\n"
        "print('torch._dynamo' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
