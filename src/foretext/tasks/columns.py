"""Which columns of a labelled table hold text and label, and its rows as examples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from foretext.core.errors import ConfigError, DataError
from foretext.tasks.long_text import check_long_text
from foretext.text.errors import CorpusStats, Faults, OnError, listed, shown, shown_path
from foretext.text.normalise import nfc
from foretext.text.tables import KINDS, column_names, parted_otherwise, read_table, table_kind

SINGLE = ("sentence", "text", "document")
PAIRS = (
    ("sentence1", "sentence2"),
    ("premise", "hypothesis"),
    ("question", "sentence"),
    ("text_a", "text_b"),
)
LABEL = "label"


def check_format(name: str | None) -> None:
    """Refuse what read_table cannot read."""
    if name is not None and f".{name}" not in KINDS:
        known = ", ".join(kind.removeprefix(".") for kind in KINDS)
        raise ConfigError(f"data.format={name!r} is not known; choose {known}")


@dataclass(frozen=True, kw_only=True)
class InputConfig:
    """Columns of a labelled file and the length of what is read."""

    text: str | None = None  # column of the (first) text; None = guessed from its name
    text_pair: str | None = None  # column of the second text; None = none, or guessed with text
    label: str | None = None  # column of the label; None = "label"
    header: bool = True  # the first row names the columns; else they are 0, 1, 2
    format: str | None = None  # tsv, csv, ...: of a file whose suffix says nothing, such as .txt
    max_length: int | None = None  # tokens, special ones included; None = the paper's
    long_text: str = "head"  # head, head+tail or windows: what is read of a text that is longer

    def __post_init__(self) -> None:
        if self.max_length is not None and self.max_length < 8:
            raise ConfigError(f"data.max_length={self.max_length} must be at least 8 tokens")
        check_format(self.format)
        check_long_text(self.long_text)
        if self.text is None and self.text_pair is not None:
            raise ConfigError(
                f"data.text_pair={self.text_pair!r} names the second text; name the first too, "
                "with data.text"
            )

    def as_table(self) -> dict[str, Any]:
        """How read_table is to read the file."""
        return {"header": self.header, "kind": self.format}

    @property
    def texts(self) -> tuple[str, ...]:
        """The text columns, once they are known."""
        return tuple(column for column in (self.text, self.text_pair) if column is not None)

    def is_table(self, path: Path) -> bool:
        """Whether a file whose suffix is no table's, such as .txt, is one nonetheless.

        It is where `format` says what such files are and the first row names the text columns;
        else it holds a text a line.
        """
        if table_kind(path) is not None:
            return True
        if self.format is None or not self.header:
            return False
        try:
            return set(self.texts) <= set(column_names(path, kind=self.format))
        except DataError:
            return False

    def resolved(self, path: Path) -> InputConfig:
        """The same with every column named, guessed from a file's where it is not.

        Raises:
            DataError: no column has a name that says it holds the text.
        """
        label = self.label or LABEL
        if self.text is not None:
            return replace(self, label=label)
        names = column_names(path, header=self.header, kind=self.format)
        for pair in PAIRS:
            if set(pair) <= set(names):
                return replace(self, text=pair[0], text_pair=pair[1], label=label)
        for single in SINGLE:
            if single in names:
                return replace(self, text=single, label=label)
        raise DataError(
            f"{shown_path(path)}: no column is called {', '.join(SINGLE)}, or a pair such as "
            f"{' and '.join(PAIRS[0])}; the file has {listed(names)}{parted_otherwise(names)}; "
            "name it with data.text"
        )


Placed = tuple[str, tuple[str, ...]]  # where the texts stand, and the texts as given


@dataclass(frozen=True, slots=True)
class TextExample:
    """One or two texts, perhaps with a label."""

    texts: tuple[str, ...]
    label: str | None = None


def read_examples(
    path: Path,
    columns: InputConfig,
    labels: Sequence[str] | None,
    *,
    problem: Callable[[str], str | None] | None = None,
    labelled: bool = True,
    on_error: str = "stop",
    stats: CorpusStats | None = None,
) -> Iterator[TextExample]:
    """The examples of a table, one after another.

    Args:
        path: as read_table takes it.
        columns: resolved.
        labels: the known ones; None admits any.
        problem: what is wrong with a label, or None; it makes the row a fault.
        labelled: False leaves the label column alone.
        on_error, stats: as in read_table; an empty text, no label or an unknown one is a fault.

    Raises:
        DataError: as read_table; an empty text or an unknown label (file:line).
    """
    stats = CorpusStats() if stats is None else stats
    faults = Faults(OnError.of(on_error), stats)
    wanted = [*columns.texts, *([columns.label or LABEL] if labelled else [])]
    known = None if labels is None else set(labels)
    delivered = 0
    for row in read_table(path, wanted, on_error, **columns.as_table(), stats=stats):
        place = f"{shown_path(path)}:{row.line}"
        empty = [column for column in columns.texts if not row.values[column].strip()]
        if empty:
            faults.skip("empty text", place, f"the column {shown(empty[0])} holds no text")
            continue
        label = row.values[columns.label or LABEL].strip() if labelled else None
        if label == "":
            faults.skip("no label", place, f"the column {shown(columns.label or LABEL)} is empty")
            continue
        if label is not None and known is not None and label not in known:
            unknown = f"the label {shown(label)} is not among {listed(labels or ())}"
            mended = "mend it, or add it with task.labels"
            if label == "-":  # SNLI, MNLI
                mended = "a dash means that the annotators did not agree; drop the row"
            faults.skip("unknown label", place, unknown, mended)
            continue
        if label is not None and problem is not None and (wrong := problem(label)) is not None:
            faults.skip("bad label", place, wrong)
            continue
        delivered += 1
        yield TextExample(tuple(row.values[column] for column in columns.texts), label)
    if not delivered:
        raise DataError(f"{shown_path(path)}: every row was skipped; mend the file")


def given_examples(
    placed: Iterable[Placed], columns: InputConfig, faults: Faults
) -> Iterator[TextExample]:
    """Examples without a label from bare texts.

    Raises:
        DataError: a text is empty, or there are more or fewer than the model reads; faults say.
    """
    count = len(columns.texts)
    for place, texts in placed:
        if len(texts) != count:
            problem = f"{len(texts)} texts where the model reads {count}"
            faults.skip("number of texts", place, problem, "give a table, tuples or --text-pair")
        elif not all(text.strip() for text in texts):
            faults.skip("empty text", place, "there is no text")
        else:
            yield TextExample(tuple(map(nfc, texts)))
