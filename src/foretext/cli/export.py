"""foretext export: a model in the Hugging Face layout, without what only a run needs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from foretext.cli.import_ import show
from foretext.cli.output import Json, Output

EXAMPLE = """\
foretext export runs/bert exported/
foretext export runs/bert encoder/ --encoder-only"""


def command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A model folder.")],
    destination: Annotated[Path, typer.Argument(metavar="DST", help="The folder to make.")],
    encoder_only: Annotated[
        bool, typer.Option("--encoder-only", help="Leave out the heads, as for AutoModel.")
    ] = False,
    json: Json = False,
) -> None:
    """Copy config, weights, tokenizer and card to a folder that `transformers` opens.

    Checkpoints, shards and logs stay behind. The copy is read back and compared.
    """
    from foretext.api import convert
    from foretext.cli.counted import say_which
    from foretext.recipes.best import best_folder
    from foretext.runs.card import opens

    output = Output(json=json)
    best = best_folder(run)
    say_which(run, best, output)
    copy = convert(best, destination, encoder_only=encoder_only)
    show(copy, output)
    library, opening = opens({"": copy.architecture})
    if library == "transformers":
        output.note(f'next: transformers.AutoModel.from_pretrained("{destination}")')
    else:
        output.note(f'{opening} next: foretext.load("{destination}")')
