"""foretext fill: what a masked language model puts into a gap."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from foretext.cli.output import Json, Output

EXAMPLE = """\
foretext fill runs/bert "The man went to the [MASK]."
foretext fill runs/t5 "The man <extra_id_0> to the <extra_id_1>."
foretext fill runs/bert "She was [MASK]." --target happy --target sad"""


def command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A masked language model, or a T5.")],
    texts: Annotated[list[str], typer.Argument(metavar="TEXT", help="Texts with masks.")],
    top_k: Annotated[int, typer.Option(metavar="K", help="Candidates for each mask.")] = 5,
    target: Annotated[
        list[str] | None,
        typer.Option(metavar="WORD", help="Choose among these words alone; several times."),
    ] = None,
    json: Json = False,
) -> None:
    """Fill in the masks of a text, likeliest words first, with their probabilities."""
    from foretext import api
    from foretext.text.errors import listed

    output = Output(json=json)
    loaded = api.load(run)
    unknown = [word for text in texts for word in loaded.tokenizer.unknown_words(text)]
    if unknown:
        output.note(f"warning: the tokenizer does not know {listed(dict.fromkeys(unknown))}")
    for text, masks in zip(
        texts, api.fill(loaded, texts, top_k=top_k, targets=target), strict=True
    ):
        if not json:
            print(text)
        for number, candidates in enumerate(masks, 1):
            if not json and len(masks) > 1:
                print(f" mask {number}")
            for candidate in candidates:
                record = {"text": text, "mask": number} | asdict(candidate)
                output.result(f"  {candidate.score:6.1%}  {candidate.sequence}", record)
