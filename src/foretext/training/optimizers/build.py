"""An optimizer for a model: which parameters get which rate and decay.

Paper: layer-wise rates of Howard & Ruder 2018, https://arxiv.org/abs/1801.06146, section 3.2.
"""

from __future__ import annotations

import re

from torch import Tensor, nn

from foretext.core.errors import ConfigError
from foretext.training.optimizers.adafactor import Adafactor
from foretext.training.optimizers.adagrad import Adagrad
from foretext.training.optimizers.adam import AdamW, BertAdamW, Gpt1AdamW
from foretext.training.optimizers.base import Group, Optimizer
from foretext.training.optimizers.config import OPTIMIZERS, OptimizerConfig
from foretext.training.optimizers.lamb import Lamb

_CLASSES: dict[str, type[Optimizer]] = dict(
    zip(OPTIMIZERS, (AdamW, BertAdamW, Gpt1AdamW, Lamb, Adafactor, Adagrad), strict=True)
)
_LAYER = re.compile(r"(?:^|\.)layers\.([0-9]+)\.")
_EMBEDDINGS = re.compile(r"(?:^|\.)embeddings(?:_projection)?\.")
_HEAD = "head."


def build_optimizer(model: nn.Module, config: OptimizerConfig) -> Optimizer:
    """An optimizer of the trainable parameters, tied ones once, grouped by rate and decay.

    Names decide: `layers.{i}.` is layer i, `embeddings.` and its projection lie below layer 0, all
    else above the last layer, and `head.` at the start is the task's new head.

    Raises:
        ConfigError: no parameter is trainable.
    """
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    if not named:
        raise ConfigError("every parameter is frozen; leave at least the head trainable")
    layers = 1 + max((_layer(name) for name, _ in model.named_parameters()), default=-1)
    groups: dict[tuple[float, float, bool], Group] = {}
    for name, parameter in named:
        rate = config.learning_rate * config.layer_decay ** _levels_below_heads(name, layers)
        if name.startswith(_HEAD) and config.head_learning_rate is not None:
            rate = config.head_learning_rate
        decays = _decays(name, parameter, config)
        decay, adapted = config.weight_decay if decays else 0.0, decays and config.name == "lamb"
        group = groups.setdefault(
            (rate, decay, adapted),
            {
                "params": [],
                "param_names": [],
                "peak_lr": rate,
                "weight_decay": decay,
                "adapted": adapted,  # LAMB's ratio applies; its paper's norms and biases do without
            },
        )
        group["params"].append(parameter)
        group["param_names"].append(name)
    return _CLASSES[config.name](list(groups.values()), config)


def _layer(name: str) -> int:
    match = _LAYER.search(name)
    return int(match[1]) if match else -1


def _levels_below_heads(name: str, layers: int) -> int:
    if (layer := _layer(name)) >= 0:
        return layers - layer
    return layers + 1 if _EMBEDDINGS.search(name) else 0


def _decays(name: str, parameter: Tensor, config: OptimizerConfig) -> bool:
    lower = name.lower()
    return parameter.ndim >= 2 and not any(word in lower for word in config.decay_excluded)
