"""Products through oneDNN, and several layers as one product."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from foretext.nn.cpu import product as linear
from foretext.nn.cpu.product import _LEAST, joint_linear
from foretext.nn.heads import linear_cross_entropy
from foretext.nn.linear import Linear

LARGE = (705, 256, 256)  # rows, in, out of each of three: above the least for oneDNN
NARROW = (705, 512, 64)  # the same, and fewer out than in
SMALL = (7, 12, 5)


@pytest.fixture(params=[False, True], ids=["mkl", "onednn"], autouse=True)
def _processor(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every claim holds on processors of both kinds, whichever this one is."""
    monkeypatch.setattr(linear, "is_half_used_by_mkl", lambda: request.param)


def made(sizes: tuple[int, int, int]) -> tuple[Tensor, list[nn.Linear], Tensor]:
    """Rows, three layers, and a gradient of their joint output."""
    rows, wide, out = sizes
    torch.manual_seed(0)
    layers: list[nn.Linear] = [Linear(wide, out) for _ in range(3)]
    return torch.randn(rows, wide, requires_grad=True), layers, torch.randn(rows, 3 * out)


def gradients(rows: Tensor, layers: list[nn.Linear], output: Tensor, grad: Tensor) -> list[Tensor]:
    inputs = [rows, *(layer.weight for layer in layers), *(layer.bias for layer in layers)]
    return list(torch.autograd.grad(output, inputs, grad))


@pytest.mark.parametrize("sizes", [SMALL, LARGE, NARROW])
def test_a_joint_product_equals_three_of_pytorch(sizes: tuple[int, int, int]) -> None:
    """Output and all gradients, against torch.nn.Linear in float64."""
    rows, layers, grad = made(sizes)
    output = torch.cat(joint_linear(rows, layers), 1)
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


@pytest.mark.parametrize("sizes", [LARGE, NARROW])
def test_bits_do_not_depend_on_the_number_of_threads(sizes: tuple[int, int, int]) -> None:
    """Output and all gradients of a product large enough for oneDNN."""
    assert sizes[0] * sizes[1] * 3 * sizes[2] >= _LEAST
    threads, found = torch.get_num_threads(), []
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            rows, layers, grad = made(sizes)
            output = torch.cat(joint_linear(rows, layers), 1)
            found.append([output, *gradients(rows, layers, output, grad)])
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_a_vocabularys_loss_has_the_gradients_of_pytorch() -> None:
    """On both kinds of processor, in float64 by torch's own functions."""
    torch.manual_seed(0)
    hidden, table = torch.randn(50, 24), torch.randn(1_000, 24)
    bias, labels = torch.randn(1_000), torch.randint(1_000, (50,))
    exact = [t.double().requires_grad_() for t in (hidden, table, bias)]
    scores = exact[0] @ exact[1].T + exact[2]
    nn.functional.cross_entropy(scores, labels, reduction="sum").backward()
    found = [t.requires_grad_() for t in (hidden, table, bias)]
    linear_cross_entropy(found[0], found[1], found[2], labels).backward()
    for ours, theirs in zip(found, exact, strict=True):
        assert ours.grad is not None
        assert theirs.grad is not None
        torch.testing.assert_close(ours.grad.double(), theirs.grad, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("vendor", "family", "flags", "expected"),
    [
        ("AuthenticAMD", "26", "fma avx2 avx512f", True),
        ("AuthenticAMD", "25", "fma avx2 avx512f", False),  # Zen 4: half the units
        ("AuthenticAMD", "26", "fma avx2", False),
        ("GenuineIntel", "26", "fma avx2 avx512f", False),
    ],
)
def test_the_processor_is_told_by_what_linux_says_of_it(
    tmp_path: Path, vendor: str, family: str, flags: str, *, expected: bool
) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text(
        f"processor\t: 0\nvendor_id\t: {vendor}\ncpu family\t: {family}\nflags\t\t: {flags}\n"
    )
    assert linear._is_zen_5(path) is expected
    assert not linear._is_zen_5(tmp_path / "missing")  # no Linux


def test_a_frozen_layer_has_no_gradient_and_passes_one_on() -> None:
    rows, layers, grad = made(LARGE)
    for layer in layers:
        layer.requires_grad_(False)
    (of_rows,) = torch.autograd.grad(torch.cat(joint_linear(rows, layers), 1), [rows], grad)
    weight = torch.cat([layer.weight for layer in layers])
    assert torch.allclose(of_rows, grad @ weight, atol=1e-4)
