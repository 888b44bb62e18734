"""What to do with input that cannot be used: stop and say where, replace it, or skip and count it.

Every reader of this package reports through Faults, so that the policy, the wording and the counts
are written once.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from foretext.core.errors import ConfigError, DataError

MAX_SHOWN = 60  # characters of a foreign value that an error repeats


class OnError(StrEnum):
    """Policy for bad input: STOP at the first fault, REPLACE what can be, or SKIP the record."""

    STOP = "stop"
    REPLACE = "replace"
    SKIP = "skip"

    @classmethod
    def of(cls, value: str) -> OnError:
        """The policy of that name.

        Raises:
            ConfigError: there is no such policy.
        """
        try:
            return cls(value)
        except ValueError:
            raise ConfigError(
                f"on_error={shown(value)} is not a policy; choose stop, replace or skip"
            ) from None


@dataclass
class CorpusStats:
    """What was read and what was done to it; filled while a reader is consumed.

    documents, characters and bytes (UTF-8) count the text that was delivered. read_bytes counts
    bytes taken from disk, compressed ones where a file is compressed, so that read_bytes over the
    files' sizes is the progress. replacements and skips count by kind of fault ("invalid UTF-8").
    """

    documents: int = 0
    bytes: int = 0
    characters: int = 0
    read_bytes: int = 0
    cut: int = 0  # extra documents made by cutting one that was too long
    empty: int = 0  # records without any text, which are no documents
    normalized: int = 0  # documents that were not in NFC
    replacements: Counter[str] = field(default_factory=Counter)
    skips: Counter[str] = field(default_factory=Counter)
    unread: list[str] = field(default_factory=list)  # "place: problem" of each file's lost rest
    noted: list[str] | None = None  # given a list: "place: problem" of each skip, in order
    skipped_words: int = 0  # of tagged sentences that were left out
    notes: Counter[str] = field(default_factory=Counter)  # what was read otherwise than it stands

    @property
    def replaced(self) -> int:
        """Lines or records that were mended."""
        return self.replacements.total()

    @property
    def skipped(self) -> int:
        """Lines or records (or rests of a damaged file) that were left out."""
        return self.skips.total()

    @property
    def left_out(self) -> int:
        """Lines or records that were left out; of the rests in `unread` nobody knows how many."""
        return self.skipped - len(self.unread)

    @property
    def words_left_out(self) -> str:
        """ " (12 words)" for the words of sentences that were left out; "" if there are none."""
        return f" ({self.skipped_words:,} words)" if self.skipped_words else ""

    def add(self, other: CorpusStats) -> None:
        """Add another reader's counts to these."""
        for name in ("documents", "bytes", "characters", "read_bytes", "cut", "empty"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.normalized += other.normalized
        self.replacements.update(other.replacements)
        self.skips.update(other.skips)
        self.unread += other.unread
        self.skipped_words += other.skipped_words
        self.notes.update(other.notes)


@dataclass(frozen=True)
class Faults:
    """Reports faults under one policy."""

    on_error: OnError
    stats: CorpusStats

    def replace(
        self, kind: str, place: str, problem: str, hint: str = "", *, words: int = 0
    ) -> bool:
        """A fault that can be mended. True: mend it; False: leave the line or record out.

        Args:
            words: of the sentence that is left out, if it is.

        Raises:
            DataError: the policy is to stop.
        """
        if self.on_error is OnError.STOP:
            remedy = hint or "mend the file, or pass --on-error replace or --on-error skip"
            raise DataError(f"{place}: {problem}; {remedy}")
        if self.on_error is OnError.REPLACE:
            self.stats.replacements[kind] += 1
            return True
        self._count(kind, place, problem, words)
        return False

    def skip(self, kind: str, place: str, problem: str, hint: str = "", *, words: int = 0) -> None:
        """A fault that cannot be mended, so that the line or record is left out and counted.

        Args:
            words: of the sentence that is left out.

        Raises:
            DataError: the policy is to stop.
        """
        if self.on_error is OnError.STOP:
            raise DataError(f"{place}: {problem}; {hint or 'mend the file'}, or --on-error skip")
        self._count(kind, place, problem, words)

    def cut(self, kind: str, place: str, problem: str, hint: str = "") -> None:
        """A fault after which a file cannot be read on; the rest is left out and called unread.

        Raises:
            DataError: the policy is to stop.
        """
        rest = f"{problem}; what comes after it was not read"
        self.skip(kind, place, problem if self.on_error is OnError.STOP else rest, hint)
        self.stats.unread.append(f"{place}: {rest}")

    def _count(self, kind: str, place: str, problem: str, words: int) -> None:
        self.stats.skips[kind] += 1
        self.stats.skipped_words += words
        if self.stats.noted is not None:
            self.stats.noted.append(f"{place}: {problem}")


def shown(value: object) -> str:
    """A foreign value for an error: one line, printable, at most MAX_SHOWN characters."""
    text = repr(value) if isinstance(value, str) else ascii(value)
    if not text.isprintable():
        text = ascii(value)
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"


def shown_path(path: object) -> str:
    """A path for an error: as it is when it is printable, else escaped; never a second line."""
    text = str(path)
    return text if text.isprintable() else ascii(text)


def listed(names: Iterable[str], limit: int = 12) -> str:
    """Names for an error, the first `limit` of them."""
    every = list(names)
    more = f" and {len(every) - limit} more" if len(every) > limit else ""
    return ", ".join(shown(name) for name in every[:limit]) + more or "none"


def nearest(name: str, names: Iterable[str]) -> str:
    """` (did you mean 'x'?)` for the most similar of names, or nothing."""
    found = difflib.get_close_matches(name, list(names)[:1000], n=1)
    return f" (did you mean {shown(found[0])}?)" if found else ""
