"""finetune RUN masked|causal at the command line: text from standard input, and --dry-run."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from foretext.core.config import read_toml
from tests.cli.conftest import Cli, World


def arguments(bert: Path, out: Path, *more: str | Path) -> list[str]:
    steps = ["--steps", "2", "--set", "task.new_tokens=2", "--json"]
    return [str(part) for part in ("finetune", bert, "masked", "--out", out, *steps, *more)]


@pytest.mark.parametrize("piped", ["--train", "--dev", "--old"])
def test_text_from_standard_input_is_text_of_a_file(
    cli: Cli, world: World, bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piped: str
) -> None:
    """docs/data-formats.md: `-` is a text like a file; it is read several times here."""
    files: dict[str, str] = dict.fromkeys(("--train", "--dev", "--old"), str(world.text))
    given = [part for pair in files.items() for part in pair]
    whole = cli(*arguments(bert, tmp_path / "file", *given))
    with world.text.open(encoding="utf-8") as text:
        monkeypatch.setattr(sys, "stdin", text)
        given = [part for pair in (files | {piped: "-"}).items() for part in pair]
        said = cli(*arguments(bert, tmp_path / "pipe", *given))
    assert (said.code, whole.code) == (0, 0)
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("file", "pipe")]
    assert weights[0] == weights[1]
    records = [json.loads(found.out.splitlines()[-1])["texts"] for found in (whole, said)]
    names = {"domain": "--dev", "old": "--old"}
    for before, after in zip(*records, strict=True):
        origin = "standard input" if names[before["text"]] == piped else str(world.text)
        assert after == before | {"origin": origin}


@pytest.mark.parametrize(
    ("content", "given", "why"),
    [
        (b"", ["--train", "-", "--old", "-"], "standard input (-) is one text"),
        (b"", ["--train", "-"], "standard input is empty"),
        (b"a good film\n\xff\n", ["--train", "-"], "standard input:2: invalid UTF-8 at byte 12"),
    ],
)
def test_standard_input_that_cannot_serve_is_one_line(
    cli: Cli,
    bert: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    content: bytes,
    given: list[str],
    why: str,
) -> None:
    (tmp_path / "piped").write_bytes(content)
    with (tmp_path / "piped").open(encoding="utf-8") as text:
        monkeypatch.setattr(sys, "stdin", text)
        said = cli(*arguments(bert, tmp_path / "out", *given))
    assert (said.code, said.err.count("\n")) == (1, 1)
    assert why in said.err
    assert not (tmp_path / "out").exists()


def test_a_dry_run_prints_recipe_and_cost_and_writes_nothing(
    cli: Cli, world: World, bert: Path, tmp_path: Path
) -> None:
    """The recipe is that which run.toml keeps, its vocabulary with the new tokens."""
    out = tmp_path / "out"
    said = cli(*arguments(bert, out, "--train", world.text), "--dry-run")
    assert said.code == 0
    assert list(tmp_path.iterdir()) == []
    plan = json.loads(said.out.splitlines()[-1])
    assert plan["event"] == "plan"
    assert plan["estimate"]["seconds"] > 0
    assert cli(*arguments(bert, out, "--train", world.text)).code == 0
    kept = read_toml(out / "run.toml")
    del kept["text"]
    assert kept == plan["recipe"]
    assert cli(*arguments(bert, bert, "--train", world.text), "--dry-run").code == 1
