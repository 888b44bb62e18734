"""A folder that is called like a preset does not hide it, unless it is a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import TINY, Cli, World


def test_a_folder_called_like_a_preset_does_not_hide_it(
    cli: Cli, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bert-tiny").mkdir()
    arguments = ["pretrain", "bert-tiny", "--text", world.text, "--steps", "1", *TINY]
    assert cli(*arguments, "--out", "run").code == 0
    Path("bert-tiny").rmdir()
    Path("run").rename("bert-tiny")
    said = cli(*arguments, "--out", "new")
    assert said.code == 1
    assert "bert-tiny is a run in this folder and a preset too" in said.err
    assert not Path("new").exists()
