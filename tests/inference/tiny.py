"""Tiny random models, their Hugging Face twins with the same weights, and tokenizers."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch

from foretext.models import bert, gpt
from foretext.models.family import Family
from foretext.tokenizers import Tokenizer, train

TEXT = [
    "the man went to the store and bought a gallon of milk .",
    "penguins are flightless birds ; the store was closed , so he went home .",
    "한국어 문장도 있다. 오늘은 날씨가 좋다. naïve café — 🙂",
]
PROMPTS = ["the man", "penguins are flightless", "he went to the store and", "the", "a gallon of"]


@cache
def tokenizer(kind: str = "byte-bpe", vocab_size: int = 300) -> Tokenizer:
    return train(TEXT * 3, kind=kind, vocab_size=vocab_size)


@cache
def gpt_model(vocab_size: int = 300, *, pre_norm: bool = True, seed: int = 0) -> gpt.Gpt:
    config = gpt.GptConfig(
        vocab_size=vocab_size, hidden_size=24, num_layers=2, num_heads=3, intermediate_size=96,
        max_position_embeddings=40, pre_norm=pre_norm,
    )  # fmt: skip
    torch.manual_seed(seed)
    model = gpt.Gpt(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    return model


@cache
def bert_model() -> bert.Bert:
    config = bert.BertConfig(
        vocab_size=tokenizer("wordpiece", 90).vocab_size, hidden_size=24, num_layers=2,
        num_heads=3, intermediate_size=29, max_position_embeddings=24,
    )  # fmt: skip
    torch.manual_seed(0)
    model = bert.Bert(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    return model


def twin(model: Any, family: Family[Any], architecture: str) -> Any:
    """The Hugging Face model with our weights."""
    transformers = pytest.importorskip("transformers")
    theirs_class = getattr(transformers, architecture)
    config = theirs_class.config_class(**family.hub.to_hf(model.config, architecture))
    theirs = theirs_class(config).eval()
    state = family.hub.weight_map(model.config).to_theirs(model.state_dict())
    missing = theirs.load_state_dict(state, strict=False).missing_keys
    assert all("decoder" in name or "lm_head" in name for name in missing), missing
    theirs.tie_weights()
    return theirs
