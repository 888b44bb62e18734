"""What a corpus holds, before anything is trained on it: the engine of `foretext check-data`.

Memory is bounded (see sketch.py), so that a corpus of any size can be looked at. Labelled tables
are looked at by labelled.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from foretext.text.corpus import CorpusStats, Document, Sources, corpus_files, read_corpus
from foretext.text.sketch import Lengths, LengthSummary, Repeats

BATCH_CHARS = 2**18  # characters tokenised at once
SHORT_DOCUMENT = 40  # characters: less than a sentence
GIANT_CHARS = 100_000  # characters from which a single document is suspicious

_JAMO = re.compile("[\u1100-\u11ff\ua960-\ua97f\ud7b0-\ud7ff]+")  # conjoining, not ㅋㅋ


class TextEncoder(Protocol):
    """What is needed of a tokenizer."""

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text."""
        ...

    @property
    def special(self) -> Any:
        """Its special tokens; `special.unk` is an id or None."""
        ...


@dataclass(frozen=True, kw_only=True)
class CorpusReport:
    """What was found. Rates are shares in [0, 1]; token figures are None without a tokenizer."""

    files: int
    documents: int
    bytes: int  # UTF-8
    characters: int
    duplicate_documents: int  # documents equal to an earlier one; estimated when `sampled`
    duplicate_document_rate: float
    lines: int  # lines that hold text
    repeated_line_rate: float  # share of these lines equal to an earlier one
    most_repeated_line: str | None  # its first 60 characters, when some line occurs 10 times
    most_repeated_line_count: int
    sampled: bool  # too many distinct texts to remember: rates are estimates
    lengths: LengthSummary  # characters a document
    tokens: int | None
    token_lengths: LengthSummary | None  # tokens a document
    unknown_rate: float | None  # share of tokens that are the unknown token
    tokens_per_byte: float | None
    jamo_documents: int  # documents with conjoining jamo that form no syllable
    replacement_documents: int  # documents with U+FFFD, a sign of earlier damage
    normalized: int  # documents that were not in NFC
    empty: int
    cut: int
    replaced: dict[str, int]  # by kind of fault
    skipped: dict[str, int]
    unread: tuple[str, ...]  # where the rest of a file could not be read, and why
    warnings: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain dicts, lists and numbers, for JSON."""
        return asdict(self) | {name: list(getattr(self, name)) for name in ("unread", "warnings")}


def inspect_corpus(
    sources: Sources,
    tokenizer: TextEncoder | None = None,
    on_error: str = "stop",
    *,
    text_field: str = "text",
    progress: Callable[[int, int], None] | None = None,
) -> CorpusReport:
    """Read a whole corpus once and report on it.

    Args:
        sources, on_error, text_field: as in read_corpus.
        tokenizer: to count tokens with; None to do without.
        progress: called with the bytes read and their total, about once a megabyte.

    Raises:
        ConfigError: as read_corpus.
        DataError: as read_corpus.
    """
    stats = CorpusStats()
    files = corpus_files(sources)
    total, told = sum(file.size for file in files), 0
    survey = _Survey(tokenizer)
    for document in read_corpus(sources, on_error=on_error, text_field=text_field, stats=stats):
        survey.add(document)
        if progress is not None and total > stats.read_bytes >= told + 2**20:
            told = stats.read_bytes
            progress(told, total)
    if progress is not None and total:
        progress(total, total)
    return survey.report(len(files), stats)


class _Survey:
    """The running counts of inspect_corpus."""

    def __init__(self, tokenizer: TextEncoder | None) -> None:
        self.documents = Repeats()
        self.lines = Repeats()
        self.lengths = Lengths()
        self.jamo = self.damaged = 0
        self.most: tuple[int, str] = (0, "")
        self.tokens = None if tokenizer is None else _TokenCounts(tokenizer)

    def add(self, document: Document) -> None:
        text = document.text
        self.documents.add(text)
        self.lengths.add(len(text))
        self.jamo += not text.isascii() and _JAMO.search(text) is not None
        self.damaged += "\ufffd" in text
        for line in text.split("\n"):
            if line and not line.isspace():
                times = self.lines.add(line)
                if times > self.most[0] and times > 9:
                    self.most = (times, line[:60])
        if self.tokens is not None:
            self.tokens.add(text)

    def report(self, files: int, stats: CorpusStats) -> CorpusReport:
        tokens = self.tokens
        if tokens is not None:
            tokens.flush()
        facts: dict[str, Any] = {
            "files": files,
            "documents": stats.documents,
            "bytes": stats.bytes,
            "characters": stats.characters,
            "duplicate_documents": round(self.documents.rate * stats.documents),
            "duplicate_document_rate": self.documents.rate,
            "lines": self.lines.total,
            "repeated_line_rate": self.lines.rate,
            "most_repeated_line": self.most[1] or None,
            "most_repeated_line_count": self.most[0],
            "sampled": bool(self.lines.shift or self.documents.shift),
            "lengths": self.lengths.summary(),
            "tokens": tokens and tokens.count,
            "token_lengths": tokens and tokens.lengths.summary(),
            "unknown_rate": tokens and tokens.unknown / max(tokens.count, 1),
            "tokens_per_byte": tokens and tokens.count / max(stats.bytes, 1),
            "jamo_documents": self.jamo,
            "replacement_documents": self.damaged,
            "normalized": stats.normalized,
            "empty": stats.empty,
            "cut": stats.cut,
            "replaced": dict(stats.replacements),
            "skipped": dict(stats.skips),
            "unread": tuple(stats.unread),
        }
        return CorpusReport(**facts, warnings=tuple(_warnings(CorpusReport(**facts, warnings=()))))


class _TokenCounts:
    """Tokens of documents, in batches of bounded size; a longer document goes in pieces."""

    def __init__(self, tokenizer: TextEncoder) -> None:
        self.count = self.unknown = 0
        self.lengths = Lengths()
        self._tokenizer = tokenizer
        self._unknown_id = tokenizer.special.unk
        self._held: list[str] = []
        self._size = 0

    def add(self, text: str) -> None:
        if len(text) > BATCH_CHARS:
            self.lengths.add(sum(self._encode([piece])[0] for piece in _pieces(text)))
            return
        self._held.append(text)
        self._size += len(text)
        if self._size > BATCH_CHARS:
            self.flush()

    def flush(self) -> None:
        """Count the documents that are still held."""
        for length in self._encode(self._held):
            self.lengths.add(length)
        self._held, self._size = [], 0

    def _encode(self, texts: list[str]) -> list[int]:
        encoded = self._tokenizer.encode_batch(texts) if texts else []
        self.count += sum(map(len, encoded))
        if self._unknown_id is not None:
            self.unknown += sum(ids.count(self._unknown_id) for ids in encoded)
        return [len(ids) for ids in encoded]


def _pieces(text: str) -> Iterator[str]:
    """The text in pieces of at most BATCH_CHARS, cut at line ends or spaces where there are any."""
    start = 0
    while start < len(text):
        stop = start + BATCH_CHARS
        if stop < len(text):
            space = max(text.rfind("\n", start, stop), text.rfind(" ", start, stop))
            stop = space + 1 if space > start else stop
        yield text[start:stop]
        start = stop


def _warnings(report: CorpusReport) -> Iterator[str]:
    """What a practitioner would want to know before spending hours on this corpus."""
    yield from report.unread
    skipped, replaced = sum(report.skipped.values()), sum(report.replaced.values())
    skipped -= len(report.unread)
    if skipped or replaced:
        yield f"{skipped:,} lines or records were skipped and {replaced:,} mended; see the counts"
    if report.duplicate_document_rate > 0.01:
        yield (
            f"{report.duplicate_document_rate:.1%} of the documents repeat an earlier one; "
            "remove the copies, the model would learn them by heart"
        )
    if report.repeated_line_rate > 0.1:
        yield (
            f"{report.repeated_line_rate:.1%} of the lines repeat an earlier one; "
            "look for menus, headers or boilerplate"
        )
    yield from _shape_warnings(report)
    if report.jamo_documents:
        yield (
            f"{report.jamo_documents:,} documents hold Hangul jamo that form no syllable; "
            "check how the text was made"
        )
    if report.replacement_documents:
        yield (
            f"{report.replacement_documents:,} documents hold U+FFFD, the mark of characters lost "
            "in a conversion"
        )
    if report.unknown_rate is not None and report.unknown_rate > 0.01:
        yield (
            f"{report.unknown_rate:.1%} of the tokens are unknown; "
            "train a tokenizer on this text, or use byte-bpe"
        )


def _shape_warnings(report: CorpusReport) -> Iterator[str]:
    """Documents that are too few, too short or too long."""
    lengths = report.lengths
    if lengths.max > GIANT_CHARS and 2 * lengths.max > report.characters:
        yield (
            f"one document holds {lengths.max / report.characters:.0%} of the text; "
            "put a blank line between documents"
        )
    elif report.cut:
        yield (
            f"documents without a blank line were cut {report.cut:,} times; "
            "put a blank line between documents"
        )
    if lengths.median < SHORT_DOCUMENT:
        yield (
            f"half of the documents have at most {lengths.median} characters; if a blank line "
            "follows every sentence, remove it: next-sentence prediction needs longer documents"
        )
    if report.empty:
        yield f"{report.empty:,} records hold no text"
