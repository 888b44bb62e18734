"""Files with a token a line: CoNLL's columns, CoNLL-U, and tables whose columns another sign parts.

A line without a token ends a sentence: blank or white space alone, cells that are all blank, a
-DOCSTART- line, a comment. Columns are cut at the delimiter: a tab where most lines have one, a
comma, semicolon or bar where white space parts nothing, else spaces and tabs; of Unicode's other
spaces none, so that a token may hold them or be one. A first row of names is a header, and a column
called "Sentence #" says where a sentence begins (Kaggle's files).
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from foretext.core.errors import ConfigError
from foretext.text.errors import Faults, listed, shown
from foretext.text.lines import Lines
from foretext.text.normalise import nfc

CONLLU = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
DOCUMENT = "-DOCSTART-"
_ALIKE = 0.9  # share of a file's rows that have the same columns, if it is a table
_MOST = 0.7  # likewise where the sign between columns may be a token too
_SIGNS = (",", ";", "|")  # that part columns where tabs and spaces do not
_SPACES = re.compile("[ \t]+")
_WORDS = ("word", "words", "token", "tokens", "form", "text")  # names of columns, in lower case
_TAGS = ("tag", "tags", "label", "labels", "ner", "ner_tag", "ner_tags", "bio", "iob", "entity")
_SENTENCES = ("sentence #", "sentence", "sentence_id", "sentence id", "sentence_idx", "sent_id")


def alike(counts: Iterable[int], share: float = _ALIKE) -> int:
    """The count that nearly all have, or this share of them, or 0."""
    found = Counter(counts)
    (count, number), *_ = found.most_common(1) or [(0, 0)]
    return count if number >= share * found.total() else 0


def is_row(line: str) -> bool:
    """Whether a line may hold a token: not blank, no comment, no beginning of a document."""
    return bool(line.strip()) and not line.lstrip().startswith((DOCUMENT, "#"))


def delimiter_of(head: Sequence[str], *, table: bool) -> str | None:
    """What parts the columns, told from the first lines; None is spaces and tabs.

    Args:
        head: the lines.
        table: the file's name says that a sign does.
    """
    rows = [line for line in head if is_row(line)]
    if 2 * sum("\t" in line for line in rows) > len(rows):
        return "\t"
    if not table and alike(len(line.split()) for line in rows) != 1:
        return None
    widths = {sign: alike((len(_parted(line, sign)) for line in rows), _MOST) for sign in _SIGNS}
    best = max(widths, key=lambda sign: widths[sign])
    if widths[best] > 1:
        return best
    return "," if table else None


def _parted(line: str, sign: str) -> list[str]:
    """The cells of a line of a table, quotes taken away."""
    return next(csv.reader([line], delimiter=sign), [])


@dataclass(frozen=True, kw_only=True)
class RowShape:
    """How the lines of a file are cut and which columns are read."""

    conllu: bool
    delimiter: str | None  # None is spaces and tabs
    width: int  # columns that nearly all rows have; 0 = they differ
    header: bool  # the first row names the columns
    word: int
    tag: int | None  # None: no tags are read
    sentence: int | None  # the column that says which sentence a token is of

    @classmethod
    def of(
        cls,
        head: Sequence[str],
        *,
        conllu: bool,
        delimiter: str | None,
        word: str | None,
        tag: str | None,
        labelled: bool,
    ) -> RowShape:
        """The shape of a file that begins with these lines.

        Args:
            head: its first lines.
            conllu: it has CoNLL-U's columns.
            delimiter: what parts the columns; None is spaces and tabs.
            word, tag: a column's number from 0 (below 0 from the last) or its name; None = guessed.
            labelled: whether tags are read.

        Raises:
            ConfigError: no column has that name.
        """
        delimiter = "\t" if conllu else delimiter
        rows = [_cells(line, delimiter, 0) for line in head if is_row(line)]
        first = [cell.strip().lower() for cell in rows[0]] if rows else []
        header = not conllu and _names_columns(first, [name for name in (word, tag) if name])
        names = list(CONLLU) if conllu else first if header else []
        if header:
            word = word or _first_of(_WORDS, names)
            tag = tag or _first_of(_TAGS, names)
        at = _column("text", word or ("form" if conllu else "0"), names)
        tagged = _column("label", tag or ("upos" if conllu else "-1"), names)
        groups = [i for i, name in enumerate(names) if name in _SENTENCES and i != at]
        share = _MOST if delimiter in _SIGNS else _ALIKE
        return cls(
            conllu=conllu,
            delimiter=delimiter,
            width=len(CONLLU) if conllu else alike(map(len, rows), share),
            header=header,
            word=at,
            tag=tagged if labelled else None,
            sentence=groups[0] if groups else None,
        )

    def cells(self, line: str) -> list[str]:
        """The columns of a line."""
        found = _cells(line, self.delimiter, self.width)
        extra = len(found) - self.width
        if self.delimiter in _SIGNS and self.width > 1 and extra > 0 and self.word == 0:
            word = str(self.delimiter).join(
                found[: extra + 1]
            )  # the token is the sign, or holds it
            return [word, *found[extra + 1 :]]
        return found

    def is_comment(self, line: str, cells: Sequence[str]) -> bool:
        """Whether the line is a remark; a # with a tag is a token (a pound in CoNLL-2000)."""
        if not line.startswith("#"):
            return False
        if self.conllu:
            return True
        if self.delimiter == "\t":
            blank = not any(cell.strip() for cell in cells[1:])
            return " " in cells[0] or (blank and (self.tag is not None or len(cells[0]) > 1))
        return bool(self.width) and len(cells) != self.width


def _names_columns(first: Sequence[str], named: Sequence[str]) -> bool:
    """Whether the first row's cells, in lower case, are names: those asked for, or usual ones."""
    asked = {name.lower() for name in named if not _number(name)}
    usual = not {*first}.isdisjoint(_WORDS) and not {*first}.isdisjoint(_TAGS)
    return usual or (bool(asked) and asked <= {*first})


def _cells(line: str, delimiter: str | None, width: int) -> list[str]:
    if delimiter is None:
        return _SPACES.split(line.strip(" \t"))
    cells = line.split(delimiter)
    if delimiter == "\t" or '"' not in line or len(delimiter) > 1:
        return cells
    unquoted = _parted(line, delimiter)
    return cells if len(cells) == width != len(unquoted) else unquoted


def _number(name: str) -> bool:
    return name.removeprefix("-").isdecimal()


def _first_of(wanted: Sequence[str], names: Sequence[str]) -> str | None:
    return next((name for name in wanted if name in names), None)


def _column(option: str, column: str, names: Sequence[str]) -> int:
    if column.lower() in names:
        return names.index(column.lower())
    if _number(column):
        return int(column)
    known = f" or one of {listed(names)}" if names else ""
    raise ConfigError(f"data.{option}={shown(column)} is no column; give its number from 0{known}")


Words = tuple[list[str], list[str] | None, list[int]]  # words, tags, the line of each


class TokenRows:
    """The sentences of a file with a token a line."""

    def __init__(self, shape: RowShape, faults: Faults) -> None:
        self._shape = shape
        self._faults = faults
        self._width: int | None = len(CONLLU) if shape.conllu else None  # columns of the file

    def sentences(self, lines: Lines) -> Iterator[Words]:
        """Words, tags and line numbers of each; faults say what is at fault in a sentence."""
        shape = self._shape
        rows: list[tuple[int, list[str]]] = []
        first = 0  # line on which the sentence (or its comments) begins
        named, which = not shape.header, ""
        for number, line in lines:
            cells = shape.cells(line)
            if not any(cell.strip() for cell in cells) or line.lstrip().startswith(DOCUMENT):
                yield from self._finish(lines, rows, first)
                rows, first = [], 0
                continue
            comment = shape.is_comment(line, cells)
            if not named and not comment:
                named = True
                continue
            begins = comment
            if shape.sentence is not None and not comment and len(cells) > shape.sentence:
                name = cells[shape.sentence].strip()
                begins, which = name not in ("", which), name or which
            if begins and rows:
                yield from self._finish(lines, rows, first)
                rows, first = [], 0
            first = first or number
            if not comment:
                rows.append((number, cells))
        yield from self._finish(lines, rows, first)

    def _finish(
        self, lines: Lines, rows: list[tuple[int, list[str]]], first: int
    ) -> Iterator[Words]:
        """The sentence of these rows, unless it is at fault or none."""
        spoilt, lines.spoilt = lines.spoilt, False  # it was counted where its line was read
        if spoilt:
            self._faults.stats.skipped_words += len(rows)
        if spoilt or not first:
            return
        if not rows:
            if self._shape.conllu:
                place = lines.place(first)
                self._faults.skip("sentence without tokens", place, "the sentence has no tokens")
            return
        words, tags, numbers = [], [], []
        for number, cells in rows:
            fault = self._fault(cells)
            if fault is not None:
                self._faults.skip(fault[0], lines.place(number), fault[1], words=len(rows))
                return
            if self._shape.conllu and not cells[0].isdigit():
                continue
            words.append(nfc(cells[self._shape.word]))
            tags.append("" if self._shape.tag is None else nfc(cells[self._shape.tag].strip()))
            numbers.append(number)
        yield words, None if self._shape.tag is None else tags, numbers

    def _fault(self, cells: list[str]) -> tuple[str, str] | None:
        """Kind of fault of a row and what is wrong, or None."""
        shape = self._shape
        width = self._width or len(cells)
        wanted = [c for c in (shape.word, shape.tag) if c is not None]
        if len(cells) != width:
            whose = "CoNLL-U has" if shape.conllu else "the rows before have"
            parted = "white space" if shape.delimiter is None else shown(shape.delimiter)
            cut = "" if shape.conllu else f" (columns are parted by {parted})"
            return "ragged columns", f"the row has {len(cells)} columns, but {whose} {width}{cut}"
        self._width = width
        if not all(-width <= column < width for column in wanted) or (
            shape.tag is not None and shape.tag % width == shape.word % width
        ):
            return "missing column", f"the row has {width} columns, too few for word and tag"
        word = cells[shape.word]
        if not word:
            return "blank word", "the word is blank"
        if not shape.conllu and " " in word.strip(" "):  # a table of texts was given
            return "several words", f"the cell {shown(word)} holds several words, not one"
        skipped = shape.conllu and not cells[0].isdigit()
        blank = "_" if shape.conllu else ""
        if shape.tag is not None and not skipped and cells[shape.tag].strip() in ("", blank):
            return "blank tag", f"the word {shown(word)} has no tag"
        return None
