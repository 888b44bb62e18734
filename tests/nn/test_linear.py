"""Products through oneDNN, and several layers as one product."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from foretext.nn.linear import _LEAST, Linear, joint_linear

LARGE = (705, 256, 256)  # rows, in, out of each of three: above the least for oneDNN
SMALL = (7, 12, 5)


def made(sizes: tuple[int, int, int]) -> tuple[Tensor, list[nn.Linear], Tensor]:
    """Rows, three layers, and a gradient of their joint output."""
    rows, wide, out = sizes
    torch.manual_seed(0)
    layers: list[nn.Linear] = [Linear(wide, out) for _ in range(3)]
    return torch.randn(rows, wide, requires_grad=True), layers, torch.randn(rows, 3 * out)


def gradients(rows: Tensor, layers: list[nn.Linear], output: Tensor, grad: Tensor) -> list[Tensor]:
    inputs = [rows, *(layer.weight for layer in layers), *(layer.bias for layer in layers)]
    return list(torch.autograd.grad(output, inputs, grad))


@pytest.mark.parametrize("sizes", [SMALL, LARGE])
def test_a_joint_product_equals_three_of_pytorch(sizes: tuple[int, int, int]) -> None:
    """Output and all gradients, against torch.nn.Linear in float64."""
    rows, layers, grad = made(sizes)
    output = joint_linear(rows, layers)
    found = [output, *gradients(rows, layers, output, grad)]
    exact = [nn.Linear(x.in_features, x.out_features).double() for x in layers]
    for theirs, ours in zip(exact, layers, strict=True):
        theirs.load_state_dict(ours.state_dict())
    wide = rows.detach().double().requires_grad_()
    reference = torch.cat([layer(wide) for layer in exact], 1)
    expected = [reference, *gradients(wide, exact, reference, grad.double())]
    for a, b in zip(found, expected, strict=True):
        assert a.shape == b.shape
        assert (a.double() - b).abs().max() <= 2e-6 * b.abs().max()


def test_bits_do_not_depend_on_the_number_of_threads() -> None:
    """Output and all gradients of a product large enough for oneDNN."""
    assert LARGE[0] * LARGE[1] * 3 * LARGE[2] >= _LEAST
    threads, found = torch.get_num_threads(), []
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            rows, layers, grad = made(LARGE)
            output = joint_linear(rows, layers)
            found.append([output, *gradients(rows, layers, output, grad)])
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_a_frozen_layer_has_no_gradient_and_passes_one_on() -> None:
    rows, layers, grad = made(LARGE)
    for layer in layers:
        layer.requires_grad_(False)
    (of_rows,) = torch.autograd.grad(joint_linear(rows, layers), [rows], grad)
    weight = torch.cat([layer.weight for layer in layers])
    assert torch.allclose(of_rows, grad @ weight, atol=1e-4)
