"""A ragged batch equals one sequence at a time, and equals the padded reference implementation."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from foretext.core.batch import Batch
from foretext.models import FAMILIES
from foretext.nn.dropout import Dropout

SIZES = {
    "hidden_size": 24,
    "num_layers": 3,
    "num_heads": 4,
    "intermediate_size": 56,
    "vocab_size": 101,
    "max_position_embeddings": 40,
    "dropout": 0.0,
    "attention_dropout": 0.0,
}
CASES: list[tuple[str, dict[str, Any]]] = [
    ("bert", {}),
    ("gpt", {"pre_norm": True}),
    ("gpt", {"pre_norm": False, "intermediate_size": 96}),
]


def made(name: str, changes: dict[str, Any]) -> Any:
    family: Any = FAMILIES[name]
    model = family.model(family.config(**(SIZES | changes)))
    for weight in model.parameters():
        torch.nn.init.normal_(
            weight, std=0.2, generator=torch.Generator().manual_seed(weight.numel())
        )
    return model


MODELS = [made(family, changes) for family, changes in CASES]
sequences = st.lists(st.lists(st.integers(0, 100), min_size=1, max_size=40), min_size=1, max_size=7)


@settings(max_examples=30)
@given(sequences, st.sampled_from(range(len(MODELS))), st.booleans())
def test_ragged_equals_one_at_a_time(ids: list[list[int]], which: int, by_length: bool) -> None:
    """In any order; by length, neighbours of equal length are stacked."""
    model = MODELS[which]
    ordered = sorted(ids, key=len) if by_length else ids
    together = model(Batch.of(ordered))
    alone = torch.cat([model(Batch.of([sequence])) for sequence in ordered])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("which", range(len(MODELS)))
def test_gradients_equal_one_at_a_time(which: int) -> None:
    """Also backward: no sequence leaks into another's gradient."""
    model = MODELS[which]
    ids = [[1, 2, 3], [4, 5, 6], [7] * 11, [8]]
    weights = torch.linspace(-1, 1, 18)[:, None]
    found = []
    for batches in ([ids], [[s] for s in ids]):
        model.zero_grad()
        states = torch.cat([model(Batch.of(batch)) for batch in batches])
        (states * weights).sum().backward()
        found.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_padded_reference() -> None:
    """transformers, padded and masked, at the real tokens: BERT and both GPTs to 1e-4."""
    transformers = pytest.importorskip("transformers")
    ids = [[1, 2, 3, 4], [5, 6, 7], [8] * 17, [9]]
    types = [[0, 0, 1, 1], [0, 1, 1], [0] * 9 + [1] * 8, [0]]
    longest = max(map(len, ids))
    padded = torch.tensor([s + [0] * (longest - len(s)) for s in ids])
    segments = torch.tensor([t + [0] * (longest - len(t)) for t in types])
    mask = torch.tensor([[1] * len(s) + [0] * (longest - len(s)) for s in ids])
    classes = {
        0: (transformers.BertConfig, transformers.BertModel, "BertModel"),
        1: (transformers.GPT2Config, transformers.GPT2Model, "GPT2Model"),
        2: (transformers.OpenAIGPTConfig, transformers.OpenAIGPTModel, "OpenAIGPTModel"),
    }
    for which, (config_class, model_class, name) in classes.items():
        ours = MODELS[which]
        family = FAMILIES[CASES[which][0]]
        raw = family.hub.to_hf(ours.config, name) | {"bos_token_id": 0, "eos_token_id": 0}
        theirs = model_class(config_class(**raw)).eval()
        stored = family.hub.architectures[name]
        state = {n: p for n, p in ours.named_parameters() if stored.stores(n)}
        theirs.load_state_dict(family.hub.weight_map(ours.config).to_theirs(state, base=True))
        extra = {"token_type_ids": segments} if which == 0 else {}
        expected = theirs(padded, attention_mask=mask, **extra).last_hidden_state
        found = ours(Batch.of(ids, types))
        torch.testing.assert_close(found, expected[mask.bool()], rtol=1e-4, atol=1e-4)


def test_too_long_a_sequence_is_named() -> None:
    with pytest.raises(ValueError, match="41 tokens, but the model has 40 positions"):
        MODELS[0](Batch.of([[1] * 41]))


@pytest.mark.parametrize("which", range(len(MODELS)))
def test_a_batch_of_which_nothing_is_read_has_gradients_of_zero(which: int) -> None:
    """A micro-batch without a target, as whole words leave some."""
    model = made(*CASES[which]).train()
    for module in model.modules():
        if isinstance(module, Dropout):
            module.set_rate(0.5)
    states = model(Batch.of([[1, 2, 3], [4]]), torch.zeros(0, dtype=torch.int64))
    states[torch.zeros(0, dtype=torch.int64)].sum().backward()
    assert states.shape == (4, SIZES["hidden_size"])
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    assert grads
    assert not any(grad.any() for grad in grads)
