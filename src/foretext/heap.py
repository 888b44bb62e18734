"""The memory of a process that glibc's allocator keeps although nothing is in it.

The buffers of ragged batches have other sizes in every step, so they leave holes that the next
step's do not fit, and a run's memory grows to several times of what it holds. glibc gives the holes
back when asked. Asking costs milliseconds, and the pages must be fetched again; so it is asked when
the process has doubled. Elsewhere nothing is done.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

_STATM = Path("/proc/self/statm")
_GROWTH = 2.0  # times what was resident a step after the last time
_SLACK = 2**28  # bytes


class Heap:
    """Watches the process from step to step."""

    def __init__(self) -> None:
        self._usual: int | None = None  # bytes, a step after holes were given back

    def check(self) -> None:
        """Give holes back if there are many; to be called between steps."""
        trim = _malloc_trim()
        if trim is None:
            return
        if self._usual is None:
            self._usual = resident()
        elif resident() > _GROWTH * self._usual + _SLACK:
            trim(0)
            self._usual = None


def resident() -> int:
    """Bytes of memory that the process has."""
    pages = int(_STATM.read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@cache
def _malloc_trim() -> Callable[[int], int] | None:
    """glibc's function, where the C library has it and Linux says what is resident."""
    if not _STATM.is_file():
        return None
    trim: Callable[[int], int] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return trim
