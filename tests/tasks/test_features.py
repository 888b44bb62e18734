"""What a head reads of a backbone: mixes of layers, frozen, through LSTMs of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from foretext.core.batch import Batch
from foretext.core.errors import ConfigError
from foretext.inference.task_run import load_task
from foretext.models import bert
from foretext.models.elmo_network import Elmo
from foretext.models.elmo_sizes import ElmoConfig
from foretext.models.folder import save_model
from foretext.runs.finetune import FinetuneOptions, finetune
from foretext.tasks.base import TaskModel
from foretext.tasks.features import FeatureConfig, FeatureReader
from foretext.tasks.tag_units import split_text
from foretext.tokenizers import train

CONFIG = bert.BertConfig(
    vocab_size=37, hidden_size=12, num_layers=3, num_heads=3, intermediate_size=20,
    max_position_embeddings=17,
)  # fmt: skip
BATCH = [[2, 7, 9, 3], [2, 11, 3]]


def reading(config: FeatureConfig) -> TaskModel:
    torch.manual_seed(0)
    backbone = bert.Bert(CONFIG)
    backbone.initialise(torch.Generator().manual_seed(0))
    features = FeatureReader(config, backbone)
    features.initialise(torch.Generator().manual_seed(1))
    return TaskModel(backbone, torch.nn.Linear(12, 2), features)


def test_the_mix_begins_as_the_mean_of_all_layers() -> None:
    """bilm/elmo.py: weights of zero; layer 0 is what is below the first."""
    model, batch = reading(FeatureConfig(layers="mix")).eval(), Batch.of(BATCH)
    layers = model.backbone.all_layers(batch)
    assert len(layers) == 4
    torch.testing.assert_close(model(batch), torch.stack(layers).mean(0))
    words = reading(FeatureConfig(layers="words")).eval()
    torch.testing.assert_close(words(batch), layers[0])


def test_plain_fine_tuning_reads_the_last_layer_as_ever() -> None:
    model, batch = reading(FeatureConfig()).eval(), Batch.of(BATCH)
    torch.testing.assert_close(model(batch), model.backbone(batch))
    assert set(model.head_tensors()) == {"weight", "bias"}


def test_a_frozen_backbone_neither_learns_nor_drops() -> None:
    model = reading(FeatureConfig(layers="mix", frozen=True)).train()
    assert not model.backbone.training
    model(Batch.of(BATCH)).sum().backward()
    assert all(p.grad is None for p in model.backbone.parameters())
    assert model.features.mix is not None
    assert model.features.mix.weights.grad is not None


def test_the_penalty_is_lambda_times_the_squares() -> None:
    model = reading(FeatureConfig(layers="mix", mix_penalty=0.5))
    assert model.features.mix is not None
    with torch.no_grad():
        model.features.mix.weights.copy_(torch.tensor([1.0, -2.0, 0.0, 1.0]))
    penalty = model.features.penalty()
    assert penalty is not None
    assert float(penalty.detach()) == 3.0
    assert reading(FeatureConfig(layers="mix")).features.penalty() is None


def test_the_reader_s_last_forward_state_stands_at_the_first_token() -> None:
    """Ragged is one at a time, too."""
    model = reading(FeatureConfig(frozen=True, reader_cells=5)).eval()
    together = model(Batch.of(BATCH)).split([4, 3])
    for sequence, states in zip(BATCH, together, strict=True):
        torch.testing.assert_close(model(Batch.of([sequence])), states)
        torch.testing.assert_close(states[0, :6], states[-1, :6])


@pytest.mark.parametrize(
    "config",
    [{"layers": "all"}, {"feature_dropout": 1.0}, {"mix_penalty": -1.0}, {"reader_cells": 0}],
)
def test_settings_that_cannot_be_are_refused(config: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=rf"finetune\.{next(iter(config))}="):
        FeatureConfig(**config)  # type: ignore[arg-type]


def elmo_folder(folder: Path) -> Path:
    tokenizer = train(["Kim met Lee in Rome ."], kind="spelled-words", vocab_size=20)
    config = ElmoConfig(
        vocab_size=tokenizer.vocab_size, filter_widths=(1, 2), filter_counts=(20, 30),
        character_size=8, num_highways=1, projection_size=24, cell_size=32,
    )  # fmt: skip
    model = Elmo(config)
    model.initialise(torch.Generator().manual_seed(0))
    save_model(model, folder, architecture="ForetextElmoForPreTraining")
    tokenizer.save(folder)
    return folder


def test_elmo_tells_words_apart_that_its_vocabulary_lacks(tmp_path: Path) -> None:
    """Frozen by its own recipe; the mix is in the folder, and the backbone as it was."""
    names, days = ["Anna", "Berta", "Clara", "Dora"], ["Today", "Monday", "Sunday", "Friday"]
    lines = [f"{name} B-PER\nsleeps O\n. O\n" for name in names]
    lines += [f"{day} O\nsleeps O\n. O\n" for day in days]
    (tmp_path / "train.txt").write_text("\n".join(lines * 4))
    elmo = elmo_folder(tmp_path / "elmo")
    settings = {
        "finetune.epochs": 40,
        "finetune.feature_dropout": 0.0,
        "training.learning_rate": 0.1,
        "training.batch_size": 16,
        "training.weight_decay": 0.0,
    }
    options = FinetuneOptions(settings=settings)
    finetune(elmo, "tagging", train=tmp_path / "train.txt", out=tmp_path / "tuned", options=options)

    run = load_task(tmp_path / "tuned")
    texts = [split_text(f"{word} sleeps .", "word") for word in ("Clara", "Monday")]
    assert [p.tags[0] for _, p in run.predictions(texts)] == ["B-PER", "O"]
    before = load_backbone(elmo)
    for name, parameter in run.model.backbone.named_parameters():
        if not name.startswith("softmax"):
            assert torch.equal(parameter, before[name])
    assert run.model.features.mix is not None
    assert run.model.features.mix.weights.any()


def load_backbone(folder: Path) -> dict[str, torch.Tensor]:
    from foretext.models.folder import load_model

    return dict(load_model(folder).model.named_parameters())


def test_other_sizes_have_other_readers() -> None:
    odd = replace(CONFIG, hidden_size=9)
    with pytest.raises(ConfigError, match="even hidden size"):
        FeatureReader(FeatureConfig(reader_cells=4), bert.Bert(odd))
