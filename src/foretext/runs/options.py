"""What a pre-training run is made from and how it begins."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from foretext.nn.backbone import Network
from foretext.recipes.recipe import Recipe
from foretext.runs.estimate import Estimate
from foretext.tokenizers import Tokenizer


@dataclass(frozen=True, kw_only=True)
class Start:
    """What a run begins from that goes on with a trained model (runs/continued.py)."""

    model: Network  # with its weights; its config stands in for the recipe's
    tokenizer: Tokenizer
    source: Mapping[str, Any]  # where they came from, for run.toml
    dev: Sequence[str | Path] = ()  # held-out text; none = documents of the run's own


@dataclass(frozen=True, kw_only=True)
class PretrainOptions:
    """What a run is made from and how it begins."""

    text: Sequence[str | Path] = ()  # a corpus; or shards made before
    shards: Path | None = None
    tokenizer: Path | None = None  # None = one is trained on the text
    settings: Mapping[str, Any] = field(default_factory=dict)  # path -> value
    minutes: float | None = None  # a budget instead of training.steps
    on_error: str = "stop"  # stop | replace | skip bad input
    text_field: str = "text"
    fresh: bool = False
    force: bool = False
    planned: Callable[[Recipe, Estimate], None] | None = None  # told before the first step
    start: Start | None = None  # None = random weights
