"""From text to shards: whole documents tokenised by parallel workers in memory that stays flat.

Sentence borders are found in the text and mapped to tokens afterwards, so they never change the
tokenisation. The reader gathers documents into jobs of about JOB_CHARS characters. Each worker
process holds one job at a time and results are taken in the order of the jobs, which bounds the
memory and makes the bytes on disk the same for any number of workers. A document longer than a job
is tokenised in pieces that start where sentences start.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from foretext.core.atomic import atomic_folder, clean_leftovers
from foretext.core.errors import ConfigError, DataError
from foretext.shards.origin import is_origin, origin, stamp
from foretext.shards.store import (
    FORMAT,
    KINDS,
    MANIFEST,
    OFFSET_DTYPE,
    VERSION,
    Shards,
    content_hash,
    file_name,
    manifest_checksum,
)
from foretext.shards.workers import (
    Encoded,
    ShardTokenizer,
    TokenizeJob,
    encode_in_order,
    id_dtype,
)
from foretext.text.corpus import (
    CorpusFile,
    CorpusStats,
    Document,
    corpus_files,
    read_corpus,
)
from foretext.text.sentences import sentence_starts

JOB_CHARS = 2**18  # the tokenizer needs about 100 bytes of memory a character
_MAX_SHARD_TOKENS = 2**32 - 1  # sentence offsets are uint32
_LEAST_SHARE = 8  # no tokenizer seen makes shards below an eighth of the text
_NAMED_FILES = 100  # of the source, in the manifest

Integers: TypeAlias = NDArray[np.integer[Any]]
Progress: TypeAlias = Callable[[int, int | None], None]


class OtherShards(DataError):
    """Whole shards lie there, but of another text, tokenizer or option."""


def prepare(
    sources: Sequence[str | Path] | str | Path,
    *,
    tokenizer: ShardTokenizer,
    out: str | Path,
    workers: int = 1,
    on_error: str = "stop",
    text_field: str = "text",
    progress: Progress | None = None,
    shard_tokens: int = 2**26,
) -> Shards:
    """Tokenise a corpus into a shards folder, which appears whole or not at all.

    Args:
        sources: files, folders, globs or "-", as read_corpus takes them.
        tokenizer: any foretext Tokenizer; it is saved inside the folder.
        out: the folder to make. If it holds these very sources under this tokenizer, it is opened
            and nothing is written. Files of another place or time are compared by their bytes.
        workers: processes that tokenise beside the one that reads; 0 tokenises in this process.
        on_error: "stop", "replace" or "skip" bad input, as in read_corpus.
        text_field: the field or column of .jsonl, .parquet, .csv and .tsv that holds the text.
        progress: called with the bytes of source done and their total, None if it is unknown.
        shard_tokens: a shard ends with the document that reaches this many tokens.

    Raises:
        DataError: the text cannot be read or is empty, the disk is full, or `out` holds something
            else.
        ConfigError: workers or shard_tokens is out of range.
    """
    out = Path(out).absolute()
    if workers < 0:
        raise ConfigError(f"workers={workers} is negative; use 0 for none beside this process")
    if not 0 < shard_tokens < _MAX_SHARD_TOKENS:
        raise ConfigError(f"shard_tokens={shard_tokens} is outside 1..2**32-2; leave it at 2**26")
    files = corpus_files(sources)
    options = (tokenizer.fingerprint, on_error, text_field, shard_tokens)
    if (existing := _existing(out, files, *options)) is not None:
        return existing
    begun = stamp(files, *options)
    _check_space(out, files)
    clean_leftovers(out.parent)
    stats = CorpusStats()
    documents = read_corpus(sources, on_error=on_error, text_field=text_field, stats=stats)
    total = sum(file.size for file in files) if begun else None
    report = (lambda done: progress(done, total)) if progress else None
    with _publishing(out) as folder:
        tokenizer.save(folder / "tokenizer")
        results = encode_in_order(_jobs(documents, stats), tokenizer, folder / "tokenizer", workers)
        with contextlib.closing(results), ShardWriter(folder, shard_tokens) as writer:
            _write_shards(results, writer, report)
        made_of = {**origin(files, begun, *options), "source": _source(files, stats)}
        _write_manifest(folder, writer, tokenizer, made_of)
    return Shards.open(out, verify=False)


def _write_shards(
    results: Iterable[tuple[TokenizeJob, Encoded]],
    writer: ShardWriter,
    report: Callable[[int], None] | None,
) -> None:
    for job, encoded in results:
        writer.add(encoded, continues=job.continues)
        if report is not None:
            report(job.position)
    if not writer.shards:
        raise DataError("the tokenizer finds no tokens in this text; train one on the text itself")


@contextlib.contextmanager
def _publishing(out: Path) -> Iterator[Path]:
    """atomic_folder, with the errors that a user can mend as DataError."""
    try:
        with atomic_folder(out) as folder:
            yield folder
    except OSError as error:  # of writing; the readers raise their own DataError
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DataError(
                f"no space left on the disk of {out}; shards take about as much as the text "
                "itself: free that much, or choose another --out"
            ) from error
        reason = error.strerror or error
        raise DataError(f"{out} cannot be written ({reason}); choose another --out") from error


class ShardWriter:
    """Appends encoded documents to shard files, and counts and hashes what it writes."""

    def __init__(self, folder: Path, shard_tokens: int) -> None:
        self.folder = folder
        self.shard_tokens = shard_tokens
        self.shards: list[dict[str, int]] = []  # counts of each shard begun, by KINDS
        self.files: dict[str, dict[str, Any]] = {}  # size and sha256 of each file closed
        self._open: dict[str, _HashedFile] = {}
        self._begun = False  # whether the document that a next piece may continue holds tokens

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._close_shard()
        for file in self._open.values():
            with contextlib.suppress(OSError):  # a full disk, reported already
                file.close()

    def add(self, encoded: Encoded, *, continues: bool) -> None:
        """Append documents; if `continues`, the first is a piece of the last one before it."""
        ids, lengths, counts = encoded
        if continues and self._begun:
            self._append(ids, lengths, counts[:0])
            return
        self._begun = len(counts) > 0
        while len(counts):
            if not self.shards or self.shards[-1]["tokens"] >= self.shard_tokens:
                self._close_shard()
                self._begin_shard()
            ends = np.cumsum(lengths)[np.cumsum(counts) - 1]  # [documents], in tokens
            room = self.shard_tokens - self.shards[-1]["tokens"]
            documents = min(int(np.searchsorted(ends, room)) + 1, len(counts))
            tokens, sentences = int(ends[documents - 1]), int(counts[:documents].sum())
            self._append(ids[:tokens], lengths[:sentences], counts[:documents])
            ids, lengths, counts = ids[tokens:], lengths[sentences:], counts[documents:]

    def _append(self, ids: Integers, lengths: Integers, counts: Integers) -> None:
        shard = self.shards[-1]
        if shard["tokens"] + len(ids) > _MAX_SHARD_TOKENS:
            raise DataError(
                "a document has more than 2**32 tokens; separate documents by blank lines (.txt)"
            )
        self._open["tokens"].write(ids)
        self._open["sentences"].write(_starts(shard["tokens"], lengths))
        self._open["documents"].write(_starts(shard["sentences"], counts))
        shard["tokens"] += len(ids)
        shard["sentences"] += len(lengths)
        shard["documents"] += len(counts)

    def _begin_shard(self) -> None:
        names = {kind: file_name(kind, len(self.shards)) for kind in KINDS}
        self._open = {kind: _HashedFile(self.folder / name) for kind, name in names.items()}
        self.shards.append(dict.fromkeys(KINDS, 0))

    def _close_shard(self) -> None:
        if not self._open:
            return
        for kind, counted in (("sentences", "tokens"), ("documents", "sentences")):
            self._open[kind].write(np.array([self.shards[-1][counted]], OFFSET_DTYPE))
        for file in self._open.values():
            file.close()
            self.files[file.path.name] = {"size": file.size, "sha256": file.digest.hexdigest()}
        self._open = {}


class _HashedFile:
    """A file being written, its size and its SHA-256."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self.digest = hashlib.sha256()
        self._file = path.open("wb")

    def write(self, numbers: Integers) -> None:
        data = numbers.tobytes()
        self._file.write(data)
        self.digest.update(data)
        self.size += len(data)

    def close(self) -> None:
        self._file.close()


def _starts(first: int, lengths: Integers) -> Integers:
    """Where consecutive parts of these lengths start, the first at `first`."""
    return (first + np.cumsum(lengths) - lengths).astype(OFFSET_DTYPE)


def _jobs(documents: Iterable[Document], stats: CorpusStats) -> Iterator[TokenizeJob]:
    """Gather documents into jobs, and cut those that are longer than a job."""
    texts: list[str] = []
    size = 0
    for document in documents:
        if len(document.text) > JOB_CHARS:
            if texts:
                yield TokenizeJob(texts, position=stats.read_bytes)
            texts, size = [], 0
            for number, piece in enumerate(_pieces(document.text)):
                yield TokenizeJob([piece], continues=number > 0, position=stats.read_bytes)
            continue
        texts.append(document.text)
        size += len(document.text)
        if size >= JOB_CHARS:
            yield TokenizeJob(texts, position=stats.read_bytes)
            texts, size = [], 0
    if texts:
        yield TokenizeJob(texts, position=stats.read_bytes)


def _pieces(text: str) -> Iterator[str]:
    """Parts of at most JOB_CHARS characters that start sentences, else words, else anywhere."""
    start = 0
    while len(text) - start > JOB_CHARS:
        part = text[start : start + JOB_CHARS]
        cut = sentence_starts(part)[-1] or max(part.rfind(" "), 0) or JOB_CHARS
        yield part[:cut]
        start += cut
    yield text[start:]


def _source(files: Sequence[CorpusFile], stats: CorpusStats) -> dict[str, Any]:
    """Where the text came from and what reading it did, for the manifest."""
    counted = ("documents", "bytes", "characters", "cut", "empty", "normalized")
    return {
        "num_files": len(files),
        "first_files": [{"name": f.path.name, "size": f.size} for f in files[:_NAMED_FILES]],
        **{name: getattr(stats, name) for name in counted},
        "replacements": dict(sorted(stats.replacements.items())),
        "skips": dict(sorted(stats.skips.items())),
    }


def _check_space(out: Path, files: Sequence[CorpusFile]) -> None:
    """Refuse a run that is certain to fill the disk, before its hours of work."""
    parent = next(folder for folder in out.parents if folder.is_dir())
    free, text = shutil.disk_usage(parent).free, sum(file.size for file in files)
    if free < text // _LEAST_SHARE:
        raise DataError(
            f"{free:,} bytes are free for {out}, but the shards of {text:,} bytes of text take "
            "about as many; free some, or choose another --out"
        )


def _existing(out: Path, files: Sequence[CorpusFile], *options: str | int) -> Shards | None:
    """The shards that are at `out` already, if they are what would be written.

    Raises:
        OtherShards: others are.
        DataError: something else is there.
    """
    if not out.exists():
        return None
    if out.is_dir() and not any(out.iterdir()):
        out.rmdir()  # made by the user beforehand
        return None
    if not (out / MANIFEST).is_file():
        raise DataError(f"{out} exists and is no shards folder; choose another --out")
    shards = Shards.open(out)
    if not is_origin(shards.manifest, files, *options):
        raise OtherShards(
            f"{out} holds shards of another text, tokenizer or option; choose another --out, or "
            f"delete {out} first"
        )
    return shards


def _write_manifest(
    folder: Path, writer: ShardWriter, tokenizer: ShardTokenizer, made_of: dict[str, Any]
) -> None:
    """Describe and seal a folder whose other files are complete."""
    files = dict(writer.files)
    for path in sorted((folder / "tokenizer").rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            name = path.relative_to(folder).as_posix()
            files[name] = {"size": path.stat().st_size, "sha256": digest}
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        **{f"num_{kind}": sum(shard[kind] for shard in writer.shards) for kind in KINDS},
        "dtype": id_dtype(tokenizer.vocab_size).name,
        "vocab_size": tokenizer.vocab_size,
        "tokenizer": {"kind": tokenizer.kind, "fingerprint": tokenizer.fingerprint},
        **made_of,
        "content": content_hash(files, len(writer.shards)),
        "shards": writer.shards,
        "files": files,
    }
    manifest["checksum"] = manifest_checksum(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2), encoding="utf-8")
