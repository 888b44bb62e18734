"""A file as blocks of bytes, decompressed on the way: plain, .gz, .xz, .zst, or standard input.

Blocks are bounded, so that memory does not grow with the file. A file that expands beyond reason
is refused while it expands, not afterwards.
"""

from __future__ import annotations

import gzip
import lzma
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, BinaryIO, cast

import zstandard

from foretext.core.errors import DataError
from foretext.text.errors import CorpusStats, shown_path

BLOCK = 2**20  # bytes of text a block, about
ZSTD_INPUT = 2**10  # bytes; a 4-byte zstd block can hold 128 KiB, so 1 KiB in is 32 MiB out at most
BOMB_RATIO = 1000  # deflate's limit is 1032 and text stays below 50
BOMB_BYTES = 2**30  # below this a high ratio does no harm
XZ_MEMORY = 2**28  # bytes for the dictionary; the highest preset takes 65 MiB
STDIN = Path("-")


class DamagedArchive(Exception):
    """A compressed file that is cut short or corrupt; the reader adds the line it reached."""


def read_blocks(path: Path, stats: CorpusStats) -> Iterator[bytes]:
    """The file's bytes, decompressed as its suffix says; `-` is standard input.

    Args:
        path: file, or STDIN.
        stats: read_bytes is kept up to date.

    Raises:
        DataError: the file cannot be opened or read, or expands more than BOMB_RATIO times and
            beyond BOMB_BYTES.
        DamagedArchive: the compressed data ends early or is corrupt.
    """
    if path == STDIN:
        for block in _plain(cast(BinaryIO, sys.stdin.buffer)):
            stats.read_bytes += len(block)
            yield block
        return
    try:
        with path.open("rb") as file:
            yield from _counted(path, file, stats)
    except (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError, zstandard.ZstdError) as error:
        raise DamagedArchive(str(error).splitlines()[0] if str(error) else "corrupt") from None
    except OSError as error:
        raise unreadable(path, error) from None


def unreadable(path: Path, error: OSError) -> DataError:
    """The error for a file that the system does not let us read."""
    reason = error.strerror or type(error).__name__
    return DataError(f"{shown_path(path)}: cannot be read ({reason}); check path and permissions")


def _counted(path: Path, file: BinaryIO, stats: CorpusStats) -> Iterator[bytes]:
    expand = EXPANDERS.get(path.suffix.lower(), _plain)
    taken = made = 0
    for block in expand(file):
        position = file.tell()
        stats.read_bytes += position - taken
        taken = position
        made += len(block)
        if made > BOMB_BYTES and made > BOMB_RATIO * max(taken, 1):
            raise DataError(
                f"{shown_path(path)}: {taken:,} bytes expand to more than {made:,}, over "
                f"{BOMB_RATIO} times, which text never does; unpack and check it by hand"
            )
        yield block


def _plain(file: IO[bytes]) -> Iterator[bytes]:
    while block := file.read(BLOCK):
        yield block


def _gzip(file: BinaryIO) -> Iterator[bytes]:
    with gzip.GzipFile(fileobj=file, mode="rb") as members:
        while block := members.read1(BLOCK):  # read() would lose the text before a fault
            yield block


def _xz(file: BinaryIO) -> Iterator[bytes]:
    """Stream after stream. The library's own file class takes anything after one for the end."""
    stream = None
    while data := file.read(BLOCK):
        while data or (stream is not None and not stream.needs_input):
            if stream is None:
                data = data.lstrip(b"\0")  # padding between streams
                if not data:
                    break
                stream = lzma.LZMADecompressor(memlimit=XZ_MEMORY)
            yield stream.decompress(data, BLOCK)
            data = b""
            if stream.eof:
                data, stream = stream.unused_data, None
    if stream is not None:
        raise EOFError("the last stream ends before its end mark")


def _zstd(file: BinaryIO) -> Iterator[bytes]:
    """Frame after frame. The library's own stream reader takes a truncated frame for the end."""
    frame = None
    while data := file.read(ZSTD_INPUT):
        while data:
            frame = frame or zstandard.ZstdDecompressor().decompressobj()
            if block := frame.decompress(data):
                yield block
            data = b""
            if frame.eof:
                data, frame = frame.unused_data, None
    if frame is not None:
        raise EOFError("the last frame ends before its end mark")


EXPANDERS: dict[str, Callable[[BinaryIO], Iterator[bytes]]] = {
    ".gz": _gzip,
    ".xz": _xz,
    ".zst": _zstd,
}
