"""The weight map: exact both ways, and nothing skipped in silence."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from foretext.core.errors import CheckpointError
from foretext.hub.architecture import Architecture
from foretext.hub.weight_map import WeightMap

MAP = WeightMap(
    modules={
        "base.embed": "embed",
        "base.layer.{i}.fused": ("layers.{i}.query", "layers.{i}.key", "layers.{i}.value"),
        "base.layer.{i}.part.0.out": "layers.{i}.out",
        "base.layer.{i}.part.1.out": "layers.{i}.down",
        "base.layer.{i}.LayerNorm": "layers.{i}.norm",
    },
    tensors={"cls.bias": "head.bias", "base.layer.{i}.r": "layers.{i}.r"},
    transposed=frozenset({"base.layer.{i}.fused", "base.layer.{i}.part.1.out"}),
    tied={"cls.decoder.weight": "base.embed.weight", "cls.decoder.bias": "cls.bias"},
    unused=("base.position_ids", "base.layer.{i}.attn.bias", "cls.other"),
    prefix="base.",
)


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = nn.Linear(5, 4), nn.Linear(5, 4), nn.Linear(5, 4)
        self.out, self.down = nn.Linear(4, 7), nn.Linear(7, 5)
        self.norm = nn.LayerNorm(5)
        self.r = nn.Parameter(torch.randn(3, 2))


class Model(nn.Module):
    """Every axis has its own size, so that a swapped one fails."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 5)
        self.layers = nn.ModuleList(Layer() for _ in range(12))
        self.head = nn.Module()
        self.head.register_parameter("bias", nn.Parameter(torch.randn(11)))


def state(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach() for name, p in model.named_parameters()}


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


@pytest.mark.parametrize("seed", range(3))
def test_there_and_back_is_the_identity(seed: int) -> None:
    """style.md: one two-way table imports and exports."""
    torch.manual_seed(seed)
    ours = state(Model())
    theirs = MAP.to_theirs(ours)
    assert equal(MAP.to_ours(theirs), ours)
    assert equal(MAP.to_theirs(MAP.to_ours(theirs)), theirs)


def test_conv1d_weights_are_transposed_and_fused_ones_split_in_order() -> None:
    """papers/README.md trap 2: Conv1D is [in, out]; c_attn holds query, key, value in order."""
    ours = state(Model())
    theirs = MAP.to_theirs(ours)
    fused = theirs["base.layer.11.fused.weight"]
    assert fused.shape == (5, 12)
    assert torch.equal(fused[:, 4:8], ours["layers.11.key.weight"].t())
    assert torch.equal(theirs["base.layer.11.fused.bias"][8:], ours["layers.11.value.bias"])
    assert torch.equal(theirs["base.layer.3.part.1.out.weight"], ours["layers.3.down.weight"].t())
    assert torch.equal(theirs["base.layer.3.part.0.out.weight"], ours["layers.3.out.weight"])


def test_tied_tensors_are_not_written() -> None:
    """papers/README.md: save_pretrained omits tied keys."""
    assert not MAP.tied.keys() & MAP.to_theirs(state(Model())).keys()


def test_base_names_lose_the_prefix_and_load_again() -> None:
    """papers/README.md: base-model weights are saved without the prefix and load into heads."""
    ours = {k: v for k, v in state(Model()).items() if not k.startswith("head.")}
    theirs = MAP.to_theirs(ours, base=True)
    assert "embed.weight" in theirs and not any(k.startswith("base.") for k in theirs)
    assert equal(MAP.to_ours(theirs), ours)
    with pytest.raises(CheckpointError, match=r"cls\.bias lies outside the base model"):
        MAP.to_theirs({"head.bias": torch.zeros(11)}, base=True)


def test_old_spellings_buffers_and_tied_copies_are_accepted() -> None:
    """papers/README.md trap 14: gamma/beta, position_ids, attn.bias and tied decoders occur."""
    ours = state(Model())
    theirs = MAP.to_theirs(ours)
    for i in range(12):
        theirs[f"base.layer.{i}.LayerNorm.gamma"] = theirs.pop(f"base.layer.{i}.LayerNorm.weight")
        theirs[f"base.layer.{i}.LayerNorm.beta"] = theirs.pop(f"base.layer.{i}.LayerNorm.bias")
        theirs[f"base.layer.{i}.attn.bias"] = torch.ones(1, 1, 3, 3)
    theirs["base.position_ids"] = torch.arange(3)
    theirs["cls.other.weight"] = torch.ones(2)
    theirs["cls.decoder.weight"] = theirs["base.embed.weight"].clone()
    assert equal(MAP.to_ours(theirs), ours)


def test_a_tied_copy_stands_in_for_its_missing_twin_and_must_not_differ() -> None:
    """An untied model read as a tied one would compute something else in silence."""
    theirs = MAP.to_theirs(state(Model()))
    bias = theirs.pop("cls.bias")
    assert torch.equal(MAP.to_ours({"cls.decoder.bias": bias})["head.bias"], bias)
    with pytest.raises(CheckpointError, match=r"cls\.decoder\.bias differs from cls\.bias"):
        MAP.to_ours({"cls.decoder.bias": bias, "cls.bias": bias + 1})


@pytest.mark.parametrize(
    "name",
    ["base.embed.scale", "base.layer.01.LayerNorm.weight", "base.layer.x.r", "other.weight",
     "base.layer.0.part.2.out.weight", "base.layer.٣.r", "base.layer.1234567890123.r"],
)  # fmt: skip
def test_unknown_tensors_are_named(name: str) -> None:
    """style.md: exporters that skip unknown tensors are to be avoided."""
    with pytest.raises(CheckpointError, match=f"^{name} of the weight file"):
        MAP.to_ours({name: torch.ones(2)})


def test_the_same_tensor_under_two_names_is_refused() -> None:
    """Which of the two would win is anyone's guess."""
    twice = {"embed.weight": torch.ones(11, 5), "base.embed.weight": torch.ones(11, 5)}
    with pytest.raises(CheckpointError, match="comes twice"):
        MAP.to_ours(twice)


def test_load_fills_all_and_lists_what_the_checkpoint_lacks() -> None:
    """The caller decides whether the missing ones may be fresh."""
    source, target = Model(), Model()
    theirs = MAP.to_theirs(state(source))
    del theirs["cls.bias"], theirs["base.layer.4.r"]
    before = state(target)["layers.4.r"].clone()
    assert MAP.load(target, theirs) == ["layers.4.r", "head.bias"]
    assert torch.equal(state(target)["layers.4.r"], before)
    assert torch.equal(state(target)["layers.4.out.weight"], state(source)["layers.4.out.weight"])


def test_a_wrong_shape_is_refused_with_both_and_nothing_is_copied() -> None:
    """Shapes are checked on the meta device too, before memory is taken."""
    model = Model()
    before = {k: v.clone() for k, v in state(model).items()}
    theirs = MAP.to_theirs(state(Model()))
    theirs["base.layer.11.part.0.out.weight"] = torch.zeros(4, 7)
    with pytest.raises(CheckpointError, match=r"base\.layer\.11\.part\.0.*\[4, 7\].*\[7, 4\]"):
        MAP.load(model, theirs)
    assert equal(before, state(model))
    on_meta = {k: v.to("meta") for k, v in theirs.items()}
    with pytest.raises(CheckpointError, match=r"\[4, 7\].*\[7, 4\]"):
        MAP.check(Model().to("meta"), on_meta)


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("base.layer.0.fused.weight", torch.ones(5, 13), "does not split into 3"),
        ("base.layer.0.fused.weight", torch.ones(5), "must be a matrix"),
        ("base.layer.0.fused.bias", torch.ones(()), "does not split into 3"),
        ("base.layer.12.r", torch.ones(3, 2), r"no place for base\.layer\.12\.r"),
        ("base.embed.weight", torch.ones(11, 5, dtype=torch.int8), "must be floating-point"),
    ],
)
def test_tensors_of_another_model_are_refused(name: str, tensor: Tensor, message: str) -> None:
    """A file that does not fit ends in one line, not a traceback."""
    with pytest.raises(CheckpointError, match=message):
        MAP.load(Model(), {name: tensor})


def test_writing_needs_a_row_and_every_part() -> None:
    """Each parameter of ours is written or the save fails."""
    with pytest.raises(CheckpointError, match=r"layers\.0\.gate has no row"):
        MAP.to_theirs({"layers.0.gate": torch.ones(1)})
    with pytest.raises(CheckpointError, match=r"needs layers\.0\.key\.weight"):
        MAP.to_theirs({f"layers.0.{p}.weight": torch.ones(4, 5) for p in ("query", "value")})


def test_an_architecture_stores_whole_parts() -> None:
    """A prefix of a name is not a part: `layers` is not `layers_extra`."""
    masked = Architecture(name="M", parts=("layers", "head.bias"))
    assert masked.stores("layers.0.r") and masked.stores("head.bias")
    assert not masked.stores("layers_extra.0.r") and not masked.stores("head.weight")
