"""Checkpoints: whole or not there, checked by SHA-256 when read, the last few kept.

    checkpoints/step-000200/
      model.safetensors  optimizer.safetensors ...   tensors, one file for each group
      state.json                                     counters and whatever else is plain data
      manifest.json                                  size and SHA-256 of every file, and of itself

Nothing is pickled. A run that dies while saving leaves the checkpoints before it as they were; an
older one goes only after a newer one is in place.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from foretext.core.atomic import atomic_folder, clean_leftovers, remove_folder
from foretext.core.errors import CheckpointError

FORMAT_VERSION = 1
_MANIFEST = "manifest.json"
_STATE = "state.json"
_STEP = re.compile(r"step-([0-9]{6,})")
_HEADROOM = 1 << 16  # bytes: the safetensors headers' fixed part, the manifest, file system blocks


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A checkpoint whose every byte has been checked."""

    path: Path
    step: int  # updates made when it was saved
    state: dict[str, Any]

    def tensors(self, name: str) -> dict[str, Tensor]:
        """The tensors saved under a name such as "model", on the CPU.

        Raises:
            CheckpointError: the checkpoint has no such group.
        """
        file = self.path / f"{name}.safetensors"
        if not file.is_file():
            held = sorted(p.stem for p in self.path.glob("*.safetensors"))
            raise CheckpointError(
                f"{self.path} holds no tensors named {name!r}, only {held}; "
                "it was saved by another kind of run, start anew with --fresh"
            )
        return load_file(file)


def save_checkpoint(
    root: Path,
    step: int,
    *,
    tensors: Mapping[str, Mapping[str, Tensor]],
    state: Mapping[str, Any],
    keep: int,
) -> Path:
    """Save root/step-000200 and let go of checkpoints beyond the last `keep`.

    Checkpoints of later steps are a future this run has left, because they were damaged or because
    it was set back; they go too, once this one is in place. A whole checkpoint of the same step and
    the same tensors is left as it is.

    Args:
        root: the folder of checkpoints, made if missing.
        step: updates made so far.
        tensors: groups of named tensors of any type and device; "model" becomes model.safetensors.
            Tensors that share memory are each written out.
        state: plain data that JSON can hold.
        keep: checkpoints to keep, at least 2, so that a damaged newest one has a predecessor.

    Returns:
        The checkpoint's folder.

    Raises:
        CheckpointError: no room, a failed write, or another run's whole checkpoint of this step.
    """
    if keep < 2:
        raise CheckpointError(
            f"keep={keep} checkpoints leaves none to fall back to; keep 2 or more"
        )
    destination = root / f"step-{step:06d}"
    plain_state = json.dumps(state, indent=1, sort_keys=True)
    groups = {name: _plain(group) for name, group in tensors.items()}
    try:
        root.mkdir(parents=True, exist_ok=True)
        clean_leftovers(root)
        _check_space(root, groups, len(plain_state))
        if not _set_aside(destination, groups):
            with atomic_folder(destination) as folder:
                for name, group in groups.items():
                    save_file(group, folder / f"{name}.safetensors")
                (folder / _STATE).write_text(plain_state, encoding="utf-8")
                seal(folder, step)
        _rotate(root, step, keep)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"saving {destination} failed: {error}; earlier checkpoints are intact, "
            "make room or mend the disk and run the same command again"
        ) from error
    return destination


def latest_checkpoint(root: Path, report: Callable[[str], None]) -> Checkpoint | None:
    """The newest whole checkpoint below a folder, or None if there is none at all.

    Args:
        root: the folder of checkpoints; it may be missing.
        report: takes one line for every damaged checkpoint that is passed over.

    Raises:
        CheckpointError: there are checkpoints and every one is damaged.
    """
    steps = _steps(root)
    for step in sorted(steps, reverse=True):
        try:
            return _open_checked(steps[step], step)
        except CheckpointError as error:
            report(f"{error}; falling back to the checkpoint before it")
    if steps:
        raise CheckpointError(
            f"every checkpoint in {root} is damaged ({len(steps)} of them); "
            "restore one from a copy, or start anew with --fresh"
        )
    return None


def seal(folder: Path, step: int) -> None:
    """Write the manifest of a folder whose files are complete: sizes and SHA-256."""
    (folder / _MANIFEST).write_text(_manifest(folder, step), encoding="utf-8")


def check_seal(folder: Path) -> None:
    """See that every file of a sealed folder is as it was written.

    Raises:
        CheckpointError: names the file that is missing or damaged.
    """
    for name, expected in _read_manifest(folder / _MANIFEST)["files"].items():
        _check_file(folder / name, expected["bytes"], expected["sha256"])


def _plain(group: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous CPU tensors that share no memory, as safetensors wants them."""
    plain: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in group.items():
        value = tensor.detach().cpu().contiguous()
        storage = value.untyped_storage().data_ptr()
        plain[name] = value.clone() if storage in seen else value
        seen.add(storage)
    return plain


def _check_space(root: Path, groups: Mapping[str, Mapping[str, Tensor]], state_bytes: int) -> None:
    every = [(name, t) for group in groups.values() for name, t in group.items()]
    # A safetensors header spends the name and some 100 bytes on each tensor.
    needed = sum(t.nbytes + len(name) + 128 for name, t in every) + state_bytes + _HEADROOM
    free = shutil.disk_usage(root).free
    if free < needed:
        raise CheckpointError(
            f"a checkpoint needs {needed:,} bytes and {root} has {free:,} free; "
            "make room and run the same command again, earlier checkpoints are intact"
        )


def _set_aside(destination: Path, groups: Mapping[str, Mapping[str, Tensor]]) -> bool:
    """Whether the checkpoint is there already; a damaged one of that name is removed."""
    if not destination.exists():
        return False
    try:
        there = _open_checked(destination, int(destination.name.removeprefix("step-")))
    except CheckpointError:
        remove_folder(destination)
        return False
    if not all(_same(there, name, group) for name, group in groups.items()):
        raise CheckpointError(
            f"{destination} holds a whole checkpoint with other weights; "
            "give this run a folder of its own, or remove the old one with --fresh --force"
        )
    return True


def _same(there: Checkpoint, name: str, group: Mapping[str, Tensor]) -> bool:
    held = there.tensors(name)
    return held.keys() == group.keys() and all(
        held[key].dtype == group[key].dtype
        and held[key].shape == group[key].shape
        and torch.equal(_raw(held[key]), _raw(group[key]))  # bits: a NaN equals itself
        for key in held
    )


def _raw(tensor: Tensor) -> Tensor:
    return tensor.reshape(-1).view(torch.uint8)


def _rotate(root: Path, step: int, keep: int) -> None:
    steps = _steps(root)
    kept = sorted(s for s in steps if s <= step)[-keep:]
    for old in steps.keys() - set(kept):
        remove_folder(steps[old])


def _steps(root: Path) -> dict[int, Path]:
    """Published checkpoints by step, whole or not."""
    found = {}
    for path in root.iterdir() if root.is_dir() else []:
        match = _STEP.fullmatch(path.name)
        if match and path.is_dir():
            found[int(match[1])] = path
    return found


def _manifest(folder: Path, step: int) -> str:
    files = {
        path.name: {"bytes": path.stat().st_size, "sha256": _sha256(path)}
        for path in sorted(folder.iterdir())
    }
    return _sealed({"format_version": FORMAT_VERSION, "step": step, "files": files})


def _sealed(content: Mapping[str, Any]) -> str:
    """The one text of a manifest: it ends in the checksum of all the rest."""
    body = json.dumps(content, sort_keys=True)
    seal = hashlib.sha256(body.encode()).hexdigest()
    return json.dumps({"content": content, "sha256": seal}, indent=1, sort_keys=True) + "\n"


def _open_checked(path: Path, step: int) -> Checkpoint:
    """Read a checkpoint after checking every byte of it.

    Raises:
        CheckpointError: names the file that is missing or damaged.
    """
    content = _read_manifest(path / _MANIFEST)
    if content["format_version"] != FORMAT_VERSION or content["step"] != step:
        raise CheckpointError(
            f"{path / _MANIFEST} is of format {content['format_version']} and step "
            f"{content['step']}, not format {FORMAT_VERSION} and step {step}"
        )
    check_seal(path)
    state = json.loads((path / _STATE).read_text(encoding="utf-8"))
    return Checkpoint(path=path, step=step, state=state)


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        data = path.read_bytes()
        content: dict[str, Any] = json.loads(data)["content"]
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{path} is damaged: it is not a manifest") from error
    if _sealed(content).encode() != data:
        raise CheckpointError(f"{path} is damaged: it differs from its own checksum")
    return content


def _check_file(path: Path, size: int, sha256: str) -> None:
    try:
        actual = path.stat().st_size
        if actual != size:
            raise CheckpointError(f"{path} is damaged: {actual:,} bytes instead of {size:,}")
        if _sha256(path) != sha256:
            raise CheckpointError(f"{path} is damaged: its SHA-256 is not the manifest's")
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror})") from error


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
