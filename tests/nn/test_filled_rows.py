"""Rows that are filled up to few sizes: nothing but the number of kernels depends on them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import Tensor

from foretext.core.layout import Layout
from foretext.core.masks import Causal, Full, Mask
from foretext.nn.blocks import PostNormBlock, PreNormBlock
from foretext.nn.cpu import product as linear
from foretext.nn.cpu.product import few_sizes
from foretext.nn.dropout import seed_dropout
from foretext.nn.layers import through

HIDDEN = 8


def masked(window: int | None) -> Mask:
    """Banded with a window, else full."""
    return Full() if window is None else Causal(window)


@given(rows=st.integers(0, 1_000_000))
def test_sizes_are_a_little_larger_and_stay_as_they_are_from_then_on(rows: int) -> None:
    size = few_sizes(rows)
    assert rows <= size < max(rows + 8, rows * 33 / 32)
    assert few_sizes(size) == size


def test_sizes_are_few() -> None:
    """Batches of 2,048 to 4,095 tokens make kernels for 33 sizes."""
    assert len({few_sizes(rows) for rows in range(2048, 4096)}) == 33


def found(
    kind: type[PreNormBlock | PostNormBlock],
    lengths: list[int],
    used: list[int] | None,
    *,
    dropout: float,
    window: int | None,
) -> list[Tensor]:
    """Output of three layers, the gradient of their input and those of their weights."""
    torch.manual_seed(0)
    layers = [
        kind(HIDDEN, 2, 16, activation="gelu", eps=1e-5, dropout=dropout, attention_dropout=dropout)
        for _ in range(3)
    ]
    modules = torch.nn.ModuleList(layers).double().train()
    seed_dropout(modules, key=1, first_token=5)
    offsets = torch.tensor([0, *lengths]).cumsum(0)
    states = torch.randn(sum(lengths), HIDDEN, dtype=torch.float64, requires_grad=True)
    wanted = None if used is None else torch.tensor(used, dtype=torch.int64)
    out = through(layers, states, Layout.of(offsets), masked(window), wanted)
    assert out.shape == states.shape
    out.backward(torch.randn_like(out))
    assert states.grad is not None
    weights = [p.grad for p in modules.parameters()]
    return [out.detach(), states.grad, *(w for w in weights if w is not None)]


@given(
    kind=st.sampled_from([PreNormBlock, PostNormBlock]),
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=5),
    share=st.sampled_from([None, 0.0, 0.3]),
    dropout=st.sampled_from([0.0, 0.5]),
    window=st.sampled_from([None, 4]),
)
@example(kind=PreNormBlock, lengths=[129, 1], share=None, dropout=0.0, window=None)
@example(kind=PostNormBlock, lengths=[3], share=None, dropout=0.5, window=None)
def test_layers_give_what_they_give_without(
    kind: type[PreNormBlock | PostNormBlock],
    lengths: list[int],
    share: float | None,
    dropout: float,
    window: int | None,
) -> None:
    """States and all gradients, with dropout's draws, every attention and chosen rows."""
    count = sum(lengths)
    used = None if share is None else list(range(0, count, 3))[: int(count * share) + 1]
    filled = found(kind, lengths, used, dropout=dropout, window=window)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(linear, "few_sizes", lambda rows: rows)
        plain = found(kind, lengths, used, dropout=dropout, window=window)
    assert len(filled) == len(plain)
    for one, other in zip(filled, plain, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("window", [None, 4])
@pytest.mark.parametrize("used", [None, [0, 31, 60]])
def test_without_a_gradient_layers_see_few_sizes_too(
    monkeypatch: pytest.MonkeyPatch, used: list[int] | None, window: int | None
) -> None:
    """Or a kernel is kept for every batch of a long file: 240,000 texts took 330 MB more."""
    torch.manual_seed(0)
    layers = [
        PostNormBlock(HIDDEN, 2, 16, activation="gelu", eps=1e-5, dropout=0.0, attention_dropout=0)
        for _ in range(3)
    ]
    sizes: list[int] = []
    layers[1].feed_forward.register_forward_pre_hook(lambda _, args: sizes.append(len(args[0])))
    layout = Layout.of(torch.tensor([0, 30, 61, 301]))
    states, wanted = torch.randn(301, HIDDEN), None if used is None else torch.tensor(used)
    with torch.no_grad():
        filled = through(layers, states, layout, masked(window), wanted)
        monkeypatch.setattr(linear, "few_sizes", lambda rows: rows)
        plain = through(layers, states, layout, masked(window), wanted)
    assert sizes == [304, 301]
    torch.testing.assert_close(filled, plain)


@given(lengths=st.lists(st.integers(1, 30), min_size=1, max_size=6), first=st.booleans())
def test_where_one_token_of_each_sequence_is_read_nothing_else_asks(
    lengths: list[int], first: bool
) -> None:
    """The states are those of training's way, in which all tokens ask in the last layer too."""
    torch.manual_seed(0)
    layers = [
        PostNormBlock(HIDDEN, 2, 16, activation="gelu", eps=1e-5, dropout=0.0, attention_dropout=0)
        for _ in range(2)
    ]
    layout = Layout.of(torch.tensor([0, *lengths]).cumsum(0))
    used = (layout.offsets[:-1] if first else layout.offsets[1:] - 1).long()
    states = torch.randn(sum(lengths), HIDDEN)
    assert layout.with_queries_at(used) is not None
    with torch.no_grad():
        few = through(layers, states, layout, Full(), used)
    torch.testing.assert_close(few, through(layers, states, layout, Full(), used))


def test_other_tokens_ask_as_before() -> None:
    layout = Layout.of(torch.tensor([0, 3, 7, 9]))
    for tokens in ([0, 1, 3, 7], [0, 7], [0, 3]):
        assert layout.with_queries_at(torch.tensor(tokens)) is None


@pytest.mark.parametrize("rows", [8, 512])
def test_gelu_in_the_product_is_gelu_after_it(rows: int) -> None:
    """512 rows are enough for a kernel of oneDNN's, 8 are not."""
    torch.manual_seed(0)
    layer = torch.nn.Linear(256, 1024)
    states = torch.randn(rows, 256)
    with torch.no_grad():
        found = linear.gelu_of(states, layer)
    torch.testing.assert_close(found, torch.nn.functional.gelu(layer(states)))
