"""Tagging's settings, and its files as examples: scheme and tags found, checked and converted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from foretext.core.errors import ConfigError, DataError
from foretext.labelled.conll import FORMATS, Sentence, TagColumns, looks_tagged, read_sentences
from foretext.metrics import tag_schemes as schemes
from foretext.tasks.auxiliary import check_lm_weight, resolved_lm_weight
from foretext.tasks.columns import Placed
from foretext.tasks.inputs import reads_left_to_right
from foretext.tasks.tag_units import TagExample, joined, split_text
from foretext.text.errors import CorpusStats, Faults, OnError, listed, shown, shown_path
from foretext.text.normalise import nfc

_MAX_LABELS = 10_000
_PEEK = 100  # sentences that tell words from characters


@dataclass(frozen=True, kw_only=True)
class TaggingConfig:
    """Tags, scheme and head."""

    labels: tuple[str, ...] = ()  # tags by class id, in scheme_out; () = the training file's
    scheme: str | None = None  # of files: iob1, iob2, bioes ..., plain; None = told from training
    scheme_out: str = "iob2"  # learned and predicted; or bioes. Plain tags stay as they are
    blank: str | None = None  # tag of a word without tokens; None = O, or the commonest plain tag
    label_on: str | None = None  # first or last sub-token; None = last for a GPT, first else
    stride: int | None = None  # tokens from a window to the next; None = half a window
    dropout: float = 0.1  # probability; of the states that the head reads
    lm_weight: float | None = None  # of the auxiliary loss; None = 0.5 left to right, 0 else

    def __post_init__(self) -> None:
        if len(set(self.labels)) != len(self.labels):
            raise ConfigError(f"task.labels={list(self.labels)} names a label twice; drop one")
        _one_of("task.scheme", self.scheme, schemes.SCHEMES)
        _one_of("task.scheme_out", self.scheme_out, ("iob2", "bioes"))
        _one_of("task.label_on", self.label_on, ("first", "last"))
        if self.stride is not None and self.stride < 1:
            raise ConfigError(f"task.stride={self.stride} must be at least 1 token or none")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"task.dropout={self.dropout} must be from 0 to below 1")
        check_lm_weight(self.lm_weight)

    @property
    def plain(self) -> bool:
        """Whether the tags mark no spans; once resolved."""
        return self.scheme == schemes.PLAIN


@dataclass(frozen=True, kw_only=True)
class TaggingInput:
    """Where a file's words and tags stand, and the length of what is read."""

    format: str | None = None  # columns, conllu, lines, jsonl or json; None = told from each file
    text: str | None = None  # column of the words; None = the format's
    label: str | None = None  # column of the tags; None = the format's
    unit: str | None = None  # word or character; None = told from the training file
    max_length: int | None = None  # tokens, special ones included; None = the paper's

    def __post_init__(self) -> None:
        _one_of("data.format", self.format, FORMATS)
        _one_of("data.unit", self.unit, ("word", "character"))
        if self.max_length is not None and self.max_length < 8:
            raise ConfigError(f"data.max_length={self.max_length} must be at least 8 tokens")

    @property
    def columns(self) -> TagColumns:
        """As the reader takes them."""
        return TagColumns(format=self.format, words=self.text, tags=self.label)

    @property
    def texts(self) -> tuple[str, ...]:
        """The column of the words, for the model card."""
        return (self.text or "words",)

    def is_table(self, path: Path) -> bool:
        """Whether a .txt file to predict holds columns; else it has a sentence a line."""
        return looks_tagged(path)

    def resolved(self, path: Path) -> TaggingInput:
        """The same with its unit: characters, if a file's first tokens are single ones.

        Raises:
            DataError: the file cannot be read.
        """
        if self.unit is not None:
            return self
        try:
            head = list(islice(read_sentences(path, self.columns, on_error="skip"), _PEEK))
        except DataError:  # nothing can be read; say what is wrong with the first sentence
            head = list(islice(read_sentences(path, self.columns), 1))
        single = all(s.characters or all(len(word) == 1 for word in s.words) for s in head)
        return replace(self, unit="character" if single else "word")


def _one_of(name: str, value: str | None, choices: Sequence[str]) -> None:
    if value is not None and value not in choices:
        raise ConfigError(f"{name}={shown(value)} is none; choose one of {listed(choices)}")


def resolve(
    config: TaggingConfig, columns: TaggingInput, train: Path, model: Any, on_error: str
) -> TaggingConfig:
    """The config with its scheme and labels, the sub-token that is read and the auxiliary loss.

    Raises:
        DataError: the training file has a single tag, or far too many.
        ConfigError: labels that are not of the scheme, or an auxiliary loss of an encoder.
    """
    left_to_right = reads_left_to_right(model)
    config = replace(
        config,
        lm_weight=resolved_lm_weight(config.lm_weight, left_to_right=left_to_right),
        label_on=config.label_on or ("last" if left_to_right else "first"),
    )
    counts, tags = schemes.SchemeCounts(), Counter[str]()
    for sentence in read_sentences(train, columns.columns, on_error=on_error):
        counts.add(sentence.tags or ())
        tags.update(sentence.tags or ())
        if len(tags) > _MAX_LABELS:
            raise DataError(
                f"{shown_path(train)} has more than {_MAX_LABELS:,} different tags; name the right "
                "column with data.label"
            )
    config = replace(config, scheme=config.scheme or counts.scheme())
    assert config.scheme is not None
    if columns.unit == "character" and config.scheme_out != "iob2" and not config.plain:
        raise ConfigError(
            f"task.scheme_out={config.scheme_out} cannot tag characters; set it to iob2"
        )
    if config.plain:
        labels = sorted(tags)
        blank = tags.most_common(1)[0][0]
    else:
        split = [schemes.split_tag(tag, config.scheme) for tag in tags]
        types = sorted({kind for _, kind in filter(None, split) if kind})
        labels, blank = schemes.scheme_tags(types, config.scheme_out), schemes.OUTSIDE
    config = replace(config, labels=config.labels or tuple(labels), blank=config.blank or blank)
    _check_labels(config, train)
    return config


def _check_labels(config: TaggingConfig, train: Path) -> None:
    if len(config.labels) < 2:
        raise DataError(
            f"{shown_path(train)}: every word has the tag {shown(config.labels[0])}; there is "
            "nothing to learn, so name the right column with data.label, or task.scheme"
        )
    strange = [
        label
        for label in config.labels
        if not config.plain and schemes.split_tag(label, config.scheme_out) is None
    ]
    if strange:
        raise ConfigError(
            f"task.labels has {shown(strange[0])}, which is no tag of {config.scheme_out}; "
            "name tags such as O, B-PER, I-PER, or set task.scheme=plain"
        )
    if config.blank not in config.labels:
        raise ConfigError(
            f"task.labels lacks {shown(config.blank)}, which words without tokens get"
        )


def read(
    path: Path,
    config: TaggingConfig,
    columns: TaggingInput,
    *,
    labelled: bool = True,
    on_error: str = "stop",
    stats: CorpusStats | None = None,
) -> Iterator[TagExample]:
    """The sentences of a file, their tags checked against the scheme and converted.

    Args:
        path, labelled, stats: as read_sentences takes them.
        config: resolved.
        columns: resolved.
        on_error: as for read_sentences; "replace" also reads a tag that cannot stand where it
            does, such as I-X after O, as conlleval would.

    Raises:
        DataError: as read_sentences; a tag that breaks the scheme, or an unknown one (file:line).
    """
    stats = CorpusStats() if stats is None else stats
    faults = Faults(OnError.of(on_error), stats)
    known, delivered = frozenset(config.labels), 0
    for sentence in read_sentences(
        path, columns.columns, labelled=labelled, on_error=on_error, stats=stats
    ):
        tags = _checked_tags(sentence, config, known, faults) if sentence.tags else None
        if labelled and tags is None:
            continue
        delivered += 1
        if sentence.characters and tags is None and columns.unit == "word":
            yield split_text("".join(sentence.words), "word")
        else:
            characters = sentence.characters or columns.unit == "character"
            yield joined(sentence.words, tags, characters=characters)
    if not delivered:
        raise DataError(f"{shown_path(path)}: every sentence was skipped; mend the file")


def _checked_tags(
    sentence: Sentence, config: TaggingConfig, known: frozenset[str], faults: Faults
) -> tuple[str, ...] | None:
    """The tags in scheme_out, or None when one is at fault and the sentence was skipped."""
    tags: Sequence[str] = sentence.tags or ()
    assert config.scheme is not None
    if not config.plain:
        fault = schemes.problem(tags, config.scheme)
        if fault is not None:
            hint = "mend the file or name its scheme with task.scheme"
            place = sentence.place(fault.index)
            if not fault.mendable:
                faults.skip("tag scheme", place, fault.text, hint)
                return None
            hint += ", pass --on-error replace to read it as conlleval does, or --on-error skip"
            if not faults.replace("tag scheme", place, fault.text, hint):
                return None
        tags = schemes.convert(tags, config.scheme, config.scheme_out)
    for number, tag in enumerate(tags):
        if tag not in known:
            problem = f"the tag {shown(tag)} is not among {listed(config.labels)}"
            hint = "mend it, or add it with task.labels"
            faults.skip("unknown tag", sentence.place(number), problem, hint)
            return None
    return tuple(tags)


def given(placed: Iterable[Placed], columns: TaggingInput, faults: Faults) -> Iterator[TagExample]:
    """Examples of bare texts, split at white space or into characters.

    Raises:
        DataError: a text is empty, or there are two; faults say.
    """
    for place, texts in placed:
        if len(texts) != 1:
            problem = f"{len(texts)} texts where the model reads 1"
            faults.skip("number of texts", place, problem, "give one text")
        elif not texts[0].strip():
            faults.skip("empty text", place, "there is no text")
        else:
            yield split_text(nfc(texts[0]), columns.unit or "word")
