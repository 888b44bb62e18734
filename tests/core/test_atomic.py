"""foretext.core.atomic: whole or not there, and leftovers told from work in progress."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from foretext.core.atomic import (
    atomic_file,
    atomic_folder,
    atomic_write_bytes,
    atomic_write_text,
    clean_leftovers,
    made_folder,
    remove_folder,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def dead_pid() -> int:
    """The id of a process that has ended and been waited for."""
    with subprocess.Popen([sys.executable, "-S", "-c", ""]) as process:
        process.wait()
        return process.pid


def test_a_folder_appears_whole_at_the_end_of_the_block(tmp_path: Path) -> None:
    """Module docstring: written under a temporary name, then renamed."""
    destination = tmp_path / "new" / "model"
    with atomic_folder(destination) as folder:
        (folder / "inner").mkdir()
        (folder / "inner" / "a.txt").write_text("a")
        assert not destination.exists()
        assert folder.name == f".tmp-model-{os.getpid()}"
    assert (destination / "inner" / "a.txt").read_text() == "a"
    assert names(tmp_path / "new") == ["model"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_in_the_block_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    """atomic_folder: on any error, an interrupt included, nothing is published."""
    with pytest.raises(error), atomic_folder(tmp_path / "model") as folder:
        (folder / "a.txt").write_text("half")
        raise error
    assert names(tmp_path) == []


def test_an_existing_destination_is_refused_before_the_block_runs(tmp_path: Path) -> None:
    """atomic_folder: FileExistsError; an empty folder counts, which a bare rename would replace."""
    (tmp_path / "model").mkdir()
    with pytest.raises(FileExistsError, match="model exists"), atomic_folder(tmp_path / "model"):
        pytest.fail("the block must not run")
    assert names(tmp_path) == ["model"]


def test_a_destination_made_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    """Another process may publish the same name while the block runs."""
    with pytest.raises(FileExistsError), atomic_folder(tmp_path / "model"):
        (tmp_path / "model").mkdir()
    assert names(tmp_path) == ["model"]


def test_every_file_is_flushed_before_the_rename_and_the_parent_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ecosystem, danger 1: fsync of files and folder, rename, fsync of the parent."""
    flushed: list[tuple[str, bool]] = []
    fsync = os.fsync

    def record(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        flushed.append((path.name, (tmp_path / "model").exists()))
        fsync(descriptor)

    if not Path("/proc/self/fd").exists():
        pytest.skip("needs /proc")
    monkeypatch.setattr(os, "fsync", record)
    with atomic_folder(tmp_path / "model") as folder:
        (folder / "inner").mkdir()
        (folder / "inner" / "a").write_text("a")
        (folder / "b").write_text("b")
    before = [name for name, published in flushed if not published]
    assert before[:2] == ["a", "inner"]
    assert before[2:] == ["b", folder.name]
    assert flushed[-1] == (tmp_path.name, True)


def test_a_written_file_replaces_the_old_one_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """atomic_write_bytes: an older file stays until the new one is complete."""
    path = tmp_path / "config.json"
    atomic_write_text(path, "one\r\n한글")
    assert path.read_bytes() == "one\r\n한글".encode()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            atomic_write_bytes(path, b"two")
    assert path.read_bytes() == "one\r\n한글".encode()
    assert names(tmp_path) == ["config.json"]


def test_only_leftovers_of_dead_processes_are_cleaned(tmp_path: Path) -> None:
    """clean_leftovers: the living go on, and names that only look alike stay."""
    dead, living = dead_pid(), os.getppid()
    for name in (f".tmp-a-b-{dead}", f".del-step-000100-{dead}", f".tmp-a-{living}", "a", ".tmp-x"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    (tmp_path / f".tmp-c.json-{dead}").touch()
    with atomic_folder(tmp_path / "mine") as mine:
        removed = clean_leftovers(tmp_path)
        assert mine.is_dir()
    assert [path.name for path in removed] == [
        f".del-step-000100-{dead}", f".tmp-a-b-{dead}", f".tmp-c.json-{dead}",
    ]  # fmt: skip
    assert names(tmp_path) == sorted([f".tmp-a-{living}", "a", ".tmp-x", "mine"])
    assert clean_leftovers(tmp_path / "missing") == []


def test_a_leftover_under_our_own_id_is_no_obstacle(tmp_path: Path) -> None:
    """In a container every run may have the same process id."""
    leftover = tmp_path / f".tmp-model-{os.getpid()}"
    leftover.mkdir()
    (leftover / "old").touch()
    with atomic_folder(tmp_path / "model") as folder:
        (folder / "new").touch()
    assert names(tmp_path / "model") == ["new"]
    (tmp_path / f".tmp-other-{os.getpid()}").mkdir()
    assert len(clean_leftovers(tmp_path)) == 1


def test_a_removed_folder_is_gone_or_a_leftover(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """remove_folder: a crash on the way leaves a leftover, not half of the folder."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    remove_folder(tmp_path / "a")
    assert names(tmp_path) == ["b"]

    def crash(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", crash)
    with pytest.raises(KeyboardInterrupt):
        remove_folder(tmp_path / "b")
    assert names(tmp_path) == [f".del-b-{os.getpid()}"]
    assert len(clean_leftovers(tmp_path)) == 1


def test_a_folder_that_nothing_came_of_is_gone(tmp_path: Path) -> None:
    """With the parents that were made for it; what holds something stays."""
    with pytest.raises(ValueError, match="no text"), made_folder(tmp_path / "runs" / "one"):
        raise ValueError("no text")
    assert names(tmp_path) == []
    with pytest.raises(ValueError, match="later"), made_folder(tmp_path / "runs" / "two"):
        (tmp_path / "runs" / "two" / "run.toml").touch()
        raise ValueError("later")
    assert names(tmp_path / "runs") == ["two"]
    with pytest.raises(ValueError, match="again"), made_folder(tmp_path / "runs"):
        raise ValueError("again")
    assert names(tmp_path / "runs") == ["two"]


def test_a_file_is_readable_as_the_umask_says_whoever_wrote_it(tmp_path: Path) -> None:
    """safetensors creates files that their owner alone may read."""
    path = tmp_path / "weights"
    with atomic_file(path) as temporary:
        temporary.write_bytes(b"")
        temporary.chmod(0o600)
    (tmp_path / "other").touch()
    assert path.stat().st_mode == (tmp_path / "other").stat().st_mode
