"""foretext pretrain: from text to a model folder, or on with a run."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foretext.cli.options import Changes, DryRun, Force, Fresh, OnError, TextField, Track
from foretext.cli.output import Json, Output, Quiet
from foretext.cli.plan import plan, show_plan
from foretext.cli.settings import settings
from foretext.core.errors import ConfigError
from foretext.text.piped import kept_input

if TYPE_CHECKING:
    from foretext.runs.options import PretrainOptions
    from foretext.runs.pretrain import PretrainResult

EXAMPLE = """\
foretext pretrain bert-mini --text books/ --out runs/bert
foretext pretrain bert --text books/ --out runs/bert --minutes 30
foretext pretrain gpt-tiny --text a.txt --text b.jsonl.gz --out runs/gpt --minutes 10
foretext pretrain bert-tiny --text books/ --out runs/tiny --steps 500 \\
    --set training.batch_size=32 --set objective.mask_rate=0.2
foretext pretrain runs/bert --resume"""


def command(  # noqa: PLR0913, PLR0917  (a verb's options)
    what: Annotated[
        str,
        typer.Argument(
            metavar="PRESET|FAMILY|RUN",
            help="A name of `foretext models`; a family alone, such as bert, whose size and recipe "
            "--minutes chooses; or a run.",
        ),
    ],
    text: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATH", help="Text: a file, folder, glob or `-`; several times if need be."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="The run's folder.")] = None,
    tokenizer: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="A folder with a tokenizer; else one is trained."),
    ] = None,
    shards: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Shards of `foretext prepare`, in place of text."),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="A TOML file of settings, such as another run's run.toml."
        ),
    ] = None,
    set_: Changes = None,
    steps: Annotated[
        int | None, typer.Option(metavar="N", help="Updates; short for training.steps.")
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(metavar="M", help="A budget in place of steps; this machine is measured."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a run; an error if there is none.")
    ] = False,
    fresh: Fresh = False,
    force: Force = False,
    dry_run: DryRun = False,
    on_error: OnError = "stop",
    text_field: TextField = "text",
    track: Track = None,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Pre-train a preset on text, or go on with a run.

    The tokenizer and the shards are made on the way. The same command, given again, goes on where
    the run stopped. Every setting of the recipe can be changed by --set or --config; --dry-run
    shows them all.
    """
    if steps is not None and minutes is not None:
        raise typer.BadParameter("--steps and --minutes exclude each other")
    if fresh and resume:
        raise typer.BadParameter("--fresh and --resume exclude each other")
    if minutes is not None and not 0 < minutes < math.inf:
        raise ConfigError(f"--minutes {minutes:g} must be above 0 and finite")
    chosen = settings(config, set_ or [], steps)
    from foretext.runs.options import PretrainOptions

    output = Output(json=json, quiet=quiet, track=tuple(track or ()))
    options = PretrainOptions(
        text=tuple(text or ()),
        shards=shards,
        tokenizer=tokenizer,
        settings=chosen,
        minutes=minutes,
        on_error=on_error,
        text_field=text_field,
        fresh=fresh,
        force=force,
    )
    _check_place(what, out, options, resume=resume)
    with _kept_input(options) as kept:
        if dry_run:
            return _show_plan(what, out, kept, output)
        return _pretrain(what, out, kept, output)


@contextmanager
def _kept_input(options: PretrainOptions) -> Iterator[PretrainOptions]:
    """Standard input as a file where it is read twice, for the tokenizer and for the shards."""
    if "-" not in options.text or options.tokenizer is not None:
        yield options
        return
    with kept_input() as file:
        text = tuple(file if source == "-" else source for source in options.text)
        yield replace(options, text=text)


def _check_place(what: str, out: Path | None, options: PretrainOptions, *, resume: bool) -> None:
    """Refuse a run that is not there, or one that is named twice."""
    from foretext.models import FAMILIES, family_of
    from foretext.recipes.folder import is_run, read_run

    folder = Path(what)
    if is_run(folder):
        if out is not None and out.resolve() != folder.resolve() and _is_preset(what):
            raise ConfigError(
                f"{what} is a run in this folder and a preset too; leave out --out {out} to go on "
                "with the run, or begin with the preset from another folder"
            )
        if out is not None and out.resolve() != folder.resolve():
            raise ConfigError(f"{what} is a run, which stays where it is; leave out --out {out}")
        return
    if (folder.is_dir() and not _is_preset(what)) or (resume and out is None):
        read_run(folder)  # says why it is none
    if folder.name != what:  # a path, so no name of a preset
        raise ConfigError(f"{what} is neither a preset nor the folder of a run; check the path")
    if what not in FAMILIES:
        family_of(what)
    if resume and out is not None:
        read_run(out)
    if not options.text and options.shards is None and not (out and is_run(out)):
        raise ConfigError("there is no text: give --text, or --shards made by `foretext prepare`")


def _is_preset(name: str) -> bool:
    """Whether a name is one of `foretext models`, whatever folder is called so."""
    from foretext.models import FAMILIES, family_of

    try:
        return name in FAMILIES or family_of(name) is not None
    except ConfigError:
        return False


def _show_plan(what: str, out: Path | None, options: PretrainOptions, output: Output) -> int:
    from foretext.runs.pretrain import dry_run

    with output.progress() as reporter:
        recipe, cost = dry_run(what, out=out, options=options, reporter=reporter)
    return show_plan(recipe, cost, plan(recipe, cost, None), output)


def _pretrain(what: str, out: Path | None, options: PretrainOptions, output: Output) -> int:
    from foretext.runs.pretrain import pretrain

    with output.training(out or Path(what)) as reporter:

        def planned(recipe: Any, cost: Any) -> None:
            if output.json:
                record = {"event": "plan", "recipe": recipe.values(), "estimate": cost.as_dict()}
                output.result("", record)
            else:
                reporter.message(plan(recipe, cost, out or Path(what)))

        options = replace(options, planned=planned)
        result = pretrain(what, out=out, options=options, reporter=reporter)
    return _end(result, output)


def _end(result: PretrainResult, output: Output) -> int:
    progress = result.progress
    record = {
        "event": "stopped" if progress.stopped else "done",
        "folder": str(result.folder),
        "step": progress.step,
        "tokens": progress.tokens,
        "metrics": progress.last_metrics,
    }
    output.result(str(result.folder), record)
    if progress.stopped:
        output.note(f"saved; go on with: foretext pretrain {result.folder} --resume")
        return 130
    from foretext.runs.card import purpose

    recipe = result.recipe
    hub = recipe.family.hub
    name = hub.class_for(recipe.model, recipe.use)
    _, use = purpose(hub.architectures[str(name)], result.sentence)
    output.note(f"next: {use.format(name=quote(str(result.folder)))}")
    return 0
