"""foretext embed: texts as vectors."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, tee
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from foretext.cli.options import AllowPickle, OnError
from foretext.cli.output import Json, Output, Quiet
from foretext.core.errors import ConfigError

if TYPE_CHECKING:
    from foretext.text.errors import CorpusStats

EXAMPLE = """\
foretext embed runs/bert sentences.txt --out vectors.npy
foretext embed runs/bert reviews.csv --text-column review --out vectors.parquet --pool first
foretext embed runs/bert sentences.txt --out vectors.npy --layer 9,10,11,12"""


def command(  # noqa: PLR0913, PLR0917  (a verb's options)
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A model.")],
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="A text a line (.txt or `-`), or .tsv, .csv, .jsonl, .json."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(metavar="FILE", help="A .npy, a row a text, or a .parquet with the texts."),
    ],
    pool: Annotated[
        str,
        typer.Option(metavar="HOW", help="mean of the tokens' states, or the first or last one's."),
    ] = "mean",
    layer: Annotated[
        str | None,
        typer.Option(
            metavar="N|N,N|N:W,N:W",
            help="A layer, the mean of several, or a mix by shares; 0 is the embeddings.  "
            "[default: the last]",
        ),
    ] = None,
    max_length: Annotated[
        int | None,
        typer.Option(metavar="N", help="Tokens of a text.  [default: what the model reads]"),
    ] = None,
    text_column: Annotated[
        str, typer.Option(metavar="NAME", help="The column of text in a table.")
    ] = "text",
    precision: Annotated[
        str, typer.Option(metavar="fp32|bf16", help="What to multiply in.")
    ] = "fp32",
    on_error: OnError = "stop",
    allow_pickle: AllowPickle = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write a vector for every text, in order, in memory that stays the same.

    The states are those of AutoModel in `transformers`. With --on-error skip a text that cannot be
    used has no row, and how many is said.
    """
    from foretext.api import load
    from foretext.inference.embed import EmbedConfig, Embedder, parse_layers
    from foretext.inference.vector_files import check_path, writing
    from foretext.recipes.best import best_folder
    from foretext.text.errors import CorpusStats
    from foretext.training.precision import check_precision

    check_precision("precision", precision)
    check_path(out)
    config = EmbedConfig(
        pool=pool,
        layers=parse_layers(layer) if layer else {},
        max_length=max_length,
        precision=precision,
    )
    loaded = load(best_folder(folder), allow_pickle=allow_pickle)
    embedder, stats = Embedder(loaded.stored, loaded.tokenizer, config), CorpusStats()
    output, rows = Output(json=json, quiet=quiet), 0
    total = file.stat().st_size if file.is_file() else None
    with output.progress() as reporter, writing(out, embedder.size) as write:
        kept, read = tee(_texts(file, text_column, on_error, stats))
        for vectors in embedder.vectors(read):
            write(list(islice(kept, len(vectors))), vectors)
            rows += len(vectors)
            reporter.stage("embed", stats.read_bytes, total)
        if not rows:
            raise ConfigError(f"{file} holds no text; give a text a line, or name --text-column")
    record = {"file": str(out), "texts": rows, "size": embedder.size, "cut": embedder.cut}
    output.result(f"{out}: {rows:,} vectors of {embedder.size:,}", record)
    _say_what_is_missing(stats, embedder.cut, embedder.max_length, output)
    output.note(f"next: {_opening(out)}")


def _texts(file: Path, column: str, on_error: str, stats: CorpusStats) -> Iterator[str]:
    from foretext.text.errors import Faults, OnError
    from foretext.text.lines import Lines
    from foretext.text.tables import read_table, table_kind

    if table_kind(file) is None:
        for _, line in Lines(file, Faults(OnError.of(on_error), stats)):
            yield line
        return
    for row in read_table(file, [column], on_error, stats=stats):
        yield row.values[column]


def _say_what_is_missing(stats: CorpusStats, cut: int, limit: int | None, output: Output) -> None:
    from foretext.cli.counted import skip_note

    if note := skip_note(stats, "texts were skipped and have no vector"):
        output.note(note)
    if cut:
        output.note(f"{cut:,} texts were cut to {limit:,} tokens")


def _opening(out: Path) -> str:
    if out.suffix == ".npy":
        return f"numpy.load({str(out)!r})"
    return f'python -c "import pyarrow.parquet as p; print(p.read_table({quote(str(out))!r}))"'
