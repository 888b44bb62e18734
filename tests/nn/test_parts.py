"""Dropout, layer norm and the vocabulary loss against PyTorch's own."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from foretext.nn import heads
from foretext.nn.dropout import Dropout, apply_mask, seed_dropout
from foretext.nn.heads import linear_cross_entropy
from foretext.nn.norm import LayerNorm


def seeded(rate: float, key: int, first_token: int = 0) -> Dropout:
    layer = Dropout(rate)
    seed_dropout(layer, key, first_token)
    return layer


def test_dropout_keeps_its_share_and_the_expectation() -> None:
    """The rate is rounded to 1/256; kept values are scaled so that the mean stays."""
    out = seeded(0.1, 1)(torch.ones(2_000, 500))
    assert abs((out == 0).float().mean().item() - 26 / 256) < 0.001
    assert abs(out.mean().item() - 1) < 0.002
    columns, rows = (out == 0).float().mean(0), (out == 0).float().mean(1)
    assert columns.std() < 0.009
    assert rows.std() < 0.018


@settings(max_examples=40)
@given(st.integers(1, 40), st.integers(1, 30), st.data())
def test_a_mask_does_not_depend_on_the_micro_batch(
    rows: int, width: int, data: st.DataObject
) -> None:
    """Rows cut anywhere draw the same masks as all rows at once."""
    cut = data.draw(st.integers(0, rows))
    x = torch.ones(rows, width)
    whole = seeded(0.5, 9)(x)
    parts = [seeded(0.5, 9)(x[:cut]), seeded(0.5, 9, cut)(x[cut:])] if 0 < cut < rows else [whole]
    assert torch.equal(torch.cat(parts), whole)


def test_layers_steps_and_uses_draw_differently() -> None:
    """A shared layer (ALBERT) draws anew in each use; another key or layer is another mask."""
    model = torch.nn.Sequential(Dropout(0.5), Dropout(0.5))
    seed_dropout(model, 5)
    x = torch.ones(50, 50)
    first, again, other = model[0](x), model[0](x), model[1](x)
    seed_dropout(model, 6)
    next_step = model[0](x)
    seed_dropout(model, 5)
    assert torch.equal(model[0](x), first)
    for different in (again, other, next_step):
        assert 0.4 < (different == first).float().mean() < 0.6


def test_dropout_is_off_in_evaluation() -> None:
    layer = seeded(0.5, 1).eval()
    x = torch.ones(3, 3)
    assert layer(x) is x


def test_mask_gradient_equals_autograd() -> None:
    x = torch.randn(5, 7, dtype=torch.float64, requires_grad=True)
    keep = torch.rand(5, 7) > 0.3
    assert torch.autograd.gradcheck(lambda t: apply_mask(t, keep, 1.5), (x,))


def test_layer_norm_equals_pytorch() -> None:
    """Values and all three gradients, in fp64."""
    ours = LayerNorm(6, eps=1e-12).double()
    torch.nn.init.normal_(ours.weight)
    torch.nn.init.normal_(ours.bias)
    x = torch.randn(9, 6, dtype=torch.float64, requires_grad=True)
    theirs = [t.detach().clone().requires_grad_() for t in (x, ours.weight, ours.bias)]
    expected = F.layer_norm(theirs[0], (6,), theirs[1], theirs[2], 1e-12)
    upstream = torch.randn_like(expected)
    expected.backward(upstream)
    out = ours(x)
    out.backward(upstream)
    torch.testing.assert_close(out, expected)
    for mine, its in zip((x, ours.weight, ours.bias), theirs, strict=True):
        torch.testing.assert_close(mine.grad, its.grad)


def test_layer_norm_gradient_has_the_same_bits_for_any_threads() -> None:
    """PyTorch's fused kernel does not (ecosystem.md); 3,000 tokens are enough to show it."""
    norm = LayerNorm(256, eps=1e-12)
    x, upstream = torch.randn(3_000, 256), torch.randn(3_000, 256)
    found = []
    before = torch.get_num_threads()
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        norm.zero_grad()
        norm(x).backward(upstream)
        assert norm.weight.grad is not None
        assert norm.bias.grad is not None
        found.append((norm.weight.grad.clone(), norm.bias.grad.clone()))
    torch.set_num_threads(before)
    for weight, bias in found[1:]:
        assert torch.equal(weight, found[0][0])
        assert torch.equal(bias, found[0][1])


@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("chunk", [1, 3 * 11, 10**6])
def test_vocabulary_loss_equals_cross_entropy(
    with_bias: bool, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Value and gradients, whatever is held at once: a row, three, all."""
    monkeypatch.setattr(heads, "CHUNK_ELEMENTS", chunk)
    hidden = torch.randn(8, 5, dtype=torch.float64, requires_grad=True)
    table = torch.randn(11, 5, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(11, dtype=torch.float64, requires_grad=True) if with_bias else None
    labels = torch.randint(11, (8,))
    inputs = [t for t in (hidden, table, bias) if t is not None]
    expected = F.cross_entropy(F.linear(hidden, table, bias), labels, reduction="sum")
    theirs = torch.autograd.grad(expected * 0.3, inputs)
    total = linear_cross_entropy(hidden, table, bias, labels)
    mine = torch.autograd.grad(total * 0.3, inputs)
    torch.testing.assert_close(total.double(), expected, rtol=1e-5, atol=1e-5)
    for one, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_vocabulary_loss_of_no_targets_is_zero() -> None:
    """A batch without a target has a gradient of zeros, not an error."""
    hidden = torch.zeros(0, 4, requires_grad=True)
    table = torch.randn(6, 4, requires_grad=True)
    loss = linear_cross_entropy(hidden, table, None, torch.zeros(0, dtype=torch.int64))
    loss.backward()
    assert loss == 0
    assert table.grad is not None
    assert not table.grad.any()
