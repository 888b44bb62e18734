"""Fine-tuning beside what it must beat: baselines first, then the model, perhaps one untrained."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from foretext.core.atomic import atomic_write_text
from foretext.core.errors import ConfigError
from foretext.evaluation.baselines import Baseline
from foretext.evaluation.unigram import plateau
from foretext.objectives.base import Vocabulary
from foretext.recipes.folder import is_run, read_run
from foretext.runs.baselines import baselines_on_dev, keep_baselines
from foretext.runs.finetune import FinetuneOptions, encode, make_plan, run_seeds
from foretext.runs.labelled_data import LabelledFiles
from foretext.runs.seeds import FinetuneResult
from foretext.runs.verdict import verdict
from foretext.tokenizers import Tokenizer
from foretext.training.log import read_metrics
from foretext.training.progress import Reporter, Silent

UNTRAINED = "untrained"  # a folder in the result's
VERDICT_FILE = "verdict.json"


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """What fine-tuning reached, and what it must beat, all on the development file."""

    result: FinetuneResult
    baselines: tuple[Baseline, ...]
    untrained: FinetuneResult | None

    @property
    def finished(self) -> bool:
        return self.result.finished and (self.untrained is None or self.untrained.finished)

    @property
    def verdict(self) -> list[str]:
        """Lines for a reader."""
        return verdict(self.result, self.baselines, self.untrained) if self.finished else []

    @property
    def record(self) -> dict[str, Any]:
        """The same as plain values."""
        others = {one.name: one.metrics for one in self.baselines}
        untrained = None
        if self.untrained is not None:
            untrained = {name: asdict(s) for name, s in self.untrained.summary.items()}
        return {"baselines": others, "untrained": untrained, "verdict": self.verdict}


def transfer(
    run: str | Path,
    task: str,
    *,
    train: str | Path,
    dev: str | Path | None = None,
    out: str | Path,
    untrained: bool = False,
    options: FinetuneOptions | None = None,
    reporter: Reporter | None = None,
) -> Transfer:
    """Fine-tune as `finetune` does, beside baselines on the development file.

    Args:
        untrained: fine-tune the same model from random weights too, in a folder in `out`.
        run, task, train, dev, out, options, reporter: as for finetune.

    Raises:
        ConfigError: untrained without a development file; and what finetune raises.
    """
    options, reporter, out = options or FinetuneOptions(), reporter or Silent(), Path(out)
    if untrained and dev is None:
        raise ConfigError("--untrained compares on labels that are not trained on; give --dev")
    files = LabelledFiles.of(train, dev, options.calibrate)
    plan = make_plan(Path(run), task, files, options, reporter)
    if (line := still_on_plateau(plan.backbone)) is not None:
        reporter.message(f"warning: {line}")
    data = encode(plan, files)
    examples = [example for window in data.dev for example in window.examples]
    found = baselines_on_dev(out, plan.recipe, files, examples, options.on_error, reporter)
    for one in found:
        reporter.message(f"to beat: {one.name}, {_metric(plan.recipe, one)}")
    result = run_seeds(out, plan, data)
    keep_baselines(out, plan.recipe, files, found, options.on_error)
    other = None
    if untrained and result.finished:
        reporter.message("the same model untrained")
        settings = {**options.settings, "finetune.random_weights": True}
        bare = replace(options, settings=settings, planned=None)
        plan = make_plan(Path(run), task, files, bare, reporter)
        other = run_seeds(out / UNTRAINED, plan, data)
    whole = Transfer(result=result, baselines=found, untrained=other)
    if whole.finished:
        atomic_write_text(out / VERDICT_FILE, json.dumps(whole.record, indent=2) + "\n")
    return whole


def _metric(recipe: Any, one: Baseline) -> str:
    name = recipe.finetune.metric or recipe.build_task().metric
    value = one.metrics.get(name)
    return "not measured" if value is None else f"{name} {value:.4f}"


def still_on_plateau(folder: Path) -> str | None:
    """What to say of a pre-trained model that is no better than token frequencies; else None."""
    records = [_evaluation(record) for record in read_metrics(folder)]
    last = next(filter(None, reversed(records)), None)
    if last is None or not is_run(folder):
        return None
    recipe = read_run(folder)[0]
    objective = recipe.build_objective(Vocabulary.of(Tokenizer.load(folder)))
    return plateau(last, objective.terms)


def _evaluation(record: Mapping[str, Any]) -> dict[str, float]:
    """The held-out numbers of a line of metrics.jsonl."""
    return {
        name.removeprefix("eval/"): value
        for name, value in record.items()
        if name.startswith("eval/") and isinstance(value, int | float)
    }
