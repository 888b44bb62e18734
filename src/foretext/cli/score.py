"""foretext score: how likely texts are under a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from foretext.cli.output import Json, Output

EXAMPLE = """\
foretext score runs/gpt "The man went to the store." "Store the to went man the."
foretext score runs/bert " sat on the mat." --context "The cat" --tokens"""


def command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A pre-trained model.")],
    texts: Annotated[list[str], typer.Argument(metavar="TEXT", help="Texts to be scored.")],
    context: Annotated[
        str, typer.Option(metavar="TEXT", help="What stands before each, and is not scored.")
    ] = "",
    whole_words: Annotated[
        bool,
        typer.Option(
            "--whole-words",
            help="For models that read both ways: mask the rest of a token's word with it.",
        ),
    ] = False,
    tokens: Annotated[bool, typer.Option("--tokens", help="Show every token's score.")] = False,
    json: Json = False,
) -> None:
    """Score texts: log-likelihood in nats, a token, and in bits a byte.

    Of a model that reads both ways it is the pseudo-log-likelihood: each token masked by itself.
    """
    from foretext.scoring import scorer as scorer_of

    output = Output(json=json)
    scorer = scorer_of(run, whole_words=whole_words)
    for found in scorer.score([(context, text) for text in texts]):
        record = {
            "text": found.text,
            "nats": found.total,
            "per_token": found.per_token,
            "per_character": found.per_character,
            "bits_per_byte": found.bits_per_byte,
            "tokens": found.tokens,
            "token_nats": found.nats,
        }
        line = f"{found.total:10.3f} nats  {found.per_token:8.3f} a token  "
        output.result(f"{line}{found.bits_per_byte:6.3f} bits a byte  {found.text}", record)
        if tokens and not json:
            for token, nats in zip(found.tokens, found.nats, strict=True):
                print(f"  {nats:9.3f}  {token}")
