"""The model card of a run: what it is, what it was made from, what it reached, how to use it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import Any

from foretext.hub.architecture import Architecture
from foretext.models.folder import named_class
from foretext.recipes.recipe import Recipe
from foretext.recipes.task_recipe import TaskRecipe
from foretext.tasks import task_module

_FILL = "foretext fill {name} {text}"
_GENERATE = "foretext generate {name} --prompt {text}"
_GAP, _START = '"The man went to the [MASK]."', '"Once upon a time"'  # where no text is known
_FINETUNE = "foretext finetune {name} classification --train train.tsv --dev dev.tsv --out tuned"
_CARD = """---
library_name: {library}
pipeline_tag: {pipeline}
tags: [foretext, {preset}, {objective}]
---

# {name}

A `{preset}` pre-trained by the `{objective}` objective with
foretext. {opens}

    {use}

## Data

{documents} documents, {tokens} tokens; content `{content:.16}`, tokenizer `{tokenizer:.16}`.

## Procedure

{done} of {t.steps} steps of {t.batch_size} sequences of at most {lengths} tokens; {t.optimizer},
peak learning rate {t.learning_rate:g}, {t.schedule} schedule, {warmup}, seed
{t.seed}. `run.toml` repeats the run.

## Results

{table}

## Limits

It knows what its text says, errors and prejudices included, and nothing else.
"""


def purpose(stored: Architecture, sentence: str = "") -> tuple[str, str]:
    """What model hubs call a class's use, and a command for it, in which {name} is the folder.

    sentence: of the text it learned from, for the example; "" takes one that everybody knows.
    """
    words = sentence.replace("{", "").replace("}", "").split()
    if stored.generates and not stored.fills:
        start = quote(" ".join(words[: max(1, min(4, len(words) // 2))])) if words else _START
        return "text-generation", _GENERATE.replace("{text}", start)
    if not stored.fills:
        return "feature-extraction", _FINETUNE
    space, pieces = (" ", words) if words[1:] else ("", list(sentence))  # a script without spaces
    gap = len(pieces) // 2
    mask = "<extra_id_0>" if stored.generates else "[MASK]"  # what writes targets fills sentinels
    masked = space.join([*pieces[:gap], mask, *pieces[gap + 1 :]])
    text = quote(masked) if pieces else _GAP.replace("[MASK]", mask)
    pipeline = "text2text-generation" if stored.generates else "fill-mask"
    return pipeline, _FILL.replace("{text}", text)


def opens(architectures: Mapping[str, str]) -> tuple[str, str]:
    """The library that opens a folder, and a sentence that says so.

    Args:
        architectures: as model_card's.
    """
    stored = [found for name in architectures.values() if (found := named_class(name))]
    if any(found.opens_as == "bare class" for found in stored):
        return "foretext", (
            "It opens in foretext; `transformers` has no class for it, and its `AutoModel` opens "
            "the model without the head."
        )
    classes = [f"`{c}`" + (f" (`{n}/`)" if n else "") for n, c in architectures.items()]
    if any(found.opens_as == "nothing" for found in stored):
        return "foretext", (
            "It opens in foretext alone: `transformers` has no class that computes it, and refuses "
            "the folder."
        )
    return "transformers", f"It opens in `transformers` as {' and '.join(classes)}."


def model_card(
    folder: Path,
    recipe: Recipe,
    *,
    architectures: Mapping[str, str],
    text: Mapping[str, object],
    metrics: Mapping[str, float],
    steps: int,
    mask: str = "[MASK]",
) -> str:
    """README.md of a pre-trained model, with the metadata block that model hubs read.

    architectures: class of each folder that was saved, by its name below this one ("").
    mask: the tokenizer's token for a gap.
    """
    pipeline, use = purpose(recipe.family.hub.architectures[architectures[""]])
    library, opening = opens(architectures)
    t = recipe.training
    warmup = f"{t.warmup_steps} warm-up steps"
    if t.decay_tokens is not None:
        warmup = f"{t.warmup_tokens:,} tokens of warm-up"
    rows = "\n".join(f"| {key} | {value:.4g} |" for key, value in metrics.items())
    return _CARD.format(
        pipeline=pipeline,
        preset=recipe.preset,
        objective=recipe.objective_name,
        name=folder.name,
        library=library,
        opens=opening,
        warmup=warmup,
        use=use.format(name=folder.name).replace("[MASK]", mask),
        documents=text["documents"],
        tokens=text["tokens"],
        content=str(text["content"]),
        tokenizer=str(text["tokenizer"]),
        done=steps,
        t=t,
        lengths=_lengths(recipe),
        table=f"| held-out | value |\n|---|---|\n{rows}" if rows else "No text was held out.",
    )


def _lengths(recipe: Recipe) -> str:
    if recipe.long_from is None:
        return str(recipe.data.max_length)
    last = recipe.training.steps - recipe.long_from
    return f"{recipe.data.max_length}, in the last {last} {recipe.data.long_length},"


def task_card(
    folder: Path,
    recipe: TaskRecipe,
    *,
    architecture: str,
    metrics: Mapping[str, float],
    baseline: Mapping[str, float],
    steps: int,
) -> str:
    """README.md of a fine-tuned model, with the metadata block that model hubs read."""
    name, training, guide = folder.name, recipe.training, task_module(recipe.task_name).GUIDE
    rows = "\n".join(_row(key, value, baseline.get(key)) for key, value in metrics.items())
    head = "| development file | value | best answer blind to the text |\n|---|---|---|\n"
    table = head + rows if rows else "There was no development file."
    library, opening = opens({"": architecture})
    source = "" if recipe.paper is None else f"Recipe `{recipe.paper}`: "
    start = "random weights" if recipe.finetune.random_weights else "pre-trained weights"
    return f"""---
library_name: {library}
pipeline_tag: {guide.hub}
tags: [foretext, {recipe.task_name}]
---

# {name}

A model for `{recipe.task_name}`, fine-tuned from {start} with
foretext. {opening}

    foretext evaluate {name} --data {guide.labelled}
    foretext predict {name} {guide.inputs}

It reads {_texts(recipe.data.texts)}, at most {recipe.data.max_length}
tokens{_learned(recipe.data)}.

## Procedure

{source}{steps} of {training.steps} steps of {training.batch_size} examples;
{training.optimizer}, peak learning rate {training.learning_rate:g}, {training.schedule} schedule,
{training.warmup_steps} warm-up steps, seed {training.seed}. `run.toml` repeats the run.

## Results

{table}

## Limits

It judges texts unlike its training file without notice, and repeats the errors of its labels.
"""


def _row(name: str, value: float, blind: float | None) -> str:
    return f"| {name} | {value:.4g} | {'' if blind is None else f'{blind:.4g}'} |"


def _texts(columns: Sequence[str]) -> str:
    names = [f"`{name}`" for name in columns]
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def _learned(columns: Any) -> str:
    """What it learned from, where the file names it."""
    return f", and learned from `{columns.label}`" if columns.label else ""
