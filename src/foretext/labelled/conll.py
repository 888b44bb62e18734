"""Tagged sentences: CoNLL columns, CoNLL-U, lines of words and tags, and JSON; streamed.

    columns  a token a line, its word and tag in columns, a line without a token between sentences
             (see labelled/token_rows.py)
    conllu   ten columns; comments, multi-word ranges (1-2) and empty nodes (1.1) are left out
    csv      a token a line of a .csv, perhaps with a header and a column of sentences
    lines    a sentence a line: words separated by spaces, a tab, as many tags
    jsonl    {"tokens": [...], "tags": [...]}, or {"text": ..., "entities": [{"start", "end",
             "label"}]} with entities by characters, which become a tag for every character, and the
             exports of tools for annotation (see labelled/annotations.py)
    json     a list of such records

Words are in NFC.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path

from foretext.core.errors import ConfigError, DataError
from foretext.labelled.json_tags import JsonSentences
from foretext.labelled.token_rows import (
    CONLLU,
    RowShape,
    TokenRows,
    alike,
    delimiter_of,
    is_row,
)
from foretext.text.decompress import EXPANDERS
from foretext.text.errors import CorpusStats, Faults, OnError, listed, shown
from foretext.text.json_list import json_lines, json_list
from foretext.text.lines import Lines
from foretext.text.normalise import nfc

FORMATS = ("columns", "conllu", "lines", "csv", "jsonl", "json")
_PEEK = 400  # lines from which the format is told
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
    delimiter: str | None = None  # what parts the columns; None = told from the file


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
    whole = form in ("columns", "conllu", "csv")  # a sentence is lost with each of its lines
    lines = Lines(path, faults, keep_bad=whole, mark_bad=form == "json")
    if form in ("json", "jsonl"):
        found: Iterator[Sentence] = _json_sentences(form, lines, columns, faults, labelled)
    elif form == "lines":
        found = _line_sentences(lines, faults, labelled)
    else:
        found = _row_sentences(form, lines, columns, head, faults, labelled)
    return _not_empty(found, lines, faults)


def looks_tagged(path: Path) -> bool:
    """Whether a file whose name says nothing, such as .txt, holds columns; else a sentence a line.

    Its rows have equally many columns, and tabs between them, or tags such as B-PER in the last, or
    blank lines between groups of rows, which a file with a sentence a line does not have.
    """
    lines = _first_lines(path)
    while lines and not lines[-1].strip():
        lines.pop()
    rows = [line for line in lines if is_row(line)]
    if alike(line.count("\t") for line in rows) > 0:
        return True
    cells = [line.split() for line in rows]
    if not (width := alike(map(len, cells))):
        return False
    if width > 1 and all(_SCHEME_TAG.fullmatch(row[-1]) for row in cells if len(row) == width):
        return True
    grouped = any(one.strip() and other.strip() for one, other in pairwise(lines))
    return grouped and not all(line.strip() for line in lines)


def _head(path: Path) -> list[str]:
    """The first lines that are not blank."""
    return [line for line in _first_lines(path) if line.strip()]


def _first_lines(path: Path) -> list[str]:
    quiet = Faults(OnError.REPLACE, CorpusStats())
    return [line for _, line in islice(Lines(path, quiet), _PEEK)]


def _named_format(path: Path) -> str | None:
    """The format that a file's suffix says."""
    suffixes = [s.lower() for s in path.suffixes[-2:]]
    if suffixes and suffixes[-1] in EXPANDERS:
        suffixes.pop()
    suffix = suffixes[-1].removeprefix(".") if suffixes else ""
    return suffix if suffix in ("json", "jsonl", "conllu", "csv") else None


def _format(head: Sequence[str]) -> str:
    cells = [line.split("\t") for line in head]
    rows = [row for row in cells if not row[0].startswith("#")]
    if rows and all(len(row) == len(CONLLU) and row[0][:1].isdigit() for row in rows):
        return "conllu"
    pairs = [[len(cell.split()) for cell in row] for row in cells if len(row) == 2]
    several = sum(words == tags and words > 1 for words, tags in pairs)
    return "lines" if several and 2 * several >= len(head) else "columns"


def _row_sentences(
    form: str,
    lines: Lines,
    columns: TagColumns,
    head: Sequence[str],
    faults: Faults,
    labelled: bool,
) -> Iterator[Sentence]:
    shape = RowShape.of(
        head,
        conllu=form == "conllu",
        delimiter=columns.delimiter or delimiter_of(head, table=form == "csv"),
        word=columns.words,
        tag=columns.tags,
        labelled=labelled,
    )
    for words, tags, numbers in TokenRows(shape, faults).sentences(lines):
        labels = None if tags is None else tuple(tags)
        yield Sentence(tuple(words), labels, lines.name, tuple(numbers))


def _line_sentences(lines: Lines, faults: Faults, labelled: bool) -> Iterator[Sentence]:
    for number, line in lines:
        if not line.strip():
            continue
        parts = nfc(line).split("\t")
        words, tags = tuple(parts[0].split()), tuple(parts[-1].split())
        place = lines.place(number)
        if labelled and len(parts) != 2:
            problem = f"the line has {len(parts)} columns, not 2: words, a tab, tags"
            faults.skip("ragged columns", place, problem, words=len(words))
        elif not words:
            faults.skip("sentence without tokens", place, "the sentence has no tokens")
        elif labelled and len(words) != len(tags):
            problem = f"{len(words)} words, but {len(tags)} tags"
            faults.skip("number of tags", place, problem, words=len(words))
        else:
            numbers = (number,) * len(words)
            yield Sentence(words, tags if labelled else None, lines.name, numbers)


def _json_sentences(
    form: str, lines: Lines, columns: TagColumns, faults: Faults, labelled: bool
) -> Iterator[Sentence]:
    parts_of = JsonSentences(columns.words, columns.tags, faults, labelled)
    read = json_list if form == "json" else json_lines
    for number, record in read(lines, faults, kinds=(dict, list)):
        for words, tags, characters in parts_of(record, lines.place(number)):
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
