"""foretext.training.checkpoint: whole or not there, damage found, the last few kept."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from foretext.core.errors import CheckpointError
from foretext.training import checkpoint
from foretext.training.checkpoint import latest_checkpoint, save_checkpoint

KILLS = 24


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def content(step: int) -> dict[str, dict[str, Tensor]]:
    """Tensors of every kind a run holds, told apart by step."""
    return {
        "model": {
            "weight": torch.arange(12.0).reshape(3, 4) + step,
            "half": torch.full((5,), step, dtype=torch.bfloat16),
            "transposed": torch.arange(6.0).reshape(2, 3).T,
        },
        "optimizer": {"step": torch.tensor(step), "scale": torch.tensor(step / 3)},
    }


def save(root: Path, step: int, keep: int = 2) -> Path:
    return save_checkpoint(root, step, tensors=content(step), state={"step": step}, keep=keep)


def assert_is_step(found: checkpoint.Checkpoint | None, step: int) -> None:
    assert found is not None
    assert (found.step, found.state) == (step, {"step": step})
    for name, expected in content(step).items():
        actual = found.tensors(name)
        assert actual.keys() == expected.keys()
        for key, tensor in expected.items():
            assert actual[key].dtype == tensor.dtype
            assert torch.equal(actual[key], tensor)


def refuse(line: str) -> None:
    pytest.fail(line)


def test_a_checkpoint_gives_back_what_was_saved(tmp_path: Path) -> None:
    """save_checkpoint: tensors of any type and shape, plain data as JSON, nothing pickled."""
    assert latest_checkpoint(tmp_path / "missing", refuse) is None
    folder = save(tmp_path, 200)
    assert folder == tmp_path / "step-000200"
    assert_is_step(latest_checkpoint(tmp_path, refuse), 200)
    assert names(folder) == [
        "manifest.json", "model.safetensors", "optimizer.safetensors", "state.json",
    ]  # fmt: skip
    listed = json.loads((folder / "manifest.json").read_text())["content"]["files"]
    assert {name: entry["bytes"] for name, entry in listed.items()} == {
        path.name: path.stat().st_size for path in folder.iterdir() if path.name != "manifest.json"
    }


def test_tied_tensors_and_views_are_saved(tmp_path: Path) -> None:
    """save_checkpoint: tensors that share memory are each written out."""
    base = torch.arange(6.0).reshape(2, 3)
    tensors = {"tied": base, "also": base, "row": base[1], "empty": torch.empty(0, 3)}
    save_checkpoint(tmp_path, 1, tensors={"model": tensors}, state={}, keep=2)
    found = latest_checkpoint(tmp_path, refuse)
    assert found is not None
    read = found.tensors("model")
    assert all(torch.equal(read[name], tensor) for name, tensor in tensors.items())


def test_the_same_content_makes_the_same_bytes(tmp_path: Path) -> None:
    """No time or process leaks into a checkpoint, so runs can be compared by checksum."""
    one, two = save(tmp_path / "one", 7), save(tmp_path / "two", 7)
    for path in one.iterdir():
        assert path.read_bytes() == (two / path.name).read_bytes()


def test_the_last_k_are_kept(tmp_path: Path) -> None:
    """save_checkpoint: keep."""
    for step in (999_999, 1_000_000, 1_000_001, 1_000_002):  # ordered as numbers, not as text
        save(tmp_path, step, keep=3)
    assert names(tmp_path) == ["step-1000000", "step-1000001", "step-1000002"]
    with pytest.raises(CheckpointError, match="keep=1"):
        save(tmp_path, 1_000_003, keep=1)


def test_the_old_one_goes_only_after_the_new_one_is_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Module docstring: an older one goes only after a newer one is in place."""
    save(tmp_path, 1)
    save(tmp_path, 2)
    seen = []

    def spy(path: Path) -> None:
        seen.append((path.name, (tmp_path / "step-000003" / "manifest.json").is_file()))

    monkeypatch.setattr(checkpoint, "remove_folder", spy)
    save(tmp_path, 3)
    assert seen == [("step-000001", True)]


def test_a_torn_newest_falls_back_and_names_the_file(tmp_path: Path) -> None:
    """latest_checkpoint: one line for each damaged checkpoint passed over."""
    for step in (1, 2, 3):
        save(tmp_path, step, keep=3)
    (tmp_path / "step-000003" / "optimizer.safetensors").unlink()
    os.truncate(tmp_path / "step-000002" / "model.safetensors", 10)
    lines: list[str] = []
    assert_is_step(latest_checkpoint(tmp_path, lines.append), 1)
    assert len(lines) == 2
    assert "step-000003/optimizer.safetensors cannot be read" in lines[0]
    assert "step-000002/model.safetensors is damaged: 10 bytes" in lines[1]
    assert not any("\n" in line for line in lines)


def test_saving_again_after_a_fall_back_replaces_the_damaged(tmp_path: Path) -> None:
    """save_checkpoint: damaged later steps neither block a save nor count among the kept."""
    for step in (1, 2, 3, 4):
        save(tmp_path, step, keep=4)
    for step in (3, 4):
        (tmp_path / f"step-{step:06d}" / "state.json").write_text("{}")
    save(tmp_path, 3)
    assert names(tmp_path) == ["step-000002", "step-000003"]
    assert_is_step(latest_checkpoint(tmp_path, refuse), 3)


def test_no_whole_checkpoint_at_all_is_an_error(tmp_path: Path) -> None:
    """latest_checkpoint, Raises: a run is not silently begun anew."""
    (save(tmp_path, 1) / "manifest.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"every checkpoint in .* is damaged"):
        latest_checkpoint(tmp_path, lambda _: None)


def test_a_whole_checkpoint_of_the_step_is_never_replaced(tmp_path: Path) -> None:
    """save_checkpoint: the same tensors are left as they are, others are another run's."""
    folder = save(tmp_path, 5)
    inode = folder.stat().st_ino
    assert save(tmp_path, 5).stat().st_ino == inode
    with pytest.raises(CheckpointError, match="other weights"):
        save_checkpoint(tmp_path, 5, tensors=content(6), state={"step": 5}, keep=2)
    assert_is_step(latest_checkpoint(tmp_path, refuse), 5)


def test_unknown_tensors_are_named(tmp_path: Path) -> None:
    """Checkpoint.tensors, Raises."""
    save(tmp_path, 1)
    found = latest_checkpoint(tmp_path, refuse)
    assert found is not None
    with pytest.raises(CheckpointError, match=r"no tensors named 'ema', only \['model', 'optim"):
        found.tensors("ema")


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("pristine"), 9)


@settings(max_examples=300)
@given(data=st.data())
def test_every_flipped_bit_and_every_truncation_is_found(pristine: Path, data: Any) -> None:
    """ecosystem, danger 4: bit rot and truncation of any file, the manifest included."""
    path = data.draw(st.sampled_from(sorted(pristine.iterdir())))
    original = path.read_bytes()
    position = data.draw(st.integers(0, len(original) - 1))
    damaged = bytearray(original)
    if data.draw(st.booleans()):
        damaged[position] ^= 1 << data.draw(st.integers(0, 7))
    else:
        del damaged[position:]
    path.write_bytes(damaged)
    lines: list[str] = []
    try:
        with pytest.raises(CheckpointError, match="every checkpoint"):
            latest_checkpoint(pristine.parent, lines.append)
    finally:
        path.write_bytes(original)
    assert len(lines) == 1
    assert path.name in lines[0]


def test_too_little_room_is_said_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """save_checkpoint: the message names the bytes needed and the bytes free."""
    save(tmp_path, 1)
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(CheckpointError, match=r"needs [\d,]+ bytes and .* has 1,000 free"):
        save(tmp_path, 2)
    assert names(tmp_path) == ["step-000001"]


@contextlib.contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[Path]:
    """A file system of its own, which only root can make."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
    if os.getuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_leaves_the_checkpoint_before_intact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ecosystem, danger 3: a real ENOSPC, which safetensors reports by an error of its own."""
    big = {"model": {"weight": torch.zeros(100_000)}}
    with small_disk(tmp_path, 300) as root:
        save(root, 1)
        with pytest.raises(CheckpointError, match=r"needs 4.* bytes"):
            save_checkpoint(root, 2, tensors=big, state={}, keep=2)
        # Another process may take the room between the look and the write.
        monkeypatch.setattr(checkpoint, "_check_space", lambda *_: None)
        with pytest.raises(CheckpointError, match=r"saving .*step-000002 failed: .*[Nn]o space"):
            save_checkpoint(root, 2, tensors=big, state={}, keep=2)
        assert names(root) == ["step-000001"]
        assert_is_step(latest_checkpoint(root, refuse), 1)


def test_a_write_that_fails_midway_is_a_checkpoint_error(tmp_path: Path) -> None:
    """The same without root: the process may write no file above 200 KB."""
    script = """if True:
        import resource, sys
        from pathlib import Path
        import torch
        from foretext.core.errors import CheckpointError
        from foretext.training.checkpoint import save_checkpoint
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
        big = {"model": {"weight": torch.zeros(100_000)}}
        try:
            save_checkpoint(Path(sys.argv[1]), 2, tensors=big, state={}, keep=2)
        except CheckpointError as error:
            print(error)
    """
    save(tmp_path, 1)
    command = [sys.executable, "-c", script, str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "step-000002 failed" in result.stdout
    assert names(tmp_path) == ["step-000001"]
    assert_is_step(latest_checkpoint(tmp_path, refuse), 1)


# Imports once, then forks a saver for every line it is given and waits for its end.
SAVER = """if True:
    import itertools, os, sys
    from pathlib import Path
    sys.path.insert(0, sys.argv[2])
    from tests.training.test_checkpoint import latest_checkpoint, save
    root = Path(sys.argv[1])
    for _ in sys.stdin:
        if (child := os.fork()) == 0:
            found = latest_checkpoint(root, sys.exit)
            for step in itertools.count(found.step + 1 if found else 1):
                save(root, step)
                os.write(1, f"{step}\\n".encode())
        os.write(1, f"pid {child}\\n".encode())
        os.waitpid(child, 0)
        os.write(1, b"dead\\n")
"""


def test_kill_nine_at_any_moment_leaves_a_whole_newest_checkpoint(tmp_path: Path) -> None:
    """ecosystem, danger 1: nothing invalid is published, no saved step is lost."""
    root, tests = tmp_path / "checkpoints", Path(__file__).parents[2]
    command = [sys.executable, "-c", SAVER, str(root), str(tests)]
    root.mkdir()
    rng = random.Random(0)
    inside = last = 0
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, bufsize=1) as parent:
        assert parent.stdin
        assert parent.stdout
        for kill in range(KILLS):
            parent.stdin.write("\n")
            lines = iter(parent.stdout.readline, "dead\n")
            said: list[str] = []  # a child may speak before its parent names it
            # However slow the disk, every other child saves at least once.
            while not any(s.startswith("pid") for s in said) or len(said) < 1 + kill % 2:
                said.append(next(lines))
            pid = next(int(line.split()[1]) for line in said if line.startswith("pid"))
            time.sleep(rng.uniform(0, 0.05))
            os.kill(pid, signal.SIGKILL)
            said.extend(lines)
            last = max([last, *(int(line) for line in said if line[0].isdigit())])
            inside += any(name.startswith(".") for name in names(root))
            if last:
                found = latest_checkpoint(root, refuse)
                assert found is not None
                assert found.step in (last, last + 1)  # killed before it could say so
                last = found.step
                assert_is_step(found, last)
        parent.stdin.close()
    assert last >= KILLS / 2
    assert inside > 0
    save(root, last + 2)
    assert len(names(root)) == 2


# Saves step 3 after steps 1 and 2, and dies just before the n-th file operation, for every n.
CRASHER = """if True:
    import itertools, os, shutil, sys
    from pathlib import Path
    sys.path.insert(0, sys.argv[2])
    from tests.training.test_checkpoint import save
    root = Path(sys.argv[1])
    for step in (1, 2):
        save(root / "before", step)
    for n in itertools.count(1):
        shutil.copytree(root / "before", root / str(n))
        if (child := os.fork()) == 0:
            left = iter(range(n - 1, -1, -1))
            def hook(event, _):
                if event == "open" or event.startswith(("os.", "shutil.")):
                    next(left, None) or os._exit(9)
            sys.addaudithook(hook)
            save(root / str(n), 3)
            os._exit(0)
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 9:
            break
"""


def test_a_crash_before_any_file_operation_leaves_a_whole_newest_checkpoint(tmp_path: Path) -> None:
    """ecosystem, danger 2: every open, mkdir, rename and unlink of a save that rotates."""
    command = [sys.executable, "-c", CRASHER, str(tmp_path), str(Path(__file__).parents[2])]
    subprocess.run(command, check=True)
    published = []
    for n in range(1, len(names(tmp_path))):
        found = latest_checkpoint(tmp_path / str(n), refuse)
        assert found is not None
        assert_is_step(found, found.step)
        published.append(found.step)
        assert sum(name.startswith("step-") for name in names(tmp_path / str(n))) >= 2
    assert published == sorted(published)
    assert published.count(2) > 15
    assert published.count(3) > 5
