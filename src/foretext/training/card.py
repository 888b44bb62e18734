"""The model card of a run: what it is, what it was made from, what it reached, how to use it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from foretext.training.recipe import Recipe

_USES = {
    "BertForPreTraining": 'foretext fill {folder} "The man went to the [MASK]."',
    "BertForMaskedLM": 'foretext fill {folder} "The man went to the [MASK]."',
}


def model_card(
    folder: Path,
    recipe: Recipe,
    *,
    architecture: str,
    text: Mapping[str, object],
    metrics: Mapping[str, float],
    steps: int,
) -> str:
    """README.md of a pre-trained model, with the metadata block that model hubs read."""
    name = folder.name
    generates = architecture.endswith("LMHeadModel")
    pipeline = "text-generation" if generates else "fill-mask"
    use = 'foretext generate {folder} --prompt "Once upon a time"'
    use = _USES.get(architecture, use).format(folder=name)
    rows = "\n".join(f"| {key} | {value:.4g} |" for key, value in metrics.items())
    table = f"| held-out | value |\n|---|---|\n{rows}" if rows else "No text was held out."
    training = recipe.training
    return f"""---
library_name: transformers
pipeline_tag: {pipeline}
tags: [foretext, {recipe.preset}, {recipe.objective_name}]
---

# {name}

A `{recipe.preset}` pre-trained by the `{recipe.objective_name}` objective with
[foretext](https://pypi.org/project/foretext/). It opens in `transformers` as `{architecture}`.

    {use}

## Data

{text.get("documents", "?")} documents, {text.get("tokens", "?")} tokens; content
`{str(text.get("content", ""))[:16]}`, tokenizer `{str(text.get("tokenizer", ""))[:16]}`.

## Procedure

{steps} of {training.steps} steps of {training.batch_size} sequences of at most
{recipe.data.max_length} tokens; {training.optimizer}, peak learning rate
{training.learning_rate:g}, {training.schedule} schedule, {training.warmup_steps} warm-up steps,
seed {training.seed}. `run.toml` repeats the run.

## Results

{table}

## Limits

It knows what its text says, errors and prejudices included, and nothing else.
"""
