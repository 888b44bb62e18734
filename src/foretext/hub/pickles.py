"""Weights that come as pickles, of `torch.save`: looked at in a child process before they are read.

Their code never runs, but even a pickle of plain values can ask for any amount of memory, time or
stack. So each file is first read by a child whose memory and time are limited to a few times what
the file's size explains. Only a file that passed is read here. Where the system is not Linux, the
child has no limits.
"""

from __future__ import annotations

import os
import re
import resource
import struct
import sys
import warnings
import zipfile
from collections.abc import Callable
from functools import cache, lru_cache
from pathlib import Path
from pickle import PickleError
from typing import NamedTuple

import torch
from torch import Tensor, nn

from foretext.core.children import Child, ChildDiedError
from foretext.core.errors import CheckpointError
from foretext.hub.foreign import of_pickle

_SPACE_FACTOR, _SPACE = 4, 2**28  # bytes: of the file, and beside it
_SECONDS, _BYTES_A_SECOND = 20, 10_000_000  # of the processor, at least and for a large file
_WANTED = re.compile(r"GLOBAL ([\w.]+)", re.ASCII)  # in torch.load's refusal
# What the reader of a damaged pickle was seen to raise, short of our own faults.
_MALFORMED = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    PickleError,
    RecursionError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    zipfile.BadZipFile,
)


class _Version(NamedTuple):
    """Of a file: one that has changed is looked at again."""

    path: Path
    inode: int
    size: int  # bytes
    changed: int  # nanoseconds


def read_pickle(path: Path) -> dict[str, Tensor]:
    """The tensors of a file of `torch.save` by name.

    Raises:
        CheckpointError: names the code, the size or the type at fault, or says the file is damaged.
    """
    found = path.stat()
    problem = _looked_at(_Version(path.absolute(), found.st_ino, found.st_size, found.st_mtime_ns))
    if problem is not None:
        raise CheckpointError(f"{path} {problem}")
    return {name: tensor.detach() for name, tensor in _load(path).items()}


@lru_cache(maxsize=64)
def _looked_at(file: _Version) -> str | None:
    """What is wrong with a file; None if nothing is."""
    child = _child()
    try:
        child.send(file.path)
        return child.receive()
    except ChildDiedError as error:
        child.stop()
        _child.cache_clear()
        return f"ends the process that reads it (code {error.code}); do not use this file"


@cache
def _child() -> Child[Path, str | None]:
    """One for all files, as importing torch takes a second; it ends with this process."""
    return Child(_looker)


def _looker() -> Callable[[Path], str | None]:
    torch.set_num_threads(1)
    return look


def look(path: Path) -> str | None:
    """What is wrong with a file of `torch.save`, under limits if this process can have them.

    Returns:
        The rest of a sentence that begins with the path; None if it holds tensors alone.
    """
    size = path.stat().st_size
    limits = _limit(size)
    try:
        return _problem(path, size)
    except MemoryError:
        return _too_large(size)
    finally:
        for kind, before in limits.items():
            resource.setrlimit(kind, before)


def _problem(path: Path, size: int) -> str | None:
    try:
        state: object = _load(path)
    except _MALFORMED as error:
        text = str(error)
        if "allocate memory" in text or "Cannot allocate" in text:
            return _too_large(size)
        if wanted := _WANTED.search(text):
            return of_pickle(wanted[1]) or (
                f"wants to run {wanted[1]} when it is read; --allow-pickle grants tensors alone, "
                "never code, so do not use this file"
            )
        return "is damaged, in another format, or holds objects other than tensors; fetch it again"
    except _CompressedError:
        return "is compressed, as torch.save never does; it may unpack to any size, do not use it"
    if not isinstance(state, dict):
        kind = type(state).__name__
        return f"holds a {kind}, not tensors by name; it is no weight file"
    strange = (_strange(name, value, size) for name, value in state.items())
    return next((problem for problem in strange if problem is not None), None)


def _strange(name: object, value: object, size: int) -> str | None:
    """Why an entry is no weight."""
    if not isinstance(name, str):
        return f"has an entry {str(name)[:40]!r} that is not a name; it is no weight file"
    if not isinstance(value, Tensor):
        inner = f" ({', '.join(map(str, list(value)[:3]))})" if isinstance(value, dict) else ""
        return (
            f"holds {name!r} of type {type(value).__name__}{inner} beside or instead of tensors; "
            "it is no weight file: save the model's state_dict() alone"
        )
    kind = None
    if type(value) not in (Tensor, nn.Parameter):
        kind = f"a {type(value).__name__}"
    elif value.is_quantized:
        kind = f"quantised ({value.dtype})"
    elif value.layout != torch.strided or value.device.type != "cpu":
        kind = f"stored as {value.layout} on {value.device.type}"
    elif value.is_complex():
        kind = f"complex ({value.dtype})"
    if kind is not None:
        return f"holds {name!r}, which is {kind}; save it as a plain tensor of floating point"
    if value.nbytes > size:
        return f"holds {name!r} of {value.nbytes:,} bytes, in a file of {size:,}; do not use it"
    return None


def _too_large(size: int) -> str:
    most = _SPACE_FACTOR * size + _SPACE
    return (
        f"asks for more than {most:,} bytes of memory when it is read, but has {size:,} itself; "
        "do not use this file"
    )


def _limit(size: int) -> dict[int, tuple[int, int]]:
    """Set the limits that a file of this size explains; what they were before."""
    if sys.platform != "linux":
        return {}
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime) + _SECONDS + size // _BYTES_A_SECOND
    space = pages * os.sysconf("SC_PAGE_SIZE") + _SPACE_FACTOR * size + _SPACE
    before = {}
    for kind, most in ((resource.RLIMIT_AS, space), (resource.RLIMIT_CPU, seconds)):
        before[kind] = resource.getrlimit(kind)
        hard = before[kind][1]
        resource.setrlimit(kind, (most if hard == -1 else min(most, hard), hard))
    return before


class _CompressedError(Exception):
    """A zip whose members are compressed."""


def _load(path: Path) -> dict[str, Tensor]:
    with path.open("rb") as file:
        mapped = file.read(4) == b"PK\3\4"  # before PyTorch 1.6 there was another format
    if mapped:
        with zipfile.ZipFile(path) as archive:
            if any(m.compress_type != zipfile.ZIP_STORED for m in archive.infolist()):
                raise _CompressedError
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of old protocols; what cannot be read is an error
        state: dict[str, Tensor] = torch.load(
            path, map_location="cpu", weights_only=True, mmap=mapped
        )
    return state
