"""LSTMs with a projection and with clipping, over packed sequences; no padding anywhere.

Papers: Hochreiter & Schmidhuber 1997; the projection, Sak et al. 2014, equations 7 to 12 (without
peepholes); clipping, Jozefowicz et al. 2016 and bilm-tf (TensorFlow's LSTMCell):

    i, f, o = sigmoid(W x + U h + b + [0, 1, 0])    g = tanh(W x + U h + b)
    c = clip(f * c + i * g)                         h = clip(P (o * tanh(c)))

Several LSTMs of one size (the directions of a bidirectional one) run in lockstep. Rows are sorted
so that a step's sequences are neighbours: step t has one row for each sequence longer than t. The
products with x are one matrix product over all tokens, as are the gradients of all weights; in the
loop over steps only what depends on the state is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable

FORGET_BIAS = 1.0  # added when running, not part of the parameter: TensorFlow's LSTMCell


@dataclass(frozen=True, kw_only=True)
class Steps:
    """Where tokens go when sequences are laid out step by step, the longest first."""

    order: Tensor  # [tokens] int64, the token at each packed row
    reverse: Tensor  # [tokens] int64, the same for sequences read backwards
    place: Tensor  # [tokens] int64, the packed row of each token; inverse of order
    reverse_place: Tensor  # [tokens] int64, inverse of reverse
    sequences: Tensor  # [sequences] int64, the sequence at each row of a step
    last: Tensor  # [sequences] int64, the packed row of each one's last step
    sizes: tuple[int, ...]  # rows of each step, never growing

    @classmethod
    def of(cls, lengths: Sequence[int]) -> Steps:
        """Of sequences of these lengths that lie end to end."""
        tokens = torch.tensor(lengths, dtype=torch.int64)
        begins = tokens.cumsum(0) - tokens
        sequences = torch.argsort(tokens, descending=True, stable=True)
        ordered = tokens[sequences]
        sizes = torch.bincount(tokens).flip(0).cumsum(0).flip(0)[1:]
        starts = sizes.cumsum(0) - sizes
        step = torch.repeat_interleave(torch.arange(len(sizes)), sizes)
        row = torch.arange(len(step)) - starts[step]
        order = begins[sequences][row] + step
        reverse = (begins + tokens - 1)[sequences][row] - step
        return cls(
            order=order,
            reverse=reverse,
            place=torch.argsort(order),
            reverse_place=torch.argsort(reverse),
            sequences=sequences,
            last=starts[ordered - 1] + torch.arange(len(sequences)),
            sizes=tuple(sizes.tolist()),
        )

    def to(self, device: torch.device | str) -> Steps:
        """The same on another device."""
        names = ("order", "reverse", "place", "reverse_place", "sequences", "last")
        moved = {name: getattr(self, name).to(device, non_blocking=True) for name in names}
        return Steps(**moved, sizes=self.sizes)


class State(NamedTuple):
    """What several LSTMs carry from one stretch of a sequence to the next."""

    hidden: Tensor  # [lstms, sequences, projection]
    cell: Tensor  # [lstms, sequences, size]

    def chosen(self, sequences: Tensor) -> State:
        """Of some sequences, in this order."""
        return State(self.hidden[:, sequences], self.cell[:, sequences])


class ProjectedLstm(nn.Module):
    """LSTMs of one size that run in lockstep; gates lie in the order i, f, o, g.

    Args:
        input_size: of x.
        size: of the cell.
        projection_size: of the state h; None has no projection, and h the cell's size.
        lstms: how many.
        cell_clip: largest value in a cell; None is no limit.
        projection_clip: largest value in a state; None is no limit.
    """

    def __init__(
        self,
        input_size: int,
        size: int,
        projection_size: int | None = None,
        *,
        lstms: int = 2,
        cell_clip: float | None = None,
        projection_clip: float | None = None,
    ) -> None:
        super().__init__()
        self.size = size
        self.output_size = size if projection_size is None else projection_size
        self.cell_clip, self.projection_clip = cell_clip, projection_clip
        self.input_weight = nn.Parameter(torch.empty(lstms, 4 * size, input_size))
        self.state_weight = nn.Parameter(torch.empty(lstms, 4 * size, self.output_size))
        self.bias = nn.Parameter(torch.zeros(lstms, 4 * size))
        self.projection: nn.Parameter | None = None
        if projection_size is not None:
            self.projection = nn.Parameter(torch.empty(lstms, projection_size, size))

    def initialise(self, generator: torch.Generator) -> None:
        """Glorot's uniform weights over [x; h] and of the projection; biases 0 (LSTMCell)."""
        wide = self.input_weight.shape[2] + self.output_size
        with torch.no_grad():
            self.bias.zero_()
            for weight, fans in (
                (self.input_weight, wide + 4 * self.size),
                (self.state_weight, wide + 4 * self.size),
                (self.projection, self.size + self.output_size),
            ):
                if weight is not None:
                    limit = (6 / fans) ** 0.5
                    weight.uniform_(-limit, limit, generator=generator)

    def zero_state(self, sequences: int) -> State:
        """The state before a sequence begins."""
        shape = (self.bias.shape[0], sequences)
        return State(
            self.bias.new_zeros(*shape, self.output_size), self.bias.new_zeros(*shape, self.size)
        )

    def forward(
        self, packed: Tensor, sizes: Sequence[int], state: State | None = None
    ) -> tuple[Tensor, Tensor]:
        """Read packed sequences.

        Args:
            packed: [lstms, tokens, input], rows as Steps lays them out.
            sizes: rows of each step.
            state: before the first step, of each row of a step; None is zeros. No gradient flows
                into it.

        Returns:
            The states h [lstms, tokens, projection] and the cells c [lstms, tokens, size] after
            each token. No gradient flows through the cells.
        """
        state = self.zero_state(sizes[0]) if state is None else state
        bias = self.bias.view(len(self.bias), 4, self.size)
        bias = bias + bias.new_tensor([0.0, FORGET_BIAS, 0.0, 0.0])[:, None]
        bias = bias.view(len(self.bias), 1, 4 * self.size)
        gates = torch.matmul(packed, self.input_weight.transpose(1, 2)).float() + bias
        clips = (self.cell_clip, self.projection_clip)
        found: tuple[Tensor, Tensor] = _Recurrence.apply(
            gates, self.state_weight, self.projection, state, tuple(sizes), clips
        )
        return found


class _Recurrence(torch.autograd.Function):
    """The loop over steps. Of TensorFlow's clips, a gradient passes what was not clipped."""

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        gates: Tensor,
        state_weight: Tensor,
        projection: Tensor | None,
        state: State,
        sizes: tuple[int, ...],
        clips: tuple[float | None, float | None],
    ) -> tuple[Tensor, Tensor]:
        """gates: [lstms, tokens, 4 * size] before the state's part; overwritten by nobody."""
        lstms, tokens, width = gates.shape
        size = width // 4
        active = torch.empty_like(gates)
        cells = gates.new_empty(lstms, tokens, size)
        output_size = size if projection is None else projection.shape[1]
        outputs = gates.new_empty(lstms, tokens, output_size)
        onto = state_weight.transpose(1, 2)
        down = None if projection is None else projection.transpose(1, 2)
        hidden, cell = state
        views = (x.split(sizes, 1) for x in (gates, active, cells, outputs))
        for before, gate, kept, out in zip(*views, strict=True):
            rows = gate.shape[1]
            torch.baddbmm(before, hidden[:, :rows], onto, out=gate)
            gate[..., : 3 * size].sigmoid_()
            gate[..., 3 * size :].tanh_()
            i, f, o, g = gate.split(size, -1)
            torch.mul(f, cell[:, :rows], out=kept)
            kept.addcmul_(i, g)
            if clips[0] is not None:
                kept.clamp_(-clips[0], clips[0])
            wide = torch.tanh(kept).mul_(o)
            if down is None:
                out.copy_(wide)
            else:
                torch.bmm(wide, down, out=out)
            if clips[1] is not None:
                out.clamp_(-clips[1], clips[1])
            hidden, cell = out, kept
        saved = (active, cells, outputs, state_weight, *state)
        ctx.save_for_backward(*saved, *(() if projection is None else (projection,)))
        ctx.sizes, ctx.clips = sizes, clips  # type: ignore[attr-defined]
        ctx.mark_non_differentiable(cells)
        return outputs, cells

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        active, cells, outputs, state_weight, hidden, cell, *rest = ctx.saved_tensors
        projection = rest[0] if rest else None
        sizes: tuple[int, ...] = ctx.sizes
        cells_before = _before(cells, cell, sizes)
        parts = _Factors.of(active, cells, cells_before, ctx.clips[0])
        passes = None if ctx.clips[1] is None else outputs.abs() < ctx.clips[1]
        grad_out = grads[0].clone() if passes is None else grads[0] * passes
        grad_gates = torch.empty_like(active)
        _backward_steps(grad_out, grad_gates, parts, state_weight, projection, sizes, passes)
        outputs_before = _before(outputs, hidden, sizes)
        grad_weight = torch.bmm(grad_gates.transpose(1, 2), outputs_before)
        grad_projection = None
        if projection is not None:
            grad_projection = torch.bmm(grad_out.transpose(1, 2), parts.wide)
        return grad_gates, grad_weight, grad_projection, None, None, None


class _Factors(NamedTuple):
    """What each step of the backward loop multiplies by, computed for all steps at once."""

    gates: Tensor  # [lstms, tokens, 3, size]: of i, f, g, by the gradient of c before the clip
    output: Tensor  # [lstms, tokens, size]: of o, by the gradient of o * tanh(c)
    cell: Tensor  # [lstms, tokens, size]: of c, by the gradient of o * tanh(c)
    keep: Tensor  # [lstms, tokens, size]: of the cell before, by the gradient of c
    wide: Tensor  # [lstms, tokens, size]: o * tanh(c)

    @classmethod
    def of(
        cls, active: Tensor, cells: Tensor, cells_before: Tensor, clip: float | None
    ) -> _Factors:
        i, f, o, g = active.split(cells.shape[2], -1)
        tanh = torch.tanh(cells)
        of_i, of_f, of_g = g * i * (1 - i), cells_before * f * (1 - f), i * (1 - g * g)
        gates = torch.stack([of_i, of_f, of_g], 2)
        keep = f
        if clip is not None:
            passes = cells.abs() < clip
            gates, keep = gates * passes[:, :, None], f * passes
        return cls(gates, tanh * o * (1 - o), o * (1 - tanh * tanh), keep, o * tanh)


def _backward_steps(
    grad_out: Tensor,
    grad_gates: Tensor,
    parts: _Factors,
    state_weight: Tensor,
    projection: Tensor | None,
    sizes: tuple[int, ...],
    passes: Tensor | None,
) -> None:
    """Fill grad_gates, and add to grad_out what comes from the steps after."""
    size = parts.cell.shape[2]
    views = [x.split(sizes, 1) for x in (grad_out, grad_gates, *parts[:4])]
    masks = [None] * len(sizes) if passes is None else passes.split(sizes, 1)
    from_state: Tensor | None = None
    from_cell: Tensor | None = None
    for step in range(len(sizes) - 1, -1, -1):
        out, gate, of_gates, of_output, of_cell, keep = (view[step] for view in views)
        if from_state is not None and from_cell is not None:
            rows, mask = from_state.shape[1], masks[step]
            out[:, :rows] += from_state if mask is None else from_state * mask[:, :rows]
        wide = out if projection is None else torch.bmm(out, projection)
        cell = wide * of_cell
        if from_cell is not None:
            cell[:, : from_cell.shape[1]] += from_cell
        torch.mul(cell, of_gates[:, :, 0], out=gate[..., :size])
        torch.mul(cell, of_gates[:, :, 1], out=gate[..., size : 2 * size])
        torch.mul(wide, of_output, out=gate[..., 2 * size : 3 * size])
        torch.mul(cell, of_gates[:, :, 2], out=gate[..., 3 * size :])
        if step:
            from_state = torch.bmm(gate, state_weight)
            from_cell = cell.mul_(keep)


def _before(after: Tensor, first: Tensor, sizes: tuple[int, ...]) -> Tensor:
    """The value that each step began with, from those that the steps ended with."""
    if len(sizes) == 1:
        return first[:, : sizes[0]]
    pieces = after.split(sizes, 1)
    earlier = [first[:, : sizes[0]]]
    earlier += [piece[:, :rows] for piece, rows in zip(pieces, sizes[1:], strict=False)]
    return torch.cat(earlier, 1)
