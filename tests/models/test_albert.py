"""ALBERT: published sizes, `transformers` both ways, sharing of every kind."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from foretext.core.batch import Batch
from foretext.core.errors import ConfigError
from foretext.models import albert
from foretext.models.folder import load_model, save_model
from foretext.nn.dropout import seed_dropout
from foretext.training.optimizers.build import build_optimizer
from foretext.training.optimizers.config import OptimizerConfig
from tests.models.both_ways import (
    count,
    on_meta,
    opens_here,
    opens_there,
    ragged_equals_alone,
    randomised,
    survives_a_round_trip,
)
from tests.models.tiny import set_config

transformers = pytest.importorskip("transformers")

CONFIG = albert.AlbertConfig(
    vocab_size=37, embedding_size=8, hidden_size=12, num_layers=5, num_heads=3,
    intermediate_size=29, max_position_embeddings=17,
)  # fmt: skip
THEIRS = {
    "vocab_size": 37, "embedding_size": 8, "hidden_size": 12, "num_hidden_layers": 5,
    "num_attention_heads": 3, "intermediate_size": 29, "max_position_embeddings": 17,
}  # fmt: skip
CLASSES = (
    "AlbertForPreTraining",
    "AlbertForMaskedLM",
    "AlbertModel",
    "AlbertForSequenceClassification",
)
COUNTS = {  # papers/albert.md a: AlbertModel, ForPreTraining
    "base": (11_683_584, 11_813_810),
    "large": (17_683_968, 17_847_474),
    "xlarge": (58_724_864, 59_021_490),
    "xxlarge": (222_595_584, 223_158_450),
}


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    level = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    yield
    transformers.logging.set_verbosity(level)


def their_model(name: str, **changes: Any) -> Any:
    labels = {"num_labels": 4} if name.endswith("Classification") else {}
    config = transformers.AlbertConfig(**(THEIRS | labels | changes))
    return randomised(getattr(transformers, name)(config))


def our_model(**changes: Any) -> Any:
    return randomised(albert.Albert(replace(CONFIG, **changes)))


def head_of(name: str) -> dict[str, Tensor] | None:
    if not name.endswith("Classification"):
        return None
    return {"weight": torch.randn(4, 12), "bias": torch.randn(4)}


@pytest.mark.parametrize("version", ["", "-v2"])
@pytest.mark.parametrize("size", COUNTS)
def test_counts_of_the_published_sizes(size: str, version: str) -> None:
    model = on_meta("albert", f"albert-{size}{version}")
    assert (count(model, ("mlm_head", "sop_head")), count(model)) == COUNTS[size]


@pytest.mark.parametrize("preset", ["albert-tiny", "albert-mini"])
def test_closed_form_of_the_small_presets(preset: str) -> None:
    on_meta("albert", preset)


@pytest.mark.parametrize(
    ("sharing", "embedding", "millions"),
    [("all", 128, 12), ("attention", 128, 64), ("ffn", 128, 38), ("none", 128, 89),
     ("all", 768, 31), ("attention", 768, 83), ("ffn", 768, 57), ("none", 768, 108)],
)  # fmt: skip
def test_counts_of_the_sharing_ablation(sharing: str, embedding: int, millions: int) -> None:
    """Lan et al. 2020, table 4, in millions; the closed form beside the module."""
    config = replace(albert.AlbertConfig(), sharing=sharing, embedding_size=embedding)
    with torch.device("meta"):
        model = albert.Albert(config)
    assert count(model) == albert.num_parameters(config)
    without = ("mlm_head", "sop_head", *(["embeddings_projection"] if embedding == 768 else []))
    assert abs(count(model, without) / 1e6 - millions) < 1.1  # official code: no map of 768 to 768


@pytest.mark.parametrize("name", CLASSES)
def test_their_folder_opens_here(name: str, tmp_path: Path) -> None:
    """Issue 3: logits equal to 1e-4, every axis of its own size."""
    opens_here(their_model(name), tmp_path)


@pytest.mark.parametrize("name", CLASSES)
def test_our_folder_opens_there(name: str, tmp_path: Path) -> None:
    opens_there(our_model(), name, tmp_path, head_of(name))


@pytest.mark.parametrize("name", CLASSES)
def test_a_round_trip_keeps_names_and_bits(name: str, tmp_path: Path) -> None:
    one, other = survives_a_round_trip(their_model(name), tmp_path)
    assert all(torch.equal(one[k], other[k]) for k in one)


@pytest.mark.parametrize("name", CLASSES)
def test_layers_of_their_own_are_groups_of_their_own(name: str, tmp_path: Path) -> None:
    """num_hidden_groups = layers is the layout's way of sharing nothing."""
    loaded: Any = opens_here(their_model(name, num_hidden_groups=5), tmp_path / "theirs")
    assert loaded.config.sharing == "none"
    opens_there(our_model(sharing="none"), name, tmp_path / "ours", head_of(name))


@pytest.mark.parametrize("sharing", ["attention", "ffn"])
def test_partly_shared_models_are_saved_under_a_type_of_their_own(
    sharing: str, tmp_path: Path
) -> None:
    """design.md: families that the layout does not know keep the file names, with their own
    model_type, so that nothing is opened as something else."""
    model = our_model(sharing=sharing)
    name = albert.class_for(model.config, "sentence-order")
    assert name == "ForetextAlbertForPreTraining"
    save_model(model, tmp_path, architecture=name)
    raw = json.loads((tmp_path / "config.json").read_text())
    assert (raw["model_type"], raw["sharing"]) == ("foretext-albert", sharing)
    stored = load_file(tmp_path / "model.safetensors")
    groups = {k.split(".")[3] for k in stored if "albert_layer_groups" in k and "ffn" in k}
    assert groups == ({"0"} if sharing == "ffn" else set("01234"))
    loaded: Any = load_model(tmp_path).model.eval()
    batch = Batch.of([[3, 4, 5], [6]])
    assert torch.equal(loaded(batch), model(batch))
    with pytest.raises(ValueError, match="foretext-albert"):
        transformers.AutoConfig.from_pretrained(tmp_path)


@pytest.mark.parametrize("sharing", albert.SHARED_PARTS)
def test_shared_weights_move_together(sharing: str) -> None:
    """One update of every layer's gradient leaves shared parts equal and others apart."""
    model = our_model(sharing=sharing)
    if sharing == "none":  # equal starts, so that only the gradients can tell them apart
        for layer in model.layers[1:]:
            layer.load_state_dict(model.layers[0].state_dict())
    optimizer = build_optimizer(model, OptimizerConfig(name="lamb", learning_rate=0.1))
    model(Batch.of([[3, 4, 5, 6]])).square().sum().backward()
    optimizer.step()
    first, last = model.layers[0], model.layers[4]
    for part in albert.SHARED_PARTS["all"]:
        one, other = getattr(first, part), getattr(last, part)
        pairs = list(zip(one.parameters(), other.parameters(), strict=True))
        shared = part in albert.SHARED_PARTS[sharing]
        assert all((a is b) == shared for a, b in pairs)
        assert all(torch.equal(a, b) for a, b in pairs) == shared


def test_a_shared_layer_drops_anew_in_each_use() -> None:
    """One mask for all twelve uses would be another regulariser."""
    model: Any = albert.Albert(replace(CONFIG, dropout=0.5)).train()
    seed_dropout(model, 7)
    dropped = []
    for layer in model.layers:
        layer.attention_residual.register_forward_hook(lambda _m, _i, out: dropped.append(out == 0))
    model(Batch.of([[3, 4, 5, 6]]))
    assert len(dropped) == 5
    assert not any(torch.equal(a, b) for a, b in pairwise(dropped))


def test_embeddings_are_normalised_and_dropped_at_their_own_size() -> None:
    """papers/README.md, trap 10."""
    model = our_model()
    assert model.embeddings.norm.weight.shape == (8,)
    seen: list[Tensor] = []
    model.embeddings.dropout.register_forward_hook(lambda _m, _i, out: seen.append(out))
    model(Batch.of([[3, 4]]))
    assert seen[0].shape == (2, 8)


def test_a_model_saved_without_its_pooler_is_read(tmp_path: Path) -> None:
    config = transformers.AlbertConfig(**THEIRS)
    randomised(transformers.AlbertModel(config, add_pooling_layer=False)).save_pretrained(tmp_path)
    fresh = {name.split(".")[0] for name in load_model(tmp_path).fresh}
    assert fresh == {"pooler", "mlm_head", "sop_head"}


def test_old_files_are_read(tmp_path: Path) -> None:
    """papers/albert.md h: keys of 2019 that nothing reads."""
    their_model("AlbertForMaskedLM").save_pretrained(tmp_path)
    old = {"net_structure_type": 0, "gap_size": 0, "num_memory_blocks": 0, "down_scale_factor": 1}
    set_config(tmp_path, **old)
    assert load_model(tmp_path).architecture == "AlbertForMaskedLM"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num_hidden_groups": 2}, r"num_hidden_groups=2 of 5 layers cannot be read"),
        ({"inner_group_num": 2}, r"inner_group_num=2 cannot be read"),
        ({"num_hidden_layers": 5000}, r"num_layers=5000 must be from 1 to 1000"),
        ({"model_type": "foretext-albert", "sharing": "half"}, r"sharing='half' is not known"),
        ({"embedding_size": 0}, "embedding_size"),
        ({"num_hidden_groups": 500, "num_hidden_layers": 500}, "parameters|500 layers"),
    ],
)
def test_other_kinds_of_albert_are_refused(
    values: dict[str, Any], message: str, tmp_path: Path
) -> None:
    save_model(our_model(), tmp_path, architecture="AlbertForMaskedLM")
    set_config(tmp_path, **values)
    with pytest.raises(ConfigError, match=message):
        load_model(tmp_path)


def test_depth_is_free_when_layers_are_shared(tmp_path: Path) -> None:
    """A file of 25 tensors may be used 48 times (section 4.7 goes that deep)."""
    model = our_model(num_layers=48)
    save_model(model, tmp_path, architecture="AlbertModel")
    assert len(load_model(tmp_path).model.layers) == 48  # type: ignore[arg-type]


@pytest.mark.parametrize("sharing", albert.SHARED_PARTS)
def test_ragged_equals_one_at_a_time(sharing: str) -> None:
    ragged_equals_alone(our_model(sharing=sharing, dropout=0.0, attention_dropout=0.0))


def test_initial_weights_are_a_truncated_normal() -> None:
    """modeling.py: standard deviation .02, cut at two of them (which leaves .0176)."""
    model = albert.Albert(replace(albert.PRESETS["albert-tiny"], vocab_size=2000))
    model.initialise(torch.Generator().manual_seed(0))
    for name, weight in model.named_parameters():
        if weight.ndim < 2:
            assert (weight == float(name.endswith("norm.weight"))).all(), name
        else:
            assert weight.abs().max() <= 0.04, name
            if weight.numel() > 10_000:
                assert abs(weight.std().item() - 0.0176) < 0.0005, name


def test_recipes_are_the_papers() -> None:
    """Section 4.1 and the repository's README."""
    paper = albert.recipe("albert-xxlarge")
    assert (paper["training.optimizer"], paper["training.learning_rate"]) == ("lamb", 0.00176)
    assert (paper["training.batch_size"], paper["training.warmup_steps"]) == (4096, 3125)
    steps = {name: albert.recipe(f"albert-{name}")["training.steps"] for name in
             ("base", "base-v2", "large-v2")}  # fmt: skip
    assert steps == {"base": 125_000, "base-v2": 10_000_000, "large-v2": 3_000_000}
    dropout = {name: albert.PRESETS[f"albert-{name}"].dropout for name in
               ("base", "xlarge", "xxlarge", "base-v2", "xlarge-v2")}  # fmt: skip
    assert list(dropout.values()) == [0.1, 0.1, 0.0, 0.0, 0.0]
