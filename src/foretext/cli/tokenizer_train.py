"""foretext tokenizer train: a vocabulary learned from text."""

from __future__ import annotations

import tempfile
from pathlib import Path
from shlex import join, quote
from typing import Annotated

import typer

from foretext.cli.options import OnError, TextField
from foretext.cli.output import Json, Output, Quiet
from foretext.core.atomic import made_folder
from foretext.core.errors import ConfigError

EXAMPLE = """\
foretext tokenizer train books/ --kind wordpiece --vocab-size 8000 --out tok/
foretext tokenizer train items.txt --kind words --vocab-size 5000 --out tok/"""


def command(  # noqa: PLR0913, PLR0917  (a verb's options)
    text: Annotated[
        list[str], typer.Argument(metavar="TEXT", help="Files, folders, globs or `-`.")
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder to make.")],
    kind: Annotated[
        str,
        typer.Option(
            metavar="KIND", help="wordpiece, byte-bpe, bpe, unigram, characters or words."
        ),
    ] = "wordpiece",
    vocab_size: Annotated[
        int, typer.Option(metavar="N", help="Tokens, special ones included.")
    ] = 8000,
    lowercase: Annotated[
        bool | None,
        typer.Option("--lowercase/--cased", help="Fold case.  [default: the kind's own]"),
    ] = None,
    special_tokens: Annotated[
        str | None,
        typer.Option(
            metavar="STYLE", help="bert, gpt2, gpt1 or roberta.  [default: the kind's own]"
        ),
    ] = None,
    on_error: OnError = "stop",
    text_field: TextField = "text",
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Learn a tokenizer from text.

    The same text gives the same files to the byte. The folder opens in `transformers` with
    AutoTokenizer.
    """
    from foretext.text.corpus import corpus_files, read_corpus
    from foretext.tokenizers import train

    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} is a file or not empty; give a new folder for --out")
    output = Output(json=json, quiet=quiet)
    total = sum(file.size for file in corpus_files(text)) or None
    done = 0
    with output.progress() as reporter:

        def progress(new_bytes: int) -> None:
            nonlocal done
            done += new_bytes
            reporter.stage("tokenizer", min(done, total - 1) if total else done, total)

        documents = read_corpus(text, on_error=on_error, text_field=text_field)
        tokenizer = train(
            (document.text for document in documents),
            kind=kind,
            vocab_size=vocab_size,
            style=special_tokens,
            lowercase=lowercase,
            progress=progress,
        )
        reporter.stage("tokenizer", total or done, total or done)
    # The folder may be there, empty, and even the current one; a disk that fills leaves it so.
    with made_folder(out), tempfile.TemporaryDirectory(dir=out, prefix=".tmp-") as temporary:
        tokenizer.save(Path(temporary))
        for file in Path(temporary).iterdir():
            file.replace(out / file.name)
    record = {
        "folder": str(out),
        "kind": kind,
        "vocab_size": tokenizer.vocab_size,
        "fingerprint": tokenizer.fingerprint,
        "note": tokenizer.note,
    }
    text_line = f"{out}: {tokenizer.vocab_size:,} tokens, fingerprint {tokenizer.fingerprint[:12]}"
    output.result(f"{text_line}\n{tokenizer.note}" if tokenizer.note else text_line, record)
    output.note(f"next: foretext prepare {join(text)} --tokenizer {quote(str(out))} --out shards/")
