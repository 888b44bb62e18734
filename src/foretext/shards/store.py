"""Shards: a tokenised corpus on disk, read through memory maps.

A shards folder holds, for each shard, three files of little-endian unsigned integers:

    tokens-00000.bin     [tokens]         ids, in the narrowest type that holds the vocabulary
    sentences-00000.bin  [sentences + 1]  uint32, where each sentence starts in the tokens
    documents-00000.bin  [documents + 1]  uint32, where each document starts in the sentences

beside the tokenizer that made them (`tokenizer/`) and `manifest.json`: counts, and size and SHA-256
of every file. Ids carry no special tokens, no document and no sentence is empty, and a document
never crosses from one shard to the next.
"""

from __future__ import annotations

import bisect
import functools
import hashlib
import json
from collections.abc import Callable, Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from foretext.core import rng
from foretext.core.errors import ConfigError, DataError

FORMAT = "foretext-shards"
VERSION = 1
MANIFEST = "manifest.json"
KINDS = ("tokens", "sentences", "documents")
OFFSET_DTYPE = np.dtype("<u4")
_TOKEN_DTYPES = {"uint8": "<u1", "uint16": "<u2", "uint32": "<u4"}
_MAPPED_SHARDS = 128  # at three files each, well below the usual limit of 1,024 open files
_REMEDY = "delete the folder and run foretext prepare again, or copy it again"

UInts: TypeAlias = NDArray[np.unsignedinteger[Any]]


class ShardSentences(NamedTuple):
    """The sentences of one shard's documents, for planning samples without a call a document."""

    first_document: int
    document_starts: NDArray[np.int64]  # [documents + 1], into `lengths`
    lengths: NDArray[np.int64]  # [sentences], tokens


class Shards:
    """A prepared corpus. Opening maps nothing; reading maps shards as they are needed.

    It pickles as its path and manifest, so a loader worker opens it anew without checking it again.
    """

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        self.folder = folder
        self.manifest = manifest
        self.num_documents: int = manifest["num_documents"]
        self.num_sentences: int = manifest["num_sentences"]
        self.num_tokens: int = manifest["num_tokens"]
        self.fingerprint: str = manifest["tokenizer"]["fingerprint"]
        self.content: str = manifest["content"]
        self.dtype = np.dtype(_TOKEN_DTYPES[manifest["dtype"]])
        counts = [shard["documents"] for shard in manifest["shards"]]
        self._first_documents = list(accumulate(counts, initial=0))
        maps = functools.partial(_map_shard, folder, self.dtype)
        self._maps: Callable[[int], _Maps] = functools.lru_cache(maxsize=_MAPPED_SHARDS)(maps)

    @classmethod
    def open(cls, folder: str | Path, *, verify: bool = True) -> Shards:
        """Open a shards folder.

        Args:
            verify: compare the checksum of every file (about 1.6 GB a second), not the sizes alone.

        Raises:
            DataError: the folder is no shards folder, is of a newer version, or a file of it is
                missing, truncated or damaged; the message names the file.
        """
        folder = Path(folder).absolute()
        manifest = _read_manifest(folder)
        try:
            _check_files(folder, manifest, verify)
            return cls(folder, manifest)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(
                f"{folder / MANIFEST} lacks what a shards manifest holds ({error!r}); {_REMEDY}"
            ) from error

    def __reduce__(self) -> tuple[type[Shards], tuple[Path, dict[str, Any]]]:
        return Shards, (self.folder, self.manifest)

    @property
    def tokenizer_folder(self) -> Path:
        """The tokenizer that made these ids."""
        return self.folder / "tokenizer"

    def document(self, index: int) -> UInts:
        """Ids of one document, [tokens], read-only and in the stored type."""
        maps, document = self._locate(index)
        first, last = maps.documents[document : document + 2].tolist()
        return maps.tokens[int(maps.sentences[first]) : int(maps.sentences[last])]

    def tokens(self, document: int, start: int, stop: int) -> NDArray[np.int64]:
        """Ids [start, stop) of one document; like a slice, it ends where the document ends."""
        return self.document(document)[start:stop].astype(np.int64)

    def sentence_offsets(self, index: int) -> NDArray[np.int64]:
        """Where the sentences of one document start, [sentences + 1], from its first token."""
        maps, document = self._locate(index)
        first, last = maps.documents[document : document + 2].tolist()
        offsets = maps.sentences[first : last + 1].astype(np.int64)
        return offsets - offsets[0]

    def document_lengths(self) -> NDArray[np.int64]:
        """Tokens of every document, [documents]."""
        lengths = np.empty(self.num_documents, np.int64)
        for shard, first in enumerate(self._first_documents[:-1]):
            maps = self._maps(shard)
            starts = maps.sentences[maps.documents]
            lengths[first : first + len(starts) - 1] = np.diff(starts)
        return lengths

    def sentence_lengths(self) -> Iterator[ShardSentences]:
        """The sentence lengths of all documents, a shard at a time."""
        for shard, first in enumerate(self._first_documents[:-1]):
            maps = self._maps(shard)
            lengths = np.diff(maps.sentences).astype(np.int64)
            yield ShardSentences(first, maps.documents.astype(np.int64), lengths)

    def _locate(self, index: int) -> tuple[_Maps, int]:
        """The shard of a document, and the document's number within it."""
        if not 0 <= index < self.num_documents:
            raise IndexError(f"document {index} of {self.num_documents}")
        shard = bisect.bisect_right(self._first_documents, index) - 1
        return self._maps(shard), int(index) - self._first_documents[shard]


class DocumentView:
    """Some documents of a corpus, numbered from 0, with the read methods of Shards."""

    def __init__(self, shards: Shards, documents: NDArray[np.int64]) -> None:
        """`documents` are indices into `shards`, [documents], ascending."""
        self.shards = shards
        self.documents = documents
        self.fingerprint = shards.fingerprint
        self.tokenizer_folder = shards.tokenizer_folder
        self.num_documents = len(documents)
        parts = [(int(part.lengths.sum()), len(part.lengths)) for part in self.sentence_lengths()]
        self.num_tokens = sum(tokens for tokens, _ in parts)
        self.num_sentences = sum(sentences for _, sentences in parts)
        chosen = hashlib.sha256(documents.astype("<i8").tobytes()).hexdigest()
        self.content = hashlib.sha256(f"{shards.content} {chosen}".encode()).hexdigest()

    def document(self, index: int) -> UInts:
        """Ids of one document, [tokens], read-only and in the stored type."""
        return self.shards.document(self._of(index))

    def tokens(self, document: int, start: int, stop: int) -> NDArray[np.int64]:
        """Ids [start, stop) of one document; like a slice, it ends where the document ends."""
        return self.shards.tokens(self._of(document), start, stop)

    def sentence_offsets(self, index: int) -> NDArray[np.int64]:
        """Where the sentences of one document start, [sentences + 1], from its first token."""
        return self.shards.sentence_offsets(self._of(index))

    def document_lengths(self) -> NDArray[np.int64]:
        """Tokens of every document, [documents]."""
        return self.shards.document_lengths()[self.documents]

    def sentence_lengths(self) -> Iterator[ShardSentences]:
        """The sentence lengths of all documents, at most a shard at a time."""
        for part in self.shards.sentence_lengths():
            counts = np.diff(part.document_starts)
            ends = part.first_document + np.array([0, len(counts)])
            first, last = np.searchsorted(self.documents, ends).tolist()
            if first == last:
                continue
            chosen = np.zeros(len(counts), bool)
            chosen[self.documents[first:last] - part.first_document] = True
            starts = np.concatenate([[0], np.cumsum(counts[chosen])]).astype(np.int64)
            yield ShardSentences(first, starts, part.lengths[np.repeat(chosen, counts)])

    def _of(self, index: int) -> int:
        if not 0 <= index < self.num_documents:
            raise IndexError(f"document {index} of {self.num_documents}")
        return int(self.documents[index])


Documents: TypeAlias = Shards | DocumentView


def split(shards: Shards, held_out: float | int, seed: int) -> tuple[DocumentView, DocumentView]:
    """Part whole documents into those to train on and those held out, by a hash of their index.

    Args:
        held_out: a share of the documents in (0, 1), met on average and by at least one document,
            or an exact number of documents.
        seed: the run's seed.

    Returns:
        The documents to train on, and the held-out ones.

    Raises:
        ConfigError: held_out is neither a share nor a number of documents.
        DataError: one side would be empty.
    """
    total = shards.num_documents
    whole = isinstance(held_out, int)
    if held_out <= 0 or (not whole and held_out >= 1):
        raise ConfigError(
            f"held_out={held_out} is neither a share between 0 and 1 nor a number of documents; "
            "use e.g. 0.05, or 100"
        )
    if total == 1:
        raise DataError(
            f"{shards.folder} holds one document, so none can be held out; separate documents by "
            "a blank line (.txt) or a line each (.jsonl), or give the held-out text as a corpus"
        )
    if whole and held_out >= total:
        raise DataError(
            f"held_out={held_out} leaves nothing to train on: {shards.folder} holds {total} "
            f"documents; hold out fewer, or a share such as 0.05"
        )
    draws = rng.uniform(rng.key(seed, "held-out"), np.arange(total))
    if whole:
        chosen = np.zeros(total, bool)
        chosen[np.argsort(draws, kind="stable")[: int(held_out)]] = True
    else:
        chosen = draws < held_out
        chosen[draws.argmin()] = True
        chosen[draws.argmax()] = False
    return DocumentView(shards, np.flatnonzero(~chosen)), DocumentView(
        shards, np.flatnonzero(chosen)
    )


def file_name(kind: str, shard: int) -> str:
    """The name of one of a shard's files; kind is one of KINDS."""
    return f"{kind}-{shard:05d}.bin"


def content_hash(files: dict[str, dict[str, Any]], num_shards: int) -> str:
    """What identifies the data: SHA-256 over the checksums of the shards' files, in order."""
    names = [file_name(kind, shard) for shard in range(num_shards) for kind in KINDS]
    return hashlib.sha256("".join(files[name]["sha256"] for name in names).encode()).hexdigest()


def manifest_checksum(manifest: dict[str, Any]) -> str:
    """SHA-256 of the manifest without its own checksum, in canonical JSON."""
    rest = {name: value for name, value in manifest.items() if name != "checksum"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


class _Maps(NamedTuple):
    tokens: UInts
    sentences: UInts
    documents: UInts


def _map_shard(folder: Path, dtype: np.dtype[Any], shard: int) -> _Maps:
    """Map one shard's files; as plain arrays, for slices of np.memmap are five times as slow."""
    dtypes = (dtype, OFFSET_DTYPE, OFFSET_DTYPE)
    paths = [folder / file_name(kind, shard) for kind in KINDS]
    return _Maps(
        *(np.asarray(np.memmap(p, t, mode="r")) for p, t in zip(paths, dtypes, strict=True))
    )


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    if not folder.is_dir():
        what = "is a file, not a shards folder" if folder.exists() else "does not exist"
        raise DataError(
            f"{folder} {what}; make one: foretext prepare TEXT --tokenizer TOKENIZER --out FOLDER"
        )
    if not path.is_file():
        raise DataError(
            f"{folder} is not a shards folder: it holds no {MANIFEST}; name the --out folder of "
            "foretext prepare"
        )
    try:
        manifest = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is damaged: it is not JSON ({error}); {_REMEDY}") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise DataError(
            f"{path} is not a manifest of {FORMAT}; name the --out folder of foretext prepare"
        )
    if manifest.get("version") != VERSION:
        raise DataError(
            f"{path} is of version {manifest.get('version')!r}, but this foretext reads {VERSION}; "
            "use the foretext that wrote it, or prepare the text again"
        )
    if manifest.get("checksum") != manifest_checksum(manifest):
        raise DataError(f"{path} is damaged or was edited: its checksum differs; {_REMEDY}")
    return manifest


def _check_files(folder: Path, manifest: dict[str, Any], verify: bool) -> None:
    """Compare every file with the manifest, and the manifest with itself."""
    if manifest["dtype"] not in _TOKEN_DTYPES:
        raise DataError(
            f"{folder / MANIFEST} says dtype {manifest['dtype']!r}, but ids are one of "
            f"{', '.join(_TOKEN_DTYPES)}; {_REMEDY}"
        )
    files, shards = manifest["files"], manifest["shards"]
    for name, expected in files.items():
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise DataError(f"{folder / MANIFEST} names a file outside its folder: {name!r}")
        _check_file(folder / name, expected["size"], expected["sha256"] if verify else None)
    widths = (np.dtype(_TOKEN_DTYPES[manifest["dtype"]]).itemsize, 4, 4)
    for shard, counts in enumerate(shards):
        for kind, width in zip(KINDS, widths, strict=True):
            size = width * (counts[kind] + (kind != "tokens"))
            if files[file_name(kind, shard)]["size"] != size or not counts[kind]:
                raise DataError(f"{folder / MANIFEST} miscounts shard {shard}'s {kind}; {_REMEDY}")
    totals = [sum(counts[kind] for counts in shards) for kind in KINDS]
    if totals != [manifest[f"num_{kind}"] for kind in KINDS] or not shards:
        raise DataError(f"{folder / MANIFEST} has totals that are not its shards'; {_REMEDY}")
    if manifest["content"] != content_hash(files, len(shards)):
        raise DataError(f"{folder / MANIFEST} has a content hash not of its files; {_REMEDY}")


def _check_file(path: Path, size: int, sha256: str | None) -> None:
    try:
        found = path.stat().st_size
        if found != size:
            raise DataError(f"{path} is damaged: {found} bytes, not {size}; {_REMEDY}")
        if sha256 is not None:
            with path.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                    raise DataError(f"{path} is damaged: its checksum differs; {_REMEDY}")
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing; {_REMEDY}") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); {_REMEDY}") from error
