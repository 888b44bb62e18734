"""Initial weights, drawn from one generator in the order of the modules, so a seed fixes them."""

from __future__ import annotations

import torch
from torch import nn

from foretext.nn.norm import LayerNorm


def truncated_normal(model: nn.Module, std: float, generator: torch.Generator) -> None:
    """Matrices and tables from a normal cut at two standard deviations; biases 0; norms 1 and 0.

    Paper: Devlin et al. 2019, official modeling.py (tf.truncated_normal_initializer).
    """
    for module in _zeroed(model):
        nn.init.trunc_normal_(module.weight, 0, std, -2 * std, 2 * std, generator=generator)


def normal(model: nn.Module, std: float, generator: torch.Generator) -> None:
    """Matrices and tables from a normal; biases 0; norms 1 and 0 (GPT-1, section 4.1)."""
    for module in _zeroed(model):
        nn.init.normal_(module.weight, 0, std, generator=generator)


def _zeroed(model: nn.Module) -> list[nn.Linear | nn.Embedding]:
    """The modules with a random weight, after every bias and norm has been reset."""
    found: list[nn.Linear | nn.Embedding] = []
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.rpartition(".")[2] == "bias":
                parameter.zero_()
        for module in model.modules():
            if isinstance(module, LayerNorm):
                module.weight.fill_(1.0)
            elif isinstance(module, nn.Linear | nn.Embedding):
                found.append(module)
    return found
