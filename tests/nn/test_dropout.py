"""Dropout is a function of (step, name, token): its share, its cuts, computing a layer again."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from foretext.core.batch import Batch
from foretext.core.layout import Layout
from foretext.core.masks import Causal, Full, Mask, Order
from foretext.models import FAMILIES
from foretext.nn.attention import attend
from foretext.nn.blocks import PostNormBlock, PreNormBlock
from foretext.nn.cpu.dropout import apply_mask
from foretext.nn.dropout import Dropout, hashed_mask, seed_dropout
from foretext.nn.sharing import share_weights


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


def test_names_and_steps_draw_differently_and_calls_do_not() -> None:
    """Another layer or another key is another mask; the same layer draws the same again."""
    model = torch.nn.Sequential(Dropout(0.5), Dropout(0.5))
    x = torch.ones(50, 50)
    seed_dropout(model, 5)
    first, again, other = model[0](x), model[0](x), model[1](x)
    seed_dropout(model, 6)
    next_step = model[0](x)
    assert torch.equal(again, first)
    for different in (other, next_step):
        assert 0.4 < (different == first).float().mean() < 0.6


def test_a_layers_mask_does_not_depend_on_the_other_layers() -> None:
    """It is keyed by its name, not by its number: a head put before it changes nothing."""
    alone = torch.nn.ModuleDict({"b": Dropout(0.5)})
    two = torch.nn.ModuleDict({"a": Dropout(0.5), "b": Dropout(0.5)})
    x = torch.ones(20, 20)
    for model in (alone, two):
        seed_dropout(model, 5)
    assert torch.equal(alone["b"](x), two["b"](x))


def test_layers_of_targets_count_their_tokens_apart() -> None:
    """A decoder's rows are tokens of targets."""
    model = torch.nn.ModuleList([Dropout(0.5), Dropout(0.5)])
    model[1].of_target = True  # type: ignore[assignment]
    seed_dropout(model, 5, 3, 8)
    assert [layer.first_token for layer in model] == [3, 8]


def test_dropout_is_off_in_evaluation() -> None:
    layer = seeded(0.5, 1).eval()
    x = torch.ones(3, 3)
    assert layer(x) is x


def test_mask_gradient_equals_autograd() -> None:
    x = torch.randn(5, 7, dtype=torch.float64, requires_grad=True)
    keep = torch.rand(5, 7) > 0.3
    assert torch.autograd.gradcheck(lambda t: apply_mask(t, keep, 1.5), (x,))


MASKS = [Full(), Causal(), Causal(4), Order(torch.randperm(29), sees_itself=True)]


@pytest.mark.parametrize("kind", [PreNormBlock, PostNormBlock])
@pytest.mark.parametrize("mask", MASKS, ids=lambda mask: type(mask).__name__)
def test_a_layer_computed_again_gives_the_same_bits(
    kind: type[PreNormBlock | PostNormBlock], mask: Mask
) -> None:
    """Activation checkpointing: states and gradients are those of a layer that kept everything."""
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"activation": "gelu", "eps": 1e-5, "attention_dropout": 0.5}
    block = kind(8, 2, 16, dropout=0.5, **sizes).train()
    layout = Layout.of_lengths([12, 12, 5])
    states, upstream = torch.randn(2, 29, 8)
    seed_dropout(block, 3)
    found = []
    for again in (False, True):
        leaf = states.clone().requires_grad_()
        if again:
            out = checkpoint(block, leaf, layout, mask, use_reentrant=False)
        else:
            out = block(leaf, layout, mask)
        grads = torch.autograd.grad((out * upstream).sum(), [leaf, *block.parameters()])
        found.append([out, *grads])
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


@pytest.mark.parametrize("name", ["bert", "gpt", "albert"])
def test_a_network_computed_again_layer_by_layer_gives_the_same_bits(name: str) -> None:
    """Shared layers too: each use has a name of its own."""
    family: Any = FAMILIES[name]
    sizes = {"hidden_size": 16, "num_heads": 2, "num_layers": 3, "vocab_size": 50}
    more = {"max_position_embeddings": 20, "dropout": 0.5, "attention_dropout": 0.5}
    model: Any = family.model(family.config(**sizes, **more, intermediate_size=64)).train()
    model.initialise(torch.Generator().manual_seed(0))
    batch = Batch.of([[1, 2, 3, 4, 5], [6, 7], [8, 9]])
    found = []
    for again in (False, True):
        model.zero_grad()
        seed_dropout(model, 9)
        for layer in model.layers if again else ():
            whole = layer.forward
            layer.forward = partial(checkpoint, whole, use_reentrant=False)
        model(batch).square().sum().backward()
        found.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    assert found[0]
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def test_layers_that_share_weights_drop_on_their_own() -> None:
    """And have one set of parameters; ALBERT's twelve uses of a layer."""
    sizes: dict[str, Any] = {"activation": "gelu", "eps": 1e-5, "attention_dropout": 0.5}
    owner = PostNormBlock(8, 2, 16, dropout=0.5, **sizes)
    with torch.device("meta"):
        others = [PostNormBlock(8, 2, 16, dropout=0.5, **sizes) for _ in range(2)]
    for other in others:
        share_weights(other, owner)
    model = torch.nn.ModuleList([owner, *others]).train()
    assert len(list(model.parameters())) == len(list(owner.parameters()))
    assert not any(weight.is_meta for weight in model.parameters())
    seed_dropout(model, 7)
    states, layout = torch.randn(5, 8), Layout.of_lengths([5])
    results = [layer(states, layout, Full()) for layer in model]
    assert not any(torch.allclose(a, b) for a, b in pairwise(results))
    plain = [layer(states, layout, Full()) for layer in model.eval()]
    assert all(torch.equal(a, b) for a, b in pairwise(plain))


@pytest.mark.parametrize("mask", [Causal(), Causal(30)])
def test_a_sequences_mask_does_not_depend_on_its_neighbours(mask: Mask) -> None:
    """With a longer one beside it, another backend may compute it."""
    lengths = [20, 20, 13, 61]
    q, k, v = torch.randn(3, sum(lengths), 2, 4, dtype=torch.float64)
    dropout = Dropout(0.5).train()

    def run(first: int, stop: int) -> Tensor:
        begin, count = sum(lengths[:first]), sum(lengths[first:stop])
        seed_dropout(dropout, 5, begin)
        span, layout = slice(begin, begin + count), Layout.of_lengths(lengths[first:stop])
        return attend(q[span], k[span], v[span], layout, mask, dropout=dropout)

    torch.testing.assert_close(torch.cat([run(0, 2), run(2, 3), run(3, 4)]), run(0, 4))


def test_the_hash_of_other_devices_drops_its_share_evenly() -> None:
    """Of all, of each token, of each column, and of neighbours together."""
    keep = hashed_mask(torch.arange(2_000), 500, key=(3, 4), threshold=64)
    dropped = (~keep).float()
    assert abs(dropped.mean() - 0.25) < 0.002
    assert dropped.mean(0).std() < 0.0107  # sqrt(.25 * .75 / 2000) = .0097
    assert dropped.mean(1).std() < 0.0213  # sqrt(.25 * .75 / 500) = .0194
    for one, other in ((dropped[1:], dropped[:-1]), (dropped[:, 1:], dropped[:, :-1])):
        assert abs((one * other).mean() - 0.0625) < 0.002


def test_the_hash_is_a_function_of_key_and_token() -> None:
    """However the step is cut; another step or name is another mask."""
    whole = hashed_mask(torch.arange(40), 30, key=(3, 4), threshold=128)
    assert torch.equal(hashed_mask(torch.arange(25, 40), 30, key=(3, 4), threshold=128), whole[25:])
    far = torch.tensor([5, 2**31 + 5, 2**33 + 5])
    rows = hashed_mask(far, 500, key=(3, 4), threshold=128)
    for other in (rows[1], rows[2]):
        assert 0.4 < (rows[0] == other).float().mean() < 0.6
    for key in ((3, 5), (2, 4)):
        other = hashed_mask(torch.arange(40), 30, key=key, threshold=128)
        assert 0.4 < (whole == other).float().mean() < 0.6
