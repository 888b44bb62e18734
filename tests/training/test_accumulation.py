"""The gradient of a step is one however it is computed, for every objective, dropout too."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from foretext.models import FAMILIES, encoder, gpt, network_for
from foretext.nn.layers import through
from foretext.objectives import OBJECTIVES
from foretext.training.samples import SamplePlan, StepDataset
from foretext.training.step import TrainStep, gradients
from tests.objectives.corpora import VOCAB, random_corpus, vocabulary, vocabulary_of_t5

# Each objective's smallest preset, of the first family; masked LM is the recipe of none.
MODELS = {
    family.recipe(preset)["objective.name"]: (name, preset)
    for name, family in reversed(list(FAMILIES.items()))
    for preset in family.presets
    if preset.endswith("-tiny")
} | {"masked-lm": ("bert", "bert-tiny")}


# The others: ELMo's streams have such a test of their own, in tests/models/test_elmo.py.
SHARED = [name for name, spec in OBJECTIVES.items() if not spec.build.streams]  # type: ignore[attr-defined]


def model_for(objective: str, use: str | None = None, **changes: Any) -> nn.Module:
    family, preset = MODELS[objective]
    sizes = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "vocab_size": VOCAB + 100,
        "max_position_embeddings": 64,
        **changes,
    }
    known = FAMILIES[family].config.__dataclass_fields__
    config: Any = FAMILIES[family].presets[preset]
    config = replace(config, **{name: size for name, size in sizes.items() if name in known})
    model = network_for(config, use or objective)
    model.initialise(torch.Generator().manual_seed(0))
    return model.double()


def objective_of(name: str, **config: Any) -> Any:
    spec = OBJECTIVES[name]
    return spec.build(
        config=spec.config(**config),
        vocabulary=vocabulary_of_t5()
        if name == "span-corruption"
        else vocabulary(eot=name == "causal-lm"),
        max_length=48,
        seed=1,
    )


@pytest.mark.parametrize("dropout", [0.0, 0.1])
@pytest.mark.parametrize("objective", SHARED)
def test_micro_batches_have_the_gradient_of_the_batch(
    objective: str, dropout: float, tmp_path: Path
) -> None:
    """design.md: the loss is a sum over targets divided by the step's count, never a mean of
    means. Unequal micro-batches of 7 sequences against all 24 at once, to 1e-6."""
    made = objective_of(objective)
    epochs = SamplePlan(made, random_corpus(20), tmp_path, seed=1)
    model = model_for(objective, dropout=dropout, attention_dropout=dropout)
    found = []
    for size in (None, 7, 1):
        steps = StepDataset(epochs=epochs, batch_size=24, micro_batch_size=size, start=2, stop=3)
        model.zero_grad()
        terms = gradients(TrainStep(model, made), steps[0], key=11)
        grads = [p.grad for p in model.parameters() if p.grad is not None]
        found.append((torch.stack(list(terms.values())).sum(), grads))
    for total, grads in found[1:]:
        torch.testing.assert_close(total, found[0][0], rtol=1e-6, atol=1e-6)
        for one, other in zip(grads, found[0][1], strict=True):
            assert (one - other).abs().max() < 1e-6


# A decoder's states are all read.
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    (name, {}) for name in SHARED if name != "span-corruption"
]
VARIANTS += [
    ("replaced-token", {"variant": name})
    for name in ("masked-only", "replace-mlm", "all-tokens-mlm")
]


@pytest.mark.parametrize(("objective", "config"), VARIANTS)
def test_states_that_nothing_reads_leave_no_trace(
    objective: str, config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last layer computes those that the loss reads; with all of them the step is the same."""
    made = objective_of(objective, **config)
    epochs = SamplePlan(made, random_corpus(20), tmp_path, seed=1)
    use = made.config.use if objective == "replaced-token" else objective
    model = model_for(objective, use=use, dropout=0.1, attention_dropout=0.1)
    steps = StepDataset(epochs=epochs, batch_size=24, micro_batch_size=None, start=2, stop=3)
    computed: list[int] = []  # states after the last layer, as it was called
    found = []
    for everywhere in (False, True):

        def counted(
            layers: Any,
            hidden: Any,
            layout: Any,
            mask: Any,
            used: Any = None,
            everywhere: bool = everywhere,
        ) -> torch.Tensor:
            computed.append(hidden.shape[0] if everywhere or used is None else len(used))
            return through(layers, hidden, layout, mask, None if everywhere else used)

        for place in (encoder, gpt):
            monkeypatch.setattr(place, "through", counted)
        model.zero_grad()
        terms = gradients(TrainStep(model, made), steps[0], key=11)
        grads = [p.grad for p in model.parameters() if p.grad is not None]
        found.append((terms, grads))
    assert found[0][0] == {n: pytest.approx(float(t), abs=1e-6) for n, t in found[1][0].items()}
    for one, other in zip(found[0][1], found[1][1], strict=True):
        assert (one - other).abs().max() < 1e-9
    some, every = computed[: len(computed) // 2], computed[len(computed) // 2 :]
    assert sum(some) < sum(every) if objective != "causal-lm" else some == every
