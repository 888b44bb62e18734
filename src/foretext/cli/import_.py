"""foretext import: a Hugging Face model folder made ours."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foretext.cli.options import AllowPickle
from foretext.cli.output import Json, Output
from foretext.core.errors import ConfigError

if TYPE_CHECKING:
    from foretext.api import Loaded

EXAMPLE = """\
foretext import downloads/bert-base-uncased models/bert-base
foretext import downloads/bert-large-cased models/unilm --family unilm
foretext import downloads/elmo models/elmo"""


def command(
    source: Annotated[Path, typer.Argument(metavar="SRC", help="A Hugging Face model folder.")],
    destination: Annotated[Path, typer.Argument(metavar="DST", help="The folder to make.")],
    family: Annotated[
        str | None,
        typer.Option(help="Another family that begins with these weights, as UniLM with BERT's."),
    ] = None,
    ignore_tensors: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="Leave tensors aside, such as 'ema.*'; repeatable."),
    ] = None,
    allow_pickle: AllowPickle = False,
    json: Json = False,
) -> None:
    """Check a Hugging Face model folder, or ELMo's published files, and save it clean.

    Config, weights and tokenizer are read, checked against each other, written anew as safetensors
    and read back. Nothing in the folder is run.
    """
    if (source / "run.toml").is_file():
        raise ConfigError(f"{source} is a run of foretext already; use it, or `foretext export` it")
    from foretext.api import convert

    output = Output(json=json)
    how: dict[str, Any] = {"allow_pickle": allow_pickle, "ignored": ignore_tensors or ()}
    copy = convert(source, destination, family=family, **how)
    show(copy, output)
    _say_names(source, copy, output)


def _say_names(source: Path, copy: Loaded, output: Output) -> None:
    """Tell where the labels of a head got names that config.json did not have."""
    from foretext.hub.classes import label_names
    from foretext.hub.weight_files import read_json

    head = copy.stored.head.get("weight")
    if head is None:
        return
    raw = read_json(source / "config.json")
    if "id2label" not in raw:
        return
    names, missing = label_names(raw, head.shape[0])
    if missing or len(raw["id2label"]) != len(names):
        output.note(
            f"warning: config.json names {len(raw['id2label'])} labels, but the head has "
            f"{len(names)} rows, which decide; {missing} without a name are called LABEL_i"
        )


def show(copy: object, output: Output) -> None:
    """Say what a copied folder holds."""
    from foretext.api import Loaded

    assert isinstance(copy, Loaded)
    named = copy.model.named_parameters()
    parameters = sum(p.numel() for name, p in named if name not in copy.stored.fresh)
    record = {
        "folder": str(copy.folder),
        "architecture": copy.architecture,
        "parameters": parameters,
        "vocab_size": copy.tokenizer.vocab_size,
        "tokenizer": copy.tokenizer.kind,
        "not_stored": copy.stored.fresh,
    }
    output.result(
        f"{copy.folder}: {copy.architecture}, {parameters:,} parameters, "
        f"{copy.tokenizer.kind} tokenizer of {copy.tokenizer.vocab_size:,}; read back, equal",
        record,
    )
    if copy.stored.fresh:
        names = sorted({name.split(".")[0] for name in copy.stored.fresh})
        output.note(f"not in these files, initialised anew when loaded: {', '.join(names)}")
