"""Files and folders that are either whole or not there, whenever the process dies.

The order is what makes it so: everything is written under a temporary name beside the destination,
flushed to the disk, and renamed, which the file system does at once; then the parent folder is
flushed, so that the new name survives a power cut too. A temporary carries the id of its process,
`.tmp-<name>-<pid>`, and a folder on its way out is `.del-<name>-<pid>`: what a dead process left
behind can be told from what a living one is writing, as long as both run on one machine.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

_LEFTOVER = re.compile(r"\.(?:tmp|del)-.+-(?P<pid>[0-9]+)")
_open: set[Path] = set()  # temporaries of this process that are being written or removed


@contextlib.contextmanager
def atomic_folder(destination: Path) -> Iterator[Path]:
    """A temporary folder to write into, which becomes `destination` if the block succeeds.

    On any error, an interrupt included, the temporary is removed and nothing is published. Missing
    parents of the destination are made.

    Raises:
        FileExistsError: the destination exists; whether it may go is for the caller to decide.
    """
    with _temporary(destination) as temporary:
        _refuse_existing(destination)
        temporary.mkdir()
        yield temporary
        _flush_tree(temporary)
        _refuse_existing(destination)
        temporary.rename(destination)
        _flush(destination.parent)


@contextlib.contextmanager
def made_folder(path: Path) -> Iterator[None]:
    """Make a folder that the block fills bit by bit; if it fails before it wrote, it is gone again.

    Missing parents come and go with it.
    """
    made = make_folders(path)
    try:
        yield
    except BaseException:
        remove_empty(made)
        raise


def make_folders(path: Path) -> list[Path]:
    """Make a folder and its missing parents.

    Returns:
        What this call made, and no other process meanwhile, innermost first.
    """
    made: list[Path] = []
    while not path.is_dir():
        missing = next(p for p in (path, *path.parents) if p.parent.is_dir())
        try:
            missing.mkdir()
        except FileExistsError:
            if not missing.is_dir():
                raise
        except FileNotFoundError:  # another process has just taken its parent away
            continue
        else:
            made.insert(0, missing)
    return made


def remove_empty(folders: Iterable[Path]) -> None:
    """Remove folders, innermost first, as far as they hold nothing."""
    with contextlib.suppress(OSError):
        for folder in folders:
            folder.rmdir()


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """A temporary name to write a file under, which becomes `path` if the block succeeds.

    An older file of that name is replaced; on any error it stays as it was. Who may read it is the
    umask's matter, though some libraries write files for their owner alone.
    """
    with _temporary(path) as temporary:
        temporary.touch()
        mode = temporary.stat().st_mode
        yield temporary
        temporary.chmod(stat.S_IMODE(mode))
        _flush(temporary)
        temporary.replace(path)
        _flush(path.parent)


def atomic_write_bytes(path: Path, data: bytes) -> None:
    """Write a file that is never seen half-written; an older one of that name is replaced."""
    with atomic_file(path) as temporary:
        temporary.write_bytes(data)


def atomic_write_text(path: Path, data: str) -> None:
    """`atomic_write_bytes` of UTF-8; line ends are written as they are."""
    atomic_write_bytes(path, data.encode())


def remove_folder(path: Path) -> None:
    """Remove a folder so that a crash on the way leaves a leftover, not half of the folder."""
    doomed = _sibling(path, "del")
    _open.add(doomed)
    try:
        _delete(doomed)
        path.rename(doomed)
        _flush(path.parent)
        _delete(doomed)
    finally:
        _open.discard(doomed)


def clean_leftovers(parent: Path) -> list[Path]:
    """Remove what dead processes of this machine left in a folder, and say what it was."""
    removed = []
    for entry in sorted(parent.iterdir()) if parent.is_dir() else []:
        match = _LEFTOVER.fullmatch(entry.name)
        if match and entry.absolute() not in _open and not _is_another_alive(int(match["pid"])):
            _delete(entry)
            removed.append(entry)
    return removed


@contextlib.contextmanager
def passing_file(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` for what is needed within the block alone."""
    with _temporary(path) as temporary:
        yield temporary


@contextlib.contextmanager
def _temporary(destination: Path) -> Iterator[Path]:
    """The name to write to, free at the start and at the end."""
    temporary = _sibling(destination, "tmp")
    if temporary in _open:
        raise FileExistsError(f"{destination} is being written by another thread")
    destination.parent.mkdir(parents=True, exist_ok=True)
    _open.add(temporary)
    try:
        _delete(temporary)  # of an earlier process that had our id, as happens in containers
        yield temporary
    finally:
        _delete(temporary)
        _open.discard(temporary)


def _sibling(path: Path, prefix: str) -> Path:
    path = path.absolute()
    return path.with_name(f".{prefix}-{path.name}-{os.getpid()}")


def _refuse_existing(destination: Path) -> None:
    # A rename replaces an empty folder without a word, hence the look before it.
    if os.path.lexists(destination):
        raise FileExistsError(f"{destination} exists; remove it or choose another name")


def _is_another_alive(pid: int) -> bool:
    """Whether a process other than this one has that id; ours is known by `_open`."""
    if pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _flush_tree(folder: Path) -> None:
    """Flush every file below a folder, then every folder, innermost first."""
    for directory, _, files in os.walk(folder, topdown=False):
        for name in files:
            _flush(Path(directory, name))
        _flush(Path(directory))


def _flush(path: Path) -> None:
    """fsync a file or a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
