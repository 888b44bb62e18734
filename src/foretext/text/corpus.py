"""A corpus: files, folders, globs or standard input, as a stream of documents.

    .txt          a blank line ends a document; its lines are joined by a newline
    .jsonl        one object a line, its text in `text_field`
    .csv .tsv     a header row, the text in the column `text_field`
    .parquet      the text in the column `text_field` (needs the `data` extra)

all but .parquet also as .gz, .xz or .zst; `-` is standard input, read as .txt. Text is UTF-8 and
comes out in NFC. Memory does not grow with the corpus: a .txt document that grows beyond
MAX_DOCUMENT characters without a blank line is cut at a line end (CorpusStats.cut counts it), and a
line above 64 MiB is a fault. Files come in the order given; those of a folder or glob are sorted by
path, and their hidden files, and other kinds of file, are left out.
"""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from foretext.core.errors import DataError
from foretext.text.decompress import EXPANDERS, STDIN, unreadable
from foretext.text.errors import CorpusStats, Faults, OnError, listed, nearest, shown, shown_path
from foretext.text.formats import FORMATS, Document

__all__ = [
    "CorpusFile",
    "CorpusStats",
    "Document",
    "OnError",
    "corpus_files",
    "read_corpus",
    "read_file",
]

Sources = Sequence[str | Path] | str | Path


@dataclass(frozen=True, slots=True)
class CorpusFile:
    """One file of a corpus."""

    path: Path
    size: int  # bytes on disk; 0 for standard input


def read_corpus(
    sources: Sources,
    *,
    on_error: str = "stop",
    text_field: str = "text",
    stats: CorpusStats | None = None,
) -> Iterator[Document]:
    """The documents of a corpus, one after another, in NFC.

    Args:
        sources: files, folders, globs, or "-" for standard input; one or several.
        on_error: "stop" at the first fault; "replace" what can be (invalid UTF-8 by U+FFFD, NUL by
            nothing) and skip the rest; "skip" the line (.txt) or record.
        text_field: the key (.jsonl) or column (.csv, .tsv, .parquet) that holds the text.
        stats: filled on the way; None to do without.

    Raises:
        ConfigError: no such policy, or the package that reads a format is missing.
        DataError: nothing there, not readable, at fault (file:line), or no document in all of it.
    """
    stats = CorpusStats() if stats is None else stats
    policy = OnError.of(on_error)
    before = stats.documents
    for file in corpus_files(sources):
        yield from read_file(file.path, on_error=policy, text_field=text_field, stats=stats)
    if stats.documents == before:
        left_out = f" ({stats.skipped:,} lines or records were skipped)" if stats.skipped else ""
        raise DataError(
            f"{_shown_sources(sources)}: the corpus is empty{left_out}; give files with text"
        )


def read_file(
    path: Path,
    *,
    on_error: str = "stop",
    text_field: str = "text",
    stats: CorpusStats | None = None,
) -> Iterator[Document]:
    """The documents of one file; none is no error here. Arguments as in read_corpus.

    Raises:
        ConfigError: as read_corpus.
        DataError: as read_corpus.
    """
    kind = file_kind(path)
    if kind is None:
        raise _unsupported(path)
    faults = Faults(OnError.of(on_error), CorpusStats() if stats is None else stats)
    return FORMATS[kind](path, faults, text_field)


def corpus_files(sources: Sources) -> list[CorpusFile]:
    """The files of a corpus in the order in which they are read, with their sizes in bytes.

    Raises:
        DataError: a source does not exist, matches nothing, or is of no kind that can be read.
    """
    every = [sources] if isinstance(sources, str | Path) else list(sources)
    if not every:
        raise DataError("no text was named; give files, folders, globs or -")
    return [file for source in every for file in _expand(source)]


def file_kind(path: Path) -> str | None:
    """How a file is read: ".txt" for a.txt.gz, say; None if its suffix is not known."""
    if path == STDIN:
        return ".txt"
    suffixes = [s.lower() for s in path.suffixes[-2:]]
    compressed = bool(suffixes) and suffixes[-1] in EXPANDERS
    kind = (suffixes[:-1] if compressed else suffixes)[-1:]
    if not kind or kind[0] not in FORMATS or (compressed and kind[0] == ".parquet"):
        return None
    return kind[0]


def _expand(source: str | Path) -> list[CorpusFile]:
    path = Path(source)
    if "\0" in str(source):
        raise DataError(f"{shown(str(source))}: a path cannot hold a NUL character; check the name")
    if path == STDIN:
        return [CorpusFile(STDIN, 0)]
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return _expand_glob(str(source))
    except OSError as error:
        raise unreadable(path, error) from None
    if stat.S_ISDIR(mode):
        return _readable(_walk(path), path)
    if not stat.S_ISREG(mode):
        raise DataError(f"{shown_path(path)}: is not a regular file; pipe it in and name -")
    if file_kind(path) is None:
        raise _unsupported(path)
    return [CorpusFile(path, path.stat().st_size)]


def _expand_glob(pattern: str) -> list[CorpusFile]:
    path = Path(pattern)
    if not glob.has_magic(pattern):
        if path.is_symlink():
            raise DataError(f"{shown_path(path)}: is a link that points nowhere; mend it")
        siblings = os.listdir(path.parent) if path.parent.is_dir() else []  # noqa: PTH208
        hint = nearest(path.name, siblings)
        raise DataError(f"{shown_path(path)}: there is no such file or folder{hint}; check path")
    matches = sorted(Path(match) for match in glob.glob(pattern, recursive=True))  # noqa: PTH207
    if not matches:
        raise DataError(f"{shown_path(path)}: no file matches this pattern; check the path")
    files = {file: None for match in matches for file in _walk(match)}
    return _readable(sorted(files), path)


def _walk(path: Path) -> list[Path]:
    """The regular files below a folder (or the file itself), sorted, without hidden ones.

    Links are followed, each folder once.
    """
    if not path.is_dir():
        return [path] if path.is_file() else []

    def refuse(error: OSError) -> None:
        raise unreadable(Path(error.filename or path), error)

    found, seen = [], set()
    for folder, folders, names in os.walk(path, onerror=refuse, followlinks=True):
        if (real := Path(folder).resolve()) in seen:
            folders.clear()  # a link to what was seen, perhaps in a circle
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        here = (Path(folder) / name for name in names if not name.startswith("."))
        found += [file for file in here if file.is_file()]
    return sorted(found)


def _readable(paths: list[Path], source: Path) -> list[CorpusFile]:
    """Those files whose kind is known; there must be one."""
    files = [CorpusFile(path, path.stat().st_size) for path in paths if file_kind(path)]
    if not files:
        others = listed(sorted({path.suffix or path.name for path in paths}))
        raise DataError(
            f"{shown_path(source)}: holds no text file (found: {others}); can be read: {KINDS_TEXT}"
        )
    return files


def _unsupported(path: Path) -> DataError:
    kind = f"the suffix {shown(path.suffix)}" if path.suffix else "a name without suffix"
    return DataError(f"{shown_path(path)}: {kind} is not known; can be read: {KINDS_TEXT}")


def _shown_sources(sources: Sources) -> str:
    every = [sources] if isinstance(sources, str | Path) else list(sources)
    more = f" and {len(every) - 3} more" if len(every) > 3 else ""
    return ", ".join(shown_path(source) for source in every[:3]) + more


KINDS_TEXT = (
    f"{' '.join(FORMATS)}, all but .parquet also with {' '.join(EXPANDERS)}, and - (standard input)"
)
