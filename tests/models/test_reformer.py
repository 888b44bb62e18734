"""Reformer equals transformers' in evaluation with fixed rotations, at every kind of length."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from foretext.core.batch import Batch
from foretext.core.errors import ConfigError
from foretext.models import FAMILIES, in_use
from foretext.models.folder import load_model, save_model
from foretext.models.reformer import PRESETS, ReformerConfig
from foretext.models.reformer_hub import from_hf, to_hf, weight_map
from foretext.nn.backbone import each_table
from foretext.nn.dropout import seed_dropout
from foretext.nn.reversible import plain
from foretext.objectives import OBJECTIVES
from foretext.recipes.recipe import Recipe
from foretext.training.samples import SamplePlan, StepDataset
from foretext.training.step import TrainStep, gradients
from tests.models.both_ways import on_meta, ragged_equals_alone
from tests.objectives.corpora import VOCAB, random_corpus, vocabulary

transformers = pytest.importorskip("transformers")
CONFIG = ReformerConfig(
    vocab_size=37,
    hidden_size=24,
    num_layers=3,
    num_heads=2,
    head_size=10,
    intermediate_size=29,
    pattern=("local", "lsh"),
    max_position_embeddings=77,
    axial_shape=(11, 7),
    axial_sizes=(9, 15),
    local_chunk=4,
    lsh_chunk=6,
    num_hashes=2,
    num_buckets=None,
    hash_seed=3,
    dropout=0.0,
    local_attention_dropout=0.0,
    lsh_attention_dropout=0.0,
)
DROPPING = replace(
    CONFIG, hash_seed=None, dropout=0.2, local_attention_dropout=0.2, lsh_attention_dropout=0.2
)
LENGTHS = (1, 3, 4, 5, 6, 7, 12, 13, 61)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    level = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    yield
    transformers.logging.set_verbosity(level)


def made(config: ReformerConfig) -> Any:
    model = FAMILIES["reformer"].hub.make(config).eval()
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name != "head.bias":  # theirs is not added
                parameter.normal_(std=0.3)
    return model


def their(config: ReformerConfig, model: Any) -> Any:
    name = "ReformerModelWithLMHead" if config.causal else "ReformerForMaskedLM"
    raw = to_hf(config, name)
    found = getattr(transformers, name)(transformers.ReformerConfig(**raw)).eval()
    found.load_state_dict(weight_map(config).to_theirs(dict(model.named_parameters())))
    return found


@pytest.mark.parametrize(
    ("causal", "pattern", "buckets"),
    list(product((True, False), (("local", "lsh"), ("lsh",), ("local",)), (None, (4,), (4, 6)))),
)
def test_logits_equal_theirs(
    causal: bool, pattern: tuple[str, ...], buckets: tuple[int, ...] | None
) -> None:
    """To 1e-4, where chunks are full and where they are not; chunks of both kinds differ."""
    config = replace(CONFIG, causal=causal, pattern=pattern, num_buckets=buckets)
    model = made(config)
    for length in LENGTHS:
        other = their(config, model)  # it keeps the buckets of the first length that it sees
        ids = torch.arange(length) % 37
        with torch.no_grad():
            found = model.logits(model(Batch.of([ids.tolist()])))
            expected = other(ids[None]).logits[0]
        assert expected.std() > 0.1
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


def test_more_rounds_than_in_training_equal_theirs() -> None:
    """Hash rounds are free after training."""
    model, ids = made(CONFIG), torch.arange(60) % 37
    other = their(CONFIG, model)
    more = made(replace(CONFIG, num_hashes=7))
    with torch.no_grad():
        expected = other(ids[None], num_hashes=7).logits[0]
        found = more.logits(more(Batch.of([ids.tolist()])))
        fewer = model.logits(model(Batch.of([ids.tolist()])))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
    assert (fewer - expected).abs().max() > 1e-2


def test_rounds_may_be_changed_after_training() -> None:
    model, batch = made(CONFIG), Batch.of([[*range(30)]])
    more = in_use(model, {"model.num_hashes": 7})
    assert torch.equal(more(batch), made(replace(CONFIG, num_hashes=7))(batch))
    assert in_use(model, {}) is model
    with pytest.raises(ConfigError, match=r"did you mean 'model\.num_hashes'"):
        in_use(model, {"model.num_hash": 7})
    with pytest.raises(ConfigError, match="must be at least 1"):
        in_use(model, {"model.num_hashes": 0})


def test_new_tokens_get_rows_in_the_output_too() -> None:
    """A head of a task adds tokens, and its auxiliary LM predicts them."""
    model = made(CONFIG)
    before = model.head.decoder.weight.clone()
    each_table(model, lambda old: nn.Parameter(torch.cat([old, old[:3]]).detach(), False))
    assert model.config.vocab_size == 40
    assert model.embeddings.token.weight.shape == (40, 24)
    assert torch.equal(model.head.decoder.weight[:37], before)
    assert model.logits(model(Batch.of([[39, 1, 2]]))).shape == (3, 40)


def test_a_token_of_a_deeper_model_keeps_as_much() -> None:
    costs = [made(replace(CONFIG, num_layers=n)).token_cost(50.0, 1.0) for n in (2, 8)]
    assert costs[0].kept == costs[1].kept
    assert costs[1].weights > 3 * costs[0].weights
    longer = made(CONFIG).token_cost(5000.0, 1.0)
    assert longer.attention == made(CONFIG).token_cost(50.0, 1.0).attention


@pytest.mark.parametrize("causal", [True, False])
def test_folders_go_both_ways(causal: bool, tmp_path: Path) -> None:
    config = replace(CONFIG, causal=causal)
    model = made(config)
    name = "ReformerModelWithLMHead" if causal else "ReformerForMaskedLM"
    save_model(model, tmp_path / "ours", architecture=name, extra_config={"pad_token_id": 0})
    other, info = getattr(transformers, name).from_pretrained(
        tmp_path / "ours", output_loading_info=True, local_files_only=True
    )
    assert not any(info.values()), info
    other.eval().save_pretrained(tmp_path / "theirs")
    loaded = load_model(tmp_path / "theirs")
    assert (loaded.architecture, loaded.model.config) == (name, config)
    ids = list(range(30))
    reread: Any = loaded.model
    with torch.no_grad():
        outputs = [m.logits(m(Batch.of([ids]))) for m in (model, reread)]
        expected = other(torch.tensor([ids])).logits[0]
    for found in outputs:
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


def test_configs_go_both_ways() -> None:
    """Also what is left out of config.json because it is the layout's default."""
    for config in (
        CONFIG,
        replace(CONFIG, axial_shape=None, axial_sizes=None),
        replace(CONFIG, num_buckets=(4, 6), feed_forward_chunk=5, hash_seed=None),
        replace(CONFIG, causal=False, local_looks=(2, 1), lsh_looks=(1, 1)),
    ):
        raw = transformers.ReformerConfig(**to_hf(config, "ReformerModel")).to_dict()
        assert from_hf(raw) == config


def test_a_bias_that_a_folder_brings_is_added(tmp_path: Path) -> None:
    """As the official code does; transformers 5 stores it and leaves it out."""
    model = made(CONFIG)
    with torch.no_grad():
        model.head.bias.copy_(torch.arange(37.0))
    save_model(model, tmp_path, architecture="ReformerModelWithLMHead")
    loaded: Any = load_model(tmp_path).model
    hidden = torch.zeros(1, loaded.state_size)
    assert torch.equal(loaded.logits(hidden)[0], torch.arange(37.0))
    loss = loaded.linear_cross_entropy(hidden, torch.tensor([36]))
    assert float(loss.detach()) == pytest.approx(float(-torch.arange(37.0).log_softmax(0)[36]))


@pytest.mark.parametrize(
    ("preset", "parameters"),
    [("reformer-enwik8", 56_406_786), ("reformer-enwik8-large", 149_182_722)],
)
def test_counts_of_the_enwik8_sizes(preset: str, parameters: int) -> None:
    """papers/reformer.md; the first from the gin file's sizes in transformers."""
    assert sum(p.numel() for p in on_meta("reformer", preset).parameters()) == parameters
    raw = to_hf(PRESETS[preset], "ReformerModelWithLMHead")
    with torch.device("meta"):
        other = transformers.ReformerModelWithLMHead(transformers.ReformerConfig(**raw))
    assert sum(p.numel() for p in other.parameters()) == parameters


def test_ragged_equals_alone() -> None:
    ragged_equals_alone(made(CONFIG))


@pytest.mark.parametrize("chunk", [None, 7])
def test_gradients_equal_those_of_a_plain_stack(chunk: int | None) -> None:
    """Buckets, dropout masks and states come back to the bit in the backward pass."""
    model = made(replace(DROPPING, feed_forward_chunk=chunk)).train()
    batch = Batch.of([[*range(30)], [*range(5)], [*range(18)]])
    trained = [p for p in model.parameters() if p.requires_grad]
    found = []
    for reversibly in (True, False):
        seed_dropout(model, 4)
        if reversibly:
            states = model(batch)
        else:
            streams = plain(model.halves(batch), model.embeddings(batch))
            joined = torch.cat([stream.float() for stream in streams], -1)
            states = model.final_dropout(model.final_norm(joined))
        loss = model.linear_cross_entropy(states, batch.input_ids)
        found.append([states, *torch.autograd.grad(loss, trained)])
    for one, other in zip(*found, strict=True):
        if chunk is None:
            assert torch.equal(one, other)
        else:  # weights' gradients are summed in another order
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", ["lsh", "local"])
def test_micro_batches_have_the_gradient_of_the_batch(kind: str, tmp_path: Path) -> None:
    """Rotations, dropout of weights and of states: functions of the step and the token."""
    spec = OBJECTIVES["causal-lm"]
    made_of: Any = spec.build(
        config=spec.config(), vocabulary=vocabulary(eot=True), max_length=48, seed=1
    )
    model = made(replace(DROPPING, vocab_size=VOCAB, pattern=(kind,))).train().double()
    epochs = SamplePlan(made_of, random_corpus(20), tmp_path, seed=1)
    found = []
    for size in (None, 7, 1):
        steps = StepDataset(epochs=epochs, batch_size=24, micro_batch_size=size, start=2, stop=3)
        model.zero_grad()
        gradients(TrainStep(model, made_of), steps[0], key=11)
        found.append([p.grad for p in model.parameters() if p.grad is not None])
    for grads in found[1:]:
        for one, other in zip(grads, found[0], strict=True):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)


def test_all_layers_end_with_the_states() -> None:
    model, batch = made(CONFIG), Batch.of([[*range(30)], [*range(5)]])
    layers = model.all_layers(batch)
    assert len(layers) == CONFIG.num_layers + 1
    assert all(states.shape == (35, 48) for states in layers)
    torch.testing.assert_close(layers[-1], model(batch))
    assert torch.equal(layers[0][:, :24], layers[0][:, 24:])


def test_a_cache_gives_local_layers_the_states_of_the_whole_text() -> None:
    """With LSH a token is sorted among what is there, so only the first reading is the same."""
    ids = [*range(30)]
    for pattern in (("local",), ("local", "lsh")):
        model = made(replace(CONFIG, pattern=pattern))
        whole = model(Batch.of([ids]))
        cache = model.new_cache()
        parts = [model(cache.batch([ids[:9]], "cpu"), cache=cache)]
        torch.testing.assert_close(parts[0], model(Batch.of([ids[:9]])), rtol=1e-4, atol=1e-4)
        parts += [model(cache.batch([[i]], "cpu"), cache=cache) for i in ids[9:]]
        assert cache.lengths == [30]
        if pattern == ("local",):
            torch.testing.assert_close(torch.cat(parts), whole, rtol=1e-4, atol=1e-4)


def test_too_long_a_sequence_is_named() -> None:
    with pytest.raises(ValueError, match="78 tokens, but the model has 77 positions"):
        made(CONFIG)(Batch.of([[1] * 78]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pattern": ("full",)}, "local or lsh"),
        ({"pattern": ()}, "local or lsh"),
        ({"axial_sizes": (9, 14)}, r"add up to 23, but must add up to model.hidden_size=24"),
        ({"axial_shape": (2, 7)}, "14 positions, fewer than model.max_position_embeddings=77"),
        ({"axial_shape": None}, "go together"),
        ({"axial_shape": (77,)}, "two positive numbers"),
        ({"num_buckets": (5,)}, "even numbers"),
        ({"lsh_chunk": 0}, "model.lsh_chunk=0 must be at least 1"),
        ({"lsh_looks": (1, 1)}, r"a causal model sees nothing; set model.lsh_looks=\[1, 0\]"),
        ({"local_looks": (1,)}, "two numbers of chunks"),
        ({"feed_forward_chunk": 0}, "at least 1"),
    ],
)
def test_sizes_that_make_no_model_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(CONFIG, **changes)


def test_one_that_reads_both_ways_does_not_generate() -> None:
    model = made(replace(CONFIG, causal=False))
    with pytest.raises(ConfigError, match="reads both ways"):
        model.new_cache()


def test_another_objective_leaves_the_preset_s_behind() -> None:
    """The preset's packed rows are causal LM's; one that reads both ways fills gaps."""
    recipe = Recipe.of("reformer-tiny", {"objective.name": "masked-lm", "model.causal": False})
    assert recipe.objective_name == "masked-lm"
    assert Recipe.of("reformer-tiny").values()["objective"]["packed"] is True
    with pytest.raises(ConfigError, match="does not train a"):
        Recipe.of("reformer-tiny", {"objective.name": "masked-lm"})
