"""Word vectors against dense convolutions over all 50 characters, written from bilm-tf's shapes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from foretext.core.words import MAX_CHARACTERS, NUM_CHARACTERS, PAD, spell
from foretext.nn.char_cnn import CharCnn, Highway

FILTERS = [(1, 3), (2, 4), (5, 6)]


def cnn(activation: str = "relu") -> CharCnn:
    model = CharCnn(FILTERS, embedding_size=7, num_highways=2, output_size=5, activation=activation)
    model.initialise(torch.Generator().manual_seed(0))
    with torch.no_grad():
        for conv in model.filters:
            conv.bias.normal_()  # type: ignore[operator]
    return model


def characters(words: list[bytes], width: int = 0) -> Tensor:
    found = spell(words)
    return F.pad(found, (0, max(width - found.shape[1], 0)), value=PAD)


def dense(model: CharCnn, ids: Tensor) -> Tensor:
    """Windows of the 50 characters as rows of a matrix product, then highways as in the paper."""
    table = model.characters.weight[ids]
    largest = []
    for conv in model.filters:
        assert isinstance(conv, torch.nn.Conv1d)
        width = conv.kernel_size[0]
        windows = [table[:, i : i + width].flatten(1) for i in range(MAX_CHARACTERS - width + 1)]
        assert conv.bias is not None
        matrix = conv.weight.transpose(1, 2).flatten(1)
        sums = torch.stack([w @ matrix.T + conv.bias for w in windows])
        largest.append(sums.max(0).values)
    x = model.activation(torch.cat(largest, 1))
    for layer in model.highways:
        g = torch.sigmoid(layer.carry(x))  # type: ignore[operator]
        x = g * F.relu(layer.transform(x)) + (1 - g) * x  # type: ignore[operator]
    assert model.projection is not None
    return model.projection(x)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_short_padding_equals_all_of_it(activation: str) -> None:
    """Windows wholly in the padding are all equal, so padding to 50 changes nothing."""
    words = [b"a", "häuser".encode(), b"establishment", b"of"]
    model = cnn(activation)
    found = model(characters(words))
    torch.testing.assert_close(found, dense(model, characters(words, MAX_CHARACTERS)))


def test_a_word_of_48_bytes_fills_all_characters() -> None:
    model, ids = cnn(), characters([b"x" * 48, b"yz"], MAX_CHARACTERS)
    torch.testing.assert_close(model(ids), dense(model, ids))


def test_padding_takes_part_in_the_maximum() -> None:
    """With a table in which padding is largest, the word does not matter to filters of width 1."""
    model = cnn()
    with torch.no_grad():
        model.characters.weight.fill_(-1.0)
        model.characters.weight[PAD] = 1.0
        for conv in model.filters:
            conv.weight.fill_(1.0)  # type: ignore[operator]
    found = model(characters([b"ab", b"z"]))
    torch.testing.assert_close(found[0], found[1])


def test_initial_weights_are_those_of_the_paper_s_code() -> None:
    model = CharCnn(
        [(3, 400)], embedding_size=16, num_highways=1, output_size=40, activation="relu"
    )
    model.initialise(torch.Generator().manual_seed(0))
    conv, highway = model.filters[0], model.highways[0]
    assert isinstance(highway, Highway)
    assert conv.weight.abs().max() <= 0.05  # type: ignore[operator]
    assert model.characters.weight.shape == (NUM_CHARACTERS, 16)
    assert 0.9 < model.characters.weight.abs().max() <= 1
    assert torch.equal(highway.carry.bias, torch.full((400,), -2.0))
    assert abs(float(highway.carry.weight.detach().std()) * 20 - 1) < 0.02
    assert model.projection is not None
    assert abs(float(model.projection.weight.detach().std()) * 20 - 1) < 0.03
