"""The units that tagging labels, words or characters, and the tokens that stand for them."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from foretext.metrics.tag_schemes import OUTSIDE, PLAIN, Span, read_spans, write_tags
from foretext.objectives.base import Ints

_WORD = re.compile(r"\S+")
_MARKS = ("Mn", "Mc", "Me", "Cf")  # of vowels and accents, and signs that join letters
# Hangul, kana, Han, Thai, Lao, Tibetan, Myanmar, Khmer
_JOINED_UP = re.compile(
    "[\u0e00-\u0fff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u3040-\u318f\u3400-\u4dbf"
    "\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]"
)


@dataclass(frozen=True, slots=True)
class TagExample:
    """Units of a text, perhaps with a tag each in the scheme that is learned."""

    text: str
    starts: tuple[int, ...]  # of each unit, in characters
    units: tuple[str, ...]
    tags: tuple[str, ...] | None = None
    characters: bool = False  # the units are the characters of the text, white space included


def split_text(text: str, unit: str, split: str = "space") -> TagExample:
    """The words of a text or its characters.

    Args:
        text: to be split.
        unit: "word" or "character".
        split: words are what white space separates, or with "punctuation" runs of letters and
            digits, and each other sign alone.
    """
    if unit == "character":
        return TagExample(text, tuple(range(len(text))), tuple(text), characters=True)
    found = [(m.start(), m.group()) for m in _WORD.finditer(text)]
    if split == "punctuation":
        found = [piece for start, word in found for piece in _pieces(start, word)]
    return TagExample(text, tuple(at for at, _ in found), tuple(word for _, word in found))


def _pieces(start: int, word: str) -> Iterator[tuple[int, str]]:
    """Runs of letters, digits and their marks, and each other sign alone, with their places."""
    begun = 0
    for i, sign in enumerate(word):
        if sign.isalnum() or unicodedata.category(sign) in _MARKS:
            continue
        if begun < i:
            yield start + begun, word[begun:i]
        yield start + i, sign
        begun = i + 1
    if begun < len(word):
        yield start + begun, word[begun:]


def words_of(
    text: str, tags: Sequence[str] | None, scheme: str, split: str, notes: Counter[str]
) -> TagExample:
    """The words of a text whose characters have these tags, or none.

    A word of which a span covers a part is covered whole; of two spans in one word the first is
    kept. Both are counted.

    Args:
        text: split as by split_text.
        tags: of its characters.
        scheme: of the tags.
        split: as for split_text.
        notes: the counts.
    """
    example = split_text(text, "word", split)
    if tags is None:
        return example
    if scheme == PLAIN:
        return replace(example, tags=tuple(tags[start] for start in example.starts))
    starts = np.array(example.starts, np.int64)
    stops = starts + np.array([len(unit) for unit in example.units], np.int64)
    found, before = [], 0
    for span in read_spans(tags, scheme):
        first = int(np.searchsorted(stops, span.start, side="right"))
        last = int(np.searchsorted(starts, span.stop, side="left"))
        if first < before:
            first, lost = before, "entities began in a word of an earlier one"
            notes[lost] += 1
        if first >= last:
            continue
        if starts[first] < span.start or stops[last - 1] > span.stop:
            notes["entities ended inside a word, which was taken whole"] += 1
        found.append(Span(first, last, span.type))
        before = last
    found_tags = write_tags(found, len(example.units), scheme)
    return replace(example, tags=tuple(found_tags))


def writes_words(text: str) -> bool:
    """Whether most letters of a text are of scripts that separate words, and them alone."""
    letters = [c for c in text if c.isalpha()]
    joined_up = sum(bool(_JOINED_UP.match(c)) for c in letters)
    return 2 * joined_up <= len(letters)


def joined(units: tuple[str, ...], tags: tuple[str, ...] | None, *, characters: bool) -> TagExample:
    """An example of words, joined by a space, or of characters, joined by nothing."""
    between = "" if characters else " "
    ends = accumulate((len(unit) + len(between) for unit in units), initial=0)
    return TagExample(between.join(units), tuple(ends)[:-1], units, tags, characters)


def label_tokens(example: TagExample, starts: Ints, *, last: bool) -> tuple[Ints, Ints]:
    """Units that have a token of their own, in order, and the token that stands for each.

    Args:
        example: its units.
        starts: where each token of its text starts, [tokens].
        last: a unit's last token instead of its first.
    """
    begins = np.array(example.starts, np.int64)
    ends = begins + np.array([len(unit) for unit in example.units], np.int64)
    unit = np.searchsorted(begins, starts, side="right") - 1
    # A token that starts between two words, such as a byte-level space alone, is of neither.
    inside = np.flatnonzero((unit >= 0) & (starts < ends[unit]))
    if last:
        inside = inside[::-1]
    units, chosen = np.unique(unit[inside], return_index=True)
    return units, inside[chosen]


class WindowTokens(NamedTuple):
    """A window of a sentence's tokens and which of the labelled ones it answers for."""

    begin: int  # first token of the window
    owned: slice  # of the labelled tokens


def windows(
    tokens: Ints, total: int, *, max_tokens: int, stride: int, look_left: bool
) -> Iterator[WindowTokens]:
    """Overlapping windows that cover all tokens; each labelled one is owned once.

    Of two neighbouring windows the one with more context on its shorter side owns a token; or, if
    only the left side is seen, the first that holds it.

    Args:
        tokens: the labelled ones, ascending.
        total: of the sentence.
        max_tokens: tokens of a window.
        stride: tokens from one window to the next, at most max_tokens.
        look_left: the model reads left to right.
    """
    begins = np.array([*range(0, total - max_tokens, stride), max(total - max_tokens, 0)], np.int64)
    last_tokens = begins[:-1] + max_tokens - 1
    cuts = last_tokens if look_left else (last_tokens + begins[1:]) // 2
    borders = [0, *np.searchsorted(tokens, cuts, side="right").tolist(), len(tokens)]
    for begin, first, stop in zip(begins.tolist(), borders, borders[1:], strict=False):
        if stop > first:
            yield WindowTokens(begin, slice(first, stop))


def fill_words(example: TagExample, tags: Sequence[str | None], blank: str) -> list[str]:
    """The tags of all words, from those that have a token of their own.

    A word that stands close behind another and shares its token goes on with its tag; others are
    `blank`.

    Args:
        example: the words.
        tags: in IOB2, or plain; None where a word has no token.
        blank: of what has no token, such as control characters.
    """
    filled: list[str] = []
    end = -1
    for start, unit, tag in zip(example.starts, example.units, tags, strict=True):
        now = tag
        if now is None:
            before = filled[-1] if filled and start == end else blank
            now = "I" + before[1:] if before[:2] in ("B-", "I-") else blank
        filled.append(now)
        end = start + len(unit)
    return filled


def fill_characters(text: Sequence[str], tags: list[str | None], *, plain: bool) -> list[str]:
    """The tags of all characters, from those in which a token begins.

    A character inside a token goes on with its tag, B-X as I-X. White space without a token is
    I-X between X and I-X, else O; plain tags go on over it.

    Args:
        text: the characters.
        tags: in IOB2 or plain; None where no token begins.
        plain: the tags mark no spans.
    """
    filled: list[str] = []
    before = OUTSIDE
    following = _following(tags)
    for character, tag, after in zip(text, tags, following, strict=True):
        if tag is not None:
            now = tag
        elif plain:
            now = before if filled else after or OUTSIDE
        else:
            now = "I" + before[1:] if before != OUTSIDE else OUTSIDE
            if character.isspace() and now != after:
                now = OUTSIDE
        filled.append(now)
        before = now
    return filled


def _following(tags: Sequence[str | None]) -> list[str | None]:
    """The next tag that is known after each."""
    found: list[str | None] = []
    upcoming: str | None = None
    for tag in reversed(tags):
        found.append(upcoming)
        upcoming = upcoming if tag is None else tag
    return found[::-1]
