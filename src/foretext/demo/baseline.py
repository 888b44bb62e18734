"""What the tour's models must beat: a bag of words, and always the same answer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from foretext.demo.data import DemoData
from foretext.evaluation.baselines import fitted, measured
from foretext.recipes.task_recipe import TaskRecipe
from foretext.tasks import task_module
from foretext.tasks.columns import TextExample
from foretext.training.progress import Reporter

_TASK = "classification"


@dataclass(frozen=True, kw_only=True)
class BagResult:
    """Test accuracy in percent."""

    name: str  # of words, or of characters: the better of both on dev, by the median
    accuracies: list[float]  # a seed each, with its training rows
    majority: float


def bags(data: DemoData, seeds: int, reporter: Reporter) -> BagResult | None:
    """The better bag on the development rows; None where scikit-learn is missing.

    Args:
        data: with labels.
        seeds: training files are taken in turn, as the models take them.
        reporter: hears what is missing.
    """
    recipe = TaskRecipe.of(_TASK, {}, left_to_right=False)
    module, train = task_module(_TASK), data.train[0]
    columns = recipe.data.resolved(train)
    config = module.resolve(recipe.task, columns, train, None, "stop")
    task = module.Build(config)

    def read(path: Path) -> list[TextExample]:
        return list(module.read(path, config, columns))

    test = read(data.test or data.dev or train)
    dev = read(data.dev) if data.dev else test
    found: dict[str, list[tuple[float, float]]] = {}
    for seed in range(seeds):
        try:
            answers = fitted(_TASK, task, read(data.train[seed % len(data.train)]))
        except ModuleNotFoundError:
            reporter.message("a bag of words needs scikit-learn: pip install 'foretext[demo]'")
            return None
        for name, answer in answers.items():
            pair = [100 * measured(task, answer, rows)["accuracy"] for rows in (dev, test)]
            found.setdefault(name, []).append((pair[0], pair[1]))
    best = max(found, key=lambda name: sorted(on_dev for on_dev, _ in found[name])[seeds // 2])
    labels = [example.label for example in test]
    majority = 100 * max(labels.count(label) for label in set(labels)) / len(labels)
    return BagResult(name=best, accuracies=[t for _, t in found[best]], majority=majority)
