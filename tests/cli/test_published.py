"""Files that a family was published in, from the command line."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Cli
from tests.models.test_elmo_files import published


def test_elmo_s_files_are_imported_and_exported(cli: Cli, tmp_path: Path) -> None:
    """A folder with options.json and weights in HDF5; the softmax is not in them, and said so."""
    published(tmp_path / "published")
    told = cli("import", tmp_path / "published", tmp_path / "ours")
    assert told.code == 0
    assert "words tokenizer of 7; read back, equal" in told.out
    assert "initialised anew when loaded: softmax" in told.out + told.err
    assert cli("export", tmp_path / "ours", tmp_path / "back", "--layout", "bilm").code == 0
    names = {path.name for path in (tmp_path / "back").iterdir()}
    assert names == {"options.json", "weights.hdf5", "vocab.txt"}


def test_a_layout_that_a_family_lacks_is_refused(cli: Cli, tmp_path: Path) -> None:
    published(tmp_path / "published")
    assert cli("import", tmp_path / "published", tmp_path / "ours").code == 0
    told = cli("export", tmp_path / "ours", tmp_path / "back", "--layout", "tensorflow")
    assert told.code == 1
    assert "its own are bilm" in told.err
    assert not (tmp_path / "back").exists()
