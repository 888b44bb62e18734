"""Layer norm and the vocabulary loss against PyTorch's own."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from foretext.nn import heads
from foretext.nn.heads import linear_cross_entropy
from foretext.nn.norm import LayerNorm


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
