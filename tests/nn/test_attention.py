"""Every backend equals the reference over all that it takes: values, gradients, dropped weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import product

import pytest
import torch
from torch import Tensor
from torch.nn.attention.flex_attention import flex_attention

from foretext.core.errors import ConfigError
from foretext.core.layout import Layout, Stack
from foretext.core.masks import Causal, Full, Mask, Order, Positions, Prefix, RightToLeft
from foretext.nn.attention import Bias, DistanceBias, RelativePositionBias, attend
from foretext.nn.attention.api import BACKENDS
from foretext.nn.attention.call import Backend, Call
from foretext.nn.attention.flex import attend_flex
from foretext.nn.attention.reference import attend_reference
from foretext.nn.dropout import Dropout, seed_dropout

HEADS, SIZE = 2, 16  # a head has room for the weights of 16 keys, see `weights`
NAMES = [backend.name for backend in BACKENDS]

# Lengths of queries and of keys; None: the same tokens.
SHAPES: dict[str, tuple[list[int], list[int] | None]] = {
    "ragged": ([3, 7, 8, 8, 1, 16, 16, 16, 12], None),
    "one": ([5], None),
    "cached": ([1, 1, 2, 4], [9, 9, 16, 4]),
    "memory": ([6, 6, 1], [9, 9, 14]),
    "cross": ([6, 6, 1], [3, 3, 14]),
}
MASKS: dict[str, Callable[[Layout], Mask]] = {
    "full": lambda _: Full(),
    "causal": lambda _: Causal(),
    "window": lambda _: Causal(3),
    "prefix": lambda layout: Prefix(torch.tensor([n // 2 for n in layout.key_lengths])),
    "right-to-left": lambda _: RightToLeft(),
    "content": lambda layout: Order(ranks(layout), sees_itself=True),
    "query": lambda layout: Order(ranks(layout), sees_itself=False),
}
# Keys that are fewer than the queries have no positions to compare.
PAIRS = [pair for pair in product(SHAPES, MASKS) if pair[0] != "cross" or pair[1] == "full"]
DTYPES = {torch.float64: 1e-9, torch.float32: 2e-5, torch.bfloat16: 4e-2}


def ranks(layout: Layout) -> Tensor:
    """A random order of each sequence's keys; the first in it sees nothing in the query stream."""
    draw = torch.Generator().manual_seed(3)
    return torch.cat([torch.randperm(n, generator=draw) for n in layout.key_lengths])


class TokenBias(Bias):
    """Depends on the tokens, as XLNet's terms do: a learned number for each head and each key."""

    def __init__(self, numbers: Tensor) -> None:
        self.numbers = numbers  # [keys, heads]

    def of(self, stack: Stack) -> Tensor:
        mine = self.numbers[stack.key_start : stack.key_start + stack.keys]
        by_key = mine.view(stack.count, 1, stack.key_length, HEADS).permute(0, 3, 1, 2)
        return by_key.expand(-1, -1, stack.length, -1)


@dataclass(frozen=True)
class Case:
    """A call, and the leaves that have gradients."""

    call: Call
    leaves: list[Tensor]


def made(
    shape: str, mask: str, bias: str | None, *, rate: float, dtype: torch.dtype, device: str = "cpu"
) -> Case:
    """Queries, keys, values and a bias of random numbers."""
    draw = torch.Generator().manual_seed(1)
    layout = Layout.of_lengths(*SHAPES[shape])

    def leaf(*size: int) -> Tensor:
        drawn = torch.randn(*size, generator=draw, dtype=torch.float64).to(device, dtype)
        return drawn.requires_grad_()

    query = leaf(layout.tokens, HEADS, SIZE)
    key, value = leaf(layout.keys, HEADS, SIZE), leaf(layout.keys, HEADS, SIZE)
    leaves, terms = [query, key, value], None
    if bias == "token":
        leaves.append(leaf(layout.keys, HEADS))
        terms = TokenBias(leaves[-1])
    elif bias is not None:
        learned = RelativePositionBias(
            HEADS, num_buckets=8, max_distance=12, bidirectional=bias == "distance"
        ).to(device, dtype)
        leaves.append(learned.table.weight)
        terms = learned(layout)
    dropout = None
    if rate:
        dropout = Dropout(rate).train()
        seed_dropout(dropout, 4, first_token=7)
    call = Call(
        query=query, key=key, value=value, layout=layout.to(device), bias=terms, dropout=dropout,
        mask=MASKS[mask](layout).to(device), scale=0.3,
    )  # fmt: skip
    if shape == "cached":  # as a cache gives them
        call = replace(call, key=call.keys_by_stack, value=call.values_by_stack)
    return Case(call, leaves)


def weights(backend: Backend, call: Call) -> list[Tensor]:
    """The weights of each sequence after dropout, [heads, query, key]: values of ones and zeros."""
    shown = torch.cat([torch.eye(n, SIZE, dtype=torch.float64) for n in call.layout.key_lengths])
    values = shown[:, None].expand(-1, HEADS, -1).to(call.query)
    if call.dropout is not None:
        seed_dropout(call.dropout, 4, first_token=7)
    out = backend.run(replace(call, value=values)).detach()
    parts = out[: call.layout.tokens].split(list(call.layout.lengths))
    keys = call.layout.key_lengths
    return [part[..., :n].transpose(0, 1) for part, n in zip(parts, keys, strict=True)]


def factors(backend: Backend, call: Call) -> list[Tensor] | None:
    """What dropout made of each weight: 0 or the scale; 1 where no weight was to be seen."""
    if call.dropout is None:
        return None
    found = []
    plain = Backend(name="plain", run=attend_reference, masks=(Mask,))
    whole = weights(plain, replace(call, dropout=None))
    for dropped, exact in zip(weights(backend, call), whole, strict=True):
        factor = torch.where(exact > 0, dropped / exact, 1.0)
        near = [0.0, call.dropout.scale, 1.0]
        exactly = torch.stack([torch.full_like(factor, n) for n in near])
        nearest = exactly[0]
        for candidate in exactly[1:]:
            closer = (candidate - factor).abs() < (nearest - factor).abs()
            nearest = torch.where(closer, candidate, nearest)
        assert (nearest - factor).abs().max() < 0.1
        found.append(nearest)
    return found


def check(backend: Backend, case: Case) -> None:
    """Value and every leaf's gradient."""
    call, tolerance = case.call, DTYPES[case.call.query.dtype]
    keep = factors(backend, call)
    if call.dropout is not None:
        seed_dropout(call.dropout, 4, first_token=7)
    found = backend.run(call)
    expected = attend_reference(call, keep)
    draw = torch.Generator().manual_seed(2)
    weight = torch.randn(found.shape, generator=draw, dtype=torch.float64).to(found)
    mine = torch.autograd.grad((found * weight).sum(), case.leaves, retain_graph=True)
    theirs = torch.autograd.grad((expected * weight).sum(), case.leaves)
    for one, other in zip([found, *mine], [expected, *theirs], strict=True):
        assert one.dtype == other.dtype
        apart = (one - other).detach().abs().max()
        assert apart <= tolerance * max(1.0, other.detach().abs().max().item())


Parameters = tuple[str, str, str, str | None, float, torch.dtype]


def accepted(device: str) -> Iterator[Parameters]:
    """Every combination that a backend takes on a device, beginning with its name."""
    biases, rates = (None, "distance", "token"), (0.0, 0.5)
    for (shape, mask), bias, rate, dtype in product(PAIRS, biases, rates, DTYPES):
        if dtype != torch.float64 and (rate or shape != "ragged"):
            continue
        call = made(shape, mask, bias, rate=rate, dtype=dtype, device=device).call
        for backend in BACKENDS:
            if backend.refuses(call) is None:
                yield backend.name, shape, mask, bias, rate, dtype


ON_CPU = list(accepted("cpu"))
ON_GPU = list(accepted("cuda")) if torch.cuda.is_available() else []


@pytest.mark.parametrize(("name", "shape", "mask", "bias", "rate", "dtype"), ON_CPU, ids=str)
def test_a_backend_equals_the_reference(
    name: str, shape: str, mask: str, bias: str | None, rate: float, dtype: torch.dtype
) -> None:
    """Values and gradients, with the weights that dropout kept."""
    backend = next(b for b in BACKENDS if b.name == name)
    check(backend, made(shape, mask, bias, rate=rate, dtype=dtype))


@pytest.mark.skipif(not ON_GPU, reason="there is no GPU")
def test_a_backend_equals_the_reference_on_a_gpu() -> None:
    """As on a CPU; the reference is computed there too."""
    for name, shape, mask, bias, rate, dtype in ON_GPU:
        if rate:  # its kernels draw by themselves, and grow no weights to look at
            continue
        backend = next(b for b in BACKENDS if b.name == name)
        check(backend, made(shape, mask, bias, rate=rate, dtype=dtype, device="cuda"))


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("bias", [None, "distance"])
@pytest.mark.parametrize(("shape", "mask"), [pair for pair in PAIRS if pair[0] != "cached"])
def test_flex_attention_equals_the_reference_where_it_is_not_compiled(
    shape: str, mask: str, bias: str | None
) -> None:
    """Its values on a CPU, where it has no gradient; what it compiles to needs a GPU."""
    call = made(shape, mask, bias, rate=0, dtype=torch.float32).call
    assert isinstance(call.key, Tensor)
    assert isinstance(call.value, Tensor)
    query, key, value = (part.detach() for part in (call.query, call.key, call.value))
    call = replace(call, query=query, key=key, value=value)
    if isinstance(call.bias, DistanceBias):
        call = replace(call, bias=DistanceBias(call.bias.values.detach(), call.bias.most_before))
    with torch.no_grad():
        found = attend_flex(call, flex_attention)
        torch.testing.assert_close(found, attend_reference(call), rtol=1e-4, atol=1e-5)


def test_some_backend_takes_every_call_on_a_cpu() -> None:
    """And training's own takes what training on a CPU has: self-attention and learned distances."""
    taken = {parameters[1:] for parameters in ON_CPU}
    for (shape, mask), bias, rate in product(PAIRS, (None, "distance", "token"), (0.0, 0.5)):
        assert (shape, mask, bias, rate, torch.float64) in taken
    masks = ("full", "causal", "prefix", "right-to-left")
    for mask, bias, rate in product(masks, (None, "distance"), (0.0, 0.5)):
        assert ("grouped", "ragged", mask, bias, rate, torch.float64) in ON_CPU


@pytest.mark.parametrize("name", ["grouped", "stacked"])
def test_dropout_drops_its_share(name: str) -> None:
    """Of all weights, whichever backend computes them."""
    backend = next(b for b in BACKENDS if b.name == name)
    case = made("ragged", "full", None, rate=0.25, dtype=torch.float64)
    kept = torch.cat([f.flatten() for f in factors(backend, case.call) or []])
    assert abs((kept == 0).double().mean() - 0.25) < 0.03


class Diagonal(Mask):
    """A mask outside of the closed set."""

    def sees(self, at: Positions) -> Tensor:
        return at.key == at.query


def test_a_mask_that_no_backend_takes_is_an_error_of_one_line() -> None:
    """Every backend says why."""
    call = made("one", "full", None, rate=0, dtype=torch.float32).call
    query, key, value = call.query, call.key, call.value
    with pytest.raises(ConfigError, match="mask Diagonal is unknown to it") as error:
        attend(query, key, value, call.layout, Diagonal())
    assert "\n" not in str(error.value)
    assert all(f"{name}: " in str(error.value) for name in NAMES)


@pytest.mark.parametrize("bidirectional", [True, False])
def test_relative_buckets_are_those_of_transformers(bidirectional: bool) -> None:
    """Raffel et al. 2019, section 2.1: 32 buckets up to distance 128."""
    t5 = pytest.importorskip("transformers.models.t5.modeling_t5")
    distances = torch.arange(-300, 300)
    ours = RelativePositionBias(2, bidirectional=bidirectional)
    theirs = t5.T5Attention._relative_position_bucket(distances, bidirectional=bidirectional)
    assert torch.equal(ours.buckets(distances), theirs)


def test_a_distances_bias_is_a_row_of_the_table_by_bucket() -> None:
    """[heads, query, key] of any pair of lengths; the queries are the last of the keys."""
    learned = RelativePositionBias(HEADS, bidirectional=True)
    bias = learned(Layout.of_lengths([2, 5], [7, 5]))
    for queries, keys in ((2, 7), (5, 5)):
        distance = torch.arange(keys) - torch.arange(keys - queries, keys)[:, None]
        expected = learned.table(learned.buckets(distance)).permute(2, 0, 1)
        assert torch.equal(bias.between(queries, keys), expected)
