"""Help: quick, complete, and with examples that parse."""

from __future__ import annotations

import importlib
import inspect
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from foretext.cli import EXAMPLE, VERBS, overview, synonyms
from foretext.tasks import TASKS
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


@pytest.mark.parametrize("line", dict.fromkeys(synonyms._WORDS))
def test_words_of_other_tools_lead_to_a_verb_that_is_there(line: str, cli: Cli) -> None:
    """Issue 22: `ner`, `info` and the like; what is offered has a verb and a task."""
    for word in synonyms._WORDS[line]:
        said = cli(word)
        assert (said.code, said.out) == (2, "")
        assert f"there is no verb {word!r}; did you mean `foretext {line}`?" in said.err
    words = line.split()
    assert words[0] in VERBS or " ".join(words[:2]) in VERBS
    known = {"TASK", "masked", "causal", *TASKS}
    assert words[0] != "finetune" or words[2] in known


def test_a_shell_is_told_verbs_and_options(cli: Cli) -> None:
    """Without importing torch; where a shell knows better, as for files, nothing is said."""
    asked = {
        ("pret",): ["pretrain"],
        ("tokenizer", ""): ["train"],
        ("tokenizer", "train", "--voc"): ["--vocab-size"],
        ("pretrain", "bert-mini", "--st"): ["--steps"],
        ("pretrain", "--he"): ["--help"],
        ("pretrain", "bert-mini", "--text", "bo"): [""],
        ("no-verb", ""): [""],
    }
    for words, answer in asked.items():
        assert cli("--complete", *words).out.splitlines() == answer
    assert set(VERBS) >= {"tokenizer train", *cli("--complete").out.split()} - {"tokenizer"}


def test_the_script_of_bash_completes(tmp_path: Path) -> None:
    """In a real shell, with the program on its PATH."""
    program = tmp_path / "foretext"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m foretext "$@"\n')
    program.chmod(0o755)
    script = """
        eval "$(foretext completion bash)"
        COMP_WORDS=(foretext finetune runs/bert --cali) COMP_CWORD=3
        _foretext; echo "${COMPREPLY[@]}"
    """
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = ["bash", "-c", script]
    said = subprocess.run(
        command, env=os.environ | path, capture_output=True, text=True, check=True
    )
    assert said.stdout == "--calibrate\n"
