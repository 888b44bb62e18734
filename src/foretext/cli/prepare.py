"""foretext prepare: text to shards of token ids."""

from __future__ import annotations

import os
from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from foretext.cli.options import OnError, TextField
from foretext.cli.output import Json, Output, Quiet
from foretext.cli.units import short

EXAMPLE = """\
foretext prepare books/ --tokenizer tok/ --out shards/
foretext prepare 'crawl/*.jsonl.zst' --tokenizer tok/ --out shards/ --on-error skip"""


def command(
    text: Annotated[
        list[str], typer.Argument(metavar="TEXT", help="Files, folders, globs or `-`.")
    ],
    tokenizer: Annotated[Path, typer.Option(metavar="DIR", help="A folder with a tokenizer.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder to make.")],
    workers: Annotated[
        int | None,
        typer.Option(metavar="N", help="Processes beside this one.  [default: one a core but one]"),
    ] = None,
    on_error: OnError = "stop",
    text_field: TextField = "text",
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Turn text into shards of token ids.

    Reads .txt (a blank line ends a document), .jsonl, .csv, .tsv and .parquet, plain or as .gz,
    .xz, .zst. The folder appears whole or not at all, and several runs can share it.
    """
    from foretext.shards.prepare import prepare
    from foretext.tokenizers import Tokenizer

    output = Output(json=json, quiet=quiet)
    loaded = Tokenizer.load(tokenizer)
    with output.progress() as reporter:
        shards = prepare(
            text,
            tokenizer=loaded,
            out=out,
            workers=max(0, (os.cpu_count() or 1) - 1) if workers is None else workers,
            on_error=on_error,
            text_field=text_field,
            progress=lambda done, total: reporter.stage("prepare", done, total),
        )
    counts = {
        "documents": shards.num_documents,
        "sentences": shards.num_sentences,
        "tokens": shards.num_tokens,
    }
    line = ", ".join(f"{short(value)} {name}" for name, value in counts.items())
    output.result(f"{out}: {line}", {"folder": str(out)} | counts | {"content": shards.content})
    output.note(f"next: foretext pretrain bert-mini --shards {quote(str(out))} --out runs/bert")
