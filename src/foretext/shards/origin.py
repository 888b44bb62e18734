"""What shards were made of: told at once by the times of their files, and surely by their bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from foretext.shards.store import VERSION
from foretext.text.corpus import CorpusFile
from foretext.text.decompress import STDIN


def stamp(files: Sequence[CorpusFile], *options: str | int) -> str | None:
    """A hash of all that the shards depend on, told without reading the text.

    None if it cannot be told: standard input is never the same again.
    """
    if any(file.path == STDIN for file in files):
        return None
    described = [
        (str(file.path.resolve()), file.size, file.path.stat().st_mtime_ns) for file in files
    ]
    return _hash(described, *options)


def content(files: Sequence[CorpusFile], *options: str | int) -> str:
    """The same of the files' bytes, wherever they lie and whenever they were copied there."""
    described = []
    for file in files:
        with file.path.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        described.append((file.path.suffixes[-2:], digest))  # which tell the format
    return _hash(described, *options)


def origin(files: Sequence[CorpusFile], begun: str | None, *options: str | int) -> dict[str, Any]:
    """Both, for the manifest.

    Args:
        files: that were read.
        begun: their stamp before they were; if it is another now, their bytes may be too.
        options: that the shards depend on.
    """
    known = begun is not None and begun == stamp(files, *options)
    return {"recipe": begun, "content_of_text": content(files, *options) if known else None}


def is_origin(manifest: dict[str, Any], files: Sequence[CorpusFile], *options: str | int) -> bool:
    """Whether these files, under these options, are what the manifest's shards were made of."""
    now = stamp(files, *options)
    if now is None:
        return False
    if now == manifest.get("recipe"):
        return True
    kept = manifest.get("content_of_text")
    return kept is not None and kept == content(files, *options)


def _hash(described: Sequence[tuple[Any, ...]], *options: str | int) -> str:
    return hashlib.sha256(json.dumps([VERSION, described, *options]).encode()).hexdigest()
