"""Corpus files for tests: the same texts in every format, and what reading them gives."""

from __future__ import annotations

import gzip
import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from foretext.core.errors import DataError
from foretext.text.corpus import read_corpus

TEXTS = ["First line.\nSecond line.", "둘째 문서입니다.", "Third, with “quotes”."]
COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.ZstdCompressor().compress,
}


def as_txt(texts: list[str]) -> bytes:
    return ("\n\n".join(texts) + "\n").encode()


def as_jsonl(texts: list[str]) -> bytes:
    return "".join(json.dumps({"id": i, "text": t}) + "\n" for i, t in enumerate(texts)).encode()


def as_csv(texts: list[str]) -> bytes:
    return "".join(["id,text\r\n", *(f'{i},"{t}"\r\n' for i, t in enumerate(texts))]).encode()


def as_parquet(path: Path, values: dict[str, Any], **options: Any) -> Path:
    pyarrow = pytest.importorskip("pyarrow")
    pytest.importorskip("pyarrow.parquet").write_table(pyarrow.table(values), path, **options)
    return path


def texts_of(source: Any, **options: Any) -> list[str]:
    return [document.text for document in read_corpus(source, **options)]


def error_of(source: Any, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        list(read_corpus(source, **options))
    message = str(caught.value)
    assert "\n" not in message
    return message


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path
