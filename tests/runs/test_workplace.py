"""A run's folder belongs to one process at a time, and to nobody once that process is dead."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from foretext.core.errors import ConfigError
from foretext.recipes.folder import workplace
from foretext.runs.finetune import FinetuneOptions, finetune
from foretext.runs.options import PretrainOptions
from foretext.runs.pretrain import pretrain
from tests.tasks.tiny import backbone_folder, sentence_file

_HOLDER = """
import sys, time
from pathlib import Path
from foretext.recipes.folder import workplace
with workplace(Path(sys.argv[1]), fresh=False, force=False):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def held(tmp_path: Path) -> subprocess.Popen[str]:
    """A living process that works in tmp_path / "run"."""
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(tmp_path / "run")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_process_is_refused_until_the_first_is_killed(
    tmp_path: Path, held: subprocess.Popen[str]
) -> None:
    """Pre-training and fine-tuning alike, with --fresh --force too, and nothing is written."""
    out, text = tmp_path / "run", tmp_path / "text.txt"
    text.write_text("A sentence.\n\n" * 50, encoding="utf-8")
    backbone = backbone_folder(tmp_path / "backbone", "bert")
    train = sentence_file(tmp_path / "train.tsv", 20, 0)
    short = FinetuneOptions(settings={"training.steps": 1})
    tasks = [short, FinetuneOptions(seeds=2), FinetuneOptions(fresh=True, force=True)]
    try:
        for fresh in (False, True):
            options = PretrainOptions(text=(text,), fresh=fresh, force=fresh)
            with pytest.raises(ConfigError, match=r"another process works in .*run; wait for it"):
                pretrain("bert-tiny", out=out, options=options)
        for chosen in tasks:
            with pytest.raises(ConfigError, match="another process works in"):
                finetune(backbone, "classification", train=train, out=out, options=chosen)
        assert list(out.iterdir()) == []
    finally:
        held.kill()
        held.communicate(timeout=60)
    finetune(backbone, "classification", train=train, out=out, options=short)
    assert (out / "model.safetensors").is_file()


def test_a_folder_that_was_left_empty_is_gone_again(tmp_path: Path) -> None:
    """So that a wrong input leaves nothing behind, not even for the next command to trip over."""
    with (
        pytest.raises(ZeroDivisionError),
        workplace(tmp_path / "a" / "run", fresh=False, force=False),
    ):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def locked(folder: Path) -> int:
    """A descriptor that holds the folder's lock, as another process would."""
    descriptor = os.open(folder, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return descriptor


def test_who_comes_second_leaves_the_firsts_new_folder_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both find no folder, this process makes it, and the other locks it before it can."""
    out, flock, winner = tmp_path / "a" / "run", fcntl.flock, []

    def late(descriptor: int, how: int) -> None:
        monkeypatch.setattr(fcntl, "flock", flock)
        winner.append(locked(out))
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with (
        pytest.raises(ConfigError, match="another process works in"),
        workplace(out, fresh=False, force=False),
    ):
        pass
    assert os.path.samestat(os.fstat(winner[0]), out.stat())
    os.close(winner[0])


def test_a_lock_on_a_folder_that_has_gone_is_no_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process before failed and took its folder away between our look and our lock."""
    out, flock = tmp_path / "run", fcntl.flock

    def late(descriptor: int, how: int) -> None:
        monkeypatch.setattr(fcntl, "flock", flock)
        out.rmdir()
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with workplace(out, fresh=False, force=False), pytest.raises(BlockingIOError):
        locked(out)
    os.close(locked(out))


def test_a_run_that_another_process_trains_is_called_one(tmp_path: Path) -> None:
    from foretext.inference.task_run import load_task

    (tmp_path / "run.toml").write_text('name = "classification"\n[task]\n')
    with pytest.raises(ConfigError, match="its fine-tuning was stopped"):
        load_task(tmp_path)
    progress = pytest.raises(ConfigError, match="is a run in progress: another process trains it")
    with workplace(tmp_path, fresh=False, force=False), progress:
        load_task(tmp_path)
