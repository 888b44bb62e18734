"""What continued pre-training was asked for, checked before anything is made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from foretext.core.config import from_dict
from foretext.core.errors import ConfigError
from foretext.runs.continued_model import Source, objective_name, read_source, recipe_of
from foretext.text.corpus import read_corpus
from foretext.text.decompress import STDIN
from foretext.text.piped import kept_input
from foretext.training.progress import Reporter

# What `foretext finetune RUN NAME` may name beside the tasks.
CONTINUED = {
    "masked": "Go on with pre-training on domain text, with a model that reads both ways (BERT).",
    "causal": "Go on with pre-training on domain text, with one that reads left to right (GPT).",
}


@dataclass(frozen=True, kw_only=True)
class ContinuedConfig:
    """What changes beside the weights, and what they are compared on."""

    new_tokens: int = 0  # learned from the text at most: those that save most pieces
    vocabulary: str | None = None  # a file of words that become tokens, one a line
    old_text: str | None = None  # what may be forgotten; None = what the model's run held out

    def __post_init__(self) -> None:
        if self.new_tokens < 0:
            raise ConfigError(f"task.new_tokens={self.new_tokens} must not be negative")


@dataclass(frozen=True, kw_only=True)
class ContinuedOptions:
    """How a run is made and how it begins."""

    settings: Mapping[str, Any] = field(default_factory=dict)  # path -> value
    old: Path | None = None  # short for task.old_text
    on_error: str = "stop"  # stop | replace | skip bad input
    text_field: str = "text"
    allow_pickle: bool = False  # of the model's weights
    fresh: bool = False
    force: bool = False


@dataclass(frozen=True, kw_only=True)
class ContinuedPlan:
    """What was asked for."""

    source: Source
    config: ContinuedConfig
    settings: Mapping[str, Any]  # of the recipe
    train: Path
    dev: Path | None
    options: ContinuedOptions
    reporter: Reporter
    piped: Path = STDIN  # the file that holds standard input

    def place(self, path: Path) -> Path:
        """Where a corpus can be read as often as need be."""
        return self.piped if path == STDIN else path

    def documents(self, path: Path) -> Iterator[str]:
        """The documents of a corpus."""
        options, text = self.options, self.place(path)
        found = read_corpus([text], on_error=options.on_error, text_field=options.text_field)
        return (document.text for document in found)

    @property
    def old(self) -> Path | None:
        """The text that may be forgotten."""
        return None if self.config.old_text is None else Path(self.config.old_text)


@contextmanager
def checked(
    run: str | Path,
    task: str,
    train: str | Path,
    dev: str | Path | None,
    out: Path,
    options: ContinuedOptions,
    reporter: Reporter,
) -> Iterator[tuple[ContinuedPlan, str]]:
    """The plan and its objective; what is wrong is said before anything is made."""
    if task not in CONTINUED:
        raise ConfigError(f"{task!r} is not one of {', '.join(CONTINUED)}")
    plan = _plan(Path(run), Path(train), dev, options, reporter)
    if out.resolve() == plan.source.folder.resolve():
        raise ConfigError(f"--out {out} is the model to go on from; give a new folder")
    objective = objective_name(plan.source, task, plan.settings)
    recipe_of(plan.source, objective, plan.settings, config=plan.source.config, dev=bool(dev))
    with _kept(plan) as kept:
        for path in (plan.train, plan.dev, plan.old):
            if path is not None:
                next(kept.documents(path))
        yield kept, objective


@contextmanager
def _kept(plan: ContinuedPlan) -> Iterator[ContinuedPlan]:
    """The plan with standard input as a file: a text is read several times."""
    piped = [plan.train, plan.dev, plan.old].count(STDIN)
    if piped > 1:
        raise ConfigError(
            "standard input (-) is one text, so it is --train, --dev or --old; give files for the "
            "others"
        )
    if not piped:
        yield plan
        return
    with kept_input() as file:
        yield replace(plan, piped=file)


def _plan(
    run: Path,
    train: Path,
    dev: str | Path | None,
    options: ContinuedOptions,
    reporter: Reporter,
) -> ContinuedPlan:
    """What was asked for, its settings parted into the task's and the recipe's."""
    own = {p.removeprefix("task."): v for p, v in options.settings.items() if p.startswith("task.")}
    if options.old is not None:
        own["old_text"] = str(options.old)
    return ContinuedPlan(
        source=read_source(run, allow_pickle=options.allow_pickle),
        config=from_dict(ContinuedConfig, own, "task."),
        settings={p: v for p, v in options.settings.items() if not p.startswith("task.")},
        train=train,
        dev=None if dev is None else Path(dev),
        options=options,
        reporter=reporter,
    )


def shown(path: Path) -> str:
    """A corpus as a reader names it."""
    return "standard input" if path == STDIN else str(path)
