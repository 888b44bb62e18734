"""The padded twin gives what the ragged model gives, and its graph does in onnxruntime."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from foretext.api import load
from foretext.core.batch import Batch
from foretext.core.errors import ConfigError
from foretext.inference.onnx import of_backbone
from foretext.inference.padded import PaddedTwin, states
from foretext.nn.backbone import Backbone
from tests.tasks.tiny import MODELS, backbone_folder

LENGTHS = (1, 7, 40, 2, 7)


def padded(lengths: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor, list[list[int]]]:
    """Random sequences, padded at the right, and as they are."""
    draw = torch.Generator().manual_seed(0)
    sequences = [torch.randint(80, (n,), generator=draw).tolist() for n in lengths]
    ids, mask = torch.full((len(lengths), max(lengths)), 3), torch.zeros(len(lengths), max(lengths))
    for row, one in enumerate(sequences):
        ids[row, : len(one)] = torch.tensor(one)
        mask[row, : len(one)] = 1
    return ids, mask.long(), sequences


@pytest.mark.parametrize("family", MODELS)
@pytest.mark.parametrize("scores", [False, True])
def test_states_and_scores_are_those_of_the_ragged_model(
    family: str, scores: bool, tmp_path: Path
) -> None:
    """Whatever stands behind a text; segments, shared layers and causal masks among them."""
    loaded = load(backbone_folder(tmp_path / "x", family, noise=0.1))
    graph = of_backbone(loaded.model, scores=scores, max_length=40)
    ids, mask, sequences = padded(LENGTHS)
    with torch.no_grad():
        hidden = loaded.model(Batch.of(sequences))
        wanted = loaded.model.logits(hidden) if scores else hidden  # type: ignore[operator]
        (found,) = graph.twin(ids, mask)
    assert (found[mask.bool()] - wanted).abs().max() < 1e-5


def test_the_twin_leaves_the_model_as_it_was(tmp_path: Path) -> None:
    model = load(backbone_folder(tmp_path / "x", "bert")).model
    before = [type(module) for module in model.modules()]
    PaddedTwin(model, states)
    assert [type(module) for module in model.modules()] == before


def test_what_has_no_twin_is_refused() -> None:
    """Before anything is traced."""

    class Other(Backbone):
        """A model without such layers."""

    with pytest.raises(ConfigError, match="a Other cannot be traced over padded batches yet"):
        PaddedTwin(Other(), states)
