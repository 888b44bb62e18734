"""Fine-tuned models at work: predictions in order, and metrics, both in constant memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

from foretext.core.config import from_dict, to_dict, unflatten
from foretext.core.errors import DataError
from foretext.inference.task_run import TaskRun, load_task
from foretext.tasks import task_module
from foretext.tasks.columns import InputConfig, Placed
from foretext.text.decompress import STDIN
from foretext.text.errors import CorpusStats, Faults, OnError, shown, shown_path
from foretext.text.lines import Lines


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
    if isinstance(texts, Path) and not _is_plain(texts, inputs, run.changed):
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


def _is_plain(path: Path, inputs: Any, changed: Collection[str]) -> bool:
    """Whether a file holds a text a line; a task's Input may know better, by `is_table`."""
    if path == STDIN:  # unless this very use says what it is
        return "data.format" not in changed
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
