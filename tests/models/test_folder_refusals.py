"""Model folders that come from anyone: what is absurd or does not fit is refused, and early."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from foretext.core.errors import CheckpointError, ConfigError
from foretext.models.folder import load_model, read_config, save_model
from tests.models.tiny import our_model, rewrite, set_config


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    save_model(our_model("bert"), folder / "bert", architecture="BertForPreTraining")
    save_model(our_model("gpt2"), folder / "gpt2", architecture="GPT2LMHeadModel")
    return folder


def copy(folder: Path, to: Path) -> Path:
    to.mkdir()
    for path in folder.iterdir():
        (to / path.name).write_bytes(path.read_bytes())
    return to


@pytest.mark.parametrize("name", ["num_hidden_layers", "hidden_size", "vocab_size"])
@pytest.mark.parametrize(
    "value",
    [10**9, 10**6, 10**2000, -1, 0, 1.5, 12.0, "12", True, [12], {"a": 1}],
    ids=lambda value: str(value)[:9],
)
def test_absurd_sizes_are_refused_before_anything_is_built(
    name: str, value: object, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ecosystem.md danger 15."""
    folder = copy(saved / "bert", tmp_path / "x")
    set_config(folder, **{name: value})
    monkeypatch.setattr("foretext.models.bert.Bert.__init__", None)
    with pytest.raises(ConfigError, match="x"):
        load_model(folder)


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        ("gpt2", {"n_inner": "29"}, "intermediate_size"),
        ("gpt2", {"n_inner": -29}, "intermediate_size"),
        ("gpt2", {"n_layer": 500}, "parameters"),
        ("gpt2", {"resid_pdrop": 1.0}, "dropout=1.0 must be from 0 to below 1"),
        ("gpt2", {"attn_pdrop": -0.1}, "positive"),
        ("gpt2", {"resid_pdrop": False}, "must be a float"),
        ("gpt2", {"n_head": 0}, "positive"),
        ("gpt2", {"n_head": 5}, "multiple"),
        ("gpt2", {"activation_function": "evil"}, "evil"),
        ("gpt2", {"activation_function": ["gelu"]}, "must be a str"),
        ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "scale_attn"),
        ("bert", {"layer_norm_eps": "1e-12"}, "must be a float"),
        ("bert", {"model_type": "llama"}, "llama"),
        ("bert", {"model_type": None, "architectures": None}, "model_type"),
        ("bert", {"model_type": ["bert"]}, "model_type"),
        ("bert", {"architectures": ["BertForMaskedLN"]}, "did you mean 'BertForMaskedLM'"),
        ("bert", {"is_decoder": True}, "is_decoder"),
    ],
)
def test_values_that_cannot_be_used_are_named(
    kind: str, values: dict[str, Any], message: str, saved: Path, tmp_path: Path
) -> None:
    """Errors give the value and the rule."""
    folder = copy(saved / kind, tmp_path / "x")
    set_config(folder, **values)
    with pytest.raises(ConfigError, match=message):
        load_model(folder)


def test_more_layers_than_tensors_are_refused(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Layers cost seconds even where a padded file has room for their parameters."""
    folder = copy(saved / "bert", tmp_path / "x")
    padding = torch.zeros(10**6, dtype=torch.int64)
    rewrite(folder, lambda tensors: tensors | {"bert.embeddings.position_ids": padding})
    set_config(folder, num_hidden_layers=500)
    monkeypatch.setattr("foretext.models.bert.Bert.__init__", None)
    with pytest.raises(ConfigError, match=r"x: config\.json asks for 500 layers"):
        load_model(folder)


def test_an_untied_model_is_refused(saved: Path, tmp_path: Path) -> None:
    """Read as a tied one, it would compute something else in silence."""
    folder = copy(saved / "bert", tmp_path / "x")
    other = {"cls.predictions.decoder.weight": torch.ones(37, 12)}
    rewrite(folder, lambda tensors: tensors | other)
    with pytest.raises(CheckpointError, match=r"x: cls\.predictions\.decoder\.weight differs"):
        load_model(folder)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"model_type": "bert", "hidden_size": NaN}', '{"a": Infinity}',
     '{"a": 1e999}', "[" * 100_000, '{"a":' * 100_000, '{"a": ' + "9" * 5000 + "}",
     "{}" + " " * 2_000_000, "\udcff"],
    ids=lambda text: text[:12],
)  # fmt: skip
def test_broken_json_is_refused(text: str, tmp_path: Path) -> None:
    """ecosystem.md danger 15: JSON depth and size are capped, numbers are finite."""
    (tmp_path / "config.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(CheckpointError, match=r"config\.json"):
        read_config(tmp_path)


def test_weights_that_do_not_fit_are_refused_before_memory_is_taken(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The issue: a tensor of the wrong shape is refused with a clear message."""
    monkeypatch.setattr("foretext.hub.folder.materialise", None)
    changes: dict[str, tuple[Callable[[dict[str, Tensor]], dict[str, Tensor]], str]] = {
        "shape": (
            lambda t: t | {"bert.encoder.layer.3.output.dense.weight": torch.zeros(29, 12)},
            r"layer\.3\.output\.dense.*\[29, 12\].*\[12, 29\]",
        ),
        "extra": (lambda t: t | {"qa.weight": torch.zeros(2)}, r"qa\.weight"),
        "layer": (lambda t: t | {"bert.encoder.layer.5.output.dense.bias": torch.zeros(12)},
                  r"no place for bert\.encoder\.layer\.5"),
        "lack": (lambda t: {k: v for k, v in t.items() if "layer.2.output.dense" not in k},
                 r"lack bert\.encoder\.layer\.2\.output\.dense\.(weight|bias)"),
    }  # fmt: skip
    for name, (change, message) in changes.items():
        folder = copy(saved / "bert", tmp_path / name)
        rewrite(folder, change)
        with pytest.raises(CheckpointError, match=f"{name}: .*{message}"):
            load_model(folder)


@pytest.mark.parametrize(
    "head",
    [{}, {"weight": (4, 13)}, {"weight": ()}, {"weight": (4,)}, {"bias": (4,)},
     {"weight": (4, 12), "bias": (3,)}, {"weight": (4, 12), "gate": (4,)}],
    ids=str,
)  # fmt: skip
def test_a_task_head_of_another_shape_is_refused(
    head: dict[str, tuple[int, ...]], tmp_path: Path
) -> None:
    """The head's sizes come from the file alone, so they are checked by themselves."""
    save_model(
        our_model("bert"), tmp_path, architecture="BertForSequenceClassification",
        head={"weight": torch.zeros(4, 12)},
    )  # fmt: skip

    def change(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        del tensors["classifier.weight"]
        return tensors | {f"classifier.{leaf}": torch.zeros(s) for leaf, s in head.items()}

    rewrite(tmp_path, change)
    with pytest.raises(CheckpointError, match="task head classifier"):
        load_model(tmp_path)


def test_saving_asks_for_a_head_where_the_class_has_one(tmp_path: Path) -> None:
    """A folder that would not open is not written."""
    model = our_model("bert")
    with pytest.raises(CheckpointError, match="needs a task head"):
        save_model(model, tmp_path / "x", architecture="BertForSequenceClassification")
    with pytest.raises(CheckpointError, match="no place for a task head"):
        save_model(model, tmp_path / "x", architecture="BertModel", head={"weight": torch.ones(2)})
    with pytest.raises(ConfigError, match="did you mean 'BertModel'"):
        save_model(model, tmp_path / "x", architecture="BertModell")
    assert not (tmp_path / "x").exists()
