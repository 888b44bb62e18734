"""ELMo: published counts, references by another path, streams, and what a task reads."""

from __future__ import annotations

import copy
import warnings
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from foretext.core.batch import Batch
from foretext.core.words import Spelling
from foretext.models.elmo_network import Elmo, ElmoLayer
from foretext.models.elmo_sizes import (
    PRESETS,
    ElmoConfig,
    num_encoder_parameters,
    num_parameters,
)
from foretext.nn.recurrent import FORGET_BIAS
from foretext.objectives.bidirectional_lm import (
    BidirectionalLM,
    BidirectionalLMConfig,
    StreamBatch,
)
from foretext.training.samples import choose
from foretext.training.step import MicroBatch, TrainStep, gradients
from tests.objectives.corpora import all_rows, random_corpus
from tests.objectives.test_bidirectional_lm import batches, served, words

# Peters et al. 2018 and the sizes published with it, with the zero row for id 0 (papers/elmo.md).
COUNTS = {
    "elmo-small": 13_593_312,
    "elmo-medium": 28_027_744,
    "elmo-original": 93_600_864,
    "elmo-original-5.5b": 93_600_864,
}
TINY = ElmoConfig(
    vocab_size=1_000,
    predicted_words=300,
    filter_widths=(1, 3),
    filter_counts=(9, 7),
    character_size=4,
    num_highways=1,
    projection_size=6,
    cell_size=10,
    dropout=0.0,
)


def elmo(config: ElmoConfig = TINY, scale: float = 1.0) -> Elmo:
    model = Elmo(config)
    model.initialise(torch.Generator().manual_seed(0))
    with torch.no_grad():
        for layer in model.layers:
            for parameter in layer.parameters():
                parameter.mul_(scale)
    return model


def batch_of(sequences: list[list[int]]) -> Batch:
    vocabulary = words()
    assert vocabulary.spelling is not None
    plain = Batch.of(sequences)
    return replace(plain, words=vocabulary.spelling.words(plain.input_ids.numpy()))


def objective(window: int = 5, **config: int) -> BidirectionalLM:
    return BidirectionalLM(
        config=BidirectionalLMConfig(**config), vocabulary=words(), max_length=window, seed=1
    )


def states(model: Elmo, step: StreamBatch) -> Tensor:
    return model.read_streams(step, step.streams, step.continues)


@pytest.mark.parametrize("preset", COUNTS)
def test_counts_are_those_published(preset: str) -> None:
    """Without the softmax, and with the row of zeros that a ragged batch has no use for."""
    config = PRESETS[preset]
    with torch.device("meta"):
        model = Elmo(config)
    softmax = sum(p.numel() for p in model.softmax.parameters())
    total = sum(p.numel() for p in model.parameters())
    assert total - softmax + config.character_size == COUNTS[preset]
    assert num_encoder_parameters(config) == total - softmax
    assert num_parameters(config) == total


def test_the_original_softmax_has_the_words_of_the_one_billion_word_benchmark() -> None:
    with torch.device("meta"):
        model = Elmo(PRESETS["elmo-original"])
    assert sum(p.numel() for p in model.softmax.parameters()) == 793_471 * 513 == 407_050_623


def dense_layers(model: Elmo, sequence: list[int]) -> list[Tensor]:
    """One sequence through torch.nn.LSTM, which does not clip, one layer and way at a time."""
    batch = batch_of([sequence])
    assert batch.words is not None
    vectors = model.words(batch.words.characters)[batch.words.of_token]
    ways = []
    for way in range(2):
        x = vectors if way == 0 else vectors.flip(0)
        layers = [x]
        for layer in model.layers:
            assert isinstance(layer, ElmoLayer)
            ours = layer.lstm
            assert ours.projection is not None
            theirs = torch.nn.LSTM(x.shape[1], ours.size, proj_size=ours.output_size)
            values = [ours.input_weight[way], ours.state_weight[way], ours.bias[way]]
            i_f_g_o = [torch.cat([v.chunk(4)[k] for k in (0, 1, 3, 2)]) for v in values]
            i_f_g_o[2][ours.size : 2 * ours.size] += FORGET_BIAS
            i_f_g_o += [torch.zeros(4 * ours.size), ours.projection[way]]
            with torch.no_grad():
                for parameter, value in zip(theirs.parameters(), i_f_g_o, strict=True):
                    parameter.copy_(value)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that oneDNN has no projection
                x = theirs(x)[0] + (x if layer.skip else 0)
            layers.append(x)
        ways.append(layers if way == 0 else [states.flip(0) for states in layers])
    return [torch.cat(pair, 1) for pair in zip(*ways, strict=True)]


def test_layers_equal_torch_s_lstms_where_nothing_is_clipped() -> None:
    """Token vectors twice; the second layer adds its input; <S>'s forward half is the last's."""
    model = elmo(replace(TINY, cell_clip=None, projection_clip=None)).eval()
    sequences = [[0, 20, 30, 1], [0, 40, 41, 42, 43, 44, 1], [0, 1]]
    found = [layer.split([4, 7, 2]) for layer in model.all_layers(batch_of(sequences))]
    assert len(found) == 3
    for number, sequence in enumerate(sequences):
        for ours, dense in zip(found, dense_layers(model, sequence), strict=True):
            torch.testing.assert_close(ours[number][1:], dense[1:])
            torch.testing.assert_close(ours[number][0, 6:], dense[0, 6:])
            torch.testing.assert_close(ours[number][0, :6], dense[-1, :6])


def test_clips_are_reached_and_change_the_states() -> None:
    batch = batch_of([[0, 20, 30, 40, 1]])
    free = elmo(replace(TINY, cell_clip=None, projection_clip=None), scale=8).eval()
    clipped = elmo(replace(TINY, cell_clip=0.3, projection_clip=0.3), scale=8).eval()
    assert free.all_layers(batch)[1].abs().max() > 0.3
    assert clipped.all_layers(batch)[1].abs().max() <= 0.3


def test_ragged_is_one_at_a_time() -> None:
    model = elmo().eval()
    sequences = [[0, 20, 1], [0, 40, 41, 42, 1], [0, 20, 21, 22, 23, 24, 1]]
    together = model(batch_of(sequences)).split([len(s) for s in sequences])
    for sequence, states in zip(sequences, together, strict=True):
        torch.testing.assert_close(model(batch_of([sequence])), states)


def test_no_direction_sees_the_word_that_it_predicts() -> None:
    """A word that changes changes no state before it forward, and none after it backward."""
    model = elmo().eval()
    before = model(batch_of([[0, 20, 21, 22, 23, 1]]))
    after = model(batch_of([[0, 20, 21, 99, 23, 1]]))
    same = (before - after).abs() < 1e-7
    forward, backward = same[:, :6].all(1), same[:, 6:].all(1)
    assert forward.tolist() == [False, True, True, False, False, False]  # <S> has the last's
    assert backward.tolist() == [False, False, False, False, True, True]


def test_streams_go_on_as_if_they_had_never_been_cut() -> None:
    """Windows of 5 words with carried states give the states of one window of 20."""
    corpus, model = random_corpus(4, seed=3), elmo()
    steps = batches(objective(5), corpus, streams=4)[:4]
    found = torch.cat([states(model, step).view(4, 2, 5, 6) for step in steps], 2)

    rows = all_rows(objective(5).plan(corpus, 0))
    picked = served(rows, 4, 0)
    picked.rows[:, 0] *= 4
    whole = objective(20).collate(corpus, picked)
    torch.testing.assert_close(found, states(elmo(), whole).view(4, 2, 20, 6))
    names = {"hidden.0", "cell.0", "hidden.1", "cell.1"}
    assert model.carried_state().keys() == names


def test_streams_that_do_not_go_on_begin_from_zero() -> None:
    corpus, model = random_corpus(4, seed=3), elmo()
    first, second = batches(objective(5), corpus, streams=4)[:2]
    states(model, first)
    anew = replace(second, continues=torch.tensor([True, False, True, False]))
    mixed = states(model, anew).view(4, 2, 5, 6)
    fresh = states(elmo(), replace(second, continues=torch.zeros(4, dtype=torch.bool)))
    torch.testing.assert_close(mixed[[1, 3]], fresh.view(4, 2, 5, 6)[[1, 3]])
    assert not torch.allclose(mixed[[0, 2]], fresh.view(4, 2, 5, 6)[[0, 2]])


def test_carried_states_are_taken_over() -> None:
    corpus, model, other = random_corpus(4, seed=3), elmo(), elmo()
    first, second = batches(objective(5), corpus, streams=4)[:2]
    states(model, first)
    other.load_carried_state(model.carried_state())
    torch.testing.assert_close(states(model, second), states(other, second))


def test_both_directions_predict_by_the_softmax() -> None:
    """The loss equals cross-entropies over scores written out; unpredicted words are <UNK>."""
    corpus, model, lm = random_corpus(4, seed=3), elmo().train(), objective()
    step = batches(lm, corpus)[0]
    losses = lm.loss(model, step, lm.counts(step))
    hidden = states(elmo(), step)
    labels = step.labels.where(step.labels < 300, 2)
    scores = hidden @ model.softmax.weight.T + model.softmax.bias
    nats = F.cross_entropy(scores, labels, reduction="none")
    torch.testing.assert_close(losses["forward"], nats[step.is_forward].mean() / 2)
    torch.testing.assert_close(losses["backward"], nats[~step.is_forward].mean() / 2)


@pytest.mark.parametrize("sampled", [None, 50])
def test_micro_batches_give_the_gradient_of_the_whole_step(sampled: int | None) -> None:
    """With dropout, carried states and drawn words, in the second step of a run."""
    corpus = random_corpus(4, seed=3)
    lm = objective() if sampled is None else objective(sampled_words=sampled)
    rows = all_rows(lm.plan(corpus, 0))
    found = []
    for size in (4, 2):
        model = elmo(replace(TINY, dropout=0.2)).train()
        for time in range(2):
            model.zero_grad()
            parts, first = [], 0
            for begin in range(0, 4, size):
                picked = choose(served(rows, 4, time), slice(begin, begin + size))
                batch = lm.collate(corpus, picked)
                parts.append(MicroBatch(batch=batch, first_token=first))
                first += batch.num_tokens
            gradients(TrainStep(model, lm), parts, time + 1)
        found.append([p.grad for p in model.parameters()] + list(model.carried_state().values()))
    for whole, cut in zip(*found, strict=True):
        torch.testing.assert_close(whole, cut, rtol=1e-4, atol=1e-7)


def test_a_probe_s_copy_does_not_share_the_carried_states() -> None:
    model, lm, corpus = elmo(), objective(), random_corpus(4, seed=3)
    step = batches(lm, corpus)[0]
    other = copy.deepcopy(model)
    states(other, step)
    assert other.carried_state()
    assert not model.carried_state()


def test_words_outside_the_vocabulary_are_read_by_their_characters() -> None:
    model, spelling = elmo().eval(), Spelling(["<S>", "</S>", "<UNK>"], begin=0, end=1)
    one, other = spelling.add("tiger"), spelling.add("lion")
    found = []
    for word in (one, other):
        plain = Batch.of([[0, word, 1]])
        found.append(model(replace(plain, words=spelling.words(plain.input_ids.numpy()))))
    assert not torch.allclose(found[0][1], found[1][1])


def test_initial_weights_are_those_of_the_code() -> None:
    """Glorot's limit over [x; h] and 4 gates; the softmax 1 / sqrt(projection)."""
    model = elmo(replace(TINY, projection_size=64, cell_size=80))
    layer = model.layers[0]
    assert isinstance(layer, ElmoLayer)
    lstm = layer.lstm
    limit = (6 / (128 + 320)) ** 0.5
    assert 0.95 * limit < float(lstm.input_weight.detach().abs().max()) <= limit
    assert not lstm.bias.detach().any()
    assert abs(float(model.softmax.weight.detach().std()) * 8 - 1) < 0.05
