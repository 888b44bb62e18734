"""What every family's folders are tested for: theirs opens here, ours opens there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from foretext.core.batch import Batch
from foretext.models import FAMILIES
from foretext.models.folder import load_model, save_model
from tests.models.test_folder import assert_agree, our_outputs, their_outputs

transformers = pytest.importorskip("transformers")


def randomised(model: Any) -> Any:
    """The model with random weights everywhere, so that a swapped norm or bias shows."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    return model.eval()


def opens_here(their: Any, folder: Path) -> nn.Module:
    """Their model saved by them and loaded by us gives the same numbers, ragged against padded."""
    their.save_pretrained(folder)
    loaded = load_model(folder)
    assert loaded.architecture == type(their).__name__
    assert bool(loaded.head) == loaded.architecture.endswith("Classification")
    vocab = their.config.vocab_size
    assert_agree(their_outputs(their, vocab), our_outputs(loaded.model, loaded.head, vocab))
    return loaded.model


def opens_there(model: Any, name: str, folder: Path, head: dict[str, Tensor] | None = None) -> Any:
    """Our model saved by us and loaded by them gives the same numbers, no weight left over."""
    save_model(model, folder, architecture=name, head=head)
    their, info = getattr(transformers, name).from_pretrained(
        folder, output_loading_info=True, local_files_only=True
    )
    assert not any(info.values()), info
    vocab = model.config.vocab_size
    assert_agree(their_outputs(their.eval(), vocab), our_outputs(model, head or {}, vocab))
    return their


def survives_a_round_trip(their: Any, folder: Path) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Their tensors and ours after loading and saving; the names are checked."""
    their.save_pretrained(folder / "a")
    loaded = load_model(folder / "a")
    save_model(loaded.model, folder / "b", architecture=loaded.architecture, head=loaded.head)
    one, other = (load_file(folder / f / "model.safetensors") for f in "ab")
    assert one.keys() == other.keys()
    assert all(one[k].shape == other[k].shape for k in one)
    return one, other


def count(model: nn.Module, without: tuple[str, ...] = ()) -> int:
    return sum(p.numel() for n, p in model.named_parameters() if n.split(".")[0] not in without)


def on_meta(family: str, preset: str) -> nn.Module:
    module = FAMILIES[family]
    with torch.device("meta"):
        model: nn.Module = module.model(module.presets[preset])
    assert module.hub.num_parameters(module.presets[preset]) == count(model)
    return model


def ragged_equals_alone(model: Any) -> None:
    """Forward and backward, in any order of lengths."""
    ids = [[1, 2, 3], [4, 5, 6], [7] * 11, [8], [9, 10, 11]]
    types = [[0, 0, 1], [0, 1, 1], [0] * 6 + [1] * 5, [0], [0, 0, 0]]
    weights = torch.linspace(-1, 1, 21)[:, None]
    found = []
    for batches in ([(ids, types)], [([s], [t]) for s, t in zip(ids, types, strict=True)]):
        model.zero_grad()
        states = torch.cat([model(Batch.of(*batch)) for batch in batches])
        (states * weights).sum().backward()
        grads = [p.grad.clone() for p in model.parameters() if p.grad is not None]
        found.append([states.detach(), *grads])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
