"""Tiny backbones with their tokenizers, and labelled files from which a word can be learned."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from foretext.models import FAMILIES
from foretext.models.folder import save_model
from foretext.tokenizers import Tokenizer, train

FILLERS = [
    "the", "a", "of", "to", "in", "film", "story", "plot", "was", "is", "and", "with", "very",
    "quite", "it", "there",
]  # fmt: skip
WORDS = {"good": ["great", "lovely"], "bad": ["awful", "boring"]}
# Family, tokenizer's kind, style and size, objective.
MODELS: dict[str, tuple[str, str, str | None, int, str]] = {
    "bert": ("bert", "wordpiece", None, 90, "next-sentence"),
    "electra": ("electra", "wordpiece", None, 90, "replaced-token"),
    "roberta": ("roberta", "byte-bpe", "roberta", 300, "packed-masked-lm"),
    "albert": ("albert", "unigram", "albert", 90, "sentence-order"),
    "gpt2": ("gpt", "byte-bpe", None, 300, "causal-lm"),
    "openai-gpt": ("gpt", "bpe", None, 90, "causal-lm"),
}
_SIZES: dict[str, Any] = {
    "hidden_size": 32, "num_layers": 2, "num_heads": 2, "intermediate_size": 128,
    "max_position_embeddings": 40,
}  # fmt: skip


def tokenizer_of(model_type: str) -> Tokenizer:
    words = FILLERS + [word for words in WORDS.values() for word in words]
    texts = [" ".join(words[i:] + words[:i]) for i in range(len(words))] * 3
    _, kind, style, size, _ = MODELS[model_type]
    return train(texts, kind=kind, vocab_size=size, style=style)


def model_of(model_type: str, vocab_size: int, **changes: Any) -> Any:
    family: Any = FAMILIES[MODELS[model_type][0]]
    own = {"pre_norm": False} if model_type == "openai-gpt" else {}
    model = family.model(family.config(vocab_size=vocab_size, **(_SIZES | own | changes)))
    model.initialise(torch.Generator().manual_seed(1))
    return model


def backbone_folder(folder: Path, model_type: str, *, noise: float = 0, **changes: Any) -> Path:
    """A pre-trained model's folder, untrained; with noise no two parts of it are alike."""
    tokenizer = tokenizer_of(model_type)
    model = model_of(model_type, tokenizer.vocab_size, **changes)
    if noise:
        drawn = torch.Generator().manual_seed(2)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.normal_(std=noise, generator=drawn)
    name, _, _, _, use = MODELS[model_type]
    family: Any = FAMILIES[name]
    save_model(model, folder, architecture=family.hub.class_for(model.config, use))
    tokenizer.save(folder)
    return folder


def sentences(count: int, seed: int) -> list[tuple[str, str]]:
    """(text, label): the label says which words the text holds."""
    drawn = random.Random(seed)
    rows = []
    for _ in range(count):
        label = drawn.choice(sorted(WORDS))
        words = drawn.choices(FILLERS, k=drawn.randint(1, 9))
        words.insert(drawn.randint(0, len(words)), drawn.choice(WORDS[label]))
        rows.append((" ".join(words), label))
    return rows


def pairs(count: int, seed: int) -> list[tuple[str, str, str]]:
    """(first, second, label): the label says whether the first text holds a good word."""
    second = sentences(count, seed + 1)
    rows = zip(sentences(count, seed), second, strict=True)
    return [(a, b, "yes" if label == "good" else "no") for (a, label), (b, _) in rows]


def write_tsv(path: Path, names: Sequence[str], rows: Sequence[Sequence[str]]) -> Path:
    path.write_text("".join("\t".join(row) + "\n" for row in [names, *rows]), encoding="utf-8")
    return path


def sentence_file(path: Path, count: int, seed: int) -> Path:
    return write_tsv(path, ["sentence", "label"], sentences(count, seed))
