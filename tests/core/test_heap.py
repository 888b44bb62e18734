"""foretext.core.heap: memory that nothing holds goes back when it has become much."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from foretext.core import heap

HOLES = """
from foretext.core.heap import Heap, resident
watch = Heap()
watch.check()  # what is usual
held = [bytearray(100_000) for _ in range(6_000)]
del held[::2], held[1:]
pin = bytearray(100_000)
full = resident()
held = [pin]
watch.check()
print(full, resident())
"""


LARGE = """
from resource import RUSAGE_SELF, getrusage
import numpy as np
from foretext.core.heap import Heap

def faults():
    before = getrusage(RUSAGE_SELF).ru_minflt
    for _ in range(10):
        np.ones(16_000_000, np.float32)
    return getrusage(RUSAGE_SELF).ru_minflt - before

before = faults()
watch = Heap()
np.ones(16_000_000, np.float32)
print(before, faults())
"""


@pytest.mark.skipif(heap._malloc_trim() is None, reason="not glibc on Linux")
def test_large_buffers_are_kept() -> None:
    """Ten times 64 MB: their pages come from the system ten times, then not at all."""
    done = subprocess.run(
        [sys.executable, "-c", LARGE], capture_output=True, text=True, check=True, timeout=60
    )
    before, after = map(int, done.stdout.split())
    assert after < before / 10


@pytest.mark.skipif(heap._malloc_trim() is None, reason="not glibc on Linux")
@pytest.mark.parametrize(
    "chosen",
    [
        {"MALLOC_MMAP_THRESHOLD_": "1048576"},
        {"GLIBC_TUNABLES": "glibc.malloc.mmap_threshold=1048576"},
    ],
    ids=lambda chosen: next(iter(chosen)),
)
def test_thresholds_that_the_user_sets_hold(chosen: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LARGE],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env=os.environ | chosen,
    )
    before, after = map(int, done.stdout.split())
    assert after > before / 2


@pytest.mark.skipif(heap._malloc_trim() is None, reason="not glibc on Linux")
def test_holes_go_back_to_the_system() -> None:
    """600 MB were taken and given up; a real process, for its memory is its own."""
    done = subprocess.run(
        [sys.executable, "-c", HOLES], capture_output=True, text=True, check=True, timeout=60
    )
    full, after = map(int, done.stdout.split())
    assert after <= full
    assert after < 300e6


def test_it_is_asked_when_it_has_doubled_and_not_in_every_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sizes = iter([1e9, 1.2e9, 2.2e9, 2.3e9, 1.1e9, 1.2e9, 2.4e9, 2.7e9])
    seen: list[float] = []
    asked: list[float] = []

    def resident() -> int:
        seen.append(next(sizes))
        return int(seen[-1])

    monkeypatch.setattr(heap, "resident", resident)
    monkeypatch.setattr(heap, "_malloc_trim", lambda: lambda _: asked.append(seen[-1]))
    watch = heap.Heap()
    for _ in range(8):
        watch.check()
    assert asked == [2.3e9, 2.7e9]


def test_elsewhere_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heap, "_malloc_trim", lambda: None)
    monkeypatch.setattr(heap, "resident", lambda: pytest.fail("there is no such file"))
    heap.Heap().check()
