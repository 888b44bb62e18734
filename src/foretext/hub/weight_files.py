"""The files of a model folder: weights as safetensors, whole or in shards, and JSON.

A folder may come from anyone. Names in an index stay inside the folder, only regular files are
opened, sizes are checked before memory is taken, and pickles are read on request alone: pickles.py.
"""

from __future__ import annotations

import json
import math
import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from foretext.core.atomic import atomic_file, atomic_write_text
from foretext.core.errors import CheckpointError
from foretext.hub.foreign import what_is
from foretext.hub.pickles import read_pickle

SAFETENSORS = "model.safetensors"
PICKLE = "pytorch_model.bin"
MAX_SHARD_BYTES = 5 * 10**9
MAX_JSON_BYTES = 1 << 20
MAX_INDEX_BYTES = 1 << 26  # some 100 bytes for each tensor

_SHARD_NAME = re.compile(r"[\w.-]+\.(?:safetensors|bin)", re.ASCII)
_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


def regular_file(folder: Path, name: str) -> Path | None:
    """The path of a file of the folder; None if it is not there.

    A link may lead to another file of the folder, or, in a snapshot of the Hugging Face cache, to
    the cache's own `blobs`.

    Raises:
        CheckpointError: it is no regular file (a pipe would block, a device never ends), may not
            be read, or a link leads out of the folder.
    """
    path = folder / name
    try:
        target = path.resolve(strict=True)
        mode = target.stat().st_mode
    except FileNotFoundError:
        if path.is_symlink():
            raise CheckpointError(f"{path} is a broken link; copy the file itself here") from None
        return None
    except (OSError, RuntimeError) as error:  # a loop of links is a RuntimeError before 3.13
        raise CheckpointError(f"{path} cannot be opened: {error}") from error
    roots = [folder.resolve()]
    if folder.absolute().parent.name == "snapshots":
        roots.append((folder.absolute().parent.parent / "blobs").resolve())
    if not any(target.is_relative_to(root) for root in roots):
        raise CheckpointError(f"{path} is a link out of its folder; copy the file itself here")
    if not stat.S_ISREG(mode):
        raise CheckpointError(f"{path} is not a regular file; a model folder holds plain files")
    if not os.access(target, os.R_OK):
        raise CheckpointError(f"{path} may not be read by this user; ask its owner to chmod it")
    return path


def read_json(path: Path, *, max_bytes: int = MAX_JSON_BYTES) -> dict[str, Any]:
    """A JSON object of finite numbers.

    Raises:
        CheckpointError: the file is larger than max_bytes, not UTF-8 or not JSON, nested too
            deeply, holds NaN or Infinity, or is not an object.
    """
    with path.open("rb") as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise CheckpointError(f"{path} is larger than {max_bytes:,} bytes; it is no such file")
    try:
        value = json.loads(data.decode(), parse_float=_finite, parse_constant=_no_constant)
    except RecursionError:
        raise CheckpointError(f"{path} is nested too deeply; it is no file of a model") from None
    except ValueError as error:
        raise CheckpointError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} holds a {type(value).__name__}, but must be a JSON object")
    return value


def weight_files(folder: Path, *, allow_pickle: bool = False) -> list[Path]:
    """The files that hold the folder's weights, safetensors before pickles.

    Raises:
        CheckpointError: there are none, only pickles and allow_pickle is False, or the index names
            a file it must not.
    """
    return _layout(folder, allow_pickle)[0]


def read_shapes(folder: Path, *, allow_pickle: bool = False) -> dict[str, Tensor]:
    """The folder's tensors on the meta device: shapes and dtypes, from the headers alone.

    Raises:
        CheckpointError: as `read_tensors`.
    """
    return _read(folder, allow_pickle=allow_pickle, shapes_only=True)


def read_tensors(folder: Path, *, allow_pickle: bool = False) -> dict[str, Tensor]:
    """The folder's tensors by name, mapped into memory: pages are read when a tensor is used.

    Raises:
        CheckpointError: see `weight_files`; a file is damaged or foreign, two files or an index
            and a file disagree, or a pickle wants to run code.
    """
    return _read(folder, allow_pickle=allow_pickle, shapes_only=False)


def write_tensors(
    folder: Path, tensors: Mapping[str, Tensor], *, max_shard_bytes: int = MAX_SHARD_BYTES
) -> None:
    """Write model.safetensors, or shards with an index if it would exceed max_shard_bytes.

    Each file is flushed and renamed into place. A crash while shards replace shards leaves a
    folder without an index, which is refused, never a mixture.

    Raises:
        CheckpointError: the disk refuses.
    """
    shards = _split(tensors, max_shard_bytes)
    index = folder / f"{SAFETENSORS}.index.json"
    names = [SAFETENSORS]
    if len(shards) > 1:
        count = len(shards)
        names = [f"model-{i + 1:05d}-of-{count:05d}.safetensors" for i in range(count)]
    old = set(folder.glob("model-*-of-*.safetensors")) | {folder / SAFETENSORS}
    try:
        if len(shards) > 1:
            index.unlink(missing_ok=True)
        for name, shard in zip(names, shards, strict=True):
            with atomic_file(folder / name) as temporary:
                save_file(_owned(shard), temporary, metadata={"format": "pt"})
        if len(shards) > 1:
            owner = {key: n for n, shard in zip(names, shards, strict=True) for key in shard}
            total = {"total_size": sum(t.nbytes for t in tensors.values())}
            text = json.dumps({"metadata": total, "weight_map": owner}, indent=2, sort_keys=True)
            atomic_write_text(index, f"{text}\n")
        else:
            index.unlink(missing_ok=True)
        for path in old - {folder / name for name in names}:
            path.unlink(missing_ok=True)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{folder} cannot be written: {error}; free some space") from error


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is not a finite number")
    return value


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a finite number")


def _layout(folder: Path, allow_pickle: bool) -> tuple[list[Path], dict[str, str] | None]:
    """The files, and for shards the index: tensor name -> file name."""
    for name in (SAFETENSORS, PICKLE):
        path = regular_file(folder, name)
        index = regular_file(folder, f"{name}.index.json") if path is None else None
        if path is None and index is None:
            continue
        if name == PICKLE and not allow_pickle:
            raise CheckpointError(
                f"{folder} has its weights in {name} alone; that is a pickle, which can run code "
                "when it is read; get model.safetensors, or make a folder of its tensors without "
                f"running code: foretext import {folder} NEW --allow-pickle"
            )
        if path is not None:
            return [path], None
        assert index is not None
        owners = _owners(index)
        return _shards(folder, index, owners, Path(name).suffix), owners
    raise CheckpointError(
        what_is(folder) or f"{folder} holds no weights; expected {SAFETENSORS} in it"
    )


def _shards(folder: Path, index: Path, owners: dict[str, str], suffix: str) -> list[Path]:
    paths = []
    for name in sorted(set(owners.values())):
        if not _SHARD_NAME.fullmatch(name) or not name.endswith(suffix):
            raise CheckpointError(
                f"{index} names {name!r}, but a shard is a plain {suffix} file of the folder; "
                "do not use this folder"
            )
        path = regular_file(folder, name)
        if path is None:
            raise CheckpointError(f"{index} names {name}, which is missing; fetch it again")
        paths.append(path)
    return paths


def _owners(index: Path) -> dict[str, str]:
    """Tensor name -> file name."""
    owners = read_json(index, max_bytes=MAX_INDEX_BYTES).get("weight_map")
    if not isinstance(owners, dict) or not owners:
        raise CheckpointError(f"{index} has no weight_map; fetch it again")
    if wrong := [v for v in owners.values() if not isinstance(v, str)]:
        raise CheckpointError(f"{index} names {wrong[0]!r}, but must name files; fetch it again")
    return owners


def _read(folder: Path, *, allow_pickle: bool, shapes_only: bool) -> dict[str, Tensor]:
    paths, expected = _layout(folder, allow_pickle)
    result: dict[str, Tensor] = {}
    owners: dict[str, str] = {}
    for path in paths:
        read = _read_pickle if path.suffix == ".bin" else _read_safetensors
        for name, tensor in read(path, shapes_only):
            if name in result:
                raise CheckpointError(f"{folder}: {name} is in {owners[name]} and in {path.name}")
            result[name] = tensor
            owners[name] = path.name
    if expected is not None and expected != owners:
        name = next(k for k in {**expected, **owners} if expected.get(k) != owners.get(k))
        raise CheckpointError(
            f"{folder}: the index and the shards disagree about {name}; fetch them again"
        )
    return result


def _read_safetensors(path: Path, shapes_only: bool) -> Iterator[tuple[str, Tensor]]:
    try:
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118 - not a mapping
                header = file.get_slice(name)
                dtype = header.get_dtype()
                if dtype not in _DTYPES:
                    raise CheckpointError(f"{path}: {name} is {dtype}, which cannot be read here")
                if shapes_only:
                    shape = header.get_shape()
                    yield name, torch.empty(shape, dtype=_DTYPES[dtype], device="meta")
                else:
                    yield name, file.get_tensor(name)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} is damaged or foreign: {error}; fetch it again") from error


def _read_pickle(path: Path, shapes_only: bool) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in read_pickle(path).items():
        yield name, tensor.to("meta") if shapes_only else tensor


def _split(tensors: Mapping[str, Tensor], max_bytes: int) -> list[dict[str, Tensor]]:
    """Tensors in order, in shards of at most max_bytes; a larger one has a shard to itself."""
    shards: list[dict[str, Tensor]] = [{}]
    size = 0
    for name, tensor in tensors.items():
        if shards[-1] and size + tensor.nbytes > max_bytes:
            shards.append({})
            size = 0
        shards[-1][name] = tensor
        size += tensor.nbytes
    return shards


def _owned(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous CPU tensors that share no memory, as the format wants them."""
    result: dict[str, Tensor] = {}
    storages: set[int] = set()
    for name, tensor in tensors.items():
        own = tensor.detach().cpu().contiguous()
        start = own.untyped_storage().data_ptr()
        result[name] = own.clone() if start in storages else own
        storages.add(start)
    return result
