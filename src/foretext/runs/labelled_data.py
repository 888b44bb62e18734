"""The labelled text of fine-tuning, encoded once for all seeds."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from foretext.core.errors import DataError
from foretext.inference.predict import Window, encode_windows
from foretext.inference.tally import Tally
from foretext.recipes.task_recipe import TaskRecipe
from foretext.tasks import task_module
from foretext.tasks.base import SampleTable
from foretext.tasks.inputs import InputFormat
from foretext.text.errors import CorpusStats
from foretext.training.progress import Reporter, Silent


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """Files as samples."""

    train: SampleTable
    dev: list[Window]  # empty: there is no development file
    calibration: list[Window]  # of a file of its own; empty: dev serves
    layout: InputFormat
    recipe: TaskRecipe  # with what the training file decided


@dataclass(frozen=True)
class LabelledFiles:
    """Where they lie."""

    train: Path
    dev: Path | None  # chooses the best weights
    calibrate: Path | None  # tunes what a task sets after training; None = dev

    @classmethod
    def of(
        cls, train: str | Path, dev: str | Path | None, calibrate: str | Path | None
    ) -> LabelledFiles:
        """The same of names."""
        rest = (None if name is None else Path(name) for name in (dev, calibrate))
        return cls(Path(train), *rest)

    def hashes(self) -> dict[str, str]:
        """SHA-256 of each, in hex.

        Raises:
            DataError: one cannot be read.
        """
        return {
            name: "none" if path is None else content(path) for name, path in vars(self).items()
        }


def content(*paths: Path) -> str:
    """SHA-256, in hex, of files' bytes; of a folder those of all its files, in order.

    Raises:
        DataError: one cannot be read.
    """
    digest = hashlib.sha256()
    whole = [sorted(p for p in path.rglob("*") if p.is_file()) or [path] for path in paths]
    for path in chain.from_iterable(whole):
        try:
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror}; check the path") from None
    return digest.hexdigest()


def encode_files(
    files: LabelledFiles,
    recipe: TaskRecipe,
    layout: InputFormat,
    on_error: str,
    reporter: Reporter,
    given: Collection[str] = (),
) -> Labelled:
    """Read and encode the files of a run, and say what the model will not get of them.

    Args:
        files: where they lie.
        recipe: resolved.
        layout: the model's.
        on_error: as for finetune.
        reporter: hears of it.
        given: paths of settings that the user or the data set decided.

    Raises:
        DataError: a file is at fault, or too many tokens of the training file are unknown.
    """
    reader = _Reader(recipe, layout, on_error, reporter)
    samples, tally = reader.training(files.train)
    fit = getattr(task_module(recipe.task_name), "fitted", None)
    if fit is not None and "task.max_answer_length" not in given:
        task = fit(recipe.task, samples)
        if task != recipe.task:
            limits = f"{recipe.task.max_answer_length} to {task.max_answer_length}"
            reporter.message(f"task.max_answer_length goes from {limits}: answers are that long")
            recipe = replace(recipe, task=task)
            reader = _Reader(recipe, layout, on_error, Silent())
            samples, tally = reader.training(files.train)
            reader = replace(reader, reporter=reporter)
    _check_unknown(files.train, tally, recipe.finetune.unknown_rate)
    reader.say(files.train, tally)
    dev, calibration = reader.windows(files.dev), reader.windows(files.calibrate)
    reporter.message(f"{len(samples):,} training samples of {samples.num_tokens:,} tokens")
    return Labelled(train=samples, dev=dev, calibration=calibration, layout=layout, recipe=recipe)


def _check_unknown(path: Path, tally: Tally, limit: float) -> None:
    if tally.unknown_rate > limit:
        raise DataError(
            f"{path}: {tally.unknown_rate:.1%} of the tokens are unknown to the model's tokenizer, "
            f"more than {limit:.0%}; pre-train on text like this, or take them so with "
            "--set finetune.unknown_rate=1"
        )


@dataclass(frozen=True)
class _Reader:
    """Reads labelled files and tells of each what was left out."""

    recipe: TaskRecipe
    layout: InputFormat
    on_error: str
    reporter: Reporter

    def training(self, path: Path) -> tuple[SampleTable, Tally]:
        """The samples of the training file, and what is lost of it."""
        tally = Tally()
        return SampleTable.joined([w.samples for w in self._encoded(path, tally)]), tally

    def windows(self, path: Path | None) -> list[Window]:
        """The windows of a file; none without a file."""
        if path is None:
            return []
        tally = Tally()
        found = list(self._encoded(path, tally))
        self.say(path, tally)
        return found

    def say(self, path: Path, tally: Tally) -> None:
        """Tell what the model will not get of a file."""
        for line in tally.said(task_module(self.recipe.task_name).GUIDE.unit, self.layout):
            self.reporter.message(f"warning: {path}: {line}")

    def _encoded(self, path: Path, tally: Tally) -> Iterator[Window]:
        recipe, reporter = self.recipe, self.reporter
        module, stats, done = task_module(recipe.task_name), CorpusStats(), 0
        examples = module.read(path, recipe.task, recipe.data, on_error=self.on_error, stats=stats)
        for window in encode_windows(examples, recipe.build_task(), self.layout, tally):
            yield window
            done += len(window.examples)
            reporter.stage(f"encode {path.name}", done, None)
        reporter.stage(f"encode {path.name}", done, done)
        if stats.left_out or stats.replaced:
            lost = f"{stats.left_out:,} {module.GUIDE.unit}{stats.words_left_out} were skipped"
            reporter.message(f"{path}: {lost} and {stats.replaced:,} mended")
        for note, count in stats.notes.items():
            reporter.message(f"{path}: {count:,} {note}")
        for rest in stats.unread:
            reporter.message(rest)
