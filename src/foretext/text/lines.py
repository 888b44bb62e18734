"""Bytes to lines of text: strict UTF-8, numbered, in bounded memory.

A line ends with "\\n"; a "\\r" before it and a byte order mark at the start of the file are
dropped. Invalid UTF-8 and NUL are faults: replaced by U+FFFD and removed, or the line is left out.
A line above MAX_LINE bytes is refused or left out without ever being held whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from foretext.text.decompress import STDIN, DamagedArchive, read_blocks
from foretext.text.errors import Faults, OnError, shown_path
from foretext.text.invalid_bytes import ESCAPE, marked

MAX_LINE = 2**26  # bytes: 64 MiB, far above any sentence, paragraph or JSON record
BOM = b"\xef\xbb\xbf"


class Lines:
    """The lines of one file, once, as (number from 1, text without line end).

    Under OnError.SKIP a bad line is left out, or, if keep_bad, delivered mended with `spoilt` set
    to True, for formats whose records span lines; the caller clears the flag. If mark_bad, it is
    delivered uncounted, with marks for the bytes at fault (see marks.py).
    """

    def __init__(
        self, path: Path, faults: Faults, *, keep_bad: bool = False, mark_bad: bool = False
    ) -> None:
        self.name = "standard input" if path == STDIN else shown_path(path)
        self.spoilt = False
        self.cut_short = False  # the file's end could not be read, which was reported
        self._path = path
        self._faults = faults
        self._keep_bad = keep_bad
        self._mark_bad = mark_bad and faults.on_error is OnError.SKIP
        self._line = 1  # of the first byte not yet delivered
        self._offset = 0  # of that byte in the (decompressed) file

    def __iter__(self) -> Iterator[tuple[int, str]]:
        for chunk in self._chunks():
            number = self._line
            texts = self._decode(chunk)
            if texts is None:
                yield from self._one_by_one(chunk)
            else:
                for text in texts:
                    yield number, text
                    number += 1
            self._line += chunk.count(b"\n")
            self._offset += len(chunk)

    def place(self, number: int) -> str:
        """`file:line` for an error."""
        return f"{self.name}:{number}"

    def _blocks(self) -> Iterator[bytes]:
        try:
            yield from read_blocks(self._path, self._faults.stats)
        except DamagedArchive as damage:
            self.cut_short = True
            self._faults.cut(
                "damaged archive",
                self.place(self._line),
                f"the compressed file is damaged or cut short after this line ({damage})",
                "get the file again",
            )

    def _chunks(self) -> Iterator[bytes]:
        """Whole lines, many at a time: the lines that end in one block."""
        held: list[bytes] = []  # the beginning of a line whose end has not come yet
        size = 0  # bytes of that line so far, held or dropped
        dropping = False
        for block in self._blocks():
            first = block.find(b"\n")
            head = len(block) if first < 0 else first
            if not dropping and size + head > MAX_LINE:
                self._too_long()
                dropping, held = True, []
            if first < 0:
                size += len(block)
                if not dropping:
                    held.append(block)
                continue
            rest = block
            if dropping:
                self._line += 1
                self._offset += size + first + 1
                rest, dropping = block[first + 1 :], False
            end = rest.rfind(b"\n") + 1
            if end:
                yield b"".join(held) + rest[:end]
                held = []
            held, size = [rest[end:]], len(rest) - end
        if not dropping and size:
            yield b"".join(held)

    def _too_long(self) -> None:
        self._faults.skip(
            "line too long",
            self.place(self._line),
            f"the line is longer than {MAX_LINE:,} bytes",
            "break it up",
        )

    def _decode(self, chunk: bytes) -> list[str] | None:
        """All lines of a chunk at once, or None when one of them is at fault."""
        if b"\0" in chunk:
            return None
        try:
            text = self._without_bom(chunk).decode()
        except UnicodeDecodeError:
            return None
        texts = text.split("\n")
        if chunk.endswith(b"\n"):
            texts.pop()
        return [t.removesuffix("\r") for t in texts] if "\r" in text else texts

    def _without_bom(self, chunk: bytes) -> bytes:
        return chunk.removeprefix(BOM) if self._offset == 0 else chunk

    def _one_by_one(self, chunk: bytes) -> Iterator[tuple[int, str]]:
        raw_lines = chunk.split(b"\n")
        if chunk.endswith(b"\n"):
            raw_lines.pop()
        offset = self._offset
        for number, raw in enumerate(raw_lines, self._line):
            line = raw.removesuffix(b"\r")
            mark = len(BOM) if offset == 0 and line.startswith(BOM) else 0
            text = self._mend(line[mark:], number, offset + mark)
            if text is not None:
                yield number, text
            offset += len(raw) + 1

    def _mend(self, line: bytes, number: int, offset: int) -> str | None:
        if self._mark_bad:
            return marked(line.decode(errors=ESCAPE))
        wanted = True
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            wanted = self._faults.replace(
                "invalid UTF-8",
                self.place(number),
                f"invalid UTF-8 at byte {offset + error.start:,} (0x{line[error.start]:02x})",
                other_encoding(line, number),
            )
            text = line.decode(errors="replace")
        if wanted and "\0" in text:
            at = offset + line.index(b"\0")
            wanted = self._faults.replace("NUL", self.place(number), f"NUL at byte {at:,}")
        if not wanted and not self._keep_bad:
            return None
        self.spoilt = self.spoilt or not wanted
        return text.replace("\0", "")


def other_encoding(line: bytes, number: int) -> str:
    """The remedy when the bytes look like another encoding, else nothing."""
    if number == 1 and line[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "it looks like UTF-16; convert it: iconv -f UTF-16 -t UTF-8"
    try:
        guess = line.decode("cp949")
    except UnicodeDecodeError:
        return ""
    hangul = sum("가" <= c <= "힣" for c in guess)
    others = sum(not c.isascii() for c in guess) - hangul
    if hangul > 3 * others and hangul >= 4:
        return "it looks like Korean EUC-KR/CP949; convert it: iconv -f CP949 -t UTF-8"
    return ""
