"""Tagged sentences: CoNLL columns, CoNLL-U, lines of words and tags, and JSON; streamed.

    columns  a token a line, its word and tag in columns, a blank line between sentences; columns
             are separated by tabs, or by white space where the file has no tabs; -DOCSTART- lines
             are left out, and so are lines of tabbed files whose first cell is "# ..." or "## ..."
    conllu   ten columns; comments, multi-word ranges (1-2) and empty nodes (1.1) are left out
    lines    a sentence a line: words separated by spaces, a tab, as many tags
    jsonl    {"tokens": [...], "tags": [...]}, or {"text": ..., "entities": [{"start", "end",
             "label"}]} with entities by characters, which become a tag for every character
    json     a list of such objects

Words are in NFC.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path

from foretext.core.errors import ConfigError, DataError
from foretext.labelled.json_tags import JsonSentences
from foretext.text.decompress import EXPANDERS
from foretext.text.errors import CorpusStats, Faults, OnError, listed, shown
from foretext.text.json_list import json_lines, json_list
from foretext.text.lines import Lines
from foretext.text.normalise import nfc

FORMATS = ("columns", "conllu", "lines", "jsonl", "json")
CONLLU = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
_PEEK = 400  # lines from which the format is told
_ALIKE = 0.9  # share of a file's rows that have the same columns, if it is a table
_BREAK = "-DOCSTART-"
_SCHEME_TAG = re.compile(r"O|[BIESLUM]-\S+")


@dataclass(frozen=True, slots=True)
class Sentence:
    """Words, perhaps with a tag each, and where they stand."""

    words: tuple[str, ...]
    tags: tuple[str, ...] | None
    file: str
    lines: tuple[int, ...]  # of each word
    characters: bool = False  # the words are the characters of a text, white space included

    def place(self, word: int = 0) -> str:
        """`file:line` of a word."""
        return f"{self.file}:{self.lines[word]}"


@dataclass(frozen=True, kw_only=True)
class TagColumns:
    """Where words and tags stand; None is what the format has."""

    format: str | None = None  # one of FORMATS; None = told from the file
    words: str | None = None  # column: a number from 0, a name of CoNLL-U's, or a JSON field
    tags: str | None = None  # likewise; a number below 0 counts from the last column


def read_sentences(
    path: str | Path,
    columns: TagColumns | None = None,
    *,
    labelled: bool = True,
    on_error: str = "stop",
    stats: CorpusStats | None = None,
) -> Iterator[Sentence]:
    """The sentences of a file, one after another.

    Args:
        path: perhaps compressed.
        columns: None guesses all.
        labelled: False leaves the tags alone.
        on_error: "stop" at the first fault, "replace" bad bytes and skip other bad sentences, or
            "skip" every bad sentence.
        stats: counts what was replaced and skipped; None to do without.

    Raises:
        DataError: a sentence at fault (file:line), or a file without any.
        ConfigError: no such policy, format or column.
    """
    path, columns = Path(path), columns or TagColumns()
    faults = Faults(OnError.of(on_error), CorpusStats() if stats is None else stats)
    head, named = _head(path), _named_format(path)
    if named is not None and columns.format not in (None, named):
        columns = TagColumns()  # a data set's, and this file is of another kind
    form = columns.format or named or _format(head)
    if form not in FORMATS:
        raise ConfigError(f"data.format={shown(form)} is none; choose one of {listed(FORMATS)}")
    whole = form in ("columns", "conllu")  # a sentence is lost with each of its lines
    lines = Lines(path, faults, keep_bad=whole, mark_bad=form == "json")
    if form in ("json", "jsonl"):
        found: Iterator[Sentence] = _json_sentences(form, lines, columns, faults, labelled)
    elif form == "lines":
        found = _line_sentences(lines, faults, labelled)
    else:
        found = _Columns(form, columns, _tabbed(head), faults, labelled).sentences(lines)
    return _not_empty(found, lines, faults)


def looks_tagged(path: Path) -> bool:
    """Whether a file whose name says nothing, such as .txt, holds columns; else a sentence a line.

    Its rows have equally many columns, and tabs between them, or tags such as B-PER in the last, or
    blank lines between groups of rows, which a file with a sentence a line does not have.
    """
    lines = _first_lines(path)
    while lines and not lines[-1].strip():
        lines.pop()
    rows = [line for line in lines if line.strip() and not line.startswith((_BREAK, "#"))]
    if _alike(line.count("\t") for line in rows) > 0:
        return True
    cells = [line.split() for line in rows]
    if not (width := _alike(map(len, cells))):
        return False
    if width > 1 and all(_SCHEME_TAG.fullmatch(row[-1]) for row in cells if len(row) == width):
        return True
    grouped = any(one.strip() and other.strip() for one, other in pairwise(lines))
    return grouped and not all(line.strip() for line in lines)


def _alike(counts: Iterable[int]) -> int:
    """The count that nearly all have, or 0."""
    found = Counter(counts)
    (count, number), *_ = found.most_common(1) or [(0, 0)]
    return count if number >= _ALIKE * found.total() else 0


def _head(path: Path) -> list[str]:
    """The first lines that are not blank."""
    return [line for line in _first_lines(path) if line.strip()]


def _first_lines(path: Path) -> list[str]:
    quiet = Faults(OnError.REPLACE, CorpusStats())
    return [line for _, line in islice(Lines(path, quiet), _PEEK)]


def _tabbed(head: Sequence[str]) -> bool:
    return 2 * sum("\t" in line for line in head) > len(head)


def _named_format(path: Path) -> str | None:
    """The format that a file's suffix says."""
    suffixes = [s.lower() for s in path.suffixes[-2:]]
    if suffixes and suffixes[-1] in EXPANDERS:
        suffixes.pop()
    suffix = suffixes[-1].removeprefix(".") if suffixes else ""
    return suffix if suffix in ("json", "jsonl", "conllu") else None


def _format(head: Sequence[str]) -> str:
    cells = [line.split("\t") for line in head]
    rows = [row for row in cells if not row[0].startswith("#")]
    if rows and all(len(row) == len(CONLLU) and row[0][:1].isdigit() for row in rows):
        return "conllu"
    pairs = [[len(cell.split()) for cell in row] for row in cells if len(row) == 2]
    several = sum(words == tags and words > 1 for words, tags in pairs)
    return "lines" if several and 2 * several >= len(head) else "columns"


class _Columns:
    """A file with a token a line."""

    def __init__(
        self, form: str, columns: TagColumns, tabbed: bool, faults: Faults, labelled: bool
    ) -> None:
        self._conllu = form == "conllu"
        self._tabbed = tabbed or self._conllu
        self._faults = faults
        words, tags = ("form", "upos") if self._conllu else ("0", "-1")
        self._word = self._number("text", columns.words or words)
        self._tag = self._number("label", columns.tags or tags) if labelled else None
        self._width: int | None = None  # columns of the file

    def _number(self, option: str, column: str) -> int:
        if self._conllu and column in CONLLU:
            return CONLLU.index(column)
        try:
            return int(column)
        except ValueError:
            names = f" or one of {listed(CONLLU)}" if self._conllu else ""
            raise ConfigError(
                f"data.{option}={shown(column)} is no column; give its number from 0{names}"
            ) from None

    def sentences(self, lines: Lines) -> Iterator[Sentence]:
        rows: list[tuple[int, list[str]]] = []
        first = 0  # line on which the sentence (or its comments) begins
        for number, line in lines:
            blank = not line.strip() and not (self._tabbed and "\t" in line)
            if not blank and not line.startswith(_BREAK):
                first = first or number
                if not self._comment(line):
                    rows.append((number, line.split("\t") if self._tabbed else line.split()))
                continue
            yield from self._finish(lines, rows, first)
            rows, first = [], 0
        yield from self._finish(lines, rows, first)

    def _comment(self, line: str) -> bool:
        if self._conllu:
            return line.startswith("#")
        return self._tabbed and line.startswith("#") and " " in line.split("\t", maxsplit=1)[0]

    def _finish(
        self, lines: Lines, rows: list[tuple[int, list[str]]], first: int
    ) -> Iterator[Sentence]:
        """The sentence of these rows, unless it is at fault or none."""
        spoilt, lines.spoilt = lines.spoilt, False  # it was counted where its line was read
        if spoilt or not first:
            return
        if not rows:
            if self._conllu:
                place = lines.place(first)
                self._faults.skip("sentence without tokens", place, "the sentence has no tokens")
            return
        words, tags, numbers = [], [], []
        for number, cells in rows:
            fault = self._fault(cells)
            if fault is not None:
                self._faults.skip(fault[0], lines.place(number), fault[1])
                return
            if self._conllu and not cells[0].isdigit():
                continue
            words.append(nfc(cells[self._word]))
            tags.append("" if self._tag is None else nfc(cells[self._tag]))
            numbers.append(number)
        labels = None if self._tag is None else tuple(tags)
        yield Sentence(tuple(words), labels, lines.name, tuple(numbers))

    def _fault(self, cells: list[str]) -> tuple[str, str] | None:
        """Kind of fault of a row and what is wrong, or None."""
        width = len(CONLLU) if self._conllu else (self._width or len(cells))
        wanted = [c for c in (self._word, self._tag) if c is not None]
        if len(cells) != width:
            whose = "CoNLL-U has" if self._conllu else "the rows before have"
            return "ragged columns", f"the row has {len(cells)} columns, but {whose} {width}"
        self._width = width
        if not all(-width <= column < width for column in wanted) or (
            self._tag is not None and self._tag % width == self._word % width
        ):
            return "missing column", f"the row has {width} columns, too few for word and tag"
        word = cells[self._word]
        if not word:
            return "blank word", "the word is blank"
        if not self._conllu and " " in word.strip(" "):  # a table of texts was given
            return "several words", f"the cell {shown(word)} holds several words, not one"
        skipped = self._conllu and not cells[0].isdigit()
        blank = "_" if self._conllu else ""
        if self._tag is not None and not skipped and cells[self._tag].strip() in ("", blank):
            return "blank tag", f"the word {shown(word)} has no tag"
        return None


def _line_sentences(lines: Lines, faults: Faults, labelled: bool) -> Iterator[Sentence]:
    for number, line in lines:
        if not line.strip():
            continue
        parts = nfc(line).split("\t")
        words, tags = tuple(parts[0].split()), tuple(parts[-1].split())
        place = lines.place(number)
        if labelled and len(parts) != 2:
            problem = f"the line has {len(parts)} columns, not 2: words, a tab, tags"
            faults.skip("ragged columns", place, problem)
        elif not words:
            faults.skip("sentence without tokens", place, "the sentence has no tokens")
        elif labelled and len(words) != len(tags):
            problem = f"{len(words)} words, but {len(tags)} tags"
            faults.skip("number of tags", place, problem)
        else:
            numbers = (number,) * len(words)
            yield Sentence(words, tags if labelled else None, lines.name, numbers)


def _json_sentences(
    form: str, lines: Lines, columns: TagColumns, faults: Faults, labelled: bool
) -> Iterator[Sentence]:
    parts_of = JsonSentences(columns.words, columns.tags, faults, labelled)
    records = json_list(lines, faults) if form == "json" else json_lines(lines, faults)
    for number, record in records:
        found = parts_of(record, lines.place(number))
        if found is not None:
            words, tags, characters = found
            yield Sentence(words, tags, lines.name, (number,) * len(words), characters)


def _not_empty(found: Iterator[Sentence], lines: Lines, faults: Faults) -> Iterator[Sentence]:
    before, count = faults.stats.skipped, 0
    for sentence in found:
        count += 1
        yield sentence
    if not count:
        skipped = faults.stats.skipped - before
        why = f"all {skipped:,} were skipped" if skipped else "the file is empty"
        raise DataError(f"{lines.name}: there is no sentence ({why}); check the file")
