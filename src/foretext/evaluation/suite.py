"""A suite: how a file's rows become prompts with options, written in a small TOML file.

    prompt = "Review: {sentence}\\nSentiment:"   fields of a row in braces
    answer = "label"                             the column of the right answer
    separator = "\\n\\n"                           between examples in the prompt
    normalise = "tokens"                         none | tokens | characters | unconditional
    unconditional = "Answer:"                    the context of the last
    [options]                                    the answer in the file -> in the prompt
    negative = " negative"
    positive = " positive"

Instead of [options] a suite may have `choices = ["{good}", "{bad}"]` with `right = 0`, or with
`answer`, a column that holds the number of the right one, counted from `first` (1 by default).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Formatter
from typing import Any

from foretext.core.config import read_toml
from foretext.core.errors import ConfigError
from foretext.core.suggest import nearest
from foretext.text.errors import CorpusStats
from foretext.text.tables import read_table

NORMALISATIONS = ("none", "tokens", "characters", "unconditional")
_FOLDER = Path(__file__).parent / "suites"
_KEYS = {
    *("about", "prompt", "answer", "separator", "normalise", "unconditional", "options"),
    *("choices", "right", "first", "header"),
}


@dataclass(frozen=True, kw_only=True)
class Item:
    """One question: a prompt and its options."""

    prompt: str
    options: tuple[str, ...]
    right: int
    place: int  # the line of the file


@dataclass(frozen=True, kw_only=True)
class Suite:
    """How rows are asked."""

    name: str
    prompt: str
    about: str = ""
    answer: str | None = None
    options: Mapping[str, str] | None = None
    choices: tuple[str, ...] = ()
    right: int | None = None
    first: int = 1
    separator: str = "\n\n"
    normalise: str = "none"
    unconditional: str = "Answer:"
    header: bool = True

    def __post_init__(self) -> None:
        if self.normalise not in NORMALISATIONS:
            raise ConfigError(
                f"the suite {self.name} has normalise={self.normalise!r}; choose one of "
                f"{', '.join(NORMALISATIONS)}"
            )
        if (self.options is None) == (not self.choices):
            raise ConfigError(f"the suite {self.name} needs either [options] or choices")
        if self.options is not None and (self.answer is None or len(self.options) < 2):
            raise ConfigError(
                f"the suite {self.name} needs two options at least, and answer: the column of the "
                "right one"
            )
        if self.choices and (self.right is None) == (self.answer is None):
            raise ConfigError(
                f"the suite {self.name} needs either right, the number of the right choice from 0, "
                "or answer, the column that holds it"
            )

    @property
    def columns(self) -> list[str]:
        """Of a file, that the suite reads."""
        texts = [self.prompt, *self.choices]
        named = [name for text in texts for _, name, _, _ in Formatter().parse(text) if name]
        return list(dict.fromkeys([*named, *([] if self.answer is None else [self.answer])]))

    def items(
        self, path: Path, on_error: str = "stop", stats: CorpusStats | None = None
    ) -> Iterator[Item]:
        """The questions of a file.

        Raises:
            DataError: the file cannot be read, or lacks a column.
            ConfigError: an answer is none of the options.
        """
        rows = read_table(path, self.columns, on_error, header=self.header, stats=stats)
        for row in rows:
            yield Item(
                prompt=self.prompt.format(**row.values),
                options=self._options(row.values),
                right=self._right(path, row.line, row.values),
                place=row.line,
            )

    def _options(self, values: Mapping[str, str]) -> tuple[str, ...]:
        if self.options is not None:
            return tuple(self.options.values())
        return tuple(choice.format(**values) for choice in self.choices)

    def _right(self, path: Path, line: int, values: Mapping[str, str]) -> int:
        if self.right is not None:
            return self.right
        assert self.answer is not None
        said = values[self.answer]
        if self.options is not None:
            if said in self.options:
                return list(self.options).index(said)
        elif said.strip().isdecimal():
            number = int(said) - self.first
            if 0 <= number < len(self.choices):
                return number
        known = ", ".join(
            self.options or map(str, range(self.first, self.first + len(self.choices)))
        )
        raise ConfigError(
            f"{path}:{line}: the answer {said[:40]!r} is none of {known}; mend the row, or the "
            f"suite {self.name}"
        )


def built_in() -> dict[str, Path]:
    """The suites that come with foretext, by name."""
    return {path.stem: path for path in sorted(_FOLDER.glob("*.toml"))}


def read_suite(name: str) -> Suite:
    """A suite by its name, or from a TOML file.

    Raises:
        ConfigError: there is none, a field is unknown, missing or of the wrong type.
    """
    known, path = built_in(), Path(name)
    if path.suffix != ".toml":
        if name not in known:
            raise ConfigError(
                f"there is no suite {name!r}; did you mean {nearest(name, known)}? There are "
                f"{', '.join(known)}, or give a .toml file"
            )
        path = known[name]
    values: dict[str, Any] = dict(read_toml(path))
    for key in values:
        if key not in _KEYS:
            raise ConfigError(f"{path}: {key!r} is not known; did you mean {nearest(key, _KEYS)}?")
    if not isinstance(values.get("prompt"), str):
        raise ConfigError(f'{path} lacks prompt, such as prompt = "Review: {{text}}\\nSentiment:"')
    options = values.get("options")
    if options is not None and not all(isinstance(text, str) for text in options.values()):
        raise ConfigError(f"{path}: every one of [options] must be a text")
    return Suite(name=path.stem, **values | {"choices": tuple(values.get("choices", ()))})
