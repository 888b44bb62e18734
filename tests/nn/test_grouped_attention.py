"""Grouped attention is that of each sequence alone, whatever its neighbours."""

from __future__ import annotations

from unittest.mock import Mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from foretext.core.layout import Layout
from foretext.nn.attention import Causal, Full, attend
from foretext.nn.attention import grouped as backend
from foretext.nn.cpu import grouped_attention as module
from foretext.nn.cpu.grouped_attention import Group, grouped_attention, groups_of

SCALE = 8**-0.5
LENGTHS = st.lists(st.integers(1, 40) | st.integers(60, 70), min_size=1, max_size=12)


def parts_of(packed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values."""
    query, key, value = packed.unbind(1)
    return query, key, value


def _alone(packed: Tensor, keep: Tensor | None, scale: float, *, causal: bool) -> Tensor:
    """One sequence's attention as the paper writes it: packed [tokens, 3, heads, head_dim]."""
    q, k, v = (part.transpose(0, 1) for part in packed.unbind(1))
    scores = q @ k.transpose(1, 2) / q.shape[-1] ** 0.5
    if causal:
        ahead = torch.ones(scores.shape[1:], dtype=torch.bool).triu(1)
        scores = scores.masked_fill(ahead, float("-inf"))
    weights = scores.softmax(-1)
    if keep is not None:
        weights = torch.where(keep.transpose(0, 1), weights * scale, 0.0)
    return (weights @ v).transpose(0, 1)


def _expected(
    packed: Tensor, groups: tuple[Group, ...], lengths: list[int], keep: list[Tensor] | None
) -> list[tuple[Tensor, Tensor | None]]:
    """Each sequence's tokens, and its weights that stay, [tokens, heads, tokens]."""
    masks: list[Tensor | None] = [None] * len(lengths)
    if keep is not None:
        rows = [row for mask in keep for row in mask]  # one a token
        starts = [sum(lengths[:i]) for i in range(len(lengths))]
        masks = [
            torch.stack(rows[start : start + n])[..., :n]
            for start, n in zip(starts, lengths, strict=True)
        ]
    assert sum(group.tokens for group in groups) == len(packed)
    return list(zip(packed.split(lengths), masks, strict=True))


@settings(max_examples=60)
@given(LENGTHS, st.booleans(), st.booleans(), st.sampled_from([1, 3]), st.integers(0, 2**20))
def test_it_is_the_attention_of_each_sequence_alone(
    lengths: list[int], causal: bool, dropped: bool, heads: int, seed: int
) -> None:
    """Values and gradients, in float64, sorted or not, whatever the limits of a group."""
    draw = torch.Generator().manual_seed(seed)
    groups, size = groups_of(lengths), (sum(lengths), 3, heads, 8)
    packed = torch.randn(size, generator=draw, dtype=torch.float64, requires_grad=True)
    keep = [torch.rand(g.tokens, heads, g.length, generator=draw) > 0.3 for g in groups]
    scale = 1 / 0.7 if dropped else 1.0
    weight = torch.randn(size[0], heads, 8, generator=draw, dtype=torch.float64)
    masks, mask = keep if dropped else None, Causal() if causal else Full()
    out = grouped_attention(
        parts_of(packed),
        groups,
        keep=masks,
        kept_scale=scale,
        scale=SCALE,
        mask=mask,
    )
    (gradient,) = torch.autograd.grad((out * weight).sum(), packed)
    parts = _expected(packed, groups, lengths, masks)
    wanted = torch.cat([_alone(part, mask, scale, causal=causal) for part, mask in parts])
    torch.testing.assert_close(out, wanted)
    (expected,) = torch.autograd.grad((wanted * weight).sum(), packed)
    torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize(("places", "scores"), [(1, 1), (64, 100), (10**6, 10**9)])
def test_limits_of_groups_and_products_change_nothing(
    places: int, scores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths = [30, 26, 25, 16, 16, 16, 7, 5, 1]
    packed = torch.randn(sum(lengths), 3, 2, 8, dtype=torch.float64)
    usual = grouped_attention(parts_of(packed), groups_of(lengths), mask=Full(), scale=SCALE)
    monkeypatch.setattr(module, "_MOST_PLACES", places)
    monkeypatch.setattr(module, "_MOST_SCORES", scores)
    groups = groups_of(lengths)
    assert len(groups) == {1: 9, 64: 4, 10**6: 3}[places]
    torch.testing.assert_close(
        grouped_attention(parts_of(packed), groups, mask=Full(), scale=SCALE), usual
    )


@given(LENGTHS)
def test_groups_hold_every_token_once_and_in_order(lengths: list[int]) -> None:
    """Whatever parts and heads a row has: a place holds its own part and head of its token."""
    rows = torch.arange(sum(lengths) * 2 * 3 * 4).view(-1, 2, 3, 4)
    back = torch.full_like(rows, -1)
    for group in groups_of(lengths):
        assert group.length % 8 == 0 or not group.is_filled_up
        places = group.gather(rows)
        assert places.shape == (2, group.count * 3, group.length, 4)
        first = rows[group.start : group.start + int(group.lengths[0])]
        assert torch.equal(places[1, 2, : len(first)], first[:, 1, 2])
        group.scatter(places, back)
    assert torch.equal(back, rows)


def test_weights_of_filled_places_do_not_turn_a_gradient_to_nan() -> None:
    """And a sequence's gradient does not reach its neighbours."""
    packed = torch.randn(9 + 5, 3, 1, 4, requires_grad=True)
    out = grouped_attention(parts_of(packed), groups_of([9, 5]), mask=Full(), scale=0.5)
    (gradient,) = torch.autograd.grad(out[9:].sum(), packed)
    assert torch.equal(gradient[:9], torch.zeros_like(gradient[:9]))
    assert gradient[9:].isfinite().all()


@pytest.mark.parametrize(
    ("dtype", "longest", "grouped"),
    [
        (torch.float32, 128, True),
        (torch.float32, 129, False),  # PyTorch's kernel
        (torch.bfloat16, 512, True),  # there it is slow
        (torch.bfloat16, 513, False),
    ],
)
def test_without_dropout_long_sequences_attend_by_the_faster_way(
    dtype: torch.dtype, longest: int, grouped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And either way gives, to the type's precision, the values and gradients of each alone."""
    draw = torch.Generator().manual_seed(0)
    lengths = [longest, 90, 7]
    packed = torch.randn(sum(lengths), 3, 4, 32, generator=draw).to(dtype).requires_grad_()
    weight = torch.randn(sum(lengths), 4, 32, generator=draw)
    spy = Mock(wraps=grouped_attention)
    monkeypatch.setattr(backend, "grouped_attention", spy)
    layout = Layout.of(torch.tensor([0, *lengths]).cumsum(0))
    out = attend(*parts_of(packed), layout, Full())
    assert spy.called == grouped
    (gradient,) = torch.autograd.grad((out.float() * weight).sum(), packed)
    exact = packed.detach().double().requires_grad_()
    wanted = torch.cat([_alone(part, None, 1.0, causal=False) for part in exact.split(lengths)])
    (expected,) = torch.autograd.grad((wanted * weight).sum(), exact)
    tolerance = 1e-5 if dtype == torch.float32 else 2e-2
    for found, right in ((out, wanted), (gradient, expected)):
        assert (found.double() - right).abs().max() < tolerance * right.abs().max()
