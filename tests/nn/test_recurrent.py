"""LSTMs in lockstep against torch.nn.LSTM, and against a loop written from the equations."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import Tensor

from foretext.nn.recurrent import FORGET_BIAS, ProjectedLstm, State, Steps

LENGTHS = [3, 7, 1, 7, 2, 5]
INPUT, SIZE, OUTPUT = 5, 6, 4  # every axis of its own size


def lstm(
    clip: float | None = None, projection: int | None = OUTPUT, scale: float = 1.0
) -> ProjectedLstm:
    model = ProjectedLstm(INPUT, SIZE, projection, cell_clip=clip, projection_clip=clip)
    generator = torch.Generator().manual_seed(1)
    model.initialise(generator)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(scale)
        model.bias.normal_(generator=generator)
    return model


def rows(seed: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(sum(LENGTHS), INPUT, generator=generator, requires_grad=True)


def both_ways(
    model: ProjectedLstm, x: Tensor, lengths: list[int], state: State | None = None
) -> Tensor:
    """States of both directions in the order of the tokens, [tokens, 2 * output]."""
    steps = Steps.of(lengths)
    packed = torch.stack([x[steps.order], x[steps.reverse]])
    states, _ = model(packed, steps.sizes, state)
    return torch.cat([states[0][steps.place], states[1][steps.reverse_place]], 1)


def theirs(model: ProjectedLstm) -> torch.nn.LSTM:
    """torch's, whose gates lie in the order i, f, g, o."""
    projection = 0 if model.projection is None else OUTPUT
    other = torch.nn.LSTM(INPUT, SIZE, proj_size=projection, bidirectional=True)
    with torch.no_grad():
        for way, end in enumerate(("l0", "l0_reverse")):
            for name, weight in (("ih", model.input_weight), ("hh", model.state_weight)):
                i, f, o, g = weight[way].chunk(4)
                getattr(other, f"weight_{name}_{end}").copy_(torch.cat([i, f, g, o]))
            i, f, o, g = model.bias[way].chunk(4)
            getattr(other, f"bias_ih_{end}").copy_(torch.cat([i, f + FORGET_BIAS, g, o]))
            getattr(other, f"bias_hh_{end}").zero_()
            if model.projection is not None:
                getattr(other, f"weight_hr_{end}").copy_(model.projection[way])
    return other


@pytest.mark.parametrize("projection", [OUTPUT, None])
def test_unclipped_equals_torch(projection: int | None) -> None:
    """torch.nn.LSTM, one sequence at a time: states and gradients of input and weights."""
    model, x, y = lstm(projection=projection), rows(), rows()
    states = both_ways(model, x, LENGTHS)
    weight = torch.randn_like(states)
    (states * weight).sum().backward()

    other = theirs(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that oneDNN has no projection
        expected = torch.cat([other(part)[0] for part in y.split(LENGTHS)])
    (expected * weight).sum().backward()

    torch.testing.assert_close(states, expected)
    torch.testing.assert_close(x.grad, y.grad)
    for way, end in enumerate(("l0", "l0_reverse")):
        for name, ours in (
            ("weight_ih", model.input_weight),
            ("weight_hh", model.state_weight),
            ("bias_ih", model.bias),
        ):
            i, f, g, o = getattr(other, f"{name}_{end}").grad.chunk(4)
            assert ours.grad is not None
            torch.testing.assert_close(ours.grad[way], torch.cat([i, f, o, g]))
        if model.projection is not None:
            assert model.projection.grad is not None
            torch.testing.assert_close(
                model.projection.grad[way], getattr(other, f"weight_hr_{end}").grad
            )


def by_the_equations(
    model: ProjectedLstm, way: int, x: Tensor, state: State | None = None
) -> Tensor:
    """One sequence, one step after another, with autograd's own gradients."""
    assert model.projection is not None
    h, c = torch.zeros(OUTPUT), torch.zeros(SIZE)
    if state is not None:
        h, c = state.hidden[way, 0], state.cell[way, 0]
    found = []
    for row in x:
        sums = model.input_weight[way] @ row + model.state_weight[way] @ h + model.bias[way]
        i, f, o, g = sums.chunk(4)
        c = torch.sigmoid(f + 1) * c + torch.sigmoid(i) * torch.tanh(g)
        c = torch.clamp(c, -model.cell_clip, model.cell_clip)  # type: ignore[operator]
        h = model.projection[way] @ (torch.sigmoid(o) * torch.tanh(c))
        h = torch.clamp(h, -model.projection_clip, model.projection_clip)  # type: ignore[operator]
        found.append(h)
    return torch.stack(found)


def test_clipped_equals_the_equations() -> None:
    """Values and gradients, with weights so large that both clips are reached."""
    model, x, y = lstm(clip=0.7, scale=4.0), rows(), rows()
    states = both_ways(model, x, LENGTHS)
    weight = torch.randn_like(states)
    (states * weight).sum().backward()
    gradients = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    model.zero_grad()

    parts = [
        torch.cat(
            [by_the_equations(model, 0, part), by_the_equations(model, 1, part.flip(0)).flip(0)], 1
        )
        for part in y.split(LENGTHS)
    ]
    expected = torch.cat(parts)
    (expected * weight).sum().backward()
    reached = torch.eq(expected.abs(), torch.tensor(0.7)).float().mean()
    assert 0.05 < reached < 0.95
    torch.testing.assert_close(states, expected)
    torch.testing.assert_close(x.grad, y.grad)
    for ours, parameter in zip(gradients, model.parameters(), strict=True):
        torch.testing.assert_close(ours, parameter.grad)


def test_cells_are_clipped() -> None:
    model = lstm(clip=0.7, scale=4.0)
    steps = Steps.of(LENGTHS)
    _, cells = model(torch.stack([rows()[steps.order]] * 2), steps.sizes)
    assert cells.abs().max() == model.cell_clip


def test_a_state_goes_on_where_the_sequence_was_cut() -> None:
    """Reading a, then b from a's last state, is reading ab; no gradient flows into the state."""
    model, x = lstm(clip=0.7, scale=2.0), rows().detach()[:8]
    whole = model(torch.stack([x, x]), [1] * 8)[0]
    hidden, cells = model(torch.stack([x[:5]] * 2), [1] * 5)
    state = State(hidden[:, -1:].detach(), cells[:, -1:])
    torch.testing.assert_close(model(torch.stack([x[5:]] * 2), [1] * 3, state)[0], whole[:, 5:])


def test_steps_put_every_token_once_and_know_the_last() -> None:
    steps = Steps.of(LENGTHS)
    assert steps.sizes == (6, 5, 4, 3, 3, 2, 2)
    for order, place in ((steps.order, steps.place), (steps.reverse, steps.reverse_place)):
        assert torch.equal(order[place], torch.arange(sum(LENGTHS)))
    ends = torch.tensor(LENGTHS).cumsum(0)
    assert torch.equal(steps.order[steps.last], ends[steps.sequences] - 1)
    assert torch.equal(steps.reverse[steps.last], (ends - torch.tensor(LENGTHS))[steps.sequences])


def test_ragged_is_one_at_a_time() -> None:
    model, x = lstm(clip=0.7), rows()
    alone = [both_ways(model, part, [len(part)]) for part in x.split(LENGTHS)]
    torch.testing.assert_close(both_ways(model, x, LENGTHS), torch.cat(alone))
