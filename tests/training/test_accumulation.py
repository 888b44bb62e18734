"""k micro-batches have the gradient of one batch, for every objective and family, dropout too."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from foretext.models import FAMILIES, pretraining_model
from foretext.objectives import OBJECTIVES
from foretext.training.loop import gradients
from foretext.training.samples import Epochs, Steps
from tests.objectives.corpora import VOCAB, random_corpus, vocabulary

# Each objective's smallest preset; masked LM is the recipe of none.
MODELS = {
    family.recipe(preset)["objective.name"]: (name, preset)
    for name, family in FAMILIES.items()
    for preset in family.PRESETS
    if preset.endswith("-tiny")
} | {"masked-lm": ("bert", "bert-tiny")}


def model_for(objective: str, **changes: Any) -> nn.Module:
    family, preset = MODELS[objective]
    config = replace(
        FAMILIES[family].PRESETS[preset],
        hidden_size=32,
        intermediate_size=64,
        vocab_size=VOCAB,
        max_position_embeddings=64,
        **changes,
    )
    model = pretraining_model(config, objective)
    model.initialise(torch.Generator().manual_seed(0))  # type: ignore[operator]
    return model.double()


@pytest.mark.parametrize("dropout", [0.0, 0.1])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_micro_batches_have_the_gradient_of_the_batch(
    objective: str, dropout: float, tmp_path: Path
) -> None:
    """design.md: the loss is a sum over targets divided by the step's count, never a mean of
    means. Unequal micro-batches of 7 sequences against all 24 at once, to 1e-6."""
    module = OBJECTIVES[objective]
    made = module.Build(
        config=module.Config(),
        vocabulary=vocabulary(eot=objective == "causal-lm"),
        max_length=48,
        seed=1,
    )
    epochs = Epochs(made, random_corpus(20), tmp_path, seed=1)
    model = model_for(objective, dropout=dropout, attention_dropout=dropout)
    found = []
    for size in (None, 7, 1):
        steps = Steps(epochs=epochs, batch_size=24, micro_batch_size=size, start=2, stop=3)
        model.zero_grad()
        terms = gradients(model, made, steps[0], key=11)
        grads = [p.grad for p in model.parameters() if p.grad is not None]
        found.append((torch.stack(list(terms.values())).sum(), grads))
    for total, grads in found[1:]:
        torch.testing.assert_close(total, found[0][0], rtol=1e-6, atol=1e-6)
        for one, other in zip(grads, found[0][1], strict=True):
            assert (one - other).abs().max() < 1e-6
