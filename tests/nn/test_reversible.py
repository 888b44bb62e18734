"""Reversible layers compute their inputs back to the bit; their gradients are the plain ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from foretext.nn.axial import AxialPositions
from foretext.nn.dropout import Dropout, seed_dropout
from foretext.nn.linear import Linear
from foretext.nn.norm import LayerNorm
from foretext.nn.reversible import Half, on_grid, plain, reversible

HIDDEN = 16


class Sublayer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = LayerNorm(HIDDEN, eps=1e-12)
        self.inner = Linear(HIDDEN, 24)
        self.outer = Linear(24, HIDDEN)
        self.dropout = Dropout(0.3)

    def forward(self, states: Tensor, tokens: Tensor | None) -> Tensor:
        wide = self.inner(self.norm(states)).tanh()
        return self.dropout(self.outer(wide), tokens)


class Rows(Half):
    def __init__(self, module: Sublayer, step: int | None) -> None:
        self.module = module
        self.step = step

    def parts(self, rows: int) -> Sequence[slice]:
        step = self.step or rows
        return [slice(i, min(i + step, rows)) for i in range(0, rows, step)]

    def __call__(self, states: Tensor, part: slice) -> Tensor:
        tokens = torch.arange(part.start, part.stop) if self.step else None
        return self.module(states, tokens)


def stack(depth: int, step: int | None = None) -> tuple[nn.ModuleList, list[Half]]:
    torch.manual_seed(0)
    modules = [Sublayer() for _ in range(2 * depth)]
    return nn.ModuleList(modules).train(), [Rows(module, step) for module in modules]


def gradients(
    run: Callable[[Sequence[Half], Tensor], tuple[Tensor, Tensor]],
    modules: nn.Module,
    halves: Sequence[Half],
    hidden: Tensor,
) -> list[Tensor]:
    seed_dropout(modules, 5)
    hidden = hidden.clone().requires_grad_()
    first, second = (stream.float() for stream in run(halves, hidden))
    loss = (first.sin() * second.cos()).sum()
    return list(torch.autograd.grad(loss, [hidden, *modules.parameters()]))


@pytest.mark.parametrize("depth", [1, 6])
def test_gradients_are_those_of_plain_differentiation_to_the_bit(depth: int) -> None:
    """With dropout, whose masks are drawn twice."""
    modules, halves = stack(depth)
    hidden = torch.randn(40, HIDDEN, generator=torch.Generator().manual_seed(1))
    mine = gradients(reversible, modules, halves, hidden)
    theirs = gradients(plain, modules, halves, hidden)
    assert all(grad.any() for grad in mine)
    assert all(torch.equal(one, other) for one, other in zip(mine, theirs, strict=True))


def test_rows_in_parts_have_the_same_streams_and_gradients() -> None:
    """A chunked feed-forward network; weights' gradients are summed in another order."""
    hidden = torch.randn(40, HIDDEN, generator=torch.Generator().manual_seed(1))
    found = []
    for step in (None, 7):
        modules, halves = stack(3, step)
        found.append(gradients(reversible, modules, halves, hidden))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_inputs_come_back_to_the_bit_after_a_hundred_halves() -> None:
    """y - f is x: on the grid; in fp32 it is not."""
    modules, halves = stack(50)
    seed_dropout(modules, 5)
    hidden = torch.randn(40, HIDDEN, generator=torch.Generator().manual_seed(1))

    class Spy(Half):
        def __init__(self, half: Half) -> None:
            self.half, self.module = half, half.module
            self.read: list[Tensor] = []

        def parts(self, rows: int) -> Sequence[slice]:
            return self.half.parts(rows)

        def __call__(self, states: Tensor, part: slice) -> Tensor:
            self.read.append(states.detach().clone())
            return self.half(states, part)

    spies = [Spy(half) for half in halves]
    first, second = reversible(spies, hidden.requires_grad_())
    (first.sum() + second.sum()).backward()
    assert all(torch.equal(*spy.read) for spy in spies)
    x, f = torch.tensor(0.1), torch.tensor(3.7)
    assert (x + f) - f != x
    assert on_grid(x) + on_grid(f) - on_grid(f) == on_grid(x)


def kept(depth: int) -> int:
    """Bytes that plain differentiation keeps for the backward pass."""
    modules, halves = stack(depth)
    seed_dropout(modules, 5)
    total = 0

    def pack(tensor: Tensor) -> Tensor:
        nonlocal total
        total += tensor.numel() * tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        plain(halves, torch.randn(400, HIDDEN, requires_grad=True))
    return total


def kept_reversibly(depth: int) -> int:
    """The same of the reversible stack."""
    modules, halves = stack(depth)
    seed_dropout(modules, 5)
    node: Any = reversible(halves, torch.randn(400, HIDDEN, requires_grad=True))[0].grad_fn
    return sum(tensor.numel() * tensor.element_size() for tensor in node.saved_tensors)


def test_what_is_kept_does_not_grow_with_depth() -> None:
    """Section 3 of the paper: two streams in fp64, however many layers."""
    assert kept_reversibly(1) == kept_reversibly(12) == 2 * 400 * HIDDEN * 8
    assert kept(12) > 8 * kept(1)


def test_a_loss_that_is_not_finite_stays_so() -> None:
    modules, halves = stack(2)
    seed_dropout(modules, 5)
    hidden = torch.full((3, HIDDEN), float("nan"))
    assert all(stream.isnan().all() for stream in reversible(halves, hidden))


def test_without_a_gradient_streams_are_the_same() -> None:
    modules, halves = stack(2)
    modules.eval()
    hidden = torch.randn(8, HIDDEN, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        one = reversible(halves, hidden)
    other = reversible(halves, hidden.requires_grad_())
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a, b)


def test_axial_positions_are_rows_and_columns() -> None:
    """Position 7 in 3 columns lies in row 2, column 1; tables have 5 + 3 rows for 15 positions."""
    positions = AxialPositions((5, 3), (2, 4))
    for table in positions.parameters():
        nn.init.normal_(table)
    found = positions(torch.arange(15))
    assert found.shape == (15, 6)
    assert positions.num_positions == 15
    assert torch.equal(found[7], torch.cat([positions.rows[2, 0], positions.columns[0, 1]]))
    assert len({tuple(row) for row in found.tolist()}) == 15
