"""Tiny models and ways to damage the folders they are saved in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from foretext.models import FAMILIES, bert, gpt

CONFIGS = {
    "bert": bert.BertConfig(
        vocab_size=37, hidden_size=12, num_layers=5, num_heads=3, intermediate_size=29,
        max_position_embeddings=17,
    ),
    "gpt2": gpt.GptConfig(
        vocab_size=37, hidden_size=12, num_layers=5, num_heads=3, intermediate_size=29,
        max_position_embeddings=17,
    ),
    "openai-gpt": gpt.GptConfig(
        vocab_size=37, hidden_size=12, num_layers=5, num_heads=3, intermediate_size=48,
        max_position_embeddings=17, pre_norm=False,
    ),
}  # fmt: skip


def our_model(model_type: str) -> Any:
    config = CONFIGS[model_type]
    family = FAMILIES["bert" if model_type == "bert" else "gpt"]
    torch.manual_seed(1)
    model = family.model(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    return model


def rewrite(folder: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> None:
    path = folder / "model.safetensors"
    tensors = change({k: v.clone() for k, v in load_file(path).items()})
    save_file({k: v.clone().contiguous() for k, v in tensors.items()}, path)


def set_config(folder: Path, **values: Any) -> None:
    path = folder / "config.json"
    raw = {k: v for k, v in (json.loads(path.read_text()) | values).items() if v != "REMOVE"}
    path.write_text(json.dumps(raw))
