"""Replaced token detection: ELECTRA's examples, corruption, samples and losses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch.nn import functional as F

from foretext.core import rng
from foretext.core.errors import ConfigError
from foretext.models import electra, network_for
from foretext.nn.heads import label_log_probabilities, linear_cross_entropy_and_sample, sample_ids
from foretext.objectives.base import SampleBatch
from foretext.objectives.replaced_token import (
    VARIANTS,
    ReplacedBatch,
    ReplacedToken,
    ReplacedTokenConfig,
    copying_loss,
    in_second_segment,
    replaced,
)
from foretext.training.samples import choose
from tests.objectives.corpora import (
    FIRST_WORD,
    MASK,
    VOCAB,
    all_rows,
    picked,
    random_corpus,
    vocabulary,
)

CORPUS = random_corpus(700)
LENGTH = 64


def objective(**changes: Any) -> ReplacedToken:
    config = ReplacedTokenConfig(**changes)
    return ReplacedToken(config=config, vocabulary=vocabulary(), max_length=LENGTH, seed=4)


def samples(epoch: int = 0, **changes: Any) -> SampleBatch:
    return picked(all_rows(objective(**changes).plan(CORPUS, epoch)), epoch)


def collated(epoch: int = 0, **changes: Any) -> ReplacedBatch:
    return objective(**changes).collate(CORPUS, samples(epoch, **changes))


def pair(use: str = "replaced-token", seed: int = 0) -> Any:
    config = electra.ElectraConfig(
        vocab_size=VOCAB, embedding_size=16, hidden_size=24, num_layers=2, num_heads=2,
        intermediate_size=32, max_position_embeddings=LENGTH, generator_size=0.5,
    )  # fmt: skip
    model = network_for(config, use)
    drawn = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.2, generator=drawn)
    return model.eval()


def test_sentences_go_to_segments_as_in_the_official_code() -> None:
    """build_pretraining_dataset.py, _create_example; a late short sentence joins segment 1."""
    sorts = [
        ([10, 10, 10], 25, False, [0, 0, 1]),
        ([10, 10, 10], 25, True, [0, 0, 0]),
        ([10, 10, 10, 10], 25, True, [0, 0, 0, 1]),  # the coin counts once: segment 1 is full
        ([10, 20, 5, 30], 25, False, [0, 1, 0, 1]),
        ([40, 3], 25, True, [0, 1]),  # the first always, however long
        ([10, 15], 25, False, [0, 1]),  # reaching the target is too much
    ]
    for lengths, max_tokens, coin, expected in sorts:
        assert in_second_segment(lengths, max_tokens, coin=coin).tolist() == [
            bool(e) for e in expected
        ]


def test_examples_follow_the_builder() -> None:
    """Sentences until max_length, or with .05 until a length from 5 on; 10% have one segment."""
    some = samples()
    length, document, start, stop = some.rows[:, :4].T
    assert (length <= LENGTH).all()
    covered = set(zip(document.tolist(), start.tolist(), strict=True))
    for d, last in zip(document.tolist(), stop.tolist(), strict=True):
        done = last == len(CORPUS.documents[d])
        assert done or (d, last) in covered  # documents are read to their end, in order
    single = some.rows[:, 4] == np.iinfo(np.int32).max
    assert abs(single.mean() - 0.1) < 0.02
    max_tokens = some.rows[~single, 4]
    short = max_tokens != (LENGTH - 3) // 2
    assert abs(short.mean() - 0.05 * 59 / 60) < 0.015
    assert max_tokens.min() >= 1 and max_tokens[short].max() <= (LENGTH - 3) // 2
    assert abs(some.rows[:, 5].mean() - 0.5) < 0.03


def test_layout_and_lengths() -> None:
    """[CLS] A [SEP] (B [SEP]), segments 0 and 1, each row as long as its plan says."""
    some = samples()
    batch = objective().collate(CORPUS, some)
    assert batch.offsets.diff().tolist() == some.rows[:, 0].tolist()
    assert bool((batch.token_type_ids[batch.first] == 0).all())
    two = batch.token_type_ids[batch.last] == 1
    assert 0.4 < two.float().mean() < 0.95
    specials = torch.zeros(len(two)).index_add_(
        0,
        torch.repeat_interleave(torch.arange(len(two)), batch.offsets.diff()),
        batch.special_mask.float(),
    )
    assert torch.equal(specials, 2.0 + two)


def test_chosen_tokens_have_the_share_of_draws_with_replacement() -> None:
    """pretrain_helpers.py: n = max(1, min(int((p + .005) * max_len), round(p * tokens))) draws
    with replacement among the C ordinary tokens leave C (1 - (1 - 1/C)^n) of them, on average."""
    for rate in (0.15, 0.25):
        batch = collated(mask_rate=rate)
        assert batch.num_tokens > 100_000
        lengths = batch.offsets.diff().double()
        sequence = torch.repeat_interleave(torch.arange(len(lengths)), batch.offsets.diff())
        ordinary = torch.bincount(sequence[~batch.special_mask]).double()
        n = (rate * lengths).round().clamp(max=int((rate + 0.005) * LENGTH)).clamp(min=1)
        expected = ordinary * (1 - (1 - 1 / ordinary) ** n)
        found = torch.bincount(sequence[batch.targets], minlength=len(lengths)).double()
        assert (found <= n).all() and (found >= 1).all()
        assert abs(found.sum() / expected.sum() - 1) < 0.01
        assert not batch.special_mask[batch.targets].any()
        assert torch.equal(batch.targets, batch.targets.unique())


def test_every_position_is_as_likely() -> None:
    """Uniform over the ordinary tokens: the middle of the targets is the middle of the row."""
    batch = collated()
    lengths = torch.repeat_interleave(batch.offsets.diff(), batch.offsets.diff())
    where = (batch.position_ids / (lengths - 1))[batch.targets]
    assert abs(where.mean() - 0.5) < 0.01
    assert abs(where.std() - 12**-0.5) < 0.02


def test_fates_are_85_15() -> None:
    """pretrain_helpers.py: of the targets 85% [MASK], 15% kept, no random words."""
    batch = collated()
    seen = batch.input_ids[batch.targets]
    assert abs((seen == MASK).float().mean().item() - 0.85) < 0.01
    assert ((seen == MASK) | (seen == batch.labels)).all()
    others = torch.ones(batch.num_tokens, dtype=torch.bool)
    others[batch.targets] = False
    assert (batch.input_ids[others] != MASK).all()
    assert (batch.labels >= FIRST_WORD).all()


def test_a_sample_is_the_same_in_any_batch() -> None:
    """design.md: every draw, the generator's too, is a function of (seed, epoch, sample)."""
    everything = samples(3)
    chosen = objective()
    together = chosen.collate(CORPUS, choose(everything, np.array([5, 200, 17])))
    for place, number in enumerate((5, 200, 17)):
        alone = chosen.collate(CORPUS, choose(everything, np.array([number])))
        start, stop = together.offsets[place], together.offsets[place + 1]
        assert torch.equal(together.input_ids[start:stop], alone.input_ids)
        mine = (together.targets >= start) & (together.targets < stop)
        assert torch.equal(together.draws[mine], alone.draws)
    assert not torch.equal(collated(0).draws[:50], collated(1).draws[:50])


@pytest.mark.parametrize("size", [37, 256, 1000, 1280])
def test_draws_follow_the_softmax(size: int) -> None:
    """Section 2: the generator samples from its softmax; 10^5 draws, chi-square."""
    scores = torch.from_numpy(rng.uniform(1, size, np.arange(size))) * 6
    chances = scores.softmax(0)
    draws = torch.from_numpy(rng.uniform(2, size, np.arange(100_000)))
    parts = [sample_ids(chances.float().repeat(len(d), 1), d) for d in draws.split(10_000)]
    found = torch.bincount(torch.cat(parts), minlength=size).numpy()
    assert stats.chisquare(found, chances.numpy() * len(draws)).pvalue > 1e-3


def test_a_draw_is_where_the_cumulative_probability_passes_it() -> None:
    """Also at the edges, and never where there is no probability."""
    chances = torch.zeros(6, 700)
    chances[:, [0, 3, 255, 256, 600]] = torch.tensor([0.125, 0.125, 0.25, 0.25, 0.25])
    draws = torch.tensor([0.0, 0.125, 0.3, 0.5, 0.7499, 1 - 2**-53], dtype=torch.float64)
    assert sample_ids(chances, draws).tolist() == [0, 3, 255, 256, 256, 600]


def test_generator_samples_are_from_its_own_distribution() -> None:
    """Through the loss in chunks: the samples' mean log-probability is the negative entropy."""
    drawn = torch.Generator().manual_seed(0)
    states = torch.randn(20_000, 8, generator=drawn)
    table, bias = torch.randn(VOCAB, 8, generator=drawn), torch.randn(VOCAB, generator=drawn)
    labels = torch.randint(VOCAB, (20_000,), generator=drawn)
    draws = torch.from_numpy(rng.uniform(3, np.arange(20_000)))
    total, ids = linear_cross_entropy_and_sample(states, table, bias, labels, draws)
    logs = (states @ table.T + bias).log_softmax(-1)
    torch.testing.assert_close(total, -logs.gather(1, labels[:, None]).sum(), rtol=1e-4, atol=0)
    found = logs.gather(1, ids[:, None]).mean()
    assert abs(found - (logs.exp() * logs).sum(1).mean()) < 0.03
    right = label_log_probabilities(states, table, bias, labels)
    torch.testing.assert_close(right, logs.gather(1, labels[:, None])[:, 0], rtol=1e-4, atol=1e-4)


def test_lucky_samples_count_as_original() -> None:
    """Section 2: fake only where the sample differs; other tokens are as they were."""
    batch = collated()
    drawn = batch.labels.clone()
    drawn[::3] = FIRST_WORD
    seen, original = replaced(batch, drawn)
    fake = (seen.input_ids != original).nonzero()[:, 0]
    assert torch.equal(fake, batch.targets[drawn != batch.labels])
    assert (original != MASK).all()
    assert torch.equal(original[batch.targets], batch.labels)


def loss_of(model: Any, chosen: ReplacedToken, batch: ReplacedBatch) -> dict[str, torch.Tensor]:
    return chosen.loss(model, batch, chosen.counts(batch))


def few(count: int = 8, **changes: Any) -> tuple[ReplacedToken, ReplacedBatch]:
    chosen = objective(**changes)
    return chosen, chosen.collate(CORPUS, choose(samples(**changes), np.arange(count)))


def test_the_loss_is_the_papers() -> None:
    """Equations of section 2: mean MLM over the targets and 50 times the mean binary cross-entropy
    over all tokens, lucky samples real; against dense torch."""
    chosen, batch = few()
    model = pair()
    terms = loss_of(model, chosen, batch)
    scores = model.generator.logits(model.generator(batch)[batch.targets])
    torch.testing.assert_close(terms["mlm"], F.cross_entropy(scores, batch.labels))
    drawn = sample_ids(scores.softmax(-1), batch.draws)
    seen, original = replaced(batch, drawn)
    logits = model.discriminator.discriminator_head(model.discriminator(seen))
    fake = (seen.input_ids != original).float()
    assert 0 < fake.sum() <= len(batch.targets)
    expected = 50 * F.binary_cross_entropy_with_logits(logits, fake)
    torch.testing.assert_close(terms["rtd"], expected, rtol=1e-4, atol=1e-5)


def test_ablations_of_table_5() -> None:
    """ELECTRA 15%: the masked tokens alone; replace MLM: their originals; all-tokens MLM: every
    original, from a mixture of copying and the vocabulary. Against dense torch."""
    found = {}
    for variant, use in VARIANTS.items():
        chosen, batch = few(variant=variant)
        model = pair(use)
        found[variant] = loss_of(model, chosen, batch)
        scores = model.generator.logits(model.generator(batch)[batch.targets])
        seen, original = replaced(batch, sample_ids(scores.softmax(-1), batch.draws))
        hidden = model.discriminator(seen)
        if variant == "masked-only":
            logits = model.discriminator.discriminator_head(hidden[batch.targets])
            fake = (seen.input_ids != original)[batch.targets].float()
            expected = 50 * F.binary_cross_entropy_with_logits(logits, fake)
        elif variant == "replace-mlm":
            logits = model.discriminator.logits(hidden[batch.targets])
            expected = F.cross_entropy(logits, batch.labels)
        elif variant == "all-tokens-mlm":
            gate = model.copy_gate(hidden)[:, 0].sigmoid()
            right = model.discriminator.logits(hidden).softmax(-1)
            right = right.gather(1, original[:, None])[:, 0]
            expected = -(gate * (seen.input_ids == original) + (1 - gate) * right).log().mean()
        else:
            continue
        torch.testing.assert_close(
            found[variant].get("rtd", found[variant].get("correction")), expected, rtol=1e-4, atol=0
        )
    assert all(f["mlm"] > 0 for f in found.values())


def test_the_copying_loss_has_the_gradient_of_the_mixture() -> None:
    """Without [tokens, vocab] in memory: against autograd through the dense mixture."""
    model = pair("all-tokens-mlm")
    drawn = torch.Generator().manual_seed(1)
    hidden = torch.randn(30, 24, generator=drawn)
    labels = torch.randint(VOCAB, (30,), generator=drawn)
    copied = torch.arange(30) % 3 > 0
    gradients = []
    for dense in (False, True):
        states = hidden.clone().requires_grad_()
        model.zero_grad()
        if dense:
            gate = model.copy_gate(states)[:, 0].sigmoid()
            right = model.discriminator.logits(states).softmax(-1).gather(1, labels[:, None])[:, 0]
            total = -(gate * copied + (1 - gate) * right).log().sum()
        else:
            total = copying_loss(model, states, copied, labels)
        total.backward()
        table = model.discriminator.embeddings.token.weight.grad
        gradients.append((total.detach(), states.grad, table, model.copy_gate.weight.grad))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


def test_no_gradient_flows_through_the_samples_but_both_reach_the_shared_table() -> None:
    """Section 2: the discriminator's loss does not reach the generator; section 3.2: the shared
    embeddings learn from both."""
    chosen, batch = few()
    grads = {}
    for name in ("mlm", "rtd"):
        model = pair()
        loss_of(model, chosen, batch)[name].backward()
        grads[name] = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    assert not any(n.startswith("generator.") for n in grads["rtd"])
    layers = [n for n in grads["mlm"] if n.startswith("discriminator.layers")]
    assert not layers
    table = "discriminator.embeddings.token.weight"
    assert all(grads[name][table].abs().sum() > 0 for name in grads)
    # the discriminator reads sampled ids, of which the table's rows learn by reading alone
    assert (grads["mlm"][table].abs().sum(1) > 0).all()  # the softmax reaches every row
    assert 0 < (grads["rtd"][table].abs().sum(1) > 0).sum() < VOCAB


def test_scores() -> None:
    """The issue: generator accuracy, discriminator accuracy, precision and recall on replaced."""
    chosen, batch = few(40)
    model = pair()
    model.discriminator.discriminator_head.output.bias.data.fill_(-100.0)
    silent = chosen.scores(model, batch)
    model.discriminator.discriminator_head.output.bias.data.fill_(100.0)
    loud = chosen.scores(model, batch)
    fakes = loud["rtd_recall"][1]
    assert 0 < fakes <= len(batch.targets)
    assert loud["rtd_recall"][0] == fakes == loud["rtd_precision"][0]
    assert loud["rtd_precision"][1] == batch.num_tokens == loud["rtd_accuracy"][1]
    assert silent["rtd_recall"][0] == 0 == silent["rtd_precision"][1]
    assert silent["rtd_accuracy"][0] == batch.num_tokens - fakes
    terms = loss_of(model, chosen, batch)
    weights = {term.name: term.weight for term in chosen.terms}
    for name, loss in terms.items():
        total, count = loud[name]
        mean = weights[name] * total / count
        torch.testing.assert_close(mean.float(), loss.float(), rtol=1e-4, atol=0)
    assert loud["mlm_accuracy"][1] == len(batch.targets)


def test_a_text_of_masks_alone_makes_no_target() -> None:
    """[MASK] in the text is no candidate; the loss stays finite."""
    chosen, batch = few(1)
    corpus = type(CORPUS)([[[MASK, MASK]]])
    batch = chosen.collate(corpus, picked(all_rows(chosen.plan(corpus, 0))))
    assert not len(batch.targets)
    assert all(torch.isfinite(t) for t in loss_of(pair(), chosen, batch).values())


def test_an_unknown_variant_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"variant='half' is not one of all-tokens"):
        ReplacedTokenConfig(variant="half")
    assert replace(ReplacedTokenConfig(), variant="replace-mlm").weight == 1.0
    assert ReplacedTokenConfig(discriminator_weight=7.0).weight == 7.0
