"""What glibc's allocator keeps of a process's memory: neither too little nor too much.

A buffer of more than 32 MB, such as the gradient of a vocabulary of 30,000 rows of 300 numbers,
goes back to the system as soon as it is free, and its pages are fetched and cleared anew in every
step. From a Heap's making on, glibc keeps them in the whole process, unless the environment sets
its thresholds: MALLOC_MMAP_THRESHOLD_, MALLOC_TRIM_THRESHOLD_, or the same in GLIBC_TUNABLES.

The buffers of ragged batches have other sizes in every step, so they leave holes that the next
step's do not fit, and a run's memory grows to several times of what it holds. glibc gives the holes
back when asked. Asking costs milliseconds, and the pages must be fetched again; so it is asked when
the process has doubled. Elsewhere nothing is done.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

_STATM = Path("/proc/self/statm")
_GROWTH = 2.0  # times what was resident a step after the last time
_SLACK = 2**28  # bytes
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # numbers of malloc.h
_LARGEST_KEPT = 2**30  # bytes of a buffer
_MOST = 2**31 - 1  # that mallopt takes


class Heap:
    """Watches the process from step to step."""

    def __init__(self) -> None:
        self._usual: int | None = None  # bytes, a step after holes were given back
        _keep_large_buffers()

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
def _keep_large_buffers() -> None:
    """Once for the process. A glibc that does not take such sizes goes on as it was."""
    if _are_thresholds_set(os.environ):
        return
    mallopt = None if _malloc_trim() is None else ctypes.CDLL(None).mallopt
    if mallopt is not None and mallopt(_MMAP_THRESHOLD, _LARGEST_KEPT):
        mallopt(_TRIM_THRESHOLD, _MOST)


def _are_thresholds_set(environment: Mapping[str, str]) -> bool:
    tunables = environment.get("GLIBC_TUNABLES", "")
    return any(
        f"MALLOC_{name.upper()}_THRESHOLD_" in environment
        or f"glibc.malloc.{name}_threshold" in tunables
        for name in ("mmap", "trim")
    )


@cache
def _malloc_trim() -> Callable[[int], int] | None:
    """glibc's function, where the C library has it and Linux says what is resident."""
    if not _STATM.is_file():
        return None
    trim: Callable[[int], int] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return trim
