"""Fine-tuning a model folder on labelled text: one seed or several, exact after a stop.

The backbone is any model folder that foretext reads; the result is a folder of the same layout with
a task head. Training is training/loop.py's, through tasks.base.TaskObjective.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from foretext.core.atomic import atomic_write_text
from foretext.core.config import ModelConfig, read_toml
from foretext.core.errors import ConfigError
from foretext.hub.weight_files import read_tensors, weight_files
from foretext.models.family import Family
from foretext.models.folder import read_config
from foretext.recipes import folder as run_folder
from foretext.recipes.best import best_folder
from foretext.recipes.papers import beneath, paper_settings
from foretext.recipes.task_recipe import TaskRecipe
from foretext.runs.estimate import TaskEstimate, estimate_task
from foretext.runs.labelled_data import Labelled, LabelledFiles, content, encode_files
from foretext.runs.seeds import FinetuneResult, SeedResult, write_summary
from foretext.runs.task_model import task_model
from foretext.runs.task_results import calibrate, check_metric, measure, publish
from foretext.runs.written import own_settings, writes_answers
from foretext.tasks import task_module
from foretext.tasks.base import LOWER_IS_BETTER, TaskModel
from foretext.tasks.datasets import task_of
from foretext.tasks.inputs import reads_left_to_right, task_tokenizer
from foretext.tasks.writing import objective_of
from foretext.tokenizers import Tokenizer
from foretext.training.checkpoint import check_seal
from foretext.training.job import Job, Selection
from foretext.training.loop import train
from foretext.training.precision import chosen_device
from foretext.training.progress import Reporter, Silent
from foretext.training.samples import SamplePlan

RESULT_FILE = "result.json"


@dataclass(frozen=True, kw_only=True)
class FinetuneOptions:
    """How a run is made and how it begins."""

    settings: Mapping[str, Any] = field(default_factory=dict)  # path -> value
    recipe: str | None = None  # a paper's, beneath the settings; a name in PAPER_RECIPES
    seeds: int = 1  # runs that differ in the seed alone, from training.seed on
    on_error: str = "stop"  # stop | replace | skip bad rows
    calibrate: str | Path | None = None  # labelled; tunes what a task sets last; None = dev
    allow_pickle: bool = False  # of the backbone's weights
    fresh: bool = False
    force: bool = False
    planned: Callable[[TaskRecipe, TaskEstimate], None] | None = None  # hears it before training


@dataclass(frozen=True, kw_only=True)
class FinetunePlan:
    """What every seed shares."""

    backbone: Path
    family: Family[ModelConfig]
    recipe: TaskRecipe  # columns, labels and lengths known; steps not yet
    settings: dict[str, Any]  # given, and those of the data set and of the paper's recipe
    source: dict[str, str]  # hashes of what the run is made from
    tokenizer: Tokenizer  # the backbone's
    options: FinetuneOptions
    reporter: Reporter

    def unsaid(self) -> FinetunePlan:
        """The same without a word on its cost, which was said of the first of several runs."""
        return replace(self, options=replace(self.options, planned=None))


def finetune(
    run: str | Path,
    task: str,
    *,
    train: str | Path,
    dev: str | Path | None = None,
    out: str | Path,
    options: FinetuneOptions | None = None,
    reporter: Reporter | None = None,
) -> FinetuneResult:
    """Fine-tune a model on a task, or go on with doing so.

    Args:
        run: the folder of the pre-trained model, ours or in the Hugging Face layout; one that was
            fine-tuned goes on with its head if task and labels are the same.
        task: a name in TASKS.
        train: the labelled file to learn from.
        dev: the labelled file that chooses the best weights; None keeps the last ones.
        out: the result's folder; with several seeds, seed-0, seed-1, ... and a summary lie in it.
        options: settings, seeds.
        reporter: takes the news.

    Raises:
        ConfigError, DataError, TokenizerError, CheckpointError: the input is at fault.
        TrainingError: the loss is not finite.
    """
    plan, data = _ready(run, task, train, dev, options, reporter)
    return run_seeds(Path(out), plan, data)


def dry_run(
    run: str | Path,
    task: str,
    *,
    train: str | Path,
    dev: str | Path | None = None,
    options: FinetuneOptions | None = None,
    reporter: Reporter | None = None,
) -> tuple[TaskRecipe, TaskEstimate]:
    """The resolved recipe of the first seed and its cost; nothing is written.

    Arguments and errors as for `finetune`.
    """
    plan, data = _ready(run, task, train, dev, options, reporter)
    seed = plan.recipe.training.seed
    recipe = plan.recipe.scheduled(len(data.train), plan.settings, seed=seed)
    return recipe, estimate_task(recipe, _begun(recipe, plan, data), data.train)


def _ready(
    run: str | Path,
    task: str,
    train: str | Path,
    dev: str | Path | None,
    options: FinetuneOptions | None,
    reporter: Reporter | None,
) -> tuple[FinetunePlan, Labelled]:
    options, reporter = options or FinetuneOptions(), reporter or Silent()
    if options.seeds < 1:
        raise ConfigError(f"seeds={options.seeds} must be at least 1")
    files = LabelledFiles.of(train, dev, options.calibrate)
    plan = make_plan(Path(run), task, files, options, reporter)
    data = encode(plan, files)
    return replace(plan, recipe=data.recipe), data


def run_seeds(out: Path, plan: FinetunePlan, data: Labelled) -> FinetuneResult:
    """Every seed of a plan, from its start or from where it stopped; arguments as of finetune."""
    options = plan.options
    first = plan.recipe.training.seed
    recipe = plan.recipe.scheduled(len(data.train), plan.settings, seed=first)
    if options.seeds == 1:
        with begun(out, recipe, plan, holds="run", fresh=options.fresh):
            result = _one(out, recipe, plan, data)
        return FinetuneResult(folder=out, recipe=recipe, seeds=(result,))
    results: list[SeedResult] = []
    with begun(out, recipe, plan, holds="seeds", fresh=options.fresh):
        for number in range(options.seeds):
            seeded = plan.recipe.scheduled(len(data.train), plan.settings, seed=first + number)
            plan.reporter.message(f"seed {number + 1} of {options.seeds}")
            place = out / f"seed-{number}"
            with begun(place, seeded, plan, holds="run", fresh=False):
                results.append(_one(place, seeded, plan, data))
            plan = plan.unsaid()
            if not results[-1].finished:
                break
        several = FinetuneResult(folder=out, recipe=recipe, seeds=tuple(results))
        write_summary(several)
    return several


def make_plan(
    run: Path,
    task: str,
    files: LabelledFiles,
    options: FinetuneOptions,
    reporter: Reporter,
) -> FinetunePlan:
    """Everything that can be wrong without the weights is found here."""
    run = best_folder(run)
    family, config, _ = read_config(run)
    writes = writes_answers(family, options.settings)
    name, usual = _usual(task, files, writes=writes)
    module = task_module(name)
    left_to_right = reads_left_to_right(family.model)
    paper: dict[str, Any] = {}
    if options.recipe is not None:
        paper = paper_settings(options.recipe, name, task, config, left_to_right=left_to_right)
    settings = {**usual, **beneath(paper, options.settings), **options.settings}
    recipe = TaskRecipe.of(
        name,
        settings,
        left_to_right=left_to_right,
        as_text=writes,
        family={} if paper else own_settings(family, config, writes=writes),
    )
    _check(recipe, config, files)
    columns = recipe.data.resolved(files.train)
    columns = _fitting(columns, family.max_positions(config), options)
    resolved = module.resolve(recipe.task, columns, files.train, family.model, options.on_error)
    recipe = replace(recipe, task=resolved, data=columns, paper=options.recipe)
    check_metric(recipe)
    tokenizer = Tokenizer.load(run)
    weights = weight_files(run, allow_pickle=options.allow_pickle)
    return FinetunePlan(
        backbone=run,
        family=family,
        recipe=recipe,
        settings=settings,
        source={
            "model": content(run / "config.json", *weights),
            "tokenizer": tokenizer.fingerprint,
            **files.hashes(),
            "on_error": options.on_error,
        },
        tokenizer=tokenizer,
        options=options,
        reporter=reporter,
    )


def _usual(task: str, files: LabelledFiles, *, writes: bool) -> tuple[str, dict[str, Any]]:
    """The task that a name means, and the settings that come with it."""
    name, settings = task_of(task)
    usual = dict(settings)
    if files.dev is None:  # nothing is chosen; only what the user asks for can be refused
        usual.pop("finetune.metric", None)
    return name, usual | ({"finetune.wording": task} if writes else {})


def _fitting(columns: Any, positions: int | None, options: FinetuneOptions) -> Any:
    """The task's Input, its length cut to the model's positions unless the user gave it."""
    if positions is None or columns.max_length <= positions:
        return columns
    if "data.max_length" in options.settings:
        raise ConfigError(
            f"data.max_length={columns.max_length} exceeds the model's {positions} positions; "
            "lower it"
        )
    return replace(columns, max_length=positions)


def _check(recipe: TaskRecipe, config: ModelConfig, files: LabelledFiles) -> None:
    tuning = recipe.finetune
    if (tuning.freeze or 0) > config.num_layers:
        raise ConfigError(
            f"finetune.freeze={tuning.freeze} exceeds the model's {config.num_layers} layers"
        )
    if files.calibrate and not hasattr(task_module(recipe.task_name).Build, "calibrated"):
        raise ConfigError(f"{recipe.task_name} has nothing to calibrate; leave out --calibrate")
    if files.dev is None and (tuning.patience is not None or tuning.metric is not None):
        name = "metric" if tuning.patience is None else "patience"
        raise ConfigError(f"finetune.{name} needs a development file; give --dev")


def encode(plan: FinetunePlan, files: LabelledFiles) -> Labelled:
    recipe = plan.recipe
    tokenizer = task_tokenizer(plan.tokenizer, plan.family.model)
    layout = recipe.layout(plan.family.model, tokenizer)
    given = frozenset(plan.settings)
    return encode_files(files, recipe, layout, plan.options.on_error, plan.reporter, given)


@contextlib.contextmanager
def begun(
    folder: Path,
    recipe: TaskRecipe,
    plan: FinetunePlan,
    *,
    holds: str,
    fresh: bool,
    left_out: Collection[str] = (),
) -> Iterator[None]:
    """The folder of a run, with its run.toml, for this process alone.

    Args:
        holds: "run", or what folders lie in this one: "seeds", "points".
        fresh: throw away what is there.
        left_out: paths that those folders may differ in.

    Raises:
        ConfigError: the folder holds something else or a run that was made otherwise, whose
            differences are named, or another process works in it.
    """
    with run_folder.workplace(folder, fresh=fresh, force=plan.options.force):
        _write_or_compare(folder, recipe, plan, holds, left_out)
        yield


def _write_or_compare(
    folder: Path, recipe: TaskRecipe, plan: FinetunePlan, holds: str, left_out: Collection[str]
) -> None:
    import tomli_w

    source = plan.source | {"holds": holds}
    values = _without(left_out, recipe.values() | {"source": source})
    if run_folder.is_run(folder):
        old = read_toml(folder / run_folder.RECIPE_FILE)
        if "task" in old:  # settings that are newer than the run have the values that it had
            known = {name: value for name, value in old.items() if name != "source"}
            found = TaskRecipe.from_values(known).values() | {"source": old.get("source", {})}
            old = _without(left_out, found)
        run_folder.refuse_changes(folder, old, values)
        return
    atomic_write_text(folder / run_folder.RECIPE_FILE, tomli_w.dumps(values))


def _without(paths: Collection[str], values: dict[str, Any]) -> dict[str, Any]:
    for path in paths:
        section, _, name = path.partition(".")
        values[section].pop(name, None)
    return values


def _one(folder: Path, recipe: TaskRecipe, plan: FinetunePlan, data: Labelled) -> SeedResult:
    """One seed from start, or from where it stopped, to its model folder."""
    done = folder / RESULT_FILE
    seed = recipe.training.seed
    if done.is_file():
        plan.reporter.message(f"{folder} is finished")
        return SeedResult(folder=folder, seed=seed, **json.loads(done.read_text(encoding="utf-8")))
    if recipe.training.threads is not None:
        torch.set_num_threads(recipe.training.threads)
    device = chosen_device()
    model = _begun(recipe, plan, data).to(device)
    if plan.options.planned is not None:
        plan.options.planned(recipe, estimate_task(recipe, model, data.train))
    job = _job(folder, recipe, plan, data, model)
    progress = train(job)
    if progress.stopped:
        return SeedResult(folder=folder, seed=seed, steps=progress.step, finished=False)
    metrics: dict[str, float] = {}
    baseline: dict[str, float] = {}
    if data.dev:
        check_seal(job.best)
        best = read_tensors(job.best)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(best[name])
    recipe = calibrate(folder, recipe, data.calibration or data.dev, model.eval(), device)
    if data.dev:
        metrics, baseline = measure(recipe, data.dev, model, device)
    values: dict[str, Any] = {
        "metrics": metrics,
        "baseline": baseline,
        "best_step": progress.best_step or progress.step,
        "steps": progress.step,
    }
    publish(folder, recipe, data.layout.tokenizer, model, values)
    atomic_write_text(done, json.dumps(values, indent=2) + "\n")
    return SeedResult(folder=folder, seed=seed, **values)


def _begun(recipe: TaskRecipe, plan: FinetunePlan, data: Labelled) -> TaskModel:
    return task_model(
        recipe,
        plan.backbone,
        plan.tokenizer,
        data.layout.tokenizer,
        allow_pickle=plan.options.allow_pickle,
        say=plan.reporter.message,
    )


def _job(
    folder: Path, recipe: TaskRecipe, plan: FinetunePlan, data: Labelled, model: TaskModel
) -> Job:
    objective = objective_of(recipe.build_task(), data.layout.max_length)
    device = next(model.parameters()).device

    def evaluate() -> dict[str, float]:
        return measure(recipe, data.dev, model, device)[0]

    metric = recipe.finetune.metric or recipe.build_task().metric
    return Job(
        model=model,
        objective=objective,
        epochs=SamplePlan(objective, data.train, folder / "plans", recipe.training.seed),
        config=recipe.training,
        folder=folder,
        evaluate=evaluate if data.dev else None,
        selection=Selection(
            metric=metric,
            higher_is_better=metric not in LOWER_IS_BETTER,
            patience=recipe.finetune.patience,
        ),
        reporter=plan.reporter,
        device=device,
    )
