"""The examples of a page, run as a reader would, and their output compared with what is shown.

    ```console  lines after `$ ` are commands, the others what they print; all are run
    ```python   run in one module for the page; a ```text fence right after it shows what it prints
    ```toml     written to the file that its first line, `# NAME`, gives
    ```sh       shown only: what needs a network, another machine or more than seconds

In what is shown, `…` stands for anything: a line of it for any number of lines. Numbers with their
units may differ. After `<!-- words may differ -->` a block must run and print something: what a
model of a few seconds says is not the same on every processor.
"""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from foretext.cli import main

_LOOSE = "<!-- words may differ -->"
_NUMBER = re.compile(
    r"[+-]?\d(?:[\d,.:]*\d)?(?:e[+-]?\d+)?%?"  # 1,384 0:21 4.50e-04 40%
    r"(?: ?[kMGTP]?(?:B|FLOP|(?<=[kMGTP])|ms|s)(?!\w))?"  # its unit
)
_UNDER_WAY = re.compile(r"^\w+: .* left$")  # a slow machine says more often how far it is


@dataclass
class Block:
    """A fence of a page."""

    language: str
    line: int  # of its first line in the page, from 1
    text: str
    loose: bool = False
    output: str | None = None  # of python: what the next fence shows


@dataclass
class Command:
    """A command and what is shown below it."""

    line: int
    text: str
    shown: list[str] = field(default_factory=list)


def blocks(page: str) -> list[Block]:
    """The fences of a page in order."""
    found: list[Block] = []
    lines = page.splitlines()
    number = 0
    loose = False
    while number < len(lines):
        line = lines[number]
        number += 1
        if line.startswith("```") and line != "```":
            end = lines.index("```", number)
            block = Block(line[3:], number + 1, "\n".join(lines[number:end]), loose)
            last = found[-1] if found else None
            if block.language == "text" and last is not None and last.language == "python":
                last.output = block.text
            found.append(block)
            number, loose = end + 1, False
        elif line.strip():
            loose = line.strip() == _LOOSE
    return found


def commands(block: Block) -> list[Command]:
    """The commands of a console block; one goes on after a backslash."""
    found: list[Command] = []
    for number, line in enumerate(block.text.splitlines(), block.line):
        if line.startswith("$ "):
            found.append(Command(number, line[2:]))
        elif found[-1].text.endswith("\\"):
            found[-1].text = found[-1].text[:-1] + line.lstrip()
        else:
            found[-1].shown.append(line)
    return found


class Page:
    """Runs the examples of a page in the current folder."""

    def __init__(self, name: str, text: str) -> None:
        self.name, self.blocks = name, blocks(text)
        self.module: dict[str, Any] = {"__name__": "example"}

    def run(self) -> None:
        """Run every example in order.

        Raises:
            AssertionError: one fails or prints what is not shown.
        """
        for block in self.blocks:
            if block.language == "console":
                for command in commands(block):
                    self._command(command, loose=block.loose)
            elif block.language == "python":
                self._python(block)
            elif block.language == "toml" and block.text.startswith("# "):
                name, _, content = block.text[2:].partition("\n")
                Path(name.strip()).write_text(content + "\n", encoding="utf-8")

    def _command(self, command: Command, *, loose: bool) -> None:
        place = f"{self.name}:{command.line}: {command.text}"
        words = shlex.split(command.text)
        assert words[0] == "foretext", f"{place}: only foretext is run; show it as sh"
        code, said = spoken(words[1:])
        assert code == 0, f"{place} ended with {code}:\n{said}"
        compare(place, command.shown, said, loose=loose)

    def _python(self, block: Block) -> None:
        said = io.StringIO()
        place = f"{self.name}:{block.line}"
        with contextlib.redirect_stdout(said):
            exec(compile(block.text, place, "exec"), self.module)
        compare(place, (block.output or "").splitlines(), said.getvalue(), loose=block.loose)


def spoken(arguments: list[str]) -> tuple[int, str]:
    """Exit code of a verb, and what it says on both streams in its order."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = main(arguments)
    return code, said.getvalue()


def compare(place: str, shown: list[str], said: str, *, loose: bool = False) -> None:
    """See that what is said is what is shown.

    Raises:
        AssertionError: it is not.
    """
    actual = [line for line in said.splitlines() if not _UNDER_WAY.match(line)]
    if loose:
        assert bool(actual) or not shown, f"{place} printed nothing"
        return
    pattern = "".join(_pattern(line) for line in _trimmed(shown))
    lines = "".join(f"{_plain(line)}\n" for line in _trimmed(actual))
    assert re.fullmatch(pattern, lines), (
        f"{place} shows\n{chr(10).join(shown)}\n\nbut it prints\n{chr(10).join(actual)}"
    )


def _trimmed(lines: list[str]) -> list[str]:
    return "\n".join(lines).strip("\n").splitlines()


def _plain(line: str) -> str:
    """A line without its numbers and its spacing."""
    return " ".join(_NUMBER.sub("#", line).split())


def _pattern(line: str) -> str:
    if line.strip() == "…":
        return r"(?:.*\n)*"
    return r"[^\n]*".join(re.escape(part) for part in _plain(line).split("…")) + r"\n"
