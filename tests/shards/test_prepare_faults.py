"""prepare is whole or not at all: faults, full disks, kills and interrupts leave nothing behind."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from foretext.core.errors import DataError, TokenizerError
from foretext.shards.prepare import prepare
from foretext.shards.store import Shards
from tests.shards.toy import ToyTokenizer, sentences, write_books, write_jsonl

module = sys.modules[prepare.__module__]
ROOT = Path(__file__).parents[2]


def children(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in path.read_text().split()] if path.exists() else []


def assert_clean(folder: Path, *names: str) -> None:
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)
    commands = [Path(f"/proc/{child}/cmdline").read_text() for child in children(os.getpid())]
    assert not [command for command in commands if "foretext.core.children" in command]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_fault_in_the_text_leaves_nothing(tmp_path: Path, workers: int) -> None:
    """Issue 2: bad input ends in one line with file and line, and nothing half-written."""
    text = write_jsonl(tmp_path / "corpus.jsonl", sentences(12_000))  # more than one job
    with text.open("a") as file:
        file.write("{broken\n")
    with pytest.raises(DataError, match=r"corpus.jsonl:12001: ") as caught:
        prepare(text, tokenizer=ToyTokenizer(), out=tmp_path / "shards", workers=workers)
    assert "\n" not in str(caught.value)
    assert_clean(tmp_path, "corpus.jsonl")


@pytest.mark.parametrize("workers", [0, 2])
def test_a_fault_in_the_tokenizer_leaves_nothing(tmp_path: Path, workers: int) -> None:
    """An error of a worker is raised here as itself, and no process stays behind."""
    text = write_jsonl(tmp_path / "corpus.jsonl", [*sentences(12_000), "FAIL", "end"])
    with pytest.raises(TokenizerError, match="the toy cannot encode FAIL"):
        prepare(text, tokenizer=ToyTokenizer(), out=tmp_path / "shards", workers=workers)
    assert_clean(tmp_path, "corpus.jsonl")


def test_a_killed_worker_is_an_error_and_no_wait(tmp_path: Path) -> None:
    """The kernel kills a process when memory ends; its parent must not wait for ever."""
    text = write_jsonl(tmp_path / "corpus.jsonl", ["a", "DIE", *sentences(12_000)])
    with pytest.raises(DataError, match=r"worker ended with code -9.*use fewer workers"):
        prepare(text, tokenizer=ToyTokenizer(), out=tmp_path / "shards", workers=2)
    assert_clean(tmp_path, "corpus.jsonl")


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ENOSPC while writing: what to free, and nothing left."""
    text = write_books(tmp_path / "books.txt", documents=3)

    def write(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module._HashedFile, "write", write)
    with pytest.raises(DataError, match="no space left on the disk of"):
        prepare(text, tokenizer=ToyTokenizer(), out=tmp_path / "shards", workers=1)
    assert_clean(tmp_path, "books.txt")


def test_a_disk_too_small_is_refused_beforehand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run certain to fail should not fail after hours."""
    text = write_books(tmp_path / "books.txt", documents=3)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10))
    with pytest.raises(DataError, match="10 bytes are free for"):
        prepare(text, tokenizer=ToyTokenizer(), out=tmp_path / "shards", workers=0)


# A shell's background jobs ignore Ctrl-C, and what they start does too, unless it says otherwise.
SCRIPT = """
import signal
import sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from foretext.shards.prepare import prepare
from tests.shards.toy import ToyTokenizer
shards = prepare(sys.argv[1], tokenizer=ToyTokenizer(), out=sys.argv[2], workers=int(sys.argv[3]))
print(shards.num_documents)
"""


def start(*arguments: object) -> subprocess.Popen[str]:
    """A script without `if __name__ == "__main__"` that prepares argument 1 into argument 2."""
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *map(str, arguments)],
        cwd=ROOT,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def wait_for(condition: Any) -> Any:
    deadline = time.monotonic() + 20
    while not (result := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return result


def interrupt_midway(folder: Path, number: signal.Signals) -> int:
    """The exit code of a process sent a signal while it writes shards of an endless input."""
    process = start("-", folder / "shards", 2)
    assert process.stdin is not None
    process.stdin.write("\n\n".join(sentences(30_000)))  # it waits for more, two jobs on the way
    wait_for(lambda: [p for p in folder.glob(".tmp-*/tokens-*") if p.stat().st_size])
    workers = children(process.pid)
    assert len(workers) == 2
    process.send_signal(number)
    process.communicate(timeout=20)
    wait_for(lambda: not any(_runs(worker) for worker in workers))
    return process.returncode


def _runs(pid: int) -> bool:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_a_kill_leaves_no_half_result_and_no_worker(tmp_path: Path) -> None:
    """Issue 2: atomic. A real SIGKILL; the next run removes what it left, and succeeds."""
    assert interrupt_midway(tmp_path, signal.SIGKILL) == -signal.SIGKILL
    assert [path.name[:12] for path in tmp_path.iterdir()] == [".tmp-shards-"]
    text = write_books(tmp_path / "books.txt", documents=3)
    output, errors = start(text, tmp_path / "shards", 2).communicate(timeout=60)
    assert (output, errors) == ("3\n", "")
    assert_clean(tmp_path, text.name, "shards")
    Shards.open(tmp_path / "shards")


def test_an_interrupt_leaves_nothing(tmp_path: Path) -> None:
    """Ctrl-C: the temporary folder and the workers go with the process."""
    assert interrupt_midway(tmp_path, signal.SIGINT) == -signal.SIGINT  # as Python ends by it
    assert_clean(tmp_path)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """The parent of `out` is a file: one line, not a traceback."""
    text = write_books(tmp_path / "books.txt", documents=1)
    with pytest.raises(DataError, match=r"books.txt/shards cannot be written"):
        prepare(text, tokenizer=ToyTokenizer(), out=text / "shards", workers=0)
