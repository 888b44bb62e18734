"""Pre-training from text to a model folder: tokenizer, shards, estimate, training, card."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch

from foretext.core.atomic import atomic_write_text
from foretext.core.config import flatten, unflatten
from foretext.core.errors import ConfigError
from foretext.evaluation.held_out import evaluate_objective
from foretext.evaluation.unigram import plateau, unigram_nats
from foretext.models import FAMILIES, for_tokenizer, saved_as
from foretext.models.folder import save_model
from foretext.nn.backbone import Network
from foretext.objectives.base import Vocabulary
from foretext.objectives.networks import check_network
from foretext.recipes import folder as run
from foretext.recipes.recipe import Recipe
from foretext.runs.budget import chosen_recipe
from foretext.runs.build import build_model, sample_plan, timed_plan
from foretext.runs.card import model_card
from foretext.runs.estimate import (
    Estimate,
    estimate,
    probe,
    steps_in,
    with_time,
)
from foretext.runs.options import PretrainOptions
from foretext.runs.pretrain_text import example_sentence, parts_of_text, run_shards, run_tokenizer
from foretext.runs.warm_start import start_from_counts
from foretext.runs.watch import watched
from foretext.shards.store import DocumentView, Shards
from foretext.text.corpus import corpus_files
from foretext.tokenizers import Tokenizer
from foretext.training.config import TrainingConfig
from foretext.training.job import Job, Progress
from foretext.training.loop import train
from foretext.training.precision import advice, chosen_device, matrix_multiply_rate
from foretext.training.progress import Reporter, Silent


@dataclass(frozen=True, kw_only=True)
class PretrainResult:
    """A run, finished or stopped."""

    folder: Path
    recipe: Recipe
    estimate: Estimate
    progress: Progress
    sentence: str  # of its text, for an example


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A run that could start now."""

    recipe: Recipe
    tokenizer: Tokenizer
    text: dict[str, Any]  # the text section of run.toml
    corpus: Shards | DocumentView  # what it trains on
    held_out: Shards | DocumentView | None
    network: Network  # the job's model
    job: Job
    estimate: Estimate


def pretrain(
    what: str,
    *,
    out: str | Path | None = None,
    options: PretrainOptions | None = None,
    reporter: Reporter | None = None,
) -> PretrainResult:
    """Pre-train a preset on text, or go on with a run.

    Args:
        what: a preset's name, the folder of a run, or the name of a family, whose size and recipe
            then follow from the text and options.minutes.
        out: the run's folder; None where `what` is one.
        options: text, tokenizer, settings.
        reporter: takes the news.

    Raises:
        ConfigError, DataError, TokenizerError: the input is at fault.
        TrainingError: the loss is not finite.
    """
    options, reporter = options or PretrainOptions(), reporter or Silent()
    folder, recipe = _resolve(what, out, options, reporter)
    with run.workplace(folder, fresh=options.fresh, force=options.force):
        ready = prepare_run(folder, recipe, options, reporter)
        if options.planned is not None:
            options.planned(ready.recipe, ready.estimate)
        progress = train(ready.job)
        publish(folder, ready, progress)
    if (line := plateau(progress.last_metrics, ready.job.objective.terms)) is not None:
        reporter.message(line)
    return PretrainResult(
        folder=folder,
        recipe=ready.recipe,
        estimate=ready.estimate,
        progress=progress,
        sentence=example_sentence(ready.corpus, ready.tokenizer),
    )


def dry_run(
    what: str,
    *,
    out: str | Path | None = None,
    options: PretrainOptions | None = None,
    reporter: Reporter | None = None,
) -> tuple[Recipe, Estimate]:
    """The resolved recipe and its cost, time measured; whatever is written is deleted.

    Arguments and errors as for `pretrain`.
    """
    options, reporter = options or PretrainOptions(), reporter or Silent()
    folder, recipe = _resolve(what, out or "run", options, reporter)
    if run.is_run(folder) and not options.fresh:
        recipe, text = run.read_run(folder)
        shards = options.shards or Path(text.get("shards", folder / "shards"))
        options = replace(options, shards=shards, text=(), tokenizer=folder)
    with tempfile.TemporaryDirectory(prefix="foretext-") as temporary:
        ready = prepare_run(Path(temporary), recipe, options, reporter)
        if ready.estimate.seconds_per_step is None:
            ready = replace(ready, estimate=_timed(ready.job, ready.estimate)[0])
    return ready.recipe, ready.estimate


def _resolve(
    what: str, out: str | Path | None, options: PretrainOptions, reporter: Reporter
) -> tuple[Path, Recipe]:
    """The run's folder and its recipe as asked for, before the tokenizer is known."""
    if options.text:
        corpus_files(list(options.text))  # a path that is wrong is said before anything is made
    elif options.shards is not None:
        Shards.open(options.shards, verify=False)
    elif options.fresh:
        raise ConfigError("--fresh needs text: give --text or --shards")
    if run.is_run(Path(what)):
        old, _ = run.read_run(Path(what))
        values = flatten(old.values()) | dict(options.settings)
        return Path(what), Recipe.from_values(unflatten(values))
    if out is None:
        raise ConfigError(f"--out is missing: say which folder the run of {what!r} goes to")
    if what not in FAMILIES:
        return Path(out), Recipe.of(what, options.settings)
    if run.is_run(Path(out)) and not options.fresh:  # what was chosen then stays
        old, _ = run.read_run(Path(out))
        values = flatten(old.values()) | dict(options.settings)
        return Path(out), Recipe.from_values(unflatten(values))
    recipe, reasons = chosen_recipe(what, options)
    for line in reasons:
        reporter.message(line)
    return Path(out), recipe


def prepare_run(
    folder: Path, recipe: Recipe, options: PretrainOptions, reporter: Reporter
) -> Prepared:
    """Tokenizer, shards, model and estimate of a run, in its folder, whether new or gone on with.

    Raises:
        ConfigError: the folder's run has another recipe or text.
    """
    old = run.read_run(folder) if run.is_run(folder) else None
    if old is not None and "shards" in old[1] and options.shards is None and not options.text:
        options = replace(options, shards=Path(old[1]["shards"]))
    run.check_start(folder, None if old is None else old[1], continued=options.start is not None)
    tokenizer = run_tokenizer(folder, recipe, options, reporter, known=old is not None)
    shards = run_shards(folder, tokenizer, options, reporter, known=old is not None)
    size, pad = tokenizer.vocab_size, tokenizer.special.pad
    recipe = replace(recipe, model=for_tokenizer(recipe.model, vocab_size=size, pad_id=pad))
    text = _text_section(shards, tokenizer, options)
    corpus, held_out = parts_of_text(folder, shards, recipe, options, reporter)
    if options.start is not None and isinstance(held_out, Shards):
        text["dev"] = held_out.content
    if old is not None:
        run.check_budget(folder, options.minutes, old)
        recipe = _with_old_steps(recipe, old, options)
    model = build_model(recipe, options.start)
    job = _job(folder, recipe, Vocabulary.of(tokenizer), model, (corpus, held_out), reporter)
    cost = estimate(recipe, model, job.epochs)
    if old is None:
        recipe, job, cost = _within_budget(recipe, model, job, cost, options)
        run.write_run(folder, recipe, text)
    else:
        text.setdefault("minutes", old[1].get("minutes"))
        text = {key: value for key, value in text.items() if value is not None}
        run.check_same(folder, recipe, text, old)
        cost = replace(cost, peak_flops=_peak(job))
    job = watched(job, recipe, corpus, held_out)
    job = replace(job, flops_per_token=cost.flops_per_token, peak_flops=cost.peak_flops)
    return Prepared(
        recipe=recipe,
        tokenizer=tokenizer,
        text=text,
        corpus=corpus,
        held_out=held_out,
        network=model,
        job=job,
        estimate=cost,
    )


def _within_budget(
    recipe: Recipe, network: Network, job: Job, cost: Estimate, options: PretrainOptions
) -> tuple[Recipe, Job, Estimate]:
    """All three with the time that a step takes here, and with the steps that fit a budget."""
    cost, seconds = _timed(job, cost, options.minutes)
    if options.minutes is None:
        return recipe, job, cost
    recipe = _within(recipe, options, seconds)
    job.reporter.message(_budget(recipe, options.minutes, seconds))
    job = replace(job, config=recipe.training, epochs=timed_plan(job.epochs, recipe))
    return recipe, job, _timed_as(estimate(recipe, network, job.epochs), cost, seconds)


def _text_section(shards: Shards, tokenizer: Tokenizer, options: PretrainOptions) -> dict[str, Any]:
    """What run.toml says of the text, and of the budget that was given with it."""
    text = {
        "content": shards.content,
        "tokenizer": tokenizer.fingerprint,
        "documents": shards.num_documents,
        "tokens": shards.num_tokens,
    }
    if options.minutes is not None:
        text["minutes"] = options.minutes
    if options.shards is not None:
        text["shards"] = str(Path(options.shards).absolute())
    if options.start is not None:
        text["source"] = dict(options.start.source)
    return text


def _with_old_steps(
    recipe: Recipe, old: tuple[Recipe, Mapping[str, Any]], options: PretrainOptions
) -> Recipe:
    """A budget of minutes was turned into steps when the run was begun; they stay."""
    if "minutes" not in old[1]:
        return recipe
    return _with_schedule_of(recipe, old[0].training, options)


def _within(recipe: Recipe, options: PretrainOptions, seconds_per_step: float) -> Recipe:
    """The recipe with the steps that fit, its course shortened to them."""
    assert options.minutes is not None
    steps = steps_in(options.minutes, seconds_per_step)
    return _with_schedule_of(recipe, recipe.training.shortened(steps), options)


def _with_schedule_of(recipe: Recipe, other: TrainingConfig, options: PretrainOptions) -> Recipe:
    """The recipe with the other's steps and what follows from them, unless it was asked for."""
    names = ("steps", "warmup_steps", "warmup_tokens", "decay_tokens", "batch_ramp")
    taken = {n: getattr(other, n) for n in names if f"training.{n}" not in options.settings}
    return replace(recipe, training=replace(recipe.training, **taken))


def _budget(recipe: Recipe, minutes: float, seconds_per_step: float) -> str:
    """What a budget became, for the reader to check."""
    chosen = f"a budget of {minutes:g} minutes: {recipe.training.steps:,} steps"
    return (
        f"{chosen} of {seconds_per_step:.3g} s, as measured here; they stay, however long they take"
    )


def _timed(job: Job, cost: Estimate, minutes: float | None = None) -> tuple[Estimate, float]:
    """The cost with the time it takes here, and the seconds a step; says what would be faster."""
    seconds = probe(job, minutes=minutes)[0] * cost.growth
    whole = seconds * cost.full_steps if minutes is None else 60 * minutes
    if (line := advice(job.device, job.config.precision, whole)) is not None:
        job.reporter.message(line)
    return with_time(cost, seconds, _peak(job)), seconds


def _peak(job: Job) -> float:
    return matrix_multiply_rate(job.device, job.config.precision)


def _timed_as(new: Estimate, old: Estimate, seconds: float) -> Estimate:
    assert old.peak_flops is not None
    return with_time(new, seconds, old.peak_flops)


def _job(
    folder: Path,
    recipe: Recipe,
    vocabulary: Vocabulary,
    model: Network,
    text: tuple[Shards | DocumentView, Shards | DocumentView | None],
    reporter: Reporter,
) -> Job:
    training, (corpus, held_out) = recipe.training, text
    if training.threads is not None:
        torch.set_num_threads(training.threads)
    device = chosen_device()
    objective = recipe.build_objective(vocabulary)
    check_network(model, recipe.spec.needs, recipe.objective_name)
    if objective.streams and training.batch_ramp is not None:
        raise ConfigError(
            f"training.batch_ramp={list(training.batch_ramp)} does not go with "
            f"{recipe.objective_name}, whose sequences are places of streams; set it to none"
        )
    if (warning := objective.warning(corpus)) is not None:
        reporter.message(f"warning: {warning}")
    model = model.to(device)
    limit = recipe.data.held_out_samples

    @cache
    def unigram() -> float:
        assert held_out is not None
        return unigram_nats(corpus, held_out, vocabulary.size, model.backbones[0].num_predicted)

    def evaluate() -> dict[str, float]:
        assert held_out is not None
        found = evaluate_objective(model, objective, held_out, limit=limit, device=device)
        return found | {"unigram": unigram()}

    def start() -> None:
        start_from_counts(model, corpus, vocabulary.size, seed=training.seed, reporter=reporter)

    return Job(
        model=model,
        objective=objective,
        epochs=sample_plan(folder / "plans", recipe, objective, vocabulary, corpus),
        config=training,
        folder=folder,
        evaluate=None if held_out is None else evaluate,
        start=start if recipe.start == "cooccurrence" else None,
        reporter=reporter,
        device=device,
    )


def publish(folder: Path, ready: Prepared, progress: Progress) -> None:
    """The model folder that other tools open, those below it, and its card."""
    recipe, special = ready.recipe, ready.tokenizer.special
    ids = {"pad_token_id": special.pad, "bos_token_id": special.bos, "eos_token_id": special.eos}
    folders = saved_as(ready.network, recipe.use)
    for name, (model, architecture) in folders.items():
        save_model(model, folder / name, architecture=architecture, extra_config=ids)
        if name:  # each folder is whole; the run's own has its tokenizer already
            ready.tokenizer.save(folder / name)
    card = model_card(
        folder,
        recipe,
        architectures={name: architecture for name, (_, architecture) in folders.items()},
        text=ready.text,
        metrics=progress.last_metrics,
        steps=progress.step,
        mask=ready.tokenizer.roles.get("mask", ""),
    )
    atomic_write_text(folder / "README.md", card)
