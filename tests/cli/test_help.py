"""Help: quick, complete, and with examples that parse."""

from __future__ import annotations

import importlib
import inspect
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from foretext.cli import EXAMPLE, VERBS, overview
from tests.cli.conftest import Cli

HEAVY = ("torch", "numpy", "tokenizers", "safetensors", "transformers")


def test_the_overview_imports_nothing_heavy() -> None:
    """Issue 2 wants `foretext --help` in 0.2 s: not even typer is imported for it."""
    code = (
        "import sys; from foretext.cli import main; main(['--help']); "
        f"print('heavy:', [m for m in {HEAVY} if m in sys.modules], 'typer' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.splitlines()[-1] == "heavy: [] False"


def test_the_module_is_the_program() -> None:
    """So that `torchrun -m foretext` and environments without scripts on PATH work."""
    command = [sys.executable, "-m", "foretext", "--help"]
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    assert said.stdout.rstrip("\n") == overview().rstrip("\n")


def test_importing_foretext_imports_nothing_heavy() -> None:
    """The Python functions are as lazy as the verbs."""
    code = f"import sys, foretext; print([m for m in {HEAVY} if m in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "[]\n"


def test_every_public_name_exists() -> None:
    """Each name that `dir(foretext)` promises can be imported."""
    import foretext

    for name in foretext.__all__:
        assert getattr(foretext, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'pretrian'"):
        foretext.__getattr__("pretrian")


def test_every_module_with_a_command_is_a_verb() -> None:
    """style.md: a test checks that every module is in its name table."""
    import foretext.cli

    folder = Path(inspect.getfile(foretext.cli)).parent
    modules = {
        path.stem
        for path in folder.glob("*.py")
        if "\ndef command(" in path.read_text(encoding="utf-8")
    }
    assert modules == {verb.module for verb in VERBS.values()}


def test_the_overview_names_every_verb_and_fits_80_columns() -> None:
    """A user sees every verb in a narrow window."""
    shown = overview()
    for name, verb in VERBS.items():
        assert f"  {name:<16} {verb.summary}" in shown
    assert max(map(len, shown.split("Example:")[0].splitlines())) <= 80


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_has_help_with_an_example(name: str, cli: Cli) -> None:
    """design.md: every verb has --help with an example."""
    said = cli(*name.split(), "--help")
    assert said.code == 0
    assert said.out.startswith(f"Usage: foretext {name}")
    assert f"Example:\n  foretext {name}" in _dedented(said.out)


def _dedented(text: str) -> str:
    """The help with the example's indentation taken away."""
    return text.replace("\n    ", "\n  ").replace("\n  Example", "\nExample")


def _commands() -> list[list[str]]:
    """Every command of every example, as arguments."""
    texts = [EXAMPLE] + [
        importlib.import_module(f"foretext.cli.{verb.module}").EXAMPLE for verb in VERBS.values()
    ]
    lines = [line for text in texts for line in text.replace("\\\n", " ").splitlines()]
    return [shlex.split(line) for line in lines if line.strip()]


@pytest.mark.parametrize("arguments", _commands(), ids=" ".join)
def test_examples_parse(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Every option and argument of every example exists; the command itself is not run."""
    from foretext import cli as package

    program, *rest = arguments
    assert program == "foretext"
    seen: list[dict[str, Any]] = []

    def instead(function: Any) -> Any:
        def record(**values: Any) -> None:
            seen.append(values)

        record.__signature__ = inspect.signature(function, eval_str=True)  # type: ignore[attr-defined]
        record.__annotations__ = inspect.get_annotations(function, eval_str=True)
        return record

    monkeypatch.setattr(package, "_guarded", instead)
    assert package.main(rest) == 0
    assert len(seen) == 1


@pytest.mark.parametrize("arguments", [[], ["help"], ["-h"]], ids=str)
def test_without_a_verb_the_overview_is_shown(arguments: list[str], cli: Cli) -> None:
    """Somebody who does not know what to type sees the verbs."""
    assert cli(*arguments).out == overview() + "\n"


def test_the_version_is_told(cli: Cli) -> None:
    """--version names the program and its version."""
    import foretext

    assert cli("--version").out == f"foretext {foretext.__version__}\n"
