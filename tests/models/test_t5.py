"""T5 against transformers with shared weights; counts; ragged on both sides; folders both ways."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from foretext.core.batch import Batch, Seq2SeqBatch
from foretext.core.errors import CheckpointError, ConfigError
from foretext.models.folder import load_model, save_model
from foretext.models.t5 import FAMILY, T5
from foretext.models.t5_hub import weight_map
from foretext.models.t5_sizes import PRESETS, T5Config
from tests.models.both_ways import on_meta, randomised
from tests.models.tiny import rewrite, set_config

transformers = pytest.importorskip("transformers")

# t5.md, a.
COUNTS = {
    "t5-small": 60_506_624,
    "t5-base": 222_903_552,
    "t5-large": 737_668_096,
    "t5-3b": 2_851_598_336,
    "t5-11b": 11_307_321_344,
    "t5-v1.1-small": 76_961_152,
    "t5-v1.1-base": 247_577_856,
    "t5-v1.1-large": 783_150_080,
    "t5-v1.1-xl": 2_849_757_184,
    "t5-v1.1-xxl": 11_135_332_352,
}
V1_1: dict[str, Any] = {"gated": True, "activation": "gelu_tanh", "tied_output": False}
VERSIONS = pytest.mark.parametrize("changes", [{}, V1_1], ids=["v1.0", "v1.1"])
# Every size its own, so that a swapped axis fails; 12 * 5 is not 32.
SIZES: dict[str, Any] = {
    "vocab_size": 101,
    "hidden_size": 32,
    "head_size": 12,
    "num_heads": 5,
    "intermediate_size": 56,
    "num_layers": 3,
    "num_decoder_layers": 2,
    "relative_buckets": 16,
    "relative_max_distance": 20,
    "dropout": 0.0,
}
LENGTHS = [(3, 5), (30, 2), (1, 1), (17, 25), (3, 5), (40, 33)]


def ours(**changes: Any) -> T5:
    model: T5 = randomised(T5(T5Config(**SIZES | changes)))
    return model


def theirs(model: T5) -> Any:
    """Their model with our weights."""
    raw = FAMILY.hub.to_hf(model.config, "T5ForConditionalGeneration")
    their = transformers.T5ForConditionalGeneration(transformers.T5Config(**raw)).eval()
    if not model.config.tied_output:
        their.lm_head.weight = torch.nn.Parameter(their.lm_head.weight.clone())
    state = weight_map(model.config).to_theirs(model.state_dict())
    missing, unexpected = their.load_state_dict(state, strict=False)
    assert not unexpected
    assert all(name.endswith("embed_tokens.weight") or name == "lm_head.weight" for name in missing)
    return their


def texts() -> tuple[list[list[int]], list[list[int]]]:
    draw = torch.Generator().manual_seed(1)
    made = [[torch.randint(3, 101, (n,), generator=draw).tolist() for n in p] for p in LENGTHS]
    return [pair[0] for pair in made], [pair[1] for pair in made]


def batch_of(sources: Sequence[list[int]], targets: Sequence[list[int]]) -> Seq2SeqBatch:
    return Seq2SeqBatch(source=Batch.of(sources), target=Batch.of(targets))


def padded(rows: Sequence[list[int]]) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence([torch.tensor(r) for r in rows], batch_first=True)


def their_logits(their: Any) -> Tensor:
    """Of the padded batch, the real target tokens one after another, [tokens, vocab]."""
    sources, targets = texts()
    scores = their(
        input_ids=padded(sources),
        attention_mask=padded([[1] * len(s) for s in sources]),
        decoder_input_ids=padded(targets),
    ).logits
    return torch.cat([scores[i, : len(t)] for i, t in enumerate(targets)])


@pytest.mark.parametrize("preset", COUNTS)
def test_counts_of_the_published_sizes(preset: str) -> None:
    assert sum(p.numel() for p in on_meta("t5", preset).parameters()) == COUNTS[preset]


def test_every_preset_has_its_count_in_closed_form() -> None:
    for preset in PRESETS:
        on_meta("t5", preset)


@VERSIONS
def test_logits_and_gradients_equal_transformers(changes: dict[str, Any]) -> None:
    """Ragged on both sides against padded, to 1e-4."""
    model = ours(**changes)
    their = theirs(model)
    scores, expected = model.logits(model(batch_of(*texts()))), their_logits(their)
    torch.testing.assert_close(scores, expected, rtol=1e-4, atol=1e-4)
    labels = torch.cat([torch.tensor(t) for t in texts()[1]])
    model.linear_cross_entropy(model(batch_of(*texts())), labels).backward()
    torch.nn.functional.cross_entropy(expected, labels, reduction="sum").backward()
    gradients = {name: p.grad for name, p in model.named_parameters()}
    mapped = weight_map(model.config).to_theirs(
        {n: g for n, g in gradients.items() if g is not None}
    )
    assert len(mapped) == len(gradients)
    for name, parameter in their.named_parameters():
        if parameter.grad is not None and name in mapped:
            torch.testing.assert_close(mapped[name], parameter.grad, rtol=1e-3, atol=1e-4)


@VERSIONS
def test_ragged_equals_one_at_a_time(changes: dict[str, Any]) -> None:
    """Forward and backward; no pair leaks into another."""
    model = ours(**changes)
    sources, targets = texts()
    weights = torch.linspace(-1, 1, sum(map(len, targets)))[:, None]
    found = []
    alone = [batch_of([s], [t]) for s, t in zip(sources, targets, strict=True)]
    for batches in ([batch_of(sources, targets)], alone):
        model.zero_grad()
        states = torch.cat([model(batch) for batch in batches])
        (states * weights).sum().backward()
        grads = [p.grad.clone() for p in model.parameters() if p.grad is not None]
        found.append([states.detach(), *grads])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_decoding_piece_by_piece_equals_at_once() -> None:
    """Cross-attention's keys are computed once; the sources have lengths of their own."""
    model = ours()
    sources, _ = texts()
    targets = [[0, 5, 6, 7], [0, 8, 9, 4], [0, 3, 3, 3], [0, 1, 2, 3], [0, 9, 9, 1], [0, 4, 4, 2]]
    whole = model(batch_of(sources, targets))
    source, cache = Batch.of(sources), model.new_cache()
    states: Tensor | None = model.encode(source)
    pieces = []
    for step in range(4):
        piece = cache.batch([[t[step]] for t in targets], "cpu")
        layout = source.layout if states is not None else None
        pieces.append(model.decode(piece, states, layout, cache))
        states = None
    again = torch.stack(pieces, 1).reshape(whole.shape)
    torch.testing.assert_close(again, whole, rtol=1e-4, atol=1e-5)


def test_the_z_loss_is_that_of_its_formula() -> None:
    """t5.md, i: 1e-4 log²Z beside each target's cross-entropy."""
    model = ours()
    hidden = model(batch_of(*texts())).detach().requires_grad_()
    labels = torch.cat([torch.tensor(t) for t in texts()[1]])
    model.linear_cross_entropy(hidden, labels, z_loss=0.1).backward()
    found, hidden.grad = hidden.grad, None
    scores = model.logits(hidden)
    expected = torch.nn.functional.cross_entropy(scores, labels, reduction="sum")
    expected = expected + 0.1 * scores.logsumexp(-1).square().sum()
    expected.backward()
    torch.testing.assert_close(found, hidden.grad, rtol=1e-4, atol=1e-5)
    total = model.linear_cross_entropy(hidden, labels, z_loss=0.1)
    torch.testing.assert_close(total, expected)


def test_initial_deviations_are_those_of_the_sheet() -> None:
    """t5.md, a: the missing 1 / sqrt(d) is in the query's."""
    config = T5Config(vocab_size=2_000, hidden_size=256, head_size=32, num_heads=6, num_layers=1)
    model = T5(config)
    model.initialise(torch.Generator().manual_seed(0))
    layer = model.encoder.layers[0]
    expected = {
        "shared.weight": 1.0,
        "encoder.layers.0.attention.query.weight": (256 * 32) ** -0.5,
        "encoder.layers.0.attention.key.weight": 256**-0.5,
        "encoder.layers.0.attention.output.weight": (6 * 32) ** -0.5,
        "encoder.layers.0.feed_forward.up.weight": 256**-0.5,
        "encoder.layers.0.feed_forward.down.weight": 2048**-0.5,
    }
    for name, std in expected.items():
        assert float(model.get_parameter(name).detach().std()) == pytest.approx(std, rel=0.02), name
    assert bool((layer.get_submodule("attention_norm").get_parameter("weight") == 1).all())


@VERSIONS
def test_their_folder_opens_here(changes: dict[str, Any], tmp_path: Path) -> None:
    their = theirs(ours(**changes))
    their.save_pretrained(tmp_path)
    raw = json.loads((tmp_path / "config.json").read_text())
    assert raw["scale_decoder_outputs"] is not bool(changes)  # what 5.23 goes by
    loaded = load_model(tmp_path)
    model: Any = loaded.model
    assert loaded.architecture == "T5ForConditionalGeneration"
    assert not loaded.fresh
    scores = model.logits(model.eval()(batch_of(*texts())))
    torch.testing.assert_close(scores, their_logits(their), rtol=1e-4, atol=1e-4)


@VERSIONS
@pytest.mark.parametrize("name", ["T5ForConditionalGeneration", "T5EncoderModel", "T5Model"])
def test_our_folder_opens_there(changes: dict[str, Any], name: str, tmp_path: Path) -> None:
    model = ours(**changes)
    save_model(model, tmp_path, architecture=name)
    their, info = getattr(transformers, name).from_pretrained(
        tmp_path, output_loading_info=True, local_files_only=True
    )
    assert not any(info.values()), info
    sources, _ = texts()
    if name == "T5ForConditionalGeneration":
        scores = model.logits(model(batch_of(*texts())))
        torch.testing.assert_close(scores, their_logits(their.eval()), rtol=1e-4, atol=1e-4)
    encoder = their.eval() if name == "T5EncoderModel" else their.eval().get_encoder()
    mask = padded([[1] * len(s) for s in sources])
    states = encoder(input_ids=padded(sources), attention_mask=mask).last_hidden_state
    states = torch.cat([states[i, : len(s)] for i, s in enumerate(sources)])
    torch.testing.assert_close(model.encode(Batch.of(sources)), states, rtol=1e-4, atol=1e-4)


@VERSIONS
def test_a_round_trip_keeps_every_tensor(changes: dict[str, Any], tmp_path: Path) -> None:
    theirs(ours(**changes)).save_pretrained(tmp_path / "a")
    loaded = load_model(tmp_path / "a")
    save_model(loaded.model, tmp_path / "b", architecture=loaded.architecture)
    one, other = (load_file(tmp_path / f / "model.safetensors") for f in "ab")
    tied = set(one.keys() - other.keys())
    assert tied <= {"encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight"}
    assert all(torch.equal(one[name], other[name]) for name in other)


def test_old_files_with_a_bias_of_cross_attention_are_read(tmp_path: Path) -> None:
    """t5.md, h: very old files have it, and it is ignored; files of v1.1 say they are not tied."""
    save_model(ours(**V1_1), tmp_path, architecture="T5ForConditionalGeneration")
    extra = "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"
    rewrite(tmp_path, lambda tensors: tensors | {extra: torch.zeros(16, 5)})
    set_config(tmp_path, scale_decoder_outputs="REMOVE", tie_word_embeddings=False)
    config: Any = load_model(tmp_path).model.config
    assert not config.tied_output


def test_a_head_of_its_own_where_tables_are_tied_is_refused(tmp_path: Path) -> None:
    save_model(ours(), tmp_path, architecture="T5ForConditionalGeneration")
    rewrite(tmp_path, lambda tensors: tensors | {"lm_head.weight": torch.ones(101, 32)})
    with pytest.raises(CheckpointError, match=r"lm_head.weight differs from shared.weight"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"feed_forward_proj": "gated-silu"}, "gated-silu.* is not T5 as published"),
        ({"pad_token_id": 5}, "pad_token_id=5 .* must both be 0"),
        ({"scale_decoder_outputs": True, "tie_word_embeddings": False}, "neither T5 v1.0 nor v1.1"),
        ({"d_kv": 0}, "d_kv=0 must be positive"),
    ],
)
def test_what_cannot_be_read_is_named(values: dict[str, Any], message: str, tmp_path: Path) -> None:
    save_model(ours(), tmp_path, architecture="T5ForConditionalGeneration")
    set_config(tmp_path, **values)
    with pytest.raises(ConfigError, match=message):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"relative_buckets": 30}, "relative_buckets=30 must be a multiple of 4"),
        ({"relative_max_distance": 8}, "relative_max_distance=8 must exceed half"),
        ({"head_size": 0}, "head_size=0 must be at least 1"),
        ({"num_decoder_layers": 0}, "num_decoder_layers=0 must be at least 1"),
    ],
)
def test_sizes_that_cannot_be_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        T5Config(**SIZES | changes)
