"""Locally banded attention equals dense attention under a mask, with a cache and without."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from foretext.core.layout import Layout
from foretext.nn.attention import Causal, attend
from foretext.nn.dropout import Dropout, seed_dropout

HEADS, SIZE = 3, 8


def reference(q: Tensor, k: Tensor, v: Tensor, window: int) -> Tensor:
    """[queries, heads, size], [keys, heads, size]: every weight computed, then masked."""
    place = torch.arange(len(k) - len(q), len(k))[:, None]
    key = torch.arange(len(k))
    seen = (key <= place) & (key > place - window)
    scores = torch.einsum("qhd,khd->hqk", q, k) / SIZE**0.5
    return torch.einsum("hqk,khd->qhd", scores.masked_fill(~seen, -torch.inf).softmax(-1), v)


def drawn(lengths: list[int], *, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(sum(lengths), HEADS, SIZE, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("window", [1, 2, 63, 64, 65, 100, 128, 150, 299, 300, 400])
def test_band_equals_a_masked_dense_reference(window: int) -> None:
    """Child et al. 2019, section 4.2: token t sees t - window + 1 to t. Forward and backward."""
    lengths = [5, 130, 130, 300]
    q, k, v = (drawn(lengths, seed=s).requires_grad_() for s in range(3))
    layout = Layout.of(torch.tensor([0, *lengths]).cumsum(0))
    out = attend(q, k, v, layout, Causal(window))
    parts = zip(q.split(lengths), k.split(lengths), v.split(lengths), strict=True)
    expected = torch.cat([reference(*part, window) for part in parts])
    torch.testing.assert_close(out, expected)
    weights = drawn(lengths, seed=9)
    mine = torch.autograd.grad((out * weights).sum(), (q, k, v))
    theirs = torch.autograd.grad((expected * weights).sum(), (q, k, v))
    for one, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize(("queries", "keys"), [(1, 290), (1, 40), (3, 70), (140, 300), (200, 201)])
@pytest.mark.parametrize("window", [7, 64, 130])
def test_band_with_earlier_keys(queries: int, keys: int, window: int) -> None:
    """As with a cache: the queries are the newest of the tokens."""
    q = drawn([queries])
    k, v = drawn([keys], seed=1), drawn([keys], seed=2)
    layout = Layout.of(torch.tensor([0, queries]), torch.tensor([0, keys]))
    by_stack = [t.view(1, keys, HEADS, SIZE).transpose(1, 2) for t in (k, v)]
    for key, value in ((k, v), tuple([t] for t in by_stack)):
        out = attend(q, key, value, layout, Causal(window))
        torch.testing.assert_close(out, reference(q, k, v, window))


def test_a_band_as_wide_as_the_sequence_is_dense() -> None:
    """Nothing lies outside, so nothing changes but rounding: dropout's draws neither."""
    lengths = [40, 90]
    q, k, v = (drawn(lengths, seed=s) for s in range(3))
    layout = Layout.of(torch.tensor([0, *lengths]).cumsum(0))
    found = []
    for window in (None, 90):
        dropout = Dropout(0.3)
        seed_dropout(dropout, 5)
        found.append(attend(q, k, v, layout, Causal(window), dropout=dropout))
    torch.testing.assert_close(*found)


def test_dropout_in_a_band_does_not_depend_on_the_micro_batch() -> None:
    """design.md: masks are a function of the step's tokens, however they are cut."""
    lengths = [130, 130, 200]
    q, k, v = (drawn(lengths, seed=s) for s in range(3))
    dropout = Dropout(0.3)

    def run(first: int, stop: int) -> Tensor:
        part = lengths[first:stop]
        begin = sum(lengths[:first])
        seed_dropout(dropout, 5, begin)
        layout = Layout.of(torch.tensor([0, *part]).cumsum(0))
        span = slice(begin, begin + sum(part))
        return attend(q[span], k[span], v[span], layout, Causal(70), dropout=dropout)

    torch.testing.assert_close(torch.cat([run(0, 1), run(1, 3)]), run(0, 3))


def test_dropout_in_a_band_drops_its_share_of_the_seen_keys() -> None:
    """With values of one, an output is the kept share of the weights; its mean is one."""
    length = 256
    q = torch.zeros(length, HEADS, SIZE)
    ones = torch.ones(length, HEADS, SIZE)
    dropout = Dropout(0.25)
    seed_dropout(dropout, 3)
    layout = Layout.of(torch.tensor([0, length]))
    out = attend(q, q, ones, layout, Causal(32), dropout=dropout)[64:, :, 0]
    assert abs(out.mean().item() - 1) < 0.02
    assert out.std() > 0.05  # sqrt(.25 / .75 / 32) = .10, if each weight has a draw of its own
