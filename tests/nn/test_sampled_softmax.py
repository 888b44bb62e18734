"""The sampled softmax against enumeration, and its draws against their distribution."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch.nn import functional as F

from foretext.nn.sampled_softmax import log_expected, log_uniform_sample, sampled_cross_entropy

VOCAB = 50


def test_draws_are_log_uniform_and_expectations_count_them() -> None:
    """How often a class is in a sample is what log_expected says, over 4,000 samples."""
    number, counts, tries = 8, np.zeros(VOCAB), []
    for key in range(4_000):
        sample, draws = log_uniform_sample(VOCAB, number, key)
        assert len(set(sample.tolist())) == number
        counts[sample] += 1
        tries.append(draws)
    # The number of draws differs from sample to sample: the mean of the expectations.
    expected = np.mean(
        [log_expected(torch.arange(VOCAB), VOCAB, t).exp().numpy() for t in tries], axis=0
    )
    np.testing.assert_allclose(counts / 4_000, expected, atol=0.03)
    assert counts[0] > counts[5] > counts[40]


def test_probabilities_sum_to_one() -> None:
    """With one draw the expectation is the log-uniform distribution itself."""
    shares = log_expected(torch.arange(VOCAB), VOCAB, 1).double().exp()
    assert math.isclose(float(shares.sum()), 1, rel_tol=1e-5)


def test_loss_and_gradient_equal_a_loop_over_targets() -> None:
    """Each target against the sample without itself, every score less its log expectation."""
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(6, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    table = torch.randn(VOCAB, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(VOCAB, generator=generator, dtype=torch.float64, requires_grad=True)
    sample, draws = log_uniform_sample(VOCAB, 9, 3)
    labels = torch.tensor([0, 1, int(sample[0]), 30, int(sample[4]), 2])
    loss = sampled_cross_entropy(hidden, table, bias, labels, torch.from_numpy(sample), draws)
    found = torch.autograd.grad(loss, (hidden, table, bias))

    total = torch.zeros((), dtype=torch.float64)
    for state, label in zip(hidden, labels.tolist(), strict=True):
        classes = [label, *(s for s in sample.tolist() if s != label)]
        scores = []
        for k in classes:
            share = math.log((k + 2) / (k + 1)) / math.log(VOCAB + 1)
            expected = 1 - (1 - share) ** draws
            scores.append(state @ table[k] + bias[k] - math.log(expected))
        total = total + F.cross_entropy(torch.stack(scores)[None], torch.tensor([0]))
    torch.testing.assert_close(loss.double(), total, rtol=1e-5, atol=1e-5)
    for ours, theirs in zip(found, torch.autograd.grad(total, (hidden, table, bias)), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_a_sample_of_nearly_all_classes_is_the_full_softmax() -> None:
    generator = torch.Generator().manual_seed(1)
    hidden = torch.randn(20, 4, generator=generator)
    table = torch.randn(VOCAB, 4, generator=generator)
    bias, labels = torch.zeros(VOCAB), torch.randint(VOCAB, (20,), generator=generator)
    full = F.cross_entropy(hidden @ table.T, labels, reduction="sum")
    sample, _ = log_uniform_sample(VOCAB, VOCAB, 0)
    drawn = torch.from_numpy(sample)
    loss = sampled_cross_entropy(hidden, table, bias, labels, drawn, 10_000)
    torch.testing.assert_close(loss, full)
