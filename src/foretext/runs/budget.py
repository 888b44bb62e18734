"""A family without a size: looks at text and machine, and asks recipes/budget.py."""

from __future__ import annotations

from itertools import islice

import torch

from foretext.core.errors import ConfigError
from foretext.models import FAMILIES
from foretext.recipes.budget import TextFacts, choose
from foretext.recipes.recipe import Recipe
from foretext.runs.options import PretrainOptions
from foretext.shards.store import Shards
from foretext.text.corpus import corpus_files, read_corpus
from foretext.training.precision import matrix_multiply_rate

_BYTES_A_TOKEN = 5.0  # of English and of Korean, with 8,000 tokens
_SAMPLE = 300  # documents whose length is looked at


def chosen_recipe(family: str, options: PretrainOptions) -> tuple[Recipe, tuple[str, ...]]:
    """The recipe for a text and a budget, and why; the user's settings beat it.

    Args:
        family: a name in FAMILIES.
        options: with text or shards, and minutes.

    Raises:
        ConfigError: there is no budget, or no size of the family is for one.
    """
    if options.minutes is None:
        raise ConfigError(
            f"{family} is a family; give --minutes, by which its size is chosen, or name a "
            f"preset such as {family}-tiny"
        )
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rate = matrix_multiply_rate(device)
    choice = choose(
        FAMILIES[family], _facts(options), minutes=options.minutes, flops_per_second=rate
    )
    settings = {**choice.settings, **options.settings}
    if "training.warmup_steps" not in options.settings and isinstance(
        steps := settings["training.steps"], int
    ):
        settings["training.warmup_steps"] = max(steps, 0) // 10
    return Recipe.of(choice.preset, settings), choice.reasons


def _facts(options: PretrainOptions) -> TextFacts:
    """From shards exactly; from text by its bytes and its first documents."""
    if options.shards is not None:
        shards = Shards.open(options.shards, verify=False)
        return TextFacts(
            tokens=shards.num_tokens, document_tokens=shards.num_tokens / shards.num_documents
        )
    text = list(options.text)
    size = sum(file.size for file in corpus_files(text))
    documents = read_corpus(text, on_error=options.on_error, text_field=options.text_field)
    lengths = [len(one.text.encode()) for one in islice(documents, _SAMPLE)]
    mean = sum(lengths) / max(len(lengths), 1) / _BYTES_A_TOKEN
    return TextFacts(tokens=size / _BYTES_A_TOKEN, document_tokens=mean)
