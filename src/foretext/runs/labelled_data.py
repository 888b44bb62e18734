"""The labelled text of fine-tuning, encoded once for all seeds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from foretext.core.errors import DataError
from foretext.inference.predict import Window, encode_windows
from foretext.recipes.task_recipe import TaskRecipe
from foretext.tasks import task_module
from foretext.tasks.base import SampleTable
from foretext.tasks.inputs import InputFormat
from foretext.text.errors import CorpusStats
from foretext.training.progress import Reporter


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """Files as samples."""

    train: SampleTable
    dev: list[Window]  # empty: there is no development file
    calibration: list[Window]  # of a file of its own; empty: dev serves
    layout: InputFormat


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
    files: LabelledFiles, recipe: TaskRecipe, layout: InputFormat, on_error: str, reporter: Reporter
) -> Labelled:
    """Read and encode the files of a run.

    Raises:
        DataError: a file is at fault.
    """
    module, task = task_module(recipe.task_name), recipe.build_task()
    unit = module.GUIDE.unit

    def windows(path: Path | None) -> Iterator[Window]:
        if path is None:
            return
        stats, done = CorpusStats(), 0
        examples = module.read(path, recipe.task, recipe.data, on_error=on_error, stats=stats)
        for window in encode_windows(examples, task, layout):
            yield window
            done += len(window.examples)
            reporter.stage(f"encode {path.name}", done, None)
        reporter.stage(f"encode {path.name}", done, done)
        if stats.left_out or stats.replaced:
            lost = f"{stats.left_out:,} {unit}{stats.words_left_out} were skipped"
            reporter.message(f"{path}: {lost} and {stats.replaced:,} mended")
        for note, count in stats.notes.items():
            reporter.message(f"{path}: {count:,} {note}")
        for rest in stats.unread:
            reporter.message(rest)

    dev, calibration = list(windows(files.dev)), list(windows(files.calibrate))
    samples = SampleTable.joined([window.samples for window in windows(files.train)])
    reporter.message(f"{len(samples):,} training samples of {samples.num_tokens:,} tokens")
    return Labelled(train=samples, dev=dev, calibration=calibration, layout=layout)
