"""Fine-tuned models at work: predictions in order, and metrics, both in constant memory.

Examples are read a window at a time; inside a window samples are sorted by length, so that batches
hold equal lengths, and the predictions are put back in order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from foretext.config import from_dict, read_toml, to_dict, unflatten
from foretext.data.decompress import STDIN
from foretext.data.faults import CorpusStats, Faults, OnError, shown, shown_path
from foretext.data.lines import Lines
from foretext.errors import ConfigError, DataError
from foretext.heap import Heap
from foretext.models.folder import check_is_folder, load_model
from foretext.objectives.base import Ints
from foretext.tasks import task_module
from foretext.tasks.base import SampleTable, Task, TaskModel
from foretext.tasks.columns import InputConfig, Placed
from foretext.tasks.inputs import Layout, layout_for
from foretext.tokenizers import Tokenizer
from foretext.training.hub_task import hub_recipe, hub_task
from foretext.training.precision import check_precision, multiplying
from foretext.training.run import RECIPE_FILE
from foretext.training.seeds import best_folder
from foretext.training.task_recipe import TaskRecipe
from foretext.weight_files import read_json

CALIBRATION_FILE = "calibration.json"  # what a task set after training, beneath run.toml's [task]
_WINDOW = 1024  # examples encoded and sorted at once
_WINDOW_SIZE = 2**22  # characters of them, where a task knows
_BATCH_TOKENS = 4096  # computed at once, unless one sample is longer


@dataclass(frozen=True, kw_only=True)
class Window:
    """Some examples in order, encoded."""

    examples: list[Any]
    samples: SampleTable
    origins: list[list[Any]]  # of each example's samples


@dataclass(frozen=True, kw_only=True)
class TaskRun:
    """A fine-tuned model, ready to be used."""

    folder: Path
    recipe: TaskRecipe
    task: Task
    layout: Layout
    model: TaskModel  # in eval mode
    device: torch.device
    precision: str = "fp32"  # of the trunk's products, see training/precision.py

    def predictions(self, examples: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        """Every example with its prediction, in order."""
        windows = encode_windows(examples, self.task, self.layout)
        return predictions(self.model, self.task, windows, self.device, self.precision)


def encode_windows(examples: Iterable[Any], task: Task, layout: Layout) -> Iterator[Window]:
    """The examples, encoded, a window at a time."""
    for part in _parts(examples, getattr(task, "size", lambda _: 0)):
        encoded = task.encode(part, layout)
        yield Window(
            examples=part,
            samples=SampleTable(sample for samples in encoded for sample in samples),
            origins=[[sample.origin for sample in samples] for samples in encoded],
        )


def _parts(examples: Iterable[Any], size: Callable[[Any], int]) -> Iterator[list[Any]]:
    """_WINDOW examples at a time; fewer where a task says that they are large."""
    part: list[Any] = []
    held = 0
    for example in examples:
        part.append(example)
        held += size(example)
        if len(part) >= _WINDOW or held >= _WINDOW_SIZE:
            yield part
            part, held = [], 0
    if part:
        yield part


def predictions(
    model: TaskModel,
    task: Task,
    windows: Iterable[Window],
    device: torch.device,
    precision: str = "fp32",
) -> Iterator[tuple[Any, Any]]:
    """Every example of the windows with its prediction, in order.

    Args:
        model: left in the mode it is in; call eval() first.
        precision: of the trunk's products.
    """
    heap = Heap()
    for window in windows:
        outputs = _outputs(model, task, window.samples, device, precision)
        heap.check()
        start = 0
        for example, origins in zip(window.examples, window.origins, strict=True):
            stop = start + len(origins)
            yield example, task.decode(example, outputs[start:stop], origins)
            start = stop


@torch.no_grad()
def _outputs(
    model: TaskModel, task: Task, samples: SampleTable, device: torch.device, precision: str
) -> list[NDArray[Any]]:
    """The outputs of each sample, in order."""
    found: list[Any] = [None] * len(samples)
    for numbers in _batches(samples.lengths):
        batch = samples.batch(numbers).to(device)
        with multiplying(precision, device):
            hidden = model(batch, task.used(model, batch)).float()
        for number, output in zip(numbers, task.outputs(model, hidden, batch), strict=True):
            found[number] = output
    return found


def _batches(lengths: Ints) -> Iterator[Ints]:
    """Numbers of the samples from short to long, some _BATCH_TOKENS tokens at a time."""
    order = np.argsort(lengths, kind="stable")
    start = total = 0
    for stop, number in enumerate(order):
        total += int(lengths[number])
        if total > _BATCH_TOKENS and stop > start:
            yield order[start:stop]
            start, total = stop, int(lengths[number])
    if len(order):
        yield order[start:]


def load_task(folder: str | Path, *, precision: str = "fp32") -> TaskRun:
    """Open what `foretext finetune` made; of several seeds or points of a grid the best one.

    Or an encoder that `transformers` fine-tuned, see training/hub_task.py.

    Args:
        folder: of the run.
        precision: "fp32", or "bf16" where that is faster; the head stays fp32.

    Raises:
        ConfigError: it was not fine-tuned, or not to its end; or the precision is unknown.
        CheckpointError, TokenizerError: it is no folder, or its files are damaged.
    """
    check_precision("precision", precision)
    check_is_folder(Path(folder))
    folder = best_folder(Path(folder))
    if task_of_class(folder) is not None:
        loaded = load_model(folder)
        recipe = hub_recipe(folder, loaded)
    else:
        recipe = _recipe(folder)
        loaded = load_model(folder)
    task = recipe.build_task()
    assert recipe.data.max_length is not None
    layout = layout_for(loaded.model, Tokenizer.load(folder), recipe.data.max_length)
    model = TaskModel(loaded.model, task.head(loaded.model, torch.Generator()))
    model.load_head(loaded.head)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return TaskRun(
        folder=folder,
        recipe=recipe,
        task=task,
        layout=layout,
        model=model.to(device).eval(),
        device=device,
        precision=precision,
    )


def task_of_class(folder: Path) -> str | None:
    """The task of a folder that has no run.toml, if the class in its config.json is a task's."""
    if (folder / RECIPE_FILE).is_file() or not (folder / "config.json").is_file():
        return None
    return hub_task(read_json(folder / "config.json"))


def _recipe(folder: Path) -> TaskRecipe:
    path = folder / RECIPE_FILE
    values = read_toml(path) if path.is_file() else {}
    if "task" not in values:
        raise ConfigError(
            f"{folder} was not fine-tuned: its {RECIPE_FILE} names no task; give a folder that "
            "`foretext finetune` made, or whose config.json names a task's class"
        )
    if not (folder / "config.json").is_file():
        raise ConfigError(
            f"{folder} holds no model yet: its fine-tuning was stopped; go on with the same command"
        )
    values.pop("source", None)
    if (calibration := folder / CALIBRATION_FILE).is_file():
        values["task"] |= read_json(calibration)
    return TaskRecipe.from_values(values)


def evaluate(
    run: str | Path | TaskRun,
    data: str | Path,
    *,
    columns: Mapping[str, Any] | None = None,
    on_error: str = "stop",
    stats: CorpusStats | None = None,
) -> dict[str, float]:
    """The metrics of a fine-tuned model on a labelled file.

    Args:
        run: its folder, or load_task of it.
        data: labelled as the training file was.
        columns: fields of the recipe's data section that differ from the training file's.
        on_error, stats: as in read_table.

    Raises:
        ConfigError, CheckpointError, TokenizerError: as load_task.
        DataError: the file is at fault; names file and line.
    """
    run = run if isinstance(run, TaskRun) else load_task(run)
    examples = examples_of(run, Path(data), columns=columns, on_error=on_error, stats=stats)
    meter = run.task.meter()
    for example, prediction in run.predictions(examples):
        meter.add(example, prediction)
    return meter.result()


def examples_of(
    run: TaskRun,
    data: Path,
    *,
    columns: Mapping[str, Any] | None = None,
    on_error: str = "stop",
    stats: CorpusStats | None = None,
) -> Iterator[Any]:
    """The labelled examples of a file, as the model's task reads them; arguments as of evaluate."""
    module = task_module(run.recipe.task_name)
    inputs = _named(_columns(run, columns), data)
    examples: Iterator[Any] = module.read(
        data, run.recipe.task, inputs, on_error=on_error, stats=stats
    )
    return examples


def _columns(run: TaskRun, changes: Mapping[str, Any] | None) -> Any:
    values = to_dict(run.recipe.data) | dict(changes or {})
    return from_dict(type(run.recipe.data), unflatten(values), "data.")


def _named(inputs: Any, path: Path) -> Any:
    """The columns, guessed from the file where fine-tuning elsewhere left them open."""
    return inputs if inputs.texts else inputs.resolved(path)


def predict(
    run: str | Path | TaskRun,
    texts: Path | Iterable[str | tuple[str, ...]],
    *,
    columns: Mapping[str, Any] | None = None,
    on_error: str = "stop",
    stats: CorpusStats | None = None,
) -> Iterator[Any]:
    """The predictions of a fine-tuned model, one for every input, in order.

    Args:
        run: its folder, or load_task of it.
        texts: a file like the training file, whose labels are not needed; a .txt file, perhaps
            compressed, or "-" (standard input) with a text a line (a .txt file may be a table where
            the task can tell, such as CoNLL columns); or the texts themselves, tuples where the
            task reads several.
        columns: as for evaluate.
        on_error, stats: as in read_table. What is skipped has a Skipped in its place.

    Raises:
        ConfigError, CheckpointError, TokenizerError: as load_task.
        DataError: the file is at fault (names file and line), a text is empty or no text, or a
            single text is the name of a file.
    """
    run = run if isinstance(run, TaskRun) else load_task(run)
    module, inputs = task_module(run.recipe.task_name), _columns(run, columns)
    stats = CorpusStats() if stats is None else stats
    stats.noted = []
    if isinstance(texts, Path) and not _is_plain(texts, inputs):
        inputs = _named(inputs, texts)
        examples = module.read(
            texts, run.recipe.task, inputs, labelled=False, on_error=on_error, stats=stats
        )
    else:
        faults = Faults(OnError.of(on_error), stats)
        placed = _lines(texts, faults) if isinstance(texts, Path) else _given(texts, faults)
        if isinstance(inputs, InputConfig) and not inputs.texts:
            inputs, placed = _for_texts(inputs, placed)
        examples = module.given(placed, inputs, faults)
    return _in_order(run, examples, stats.noted)


def _for_texts(
    inputs: InputConfig, placed: Iterator[Placed]
) -> tuple[InputConfig, Iterator[Placed]]:
    """Columns for bare texts where none are named: one or two, as the first input has."""
    first = list(islice(placed, 1))
    pair = "second" if first and len(first[0][1]) == 2 else None
    return replace(inputs, text="first", text_pair=pair), chain(first, placed)


@dataclass(frozen=True, slots=True)
class Skipped:
    """What stands in place of the prediction for an input that could not be used."""

    error: str  # `file:line: what is wrong`

    @property
    def line(self) -> str:
        """A dash, so that line n of the answers belongs to input n."""
        return "-"


def _in_order(run: TaskRun, examples: Iterable[Any], noted: list[str]) -> Iterator[Any]:
    """Predictions, and Skipped where the reader noted a skip before it went on."""
    before: deque[list[str]] = deque()  # of each example that has no prediction yet: skips

    def watched() -> Iterator[Any]:
        for example in examples:
            before.append(noted.copy())
            noted.clear()
            yield example

    try:
        for _, prediction in run.predictions(watched()):
            yield from map(Skipped, before.popleft())
            yield prediction
    except DataError:
        if not before:  # such as a file of which every row was skipped
            yield from map(Skipped, noted)
        raise
    yield from map(Skipped, noted)


def _is_plain(path: Path, inputs: Any) -> bool:
    """Whether a file holds a text a line; a task's Input may know better, by `is_table`."""
    if path == STDIN:
        return True
    plain = ".txt" in [suffix.lower() for suffix in path.suffixes[-2:]]
    return plain and not (hasattr(inputs, "is_table") and inputs.is_table(path))


def _lines(path: Path, faults: Faults) -> Iterator[Placed]:
    lines = Lines(path, faults)
    number = 0
    for number, line in lines:
        yield lines.place(number), (line,)
    if not number:
        raise DataError(f"{shown_path(path)}: the file is empty; give a text a line")


def _given(texts: Iterable[str | tuple[str, ...]], faults: Faults) -> Iterator[Placed]:
    if isinstance(texts, str):
        if _names_a_file(texts):
            raise DataError(
                f"texts={texts!r} names a file; give Path({texts!r}) for what it holds, or "
                f"[{texts!r}] for the text itself"
            )
        texts = [texts]
    for number, text in enumerate(texts, 1):
        parts = (text,) if isinstance(text, str) or not isinstance(text, Iterable) else tuple(text)
        if wrong := [part for part in parts if not isinstance(part, str)]:
            problem = f"{shown(wrong[0])} is {type(wrong[0]).__name__}, not a text"
            faults.skip("no text", f"text {number}", problem, "give str, or tuples of str")
        else:
            yield f"text {number}", parts


def _names_a_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):  # too long for a name, or with a NUL
        return False
