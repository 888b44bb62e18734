"""foretext generate: go on with a text."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from foretext.cli.output import Json, Output, Quiet

EXAMPLE = """\
foretext generate runs/gpt --prompt "Once upon a time"
foretext generate runs/gpt --prompt "The" --num-samples 3 --temperature 0.8 --top-k 40"""


def command(  # noqa: PLR0913, PLR0917  (a verb's options)
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN", help="A left-to-right language model, or one from source to target."
        ),
    ],
    prompt: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help="What to go on with; several times.  [default: nothing]"),
    ] = None,
    max_new_tokens: Annotated[int, typer.Option(metavar="N", help="Tokens at most.")] = 50,
    temperature: Annotated[
        float, typer.Option(metavar="T", help="0 takes the likeliest token, 1 the model's odds.")
    ] = 1.0,
    top_k: Annotated[int, typer.Option(metavar="K", help="Tokens to choose from; 0 is all.")] = 0,
    top_p: Annotated[
        float,
        typer.Option(metavar="P", help="Choose among the likeliest that share this probability."),
    ] = 1.0,
    num_beams: Annotated[
        int | None, typer.Option(metavar="N", help="Search with this many beams, and draw nothing.")
    ] = None,
    num_samples: Annotated[int, typer.Option(metavar="N", help="Results for each prompt.")] = 1,
    repetition_penalty: Annotated[
        float, typer.Option(metavar="X", help="Above 1 avoids tokens that were used.")
    ] = 1.0,
    stop: Annotated[
        list[str] | None, typer.Option(metavar="TEXT", help="End before this text; several times.")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Another seed, other results.")] = 0,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Continue a text, or write what a model makes of it. The same seed gives the same text."""
    from foretext import api
    from foretext.inference import GenerationConfig
    from foretext.nn.backbone import Reads

    output = Output(json=json, quiet=quiet)
    config = GenerationConfig(
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        num_beams=num_beams or 1,
        num_samples=num_samples,
        repetition_penalty=repetition_penalty,
        stop=tuple(stop or ()),
        seed=seed,
    )
    prompts = prompt or [""]
    loaded = api.load(run)
    results = api.generate(loaded, prompts, config=config)
    writes = loaded.stored.family.reads is Reads.SOURCE_TO_TARGET
    for given, found in zip(prompts, results, strict=True):
        for number, one in enumerate(found):
            if number and not quiet:
                output.note("---")
            text = one.text if writes else given + one.text
            output.result(text, {"prompt": given, "sample": number} | asdict(one))
