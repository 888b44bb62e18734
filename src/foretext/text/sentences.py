"""Where sentences start, by rule, for English and Korean (and the marks of Chinese and Japanese).

Rules, in the order in which they are tried at each newline and each run of `. ! ? …` or `。！？`
with the quotes and brackets that close after it:

1.  A newline always ends a sentence.
2.  `。！？｡` end one, with or without white space after them; before a particle of quotation
    (rule 5) not.
3.  Without white space after them the other marks end none (3.14, foretext.data, U.S.), but for
    Korean written closely: after 다 요 까 죠 before Hangul or an opening quote (`갔다.그는`), and
    `!` or `?` between Hangul.
4.  Before a lower-case letter, a dash, a comma or more marks the sentence goes on (`"Why?" she
    said`), but not after 다. 요. 까. 죠.; marks without a word before them end none (`. . .`).
5.  Korean after a closing quote: before 라고 하고 라는 라며 고 ... the sentence goes on.
6.  Dots `..`, `...` and `…` after Hangul end a sentence only after an ending, such as
    다 요 까 죠 네 지 음 함 임.
7.  A single dot after a title or another abbreviation that needs what follows (Mr. Dr. e.g. vs.)
    ends none. After one that may stand last (etc. Inc. U.S. p.m.), a month or an initial (J.) it
    ends one only before a word that typically begins sentences (The, He, In, ...).
8.  A dot after a number that begins its sentence (a list mark: `1. Introduction`), and one in or
    after a date of numbers (2019. 3. 5.), ends none; nor does one after No. p. Fig. before a
    number.
9.  All other marks before white space end a sentence.

White space after a sentence belongs to it, so sentences partition the text. Time is linear.
"""

from __future__ import annotations

import re

_CLOSERS = "\"'”’»)\\]}』」》〉）】］*_"
_BOUNDARY = re.compile(rf"[.!?…\n。！？｡](?:(?<=\n)|(?<!\n)[.!?…。！？｡]*[{_CLOSERS}]*)\s*")
_CLOSING = frozenset("\"'”’»)]}』」》〉）】］*_")
_OPENING = frozenset("\"'“‘«([{『「《〈（【［*_")
_WIDE = frozenset("。！？｡")
_GOES_ON = frozenset("-–—―,;:·/&%=+~…、，.!?")
_PARTICLE = re.compile(r"(?:이?라[고는며면던]|하[고며는던]|[고며는]\s|란\s|이?란\s|と|って)")
_CLOSE_ENDING = frozenset("다요까죠")
_DOTS_ENDING = frozenset("다요까죠네지음함임자군걸라")
_WORD = re.compile(r"[^\s\"'“”‘’«(\[{）)]*\Z")
_INITIALS = re.compile(r"(?:[^\W\d_]\.)*[^\W\d_]\Z")
_NUMBER_DOT = re.compile(r"\d{1,4}\.(?!\d)")
_DATE = re.compile(r"\d{2,4}\.\s?\d{1,2}\.\s?\d{1,2}\Z")
_FIRST_WORD = re.compile(r"[A-Za-z]+")
_PUNCTUATION = 8  # characters: longer runs of marks alone are taken for a sentence
_LOOK_BACK = 24  # characters: longer than any abbreviation


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_NEVER_LAST = _words(
    """mr mrs ms messrs mons brig mme mlle dr prof ste mt gen col lt capt cpt cmdr maj sgt cpl pvt
    adm rev revd hon gov pres sen rep supt insp det fr e.g eg i.e ie cf vs v viz approx ca nos
    figs eqs secs chs vols pp"""
)
_BEFORE_NUMBER = _words("no nos p pp fig figs eq eqs sec ch vol vols art op para app ver")
_MAY_BE_LAST = _words(
    """etc al st ft inc ltd co corp bros jr sr esq llc plc dept univ assn ave blvd rd hwy jan feb
    mar apr jun jul aug sep sept oct nov dec ph.d m.d b.a m.a d.c a.m p.m b.c a.d u.s u.k u.n e.u
    u.s.a u.s.s.r ed eds est dist cal calif mass conn penn tex wash ore ariz colo okla tenn ky ga
    fla minn wis mich ill ind mo ark ala miss"""
)
_STARTERS = _words(
    """A An The This That These Those He She It We They You His Her Its Our Their My Your There
    Here In On At By For From With As After Before During Since Until While When Where Who What
    Why How If But And So Or Yet Although Though However Then Thus Now Not No Yes One Some Many
    Most All Both Each Every Another Other Such Only Also Once Because Despite Do Did Is Are Was
    Were"""
)


def sentence_starts(text: str) -> list[int]:
    """Character offsets at which sentences start, strictly increasing.

    Args:
        text: one document, in NFC.

    Returns:
        The first offset is 0 and the others point at characters that are not white space; sentence
        i is text[starts[i]:starts[i + 1]]. An empty text has no sentence.
    """
    if not text:
        return []
    starts = [0]
    end_of_text = len(text)
    for match in _BOUNDARY.finditer(text):
        begin, end = match.span()
        if end < end_of_text and _ends(text, begin, end, starts[-1]):
            starts.append(end)
    return starts


def _ends(text: str, begin: int, end: int, start: int) -> bool:
    """Whether the marks, closers and white space of text[begin:end] end the sentence at `start`."""
    mark = text[begin]
    if mark == "\n":
        return start > 0 or bool(text[:begin].strip())  # white space before all text is part of it
    after = text[end]
    spaced = text[end - 1].isspace()
    if spaced and "\n" in text[begin:end]:
        return True
    if begin - start < _PUNCTUATION and not any(map(str.isalnum, text[start:begin])):
        return False
    if not spaced:
        return _ends_closely(text, begin, end)
    marks = text[begin:end].rstrip()
    before = text[begin - 1]
    if marks == "." and before in _CLOSE_ENDING:
        return True
    if after in _GOES_ON or after.islower():
        return False
    first = after if after.isalnum() else _first_letter(text, end)
    if first.islower():
        return False
    if marks[-1] in _CLOSING and _PARTICLE.match(text, end):
        return False
    if mark in "!?。！？｡":
        return True
    if marks[0] == "…" or marks[1:2] in (".", "…"):
        return not "가" <= before <= "힣" or before in _DOTS_ENDING
    return marks[1:2] in ("!", "?") or not _abbreviates(text, begin, end, start)


def _ends_closely(text: str, begin: int, end: int) -> bool:
    """Marks without white space after them: wide ones, and Korean written closely."""
    if text[end - 1] in _WIDE or text[begin] in _WIDE:
        return not _PARTICLE.match(text, end)
    after = text[end]
    if text[end - 1] in _CLOSING or not ("가" <= after <= "힣" or after in "“‘『「《〈（("):
        return False
    before = text[max(begin - 2, 0) : begin]
    if len(before) < 2 or not all("가" <= c <= "힣" for c in before):
        return False
    return text[end - 1] in "!?" or before[1] in _CLOSE_ENDING


def _first_letter(text: str, at: int) -> str:
    """The first character from `at` on that is no opening quote or bracket."""
    for character in text[at : at + 4]:
        if character not in _OPENING:
            return character
    return " "


def _abbreviates(text: str, begin: int, end: int, start: int) -> bool:
    """Whether the single dot at `begin` belongs to an abbreviation, an initial or a number."""
    found = _WORD.search(text, max(start, begin - _LOOK_BACK), begin)
    word = found.group() if found else ""
    if not word:
        return False
    if word.isdigit():
        lists = begin - len(word) == start and len(word) <= 3
        dates = len(word) <= 4 and _NUMBER_DOT.match(text, end) is not None
        dated = _DATE.search(text, max(start, begin - _LOOK_BACK), begin) is not None
        return lists or dates or dated
    lower = word.lower()
    if lower in _NEVER_LAST:
        return True
    if text[end].isdigit() and (lower in _BEFORE_NUMBER or lower in _MAY_BE_LAST):
        return True
    looks_short = word[0].isupper() or "." in word or lower in ("etc", "al")
    if (lower in _MAY_BE_LAST and looks_short) or (word.isascii() and _INITIALS.fullmatch(word)):
        following = _FIRST_WORD.match(text, end)
        return following is None or following.group() not in _STARTERS
    return False
