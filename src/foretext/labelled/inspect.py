"""What labelled files hold, before fine-tuning: labels, overlaps, contradictions.

Texts are remembered as 64-bit hashes, about 100 bytes a distinct row; a million rows take 100 MB.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from foretext.text.errors import CorpusStats, shown
from foretext.text.sketch import Lengths, LengthSummary, digest
from foretext.text.tables import read_table

RARE = 10  # examples: below that a label can hardly be learned
MANY_LABELS = 100  # distinct labels from which the column is rather a number or a text


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is counted of one labelled example."""

    texts: tuple[str, ...]
    labels: tuple[str, ...]  # counted: its class, or the tag of each word
    answer: str  # all that is learned of it; two examples with other answers contradict each other


@dataclass(frozen=True, kw_only=True)
class SplitReport:
    """One labelled file."""

    rows: int  # examples
    labels: dict[str, int]  # most frequent first
    empty_texts: int  # rows of which a text column holds white space only
    duplicates: int  # rows whose texts and label occurred before
    conflicting: int  # rows whose texts occurred before with another label
    lengths: LengthSummary  # characters a row, over its text columns
    replaced: dict[str, int]
    skipped: dict[str, int]
    unread: tuple[str, ...]  # where the rest of the file could not be read, and why
    skipped_words: int  # words of the sentences among the skipped
    notes: dict[str, int]  # what was read otherwise than it stands, and how often


@dataclass(frozen=True, kw_only=True)
class LabelledReport:
    """A training file and, if given, a development file."""

    train: SplitReport
    dev: SplitReport | None
    rare_labels: dict[str, int]  # labels with fewer than RARE training rows, and their count
    only_in_train: tuple[str, ...]
    only_in_dev: tuple[str, ...]
    overlap: int  # development rows whose texts are in the training file too
    overlap_rate: float  # share of the development rows
    # Accuracy on dev (or train) of always answering train's commonest label; None where the label
    # is not the whole answer.
    majority_rate: float | None
    unit: str  # what an example is called, in the plural
    warnings: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain dicts, lists and numbers, for JSON."""
        names = ("only_in_train", "only_in_dev", "warnings")
        return asdict(self) | {name: list(getattr(self, name)) for name in names}


def inspect_labelled(
    train: str | Path,
    dev: str | Path | None = None,
    *,
    text_columns: Sequence[str],
    label_column: str,
    on_error: str = "stop",
    header: bool = True,
) -> LabelledReport:
    """Read a training file and a development file once and report on them.

    Args:
        train, dev: tables as read_table takes them; no dev file if None.
        text_columns: one or two columns that hold the text.
        label_column: the column that holds the label.
        on_error, header: as in read_table.

    Raises:
        ConfigError: as read_table.
        DataError: as read_table.
    """
    columns = [*text_columns, label_column]

    def read(path: Path, stats: CorpusStats) -> Iterator[Facts]:
        for row in read_table(path, columns, on_error, header=header, stats=stats):
            label = row.values[label_column]
            texts = tuple(row.values[column] for column in text_columns)
            yield Facts(texts=texts, labels=(label,), answer=label)

    return inspect_facts(train, dev, read)


def inspect_facts(
    train: str | Path,
    dev: str | Path | None,
    read: Callable[[Path, CorpusStats], Iterable[Facts]],
    unit: str = "rows",
) -> LabelledReport:
    """The same of any labelled files; read fills the stats while it goes on."""
    splits = []
    for path in (train, dev):
        if path is not None:
            split = _Split()
            for facts in read(Path(path), split.stats):
                split.add(facts)
            splits.append(split)
    return _compare(splits[0], splits[1] if len(splits) == 2 else None, unit)


class _Split:
    """The running counts of one file."""

    def __init__(self) -> None:
        self.stats = CorpusStats()
        self.rows = 0
        self.texts: dict[int, int] = {}  # hash of the texts -> rows
        self.labels: Counter[str] = Counter()
        self.classes = True  # each label is the whole answer
        self._lengths = Lengths()
        self._first_answer: dict[int, int] = {}  # hash of the texts -> hash of the answer
        self._empty = self._duplicates = self._conflicting = 0

    def add(self, facts: Facts) -> None:
        self.rows += 1
        self.labels.update(facts.labels)
        self.classes &= facts.labels == (facts.answer,)
        self._lengths.add(sum(map(len, facts.texts)))
        self._empty += not all(text.strip() for text in facts.texts)
        key, name = digest("\0".join(facts.texts)), digest(facts.answer)
        self.texts[key] = self.texts.get(key, 0) + 1
        if self._first_answer.setdefault(key, name) != name:
            self._conflicting += 1
        elif self.texts[key] > 1:
            self._duplicates += 1

    def report(self) -> SplitReport:
        return SplitReport(
            rows=self.rows,
            labels=dict(sorted(self.labels.items(), key=lambda item: (-item[1], item[0]))),
            empty_texts=self._empty,
            duplicates=self._duplicates,
            conflicting=self._conflicting,
            lengths=self._lengths.summary(),
            replaced=dict(self.stats.replacements),
            skipped=dict(self.stats.skips),
            unread=tuple(self.stats.unread),
            skipped_words=self.stats.skipped_words,
            notes=dict(self.stats.notes),
        )


def _compare(train: _Split, dev: _Split | None, unit: str) -> LabelledReport:
    overlap = sum(rows for key, rows in dev.texts.items() if key in train.texts) if dev else 0
    judged = dev or train
    report = train.report()
    commonest = next(iter(report.labels))
    facts: dict[str, Any] = {
        "train": report,
        "dev": dev and dev.report(),
        "rare_labels": {label: n for label, n in report.labels.items() if n < RARE},
        "only_in_train": tuple(sorted(train.labels.keys() - dev.labels.keys())) if dev else (),
        "only_in_dev": tuple(sorted(dev.labels.keys() - train.labels.keys())) if dev else (),
        "overlap": overlap,
        "overlap_rate": overlap / dev.rows if dev else 0.0,
        "majority_rate": judged.labels[commonest] / judged.rows if judged.classes else None,
        "unit": unit,
    }
    draft = LabelledReport(**facts, warnings=())
    return LabelledReport(**facts, warnings=tuple(_warnings(draft)))


def _warnings(report: LabelledReport) -> Iterator[str]:
    """What would spoil the training or the figures."""
    labels, unit = report.train.labels, report.unit
    if len(labels) == 1 and report.majority_rate is not None:
        name = shown(next(iter(labels)))
        yield f"all training {unit} have the label {name}; nothing to learn"
    elif len(labels) > max(MANY_LABELS, sum(labels.values()) // 2):
        yield f"{len(labels):,} different labels; is this the label column?"
    elif report.rare_labels:
        names = ", ".join(shown(label) for label in list(report.rare_labels)[:10])
        yield f"labels that fewer than {RARE} training {unit} have: {names}"
    if report.only_in_dev:
        names = ", ".join(shown(label) for label in report.only_in_dev[:10])
        yield f"labels of the development file that no training {unit} have: {names}"
    if report.overlap:
        yield (
            f"{report.overlap:,} development {unit} ({report.overlap_rate:.1%}) are in the "
            "training file too; remove them from one, or the result flatters"
        )
    for name, split in (("training", report.train), ("development", report.dev)):
        if split is not None:
            yield from _split_warnings(f"{name} {unit}", split)


def _split_warnings(which: str, split: SplitReport) -> Iterator[str]:
    yield from split.unread
    skipped, replaced = sum(split.skipped.values()), sum(split.replaced.values())
    skipped -= len(split.unread)
    if skipped or replaced:
        words = f" ({split.skipped_words:,} words)" if split.skipped_words else ""
        yield f"{skipped:,} {which}{words} were skipped and {replaced:,} mended; see the counts"
    if split.empty_texts:
        yield f"{split.empty_texts:,} {which} hold no text"
    if split.conflicting:
        yield f"{split.conflicting:,} {which} contradict an earlier one of the same text"
    if split.duplicates > split.rows // 100:
        yield f"{split.duplicates:,} {which} repeat an earlier one, label and all"
