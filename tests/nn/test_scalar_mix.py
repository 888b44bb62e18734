"""The weighted mean of layers of ELMo's equation 1."""

from __future__ import annotations

import torch

from foretext.nn.scalar_mix import ScalarMix


def test_it_begins_as_the_mean() -> None:
    layers = [torch.randn(5, 3) for _ in range(4)]
    mix = ScalarMix(4)
    torch.testing.assert_close(mix(layers), torch.stack(layers).mean(0))
    assert mix.penalty() == 0


def test_weights_and_gamma_act_as_in_equation_1() -> None:
    layers = [torch.randn(5, 3) for _ in range(3)]
    mix = ScalarMix(3)
    with torch.no_grad():
        mix.weights.copy_(torch.tensor([0.5, -1.0, 2.0]))
        mix.gamma.fill_(3.0)
    shares = torch.tensor([0.5, -1.0, 2.0]).exp()
    shares = shares / shares.sum()
    expected = 3 * (shares[:, None, None] * torch.stack(layers)).sum(0)
    torch.testing.assert_close(mix(layers), expected)
    assert mix.penalty() == 0.25 + 1 + 4
