"""The key/value cache: cached equals uncached, batched equals single."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from foretext.core.batch import Batch
from foretext.core.layout import Layout
from foretext.models.gpt import Gpt, GptConfig
from foretext.nn.attention import Causal, Full, attend

LENGTHS = [3, 7, 7, 1, 12]
NEXT = [2, 1, 3, 3, 1]


def tiny(*, pre_norm: bool = True) -> Gpt:
    torch.manual_seed(0)
    config = GptConfig(
        vocab_size=37, hidden_size=12, num_layers=2, num_heads=3, intermediate_size=29,
        max_position_embeddings=20, pre_norm=pre_norm,
    )  # fmt: skip
    model = Gpt(config).eval().requires_grad_(False)
    for parameter in model.parameters():
        parameter.normal_(std=0.3)
    return model


def sequences(lengths: list[int], *, seed: int = 0) -> list[list[int]]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(37, (n,), generator=generator).tolist() for n in lengths]


def piecewise(model: Gpt, *pieces: list[list[int]]) -> list[Tensor]:
    """States of each sequence, read piece by piece through one cache."""
    cache = model.new_cache()
    read: list[list[Tensor]] = [[] for _ in pieces[0]]
    for piece in pieces:
        hidden = model(cache.batch(piece, "cpu"), cache=cache)
        for states, part in zip(read, hidden.split([len(s) for s in piece]), strict=True):
            states.append(part)
    return [torch.cat(states) for states in read]


def whole(model: Gpt, texts: list[list[int]]) -> list[Tensor]:
    return list(model(Batch.of(texts)).split([len(t) for t in texts]))


@pytest.mark.parametrize("pre_norm", [True, False])
def test_cached_equals_uncached_for_ragged_pieces(pre_norm: bool) -> None:
    """Design: incremental decoding keeps a cache a sequence; pieces of any length go through it."""
    model = tiny(pre_norm=pre_norm)
    first, second = sequences(LENGTHS), sequences(NEXT, seed=1)
    third = sequences([1] * len(LENGTHS), seed=2)
    expected = whole(model, [a + b + c for a, b, c in zip(first, second, third, strict=True)])
    for got, want in zip(piecewise(model, first, second, third), expected, strict=True):
        torch.testing.assert_close(got, want, atol=1e-5, rtol=0)


def test_batched_cache_equals_single_cache() -> None:
    """Design: batched generation equals single generation, without left padding."""
    model = tiny()
    first, second = sequences(LENGTHS), sequences([1] * len(LENGTHS), seed=1)
    batched = piecewise(model, first, second)
    for i, states in enumerate(batched):
        (single,) = piecewise(model, [first[i]], [second[i]])
        torch.testing.assert_close(states, single, atol=1e-5, rtol=0)


def test_selected_sequences_go_on_where_they_were() -> None:
    """Beams are reordered, prompts multiplied, finished sequences dropped, in any order."""
    model = tiny()
    first, second = sequences(LENGTHS), sequences([1] * 6, seed=1)
    rows = [4, 0, 2, 1, 2, 4]
    cache = model.new_cache()
    model(cache.batch(first, "cpu"), cache=cache)
    cache.select(rows)
    assert cache.lengths == [LENGTHS[row] for row in rows]
    got = model(cache.batch(second, "cpu"), cache=cache)
    expected = whole(model, [first[row] + second[i] for i, row in enumerate(rows)])
    want = torch.stack([states[-1] for states in expected])
    torch.testing.assert_close(got, want, atol=1e-5, rtol=0)


def test_a_long_sequence_outgrows_its_buffer_unharmed() -> None:
    """Buffers double; what was stored before must move along."""
    torch.manual_seed(0)
    config = GptConfig(
        vocab_size=37, hidden_size=12, num_layers=1, num_heads=3, intermediate_size=29,
        max_position_embeddings=300,
    )  # fmt: skip
    model = Gpt(config).eval().requires_grad_(False)
    texts = sequences([200, 40])
    pieces = [[text[i : i + 20] for text in texts] for i in (0, 20)]
    rest = [[text] for text in texts[0][40:]]
    cache = model.new_cache()
    for piece in pieces:
        model(cache.batch(piece, "cpu"), cache=cache)
    cache.select([0])
    for token in rest:
        hidden = model(cache.batch([token], "cpu"), cache=cache)
    torch.testing.assert_close(hidden[-1], whole(model, texts)[0][-1], atol=1e-5, rtol=0)


def test_reading_past_the_last_position_is_an_error_that_changes_nothing() -> None:
    """Gpt.forward, Raises."""
    model = tiny()
    cache = model.new_cache()
    model(cache.batch([[1] * 19, [2] * 3], "cpu"), cache=cache)
    with pytest.raises(ValueError, match="21 tokens, but the model has 20 positions"):
        model(cache.batch([[1, 1], [2, 2]], "cpu"), cache=cache)
    assert cache.lengths == [19, 3]


def test_a_batch_of_another_number_of_sequences_is_an_error() -> None:
    """KeyValueCache.extend, Raises."""
    model = tiny()
    cache = model.new_cache()
    model(cache.batch([[1], [2]], "cpu"), cache=cache)
    with pytest.raises(ValueError, match="the batch has 1 sequences, the cache 2"):
        model(Batch.of([[1]]), cache=cache)


@pytest.mark.parametrize("causal", [False, True])
def test_queries_and_keys_of_two_layouts_equal_one_sequence_at_a_time(causal: bool) -> None:
    """Design: encoder-decoder attention takes two sets of offsets; the last query sees all keys."""
    torch.manual_seed(0)
    lengths, keys = [2, 2, 1, 4], [5, 5, 5, 7]
    query = torch.randn(sum(lengths), 3, 4)
    key, value = torch.randn(2, sum(keys), 3, 4).unbind()
    offsets = [torch.tensor([0, *n]).cumsum(0) for n in (lengths, keys)]
    layout = Layout.of(*offsets)
    got = attend(query, key, value, layout, Causal() if causal else Full()).split(lengths)
    parts = zip(query.split(lengths), key.split(keys), value.split(keys), got, strict=True)
    for q, k, v, mixed in parts:
        scores = torch.einsum("qhd,khd->hqk", q, k) / 4**0.5
        if causal:
            late = torch.arange(len(k)) > torch.arange(len(q))[:, None] + len(k) - len(q)
            scores = scores.masked_fill(late, float("-inf"))
        want = torch.einsum("hqk,khd->qhd", scores.softmax(-1), v)
        torch.testing.assert_close(mixed, want, atol=1e-5, rtol=0)
