"""A small world for the command line: a text, labels, and runs made from them once a session."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from foretext.cli import main

TINY = [
    *("--set", "data.vocab_size=90"),
    *("--set", "data.max_length=32"),
    *("--set", "data.held_out=0.1"),
    *("--set", "training.batch_size=8"),
    *("--set", "model.hidden_size=32"),
    *("--set", "model.intermediate_size=64"),
    *("--set", "model.num_layers=1"),
]
_WORDS = {"pos": ["good", "great", "fine", "lovely"], "neg": ["bad", "awful", "poor", "dull"]}
_THINGS = ["film", "story", "actor", "scene", "plot", "music"]


class Said(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str


Cli = Callable[..., Said]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run a command in this process, where torch is imported already."""

    def run(*arguments: str | Path) -> Said:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        return Said(code, *capsys.readouterr())

    return run


class World(NamedTuple):
    """Files to run commands on."""

    folder: Path
    text: Path
    train: Path
    dev: Path


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Sixty documents of four sentences, and labelled sentences of the same words."""
    folder, draw = tmp_path_factory.mktemp("world"), random.Random(0)

    def sentence(label: str) -> str:
        return f"The {draw.choice(_THINGS)} was {draw.choice(_WORDS[label])} ."

    documents = [
        "\n".join(sentence(draw.choice(["pos", "neg"])) for _ in range(4)) for _ in range(60)
    ]
    (folder / "text.txt").write_text("\n\n".join(documents), encoding="utf-8")
    for name, count in (("train", 60), ("dev", 20)):
        labels = [("pos", "neg")[i % 2] for i in range(count)]
        rows = "".join(f"{sentence(label)}\t{label}\n" for label in labels)
        (folder / f"{name}.tsv").write_text("sentence\tlabel\n" + rows, encoding="utf-8")
    return World(folder, folder / "text.txt", folder / "train.tsv", folder / "dev.tsv")


def _pretrained(world: World, preset: str, name: str, *more: str) -> Path:
    out = world.folder / name
    arguments = ["pretrain", preset, "--text", str(world.text), "--out", str(out), "-q"]
    assert main([*arguments, "--steps", "4", *TINY, *more]) == 0
    return out


@pytest.fixture(scope="session")
def bert(world: World) -> Path:
    """A BERT of one layer after four steps."""
    return _pretrained(world, "bert-tiny", "bert")


@pytest.fixture(scope="session")
def gpt(world: World) -> Path:
    """A GPT of one layer after four steps."""
    return _pretrained(world, "gpt-tiny", "gpt", "--set", "data.vocab_size=300")


@pytest.fixture(scope="session")
def task(world: World, bert: Path) -> Path:
    """The BERT fine-tuned for two steps."""
    out = world.folder / "task"
    files = ["--train", str(world.train), "--dev", str(world.dev), "--out", str(out)]
    assert main(["finetune", str(bert), "classification", *files, "--steps", "2", "-q"]) == 0
    return out
