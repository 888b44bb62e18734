"""Options that several verbs have, worded once."""

from __future__ import annotations

from typing import Annotated

import typer

OnError = Annotated[
    str, typer.Option(metavar="stop|replace|skip", help="What to do with bad input.")
]
TextField = Annotated[
    str,
    typer.Option(metavar="NAME", help="The field or column of text in .jsonl, .parquet, .csv."),
]
AllowPickle = Annotated[
    bool,
    typer.Option("--allow-pickle", help="Read pytorch_model.bin where nothing else is there."),
]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Change one setting of the recipe."),
]
InUse = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        help="Read or answer otherwise than training did: data.format=tsv, task.scheme=bioes, "
        "task.null_threshold=1.5 and the like; of a pre-trained Reformer model.num_hashes=8.",
    ),
]
Fresh = Annotated[bool, typer.Option("--fresh", help="Begin anew.")]
Force = Annotated[bool, typer.Option("--force", help="With --fresh: delete the run that is there.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print recipe and cost; write nothing.")]
Track = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME", help="Tell wandb, mlflow, trackio or tensorboard what metrics.jsonl gets."
    ),
]
