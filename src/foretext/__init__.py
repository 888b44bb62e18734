"""foretext: pre-train language models on your own text and transfer them to your task.

    import foretext

    options = foretext.PretrainOptions(text=["books/"])
    foretext.pretrain("bert-mini", out="runs/bert", options=options)
    bert = foretext.load("runs/bert")
    foretext.fill(bert, ["The man went to the [MASK]."])

Names are imported when they are first used, so that `import foretext` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from foretext.api import Loaded as Loaded
    from foretext.api import convert as convert
    from foretext.api import evaluate_text as evaluate_text
    from foretext.api import fill as fill
    from foretext.api import generate as generate
    from foretext.api import load as load
    from foretext.core.errors import ForetextError as ForetextError
    from foretext.evaluation.compare import compare as compare
    from foretext.evaluation.labelled import evaluate as evaluate
    from foretext.evaluation.labelled import predict as predict
    from foretext.inference import GenerationConfig as GenerationConfig
    from foretext.inference.embed import EmbedConfig as EmbedConfig
    from foretext.inference.embed import Embedder as Embedder
    from foretext.inference.task_run import load_task as load_task
    from foretext.labelled.inspect import inspect_labelled as inspect_labelled
    from foretext.recipes.recipe import Recipe as Recipe
    from foretext.runs.continued import continue_pretraining as continue_pretraining
    from foretext.runs.continued_plan import ContinuedOptions as ContinuedOptions
    from foretext.runs.finetune import FinetuneOptions as FinetuneOptions
    from foretext.runs.finetune import finetune as finetune
    from foretext.runs.grid import finetune_grid as finetune_grid
    from foretext.runs.options import PretrainOptions as PretrainOptions
    from foretext.runs.pretrain import dry_run as dry_run
    from foretext.runs.pretrain import pretrain as pretrain
    from foretext.runs.tracking import tracking as tracking
    from foretext.shards.prepare import prepare as prepare
    from foretext.text.inspect import inspect_corpus as inspect_corpus
    from foretext.tokenizers import Tokenizer as Tokenizer
    from foretext.tokenizers import train as _train

    train_tokenizer = _train

# Public name -> where it is defined, and its name there if that is another.
_HOMES = {
    "Loaded": "foretext.api",
    "convert": "foretext.api",
    "evaluate_text": "foretext.api",
    "fill": "foretext.api",
    "generate": "foretext.api",
    "load": "foretext.api",
    "inspect_corpus": "foretext.text.inspect",
    "inspect_labelled": "foretext.labelled.inspect",
    "prepare": "foretext.shards.prepare",
    "ForetextError": "foretext.core.errors",
    "compare": "foretext.evaluation.compare",
    "evaluate": "foretext.evaluation.labelled",
    "load_task": "foretext.inference.task_run",
    "predict": "foretext.evaluation.labelled",
    "EmbedConfig": "foretext.inference.embed",
    "Embedder": "foretext.inference.embed",
    "GenerationConfig": "foretext.inference",
    "Tokenizer": "foretext.tokenizers",
    "train_tokenizer": "foretext.tokenizers:train",
    "ContinuedOptions": "foretext.runs.continued_plan",
    "continue_pretraining": "foretext.runs.continued",
    "FinetuneOptions": "foretext.runs.finetune",
    "finetune": "foretext.runs.finetune",
    "finetune_grid": "foretext.runs.grid",
    "PretrainOptions": "foretext.runs.options",
    "dry_run": "foretext.runs.pretrain",
    "pretrain": "foretext.runs.pretrain",
    "Recipe": "foretext.recipes.recipe",
    "tracking": "foretext.runs.tracking",
}
__all__ = ["__version__", *_HOMES]  # noqa: PLE0604  (the keys are strings)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'foretext' has no attribute {name!r}")
    home, _, there = _HOMES[name].partition(":")
    value = getattr(import_module(home), there or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
