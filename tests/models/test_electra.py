"""ELECTRA: exact sizes, the Hugging Face layout of both halves, and what the two share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foretext.core.batch import Batch
from foretext.core.errors import ConfigError
from foretext.models import network_for, saved_as
from foretext.models.electra import (
    HEADS,
    PRESETS,
    Electra,
    ElectraConfig,
    ElectraPair,
    finetune_recipe,
    joined,
    network_parameters,
)
from foretext.models.folder import load_model, save_model
from foretext.training.optimizers.build import build_optimizer
from foretext.training.optimizers.config import OptimizerConfig

# papers/electra.md a: D, D with head, G, G with head (its copy of the embeddings included), joint.
COUNTS = {
    "electra-small": (13_483_008, 13_549_057, 4_580_928, 4_620_026, 14_196_219),
    "electra-small++": (13_483_008, 13_549_057, 13_483_008, 13_546_682, 23_122_875),
    "electra-base": (108_891_648, 109_483_009, 33_511_168, 33_740_602, 119_386_427),
    "electra-large": (334_092_288, 335_142_913, 50_999_552, 51_295_290, 354_655_291),
}
# Every axis of another size, so that a swapped one fails.
CONFIG = ElectraConfig(
    vocab_size=37, embedding_size=10, hidden_size=12, num_layers=3, num_heads=4,
    intermediate_size=29, max_position_embeddings=17, generator_size=0.5,
)  # fmt: skip
SQUARE = replace(CONFIG, embedding_size=12)  # no projection
LENGTHS = (3, 11, 7)
CLASSES = (
    "ElectraModel",
    "ElectraForPreTraining",
    "ElectraForMaskedLM",
    "ElectraForSequenceClassification",
)


def size(model: nn.Module, without: tuple[str, ...] = ()) -> int:
    named = model.named_parameters()
    return sum(p.numel() for name, p in named if name.split(".")[0] not in without)


@pytest.mark.parametrize("preset", COUNTS)
def test_counts(preset: str) -> None:
    """papers/electra.md, section a; trained jointly, shared embeddings count once."""
    with torch.device("meta"):
        pair = network_for(PRESETS[preset], "replaced-token")
    assert isinstance(pair, ElectraPair)
    d, g = pair.backbones
    assert (size(d, HEADS), size(d), size(g, HEADS), size(g), size(pair)) == COUNTS[preset]
    together = {"together": size(pair), "discriminator": size(d), "generator": size(g)}
    assert network_parameters(PRESETS[preset]) == together


@pytest.fixture
def hf(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    transformers = pytest.importorskip("transformers")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    level = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    yield transformers
    transformers.logging.set_verbosity(level)


def randomised(model: Any) -> Any:
    drawn = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3, generator=drawn)
    return model.eval()


def their_model(hf: Any, name: str, embedding_size: int) -> Any:
    config = hf.ElectraConfig(
        vocab_size=37, embedding_size=embedding_size, hidden_size=12, num_hidden_layers=3,
        num_attention_heads=4, intermediate_size=29, max_position_embeddings=17, num_labels=5,
    )  # fmt: skip
    return randomised(getattr(hf, name)(config))


def sequences() -> tuple[list[list[int]], list[list[int]]]:
    drawn = torch.Generator().manual_seed(2)
    ids = [torch.randint(3, 37, (n,), generator=drawn).tolist() for n in LENGTHS]
    return ids, [[int(t > n // 2) for t in range(n)] for n in LENGTHS]


@torch.no_grad()
def their_output(model: Any) -> Tensor:
    """At the real tokens of a padded batch."""

    def padded(rows: list[list[int]]) -> Tensor:
        return torch.tensor([row + [0] * (max(LENGTHS) - len(row)) for row in rows])

    ids, types = sequences()
    mask = padded([[1] * n for n in LENGTHS])
    out = model(input_ids=padded(ids), token_type_ids=padded(types), attention_mask=mask)
    found: Tensor = out[0]
    return found if type(model).__name__.endswith("Classification") else found[mask.bool()]


@torch.no_grad()
def our_output(model: Any, name: str, head: dict[str, Tensor]) -> Tensor:
    batch = Batch.of(*sequences())
    hidden: Tensor = model.eval()(batch)
    if name.endswith("Model"):
        return hidden
    if name.endswith("PreTraining"):
        found: Tensor = model.discriminator_head(hidden)
        return found
    if name.endswith("MaskedLM"):
        return model.logits(hidden)
    return F.linear(model.pooled_output(hidden, batch), head["weight"], head["bias"])


@pytest.mark.parametrize("embedding_size", [10, 12])
@pytest.mark.parametrize("name", CLASSES)
def test_their_folder_opens_here_and_goes_back(
    name: str, embedding_size: int, hf: Any, tmp_path: Path
) -> None:
    """Logits agree to 1e-4 in fp32 with a padded batch; names and bits survive the way back."""
    from safetensors.torch import load_file

    model = their_model(hf, name, embedding_size)
    model.save_pretrained(tmp_path / "a")
    loaded = load_model(tmp_path / "a")
    assert loaded.architecture == name
    expected = their_output(model)
    assert expected.std() > 1e-3
    torch.testing.assert_close(
        our_output(loaded.model, name, loaded.head), expected, rtol=0, atol=1e-4
    )
    save_model(loaded.model, tmp_path / "b", architecture=name, head=loaded.head)
    one, other = (load_file(tmp_path / f / "model.safetensors") for f in "ab")
    assert one.keys() == other.keys()
    assert all(torch.equal(one[k], other[k]) for k in one)


@pytest.mark.parametrize("config", [CONFIG, SQUARE], ids=["projected", "square"])
@pytest.mark.parametrize("name", CLASSES)
def test_our_folder_opens_there(name: str, config: ElectraConfig, hf: Any, tmp_path: Path) -> None:
    """With no weight missing or unused."""
    model = randomised(Electra(config))
    head = {}
    if name.endswith("Classification"):
        head = {"weight": torch.randn(5, 12), "bias": torch.randn(5)}
    save_model(model, tmp_path, architecture=name, head=head, extra_config={"pad_token_id": 0})
    their, info = getattr(hf, name).from_pretrained(
        tmp_path, output_loading_info=True, local_files_only=True
    )
    assert not any(info.values()), info
    torch.testing.assert_close(
        their_output(their.eval()), our_output(model, name, head), rtol=0, atol=1e-4
    )


@pytest.mark.parametrize("use", ["replaced-token", "replace-mlm", "all-tokens-mlm"])
def test_both_halves_open_there(use: str, hf: Any, tmp_path: Path) -> None:
    """The issue: the run keeps both halves, either opens alone."""
    pair = randomised(network_for(CONFIG, use))
    for name, (model, architecture) in saved_as(pair, use).items():
        folder = tmp_path / "run" / name
        save_model(model, folder, architecture=architecture)
        their, info = getattr(hf, architecture).from_pretrained(folder, output_loading_info=True)
        assert not any(info.values()), info
        torch.testing.assert_close(
            their_output(their.eval()), our_output(model, architecture, {}), rtol=0, atol=1e-4
        )
    assert set(saved_as(pair, use)) == {"", "generator"}


def test_what_was_taken_apart_is_joined(tmp_path: Path) -> None:
    """evaluate reads a run's folders: both halves come back bit for bit, with one table."""
    pair = randomised(network_for(CONFIG, "replaced-token"))
    for name, (model, architecture) in saved_as(pair, "replaced-token").items():
        save_model(model, tmp_path / name, architecture=architecture)
    again = joined(
        load_model(tmp_path).model, "replaced-token", lambda n: load_model(tmp_path / n).model
    )
    parameters = dict(again.named_parameters())
    assert all(torch.equal(p, parameters[n]) for n, p in pair.named_parameters())
    with pytest.raises(ConfigError, match="copy gate"):
        joined(load_model(tmp_path).model, "all-tokens-mlm", lambda _: again.backbones[0])


def test_both_halves_hold_the_same_embeddings() -> None:
    """Section 3.2: shared embeddings, at the discriminator's size, with their layer norm."""
    pair = ElectraPair(CONFIG, "replaced-token")
    d, g = pair.backbones
    assert d.embeddings.token.weight is g.embeddings.token.weight
    assert g.embeddings.token.weight.shape == (37, 10)
    assert {n for n, _ in pair.named_parameters() if "embeddings." in n} == {
        f"discriminator.embeddings.{n}"
        for n in ("token.weight", "position.weight", "segment.weight", "norm.weight", "norm.bias")
    }
    assert pair.generator.embeddings_projection is not None
    assert pair.generator.embeddings_projection.weight.shape == (6, 10)


@pytest.mark.parametrize("config", [CONFIG, SQUARE], ids=["projected", "square"])
def test_ragged_equals_one_at_a_time(config: ElectraConfig) -> None:
    model = randomised(Electra(config))
    ids, types = sequences()
    together = model(Batch.of(ids, types))
    alone = [model(Batch.of([i], [t])) for i, t in zip(ids, types, strict=True)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-5)


def test_initial_weights() -> None:
    """modeling.py: truncated normal of .02; the projection keeps TensorFlow's default, Glorot."""
    pair = ElectraPair(PRESETS["electra-mini"], "replaced-token")
    pair.initialise(torch.Generator().manual_seed(0))
    for name, weight in pair.named_parameters():
        if weight.ndim < 2:
            assert (weight == float(name.endswith("norm.weight"))).all(), name
        elif "projection" in name:
            bound = (6 / sum(weight.shape)) ** 0.5
            assert 0.98 * bound < weight.abs().max() <= bound
        else:
            assert weight.abs().max() <= 0.04, name
            if weight.numel() > 10_000:
                assert abs(weight.std().item() - 0.0176) < 0.0005, name


def test_layerwise_rates_are_the_official_ones() -> None:
    """papers/electra.md e: lr * decay^(L + 2 - depth), depth 0 the embeddings and their projection,
    i + 1 layer i, L + 2 the head; small: 3e-4 and .8."""
    values = finetune_recipe(PRESETS["electra-small"])
    model = nn.ModuleDict({"backbone": Electra(CONFIG), "head": nn.Linear(12, 2)})
    config = OptimizerConfig(**{k.removeprefix("training."): v for k, v in values.items()})
    rates = {
        name: group["peak_lr"]
        for group in build_optimizer(model, config).param_groups
        for name in group["param_names"]
    }
    depths = {"backbone.embeddings.token": 0, "backbone.embeddings_projection": 0, "head": 5}
    depths |= {f"backbone.layers.{i}.attention.query": i + 1 for i in range(3)}
    for name, depth in depths.items():
        assert rates[f"{name}.weight"] == pytest.approx(3e-4 * 0.8 ** (5 - depth)), name


def test_a_generator_of_no_size_is_refused() -> None:
    for share in (0.0, 1.5, 0.01):
        with pytest.raises(ConfigError, match="generator_size"):
            replace(CONFIG, generator_size=share)
