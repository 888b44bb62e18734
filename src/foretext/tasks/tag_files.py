"""Tagging's settings, and its files as examples: scheme and tags found, checked and converted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, ClassVar

from foretext.core.errors import ConfigError, DataError
from foretext.labelled.conll import FORMATS, Sentence, TagColumns, looks_tagged, read_sentences
from foretext.metrics import tag_schemes as schemes
from foretext.metrics import tag_spelling as spelling
from foretext.tasks.auxiliary import check_lm_weight, resolved_lm_weight
from foretext.tasks.columns import Placed
from foretext.tasks.inputs import reads_left_to_right
from foretext.tasks.tag_units import TagExample, joined, split_text, words_of, writes_words
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

    format: str | None = (
        None  # columns, conllu, lines, csv, jsonl, json; None = told from each file
    )
    delimiter: str | None = None  # what parts the columns, such as "," or tab; None = told
    text: str | None = None  # column of the words; None = the format's
    label: str | None = None  # column of the tags; None = the format's
    unit: str | None = None  # word or character; None = told from the training file
    split: str | None = None  # a text into words at space, or at punctuation too; None = told
    max_length: int | None = None  # tokens, special ones included; None = the paper's

    long_text: ClassVar[str] = "head"

    def __post_init__(self) -> None:
        _one_of("data.format", self.format, FORMATS)
        _one_of("data.unit", self.unit, ("word", "character"))
        _one_of("data.split", self.split, ("space", "punctuation"))
        if self.max_length is not None and self.max_length < 8:
            raise ConfigError(f"data.max_length={self.max_length} must be at least 8 tokens")

    @property
    def columns(self) -> TagColumns:
        """As the reader takes them."""
        named = {"tab": "\t", "\\t": "\t"}.get(self.delimiter or "", self.delimiter)
        return TagColumns(format=self.format, words=self.text, tags=self.label, delimiter=named)

    @property
    def texts(self) -> tuple[str, ...]:
        """The column of the words, for the model card."""
        return (self.text or "words",)

    def is_table(self, path: Path) -> bool:
        """Whether a .txt file to predict holds columns; else it has a sentence a line."""
        return looks_tagged(path)

    def resolved(self, path: Path) -> TaggingInput:
        """The same with its unit, told from a file's first sentences.

        Words are given, or found in a text by its script: where most letters are of a script that
        writes words together, or with their particles (Hangul), the unit is the character.

        Raises:
            DataError: the file cannot be read.
        """
        if self.unit is not None and self.split is not None:
            return self
        try:
            head = list(islice(read_sentences(path, self.columns, on_error="skip"), _PEEK))
        except DataError:  # nothing can be read; say what is wrong with the first sentence
            head = list(islice(read_sentences(path, self.columns), 1))
        texts = [sentence for sentence in head if sentence.characters]
        if 2 * len(texts) > len(head):
            single = not writes_words("".join(chain.from_iterable(s.words for s in texts)))
            split = "punctuation"
        else:
            single = all(len(word) == 1 for sentence in head for word in sentence.words)
            split = "space"
        unit = self.unit or ("character" if single else "word")
        return replace(self, unit=unit, split=self.split or split)


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
    scheme, tags = _scheme_and_tags(train, config.scheme, columns, on_error)
    config = replace(config, scheme=scheme)
    if columns.unit == "character" and config.scheme_out != "iob2" and not config.plain:
        raise ConfigError(
            f"task.scheme_out={config.scheme_out} cannot tag characters; set it to iob2"
        )
    if config.plain:
        labels = sorted(tags)
        blank = tags.most_common(1)[0][0]
    else:
        types = sorted(spelling.common_types(tags.items(), scheme).values())
        labels, blank = schemes.scheme_tags(types, config.scheme_out), schemes.OUTSIDE
    config = replace(config, labels=config.labels or tuple(labels), blank=config.blank or blank)
    _check_labels(config, train)
    return config


def _scheme_and_tags(
    train: Path, scheme: str | None, columns: TaggingInput, on_error: str
) -> tuple[str, Counter[str]]:
    """The scheme of a training file, told from it if None, and its tags in the usual spelling."""
    counts, tags = schemes.SchemeCounts(), Counter[str]()
    for sentence in read_sentences(train, columns.columns, on_error=on_error):
        counts.add(sentence.tags or ())
        tags.update(sentence.tags or ())
        if len(tags) > _MAX_LABELS:
            raise DataError(
                f"{shown_path(train)} has more than {_MAX_LABELS:,} different tags; name the right "
                "column with data.label"
            )
    if scheme == schemes.PLAIN:
        return scheme, tags
    try:
        style = spelling.style_of(tags) or spelling.USUAL
    except spelling.MixedSpelling as mixed:
        raise DataError(
            f"{shown_path(train)}: {_two_ways(mixed)}; write them in one way, or set "
            "task.scheme=plain if they mark no spans"
        ) from None
    usual = {tag: spelling.mended(tag, style) for tag in tags}
    if scheme is None and any(tag != usual[tag] for tag in tags):
        counts = schemes.SchemeCounts()
        for sentence in read_sentences(train, columns.columns, on_error=on_error):
            counts.add([usual[tag] for tag in sentence.tags or ()])
    scheme = scheme or counts.scheme()
    if scheme == schemes.PLAIN:
        return scheme, tags
    mended = Counter[str]()
    for tag, count in tags.items():
        mended[usual[tag]] += count
    return scheme, mended


def _two_ways(mixed: spelling.MixedSpelling) -> str:
    one, other = map(shown, mixed.args)
    return f"tags are spelled in two ways, {one} and {other}"


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
    check, delivered = _TagCheck(config, faults), 0
    for sentence in read_sentences(
        path, columns.columns, labelled=labelled, on_error=on_error, stats=stats
    ):
        tags = check(sentence) if sentence.tags else None
        if labelled and tags is None:
            continue
        delivered += 1
        if sentence.characters and columns.unit == "word":
            text = "".join(sentence.words)
            scheme = schemes.PLAIN if config.plain else config.scheme_out
            yield words_of(text, tags, scheme, columns.split or "space", stats.notes)
        else:
            characters = sentence.characters or columns.unit == "character"
            yield joined(sentence.words, tags, characters=characters)
    if not delivered:
        raise DataError(f"{shown_path(path)}: every sentence was skipped; mend the file")


class _TagCheck:
    """The tags of sentences, checked against the scheme and converted to scheme_out."""

    def __init__(self, config: TaggingConfig, faults: Faults) -> None:
        self._config, self._faults = config, faults
        self._labels = frozenset(config.labels)
        scheme = config.scheme or schemes.PLAIN
        pairs = ((label, 1) for label in config.labels)
        types = {} if config.plain else spelling.common_types(pairs, config.scheme_out)
        self._respell = spelling.Respelling(scheme, types, faults.stats.notes)

    def __call__(self, sentence: Sentence) -> tuple[str, ...] | None:
        """None: a tag is at fault and the sentence was skipped."""
        tags = sentence.tags or ()
        found = tags if self._config.plain else self._converted(sentence)
        if found is None:
            return None
        for number, tag in enumerate(found):
            if tag not in self._labels:
                problem = f"the tag {shown(tag)} is not among {listed(self._config.labels)}"
                hint = "mend it, or add it with task.labels"
                place = sentence.place(number)
                self._faults.skip("unknown tag", place, problem, hint, words=len(tags))
                return None
        return tuple(found)

    def _converted(self, sentence: Sentence) -> Sequence[str] | None:
        """The tags in scheme_out, or None when they break their scheme."""
        config, words = self._config, len(sentence.words)
        assert config.scheme is not None
        tags: list[str] = []
        for number, tag in enumerate(sentence.tags or ()):
            try:
                tags.append(self._respell(tag))
            except spelling.MixedSpelling as mixed:
                place = sentence.place(number)
                hint = "write them in one way"
                self._faults.skip("two spellings", place, _two_ways(mixed), hint, words=words)
                return None
        if (fault := schemes.problem(tags, config.scheme)) is not None:
            hint = "mend the file or name its scheme with task.scheme"
            place = sentence.place(fault.index)
            if not fault.mendable:
                self._faults.skip("tag scheme", place, fault.text, hint, words=words)
                return None
            hint += ", pass --on-error replace to read it as conlleval does, or --on-error skip"
            if not self._faults.replace("tag scheme", place, fault.text, hint, words=words):
                return None
        return schemes.convert(tags, config.scheme, config.scheme_out)


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
            yield split_text(nfc(texts[0]), columns.unit or "word", columns.split or "space")
