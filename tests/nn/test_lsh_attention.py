"""LSH and local attention equal dense attention with masks made token by token from buckets."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from foretext.core.layout import Layout
from foretext.nn.cache import KeyValueCache
from foretext.nn.chunks import Chunking, ChunkLayout
from foretext.nn.dropout import seed_dropout
from foretext.nn.lsh_attention import (
    Hashing,
    LocalSelfAttention,
    LshSelfAttention,
    hashed,
    num_buckets,
    rotations,
    unit_keys,
)

HIDDEN, HEADS, SIZE = 20, 3, 8
LENGTHS = [29, 3, 8, 40, 6, 16, 1]


HASHING = Hashing(layer=0, rounds=3, max_positions=64, seed=5)


def lsh(
    chunking: Chunking, hashing: Hashing = HASHING, *, causal: bool = True, dropout: float = 0.0
) -> LshSelfAttention:
    torch.manual_seed(0)
    return LshSelfAttention(
        HIDDEN, HEADS, SIZE, chunking=chunking, causal=causal, dropout=dropout, hashing=hashing
    )


def cut(length: int = 4, multiple: int = 8, **more: int) -> Chunking:
    return Chunking(length=length, multiple=multiple, shortest=length, **more)


def states(count: int) -> Tensor:
    return torch.randn(count, HIDDEN, generator=torch.Generator().manual_seed(count))


def ring(order: list[list[int | None]], chunking: Chunking) -> list[list[list[int | None]]]:
    """Of each round, of each chunk, the tokens that it looks at, several times if so found."""
    size = chunking.length
    chunks = [part[i : i + size] for part in order for i in range(0, len(part), size)]
    offsets = range(-chunking.before, chunking.after + 1)
    looked = [
        [t for o in offsets for t in chunks[(i + o) % len(chunks)]] for i in range(len(chunks))
    ]
    a_round = len(chunks) // len(order)
    return [looked[r * a_round : (r + 1) * a_round] for r in range(len(order))]


def counts_of(order: list[list[int | None]], length: int, chunking: Chunking) -> Tensor:
    """How often each query finds each key, [rounds, query, key]."""
    found = torch.zeros(len(order), length, length)
    for r, (line, looked) in enumerate(zip(order, ring(order, chunking), strict=True)):
        for place, query in enumerate(line):
            if query is not None:
                for key, times in Counter(looked[place // chunking.length]).items():
                    if key is not None:
                        found[r, query, key] = times
    return found


def dense(q: Tensor, k: Tensor, v: Tensor, counts: Tensor, *, causal: bool, shy: bool) -> Tensor:
    """One head of one sequence, [tokens, head_size], by masks over all pairs in float64."""
    n = len(q)
    scores = (q.double() @ k.double().T).expand(counts.shape)
    seen = counts > 0
    if causal:
        seen = seen & torch.ones(n, n, dtype=torch.bool).tril()
    if shy:
        scores = torch.where(torch.eye(n, dtype=torch.bool), -1e5, scores)
    weights = torch.where(seen, scores + counts.double().log(), float("-inf"))
    total = weights.logsumexp(-1)
    each = (weights - total[..., None]).exp() @ v.double()
    share = (total - total.logsumexp(0)).exp()
    return (each * share[..., None]).sum(0).float()


def brute_force(module: LshSelfAttention, hidden: Tensor) -> tuple[Tensor, Tensor]:
    """The result for one sequence, and which tokens see nothing but themselves in some head."""
    n, chunking, hashing = len(hidden), module.chunking, module.hashing
    places = chunking.filled(n)
    q, v = module.split(module.query_key(hidden)), module.split(module.value(hidden))
    heads, alone = [], torch.zeros(n, dtype=torch.bool)
    for head in range(HEADS):
        counts = torch.ones(1, n, n)
        if places > chunking.length:
            buckets = hashing.buckets_of(places, chunking.length)
            drawn = torch.Generator().manual_seed(hashing.seed or 0)
            half = sum(buckets) // 2
            directions = torch.randn(HEADS, SIZE, hashing.rounds, half, generator=drawn)[head]
            order: list[list[int | None]] = []
            for r in range(hashing.rounds):
                found, factor, begin = [0] * n, 1, 0
                for size in buckets:
                    x = q[:, head] @ directions[:, r, begin : begin + size // 2]
                    best = torch.cat([x, -x], -1).argmax(-1).tolist()
                    found = [old + factor * new for old, new in zip(found, best, strict=True)]
                    factor, begin = factor * size, begin + size // 2
                line = [token for _, token in sorted(zip(found, range(n), strict=True))]
                order.append([*line, *[None] * (places - n)])
            counts = counts_of(order, n, chunking)
        keys = q[:, head] / (q[:, head].pow(2).mean(-1, keepdim=True) + 1e-6).sqrt() / SIZE**0.5
        heads.append(dense(q[:, head], keys, v[:, head], counts, causal=module.causal, shy=True))
        visible = counts.sum(0)
        if module.causal:
            visible = visible.tril(-1)
        alone |= (visible - torch.diag(visible.diagonal())).sum(-1) == 0
    return module.output(torch.stack(heads, 1).flatten(1)), alone


@pytest.mark.parametrize(
    ("causal", "buckets", "after"),
    [(True, None, 0), (True, (4,), 0), (True, (2, 4), 0), (False, None, 0), (False, (6,), 1)],
)
def test_lsh_attention_equals_dense_masks_made_from_buckets(
    causal: bool, buckets: tuple[int, ...] | None, after: int
) -> None:
    """All lengths in one ragged batch; the reference goes one sequence and head at a time."""
    module = lsh(cut(after=after), replace(HASHING, buckets=buckets), causal=causal)
    hidden = states(sum(LENGTHS))
    found = module(hidden, Layout.of_lengths(LENGTHS)).split(LENGTHS)
    compared = 0
    for mine, own in zip(found, hidden.split(LENGTHS), strict=True):
        expected, alone = brute_force(module, own)
        torch.testing.assert_close(mine[~alone], expected[~alone], rtol=1e-4, atol=1e-5)
        # At a score of -1e5 fp32 knows no better; the official code's weights are as far off.
        torch.testing.assert_close(mine[alone], expected[alone], rtol=0.02, atol=0.02)
        compared += int((~alone).sum())
    assert compared > sum(LENGTHS) // 2


@pytest.mark.parametrize(("causal", "before", "after"), [(True, 1, 0), (True, 2, 0), (False, 1, 1)])
def test_local_attention_equals_dense_masks(causal: bool, before: int, after: int) -> None:
    torch.manual_seed(0)
    chunking = cut(before=before, after=after)
    module = LocalSelfAttention(HIDDEN, HEADS, SIZE, chunking=chunking, dropout=0.0, causal=causal)
    hidden = states(sum(LENGTHS))
    found = module(hidden, Layout.of_lengths(LENGTHS)).split(LENGTHS)
    for mine, own in zip(found, hidden.split(LENGTHS), strict=True):
        n, places = len(own), chunking.filled(len(own))
        counts = torch.ones(1, n, n)
        if places > chunking.length:
            counts = counts_of([[*range(n), *[None] * (places - n)]], n, chunking)
        q, k, v = (module.split(p(own)) for p in (module.query, module.key, module.value))
        k = k * SIZE**-0.5
        heads = [
            dense(q[:, h], k[:, h], v[:, h], counts, causal=causal, shy=False) for h in range(HEADS)
        ]
        expected = module.output(torch.stack(heads, 1).flatten(1))
        torch.testing.assert_close(mine, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("causal", [True, False])
def test_gradients_equal_the_dense_ones(causal: bool) -> None:
    module = lsh(cut(), causal=causal)
    hidden = states(29).requires_grad_()
    expected, alone = brute_force(module, hidden)
    assert alone.sum() < 8
    (theirs,) = torch.autograd.grad(expected[~alone].square().sum(), hidden)
    found = module(hidden, Layout.of_lengths([29]))
    (mine,) = torch.autograd.grad(found[~alone].square().sum(), hidden)
    torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-4)


def test_a_batch_equals_its_sequences_one_at_a_time() -> None:
    module = lsh(cut())
    hidden = states(sum(LENGTHS))
    together = module(hidden, Layout.of_lengths(LENGTHS))
    alone = [module(own, Layout.of_lengths([len(own)])) for own in hidden.split(LENGTHS)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-5, atol=1e-6)


def test_a_causal_token_sees_no_value_of_what_comes_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Buckets depend on the whole text, so keys stay; values of later tokens do not matter."""
    module = lsh(cut())
    hidden, layout = states(32), Layout.of_lengths([32])
    before = module(hidden, layout)
    query, key, value = module.vectors(hidden)
    value = value.index_fill(0, torch.tensor([20]), 1e3)
    monkeypatch.setattr(module, "vectors", lambda hidden: (query, key, value))  # noqa: ARG005
    after = module(hidden, layout)
    assert torch.equal(before[:20], after[:20])
    assert not torch.allclose(before[20:], after[20:])


def test_rounds_are_the_same_however_many_there_are() -> None:
    few, many = (rotations((7, 1), heads=2, head_size=4, rounds=n, buckets=(8,)) for n in (2, 5))
    assert torch.equal(few, many[:, :, :2])
    assert not torch.equal(many[:, :, 0], many[:, :, 1])


def test_training_draws_new_rotations_each_step_and_the_same_for_the_same_step() -> None:
    module = lsh(cut(), replace(HASHING, seed=None)).train()
    hidden, layout = states(32), Layout.of_lengths([32])
    found = []
    for step in (1, 2, 1):
        seed_dropout(module, step)
        found.append(module(hidden, layout))
    assert torch.equal(found[0], found[2])
    assert not torch.equal(found[0], found[1])
    module.eval()
    seed_dropout(module, 3)
    first = module(hidden, layout)
    seed_dropout(module, 4)
    assert torch.equal(first, module(hidden, layout))


def test_buckets_are_two_a_chunk_and_factorised_when_many() -> None:
    """papers/reformer.md: b = 2 * length / chunk, a power of 2."""
    assert num_buckets(65_536, 256, 65_536) == (512,)
    assert num_buckets(1024, 64, 4096) == (32,)
    assert num_buckets(65_536, 64, 65_536) == (32, 64)


def test_near_vectors_share_buckets_more_often() -> None:
    """The point of the hash: the chance falls with the angle."""
    drawn = torch.Generator().manual_seed(0)
    base = torch.randn(400, 1, 16, generator=drawn)
    noise = torch.randn(400, 1, 16, generator=drawn)
    directions = rotations((1, 2), heads=1, head_size=16, rounds=50, buckets=(16,))
    first = hashed(base, directions, (16,))
    shares = [
        (hashed(base + amount * noise, directions, (16,)) == first).float().mean().item()
        for amount in (0.1, 0.5, 2.0)
    ]
    assert shares[0] > 0.8 > shares[1] > 0.3 > shares[2]
    opposite = hashed(-base, directions, (16,))
    assert torch.equal((opposite - first).abs(), torch.full_like(first, 8))


def test_keys_have_unit_length() -> None:
    keys = unit_keys(torch.randn(5, 2, 8, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(keys.norm(dim=-1), torch.ones(5, 2), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["lsh", "local"])
def test_dropout_is_the_same_in_one_batch_and_in_micro_batches(kind: str) -> None:
    """A mask belongs to tokens, whatever batch they are in."""
    torch.manual_seed(0)
    chunking = cut()
    module = (
        lsh(chunking, replace(HASHING, seed=None), dropout=0.5)
        if kind == "lsh"
        else LocalSelfAttention(HIDDEN, HEADS, SIZE, chunking=chunking, dropout=0.5, causal=True)
    ).train()
    lengths = [16, 29, 9]
    hidden = states(sum(lengths))
    seed_dropout(module, 3)
    together = module(hidden, Layout.of_lengths(lengths))
    parts, first = [], 0
    for own in hidden.split(lengths):
        seed_dropout(module, 3, first)
        parts.append(module(own, Layout.of_lengths([len(own)])))
        first += len(own)
    torch.testing.assert_close(together, torch.cat(parts), rtol=1e-5, atol=1e-6)
    module.eval()
    assert not torch.allclose(together, module(hidden, Layout.of_lengths(lengths)))


def test_dropout_has_the_gradient_of_its_mask() -> None:
    """Finite differences in float64, with a mask that stays."""
    module = lsh(cut(), replace(HASHING, rounds=2), dropout=0.3).double().train()
    hidden = states(12).double().requires_grad_()

    def result(x: Tensor) -> Tensor:
        seed_dropout(module, 3)
        return module(x, Layout.of_lengths([12]))[4:]

    direction = states(12).double().flip(0)
    (grad,) = torch.autograd.grad(result(hidden).sin().sum(), hidden)
    eps = 1e-3
    moved = [result(hidden.detach() + s * eps * direction).sin().sum() for s in (1, -1)]
    expected = (moved[0] - moved[1]) / (2 * eps)
    torch.testing.assert_close((grad * direction).sum(), expected, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("kind", ["lsh", "local"])
def test_newest_tokens_see_what_the_whole_text_shows_them(kind: str) -> None:
    """With a cache a layer gives the last token what it gives it without one, from equal states."""
    torch.manual_seed(0)
    module = (
        lsh(cut())
        if kind == "lsh"
        else LocalSelfAttention(HIDDEN, HEADS, SIZE, chunking=cut(), dropout=0.0, causal=True)
    )
    module.eval()
    lengths, steps = [3, 7, 7, 21], 9
    texts = [states(n + steps).roll(i, 0) for i, n in enumerate(lengths)]
    cache = KeyValueCache(1)
    firsts = torch.cat([text[:n] for text, n in zip(texts, lengths, strict=True)])
    module(firsts, cache.extend(Layout.of_lengths(lengths)), cache.layers[0])
    for step in range(1, steps + 1):
        new = torch.cat(
            [text[n + step - 1 : n + step] for text, n in zip(texts, lengths, strict=True)]
        )
        found = module(new, cache.extend(Layout.of_lengths([1] * 4)), cache.layers[0])
        for mine, text, n in zip(found, texts, lengths, strict=True):
            whole = module(text[: n + step], Layout.of_lengths([n + step]))
            torch.testing.assert_close(mine, whole[-1], rtol=1e-4, atol=1e-5)


def test_every_place_is_looked_at_from_the_ring() -> None:
    """Rounds follow each other on a sequence's ring; no chunk looks into another sequence."""
    layout = ChunkLayout.of([16, 8], Chunking(length=4, multiple=4, shortest=4))
    assert layout.cut is not None
    found = layout.cut.neighbours((-1, 0), 2).tolist()
    # Chunks of round 0: 0-3 of the first sequence, 4-5 of the second; of round 1: 6-9 and 10-11.
    previous = [9, 0, 1, 2, 11, 4, 3, 6, 7, 8, 5, 10]
    assert found == [[p, own] for own, p in enumerate(previous)]
