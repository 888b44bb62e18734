"""foretext export: a model in the Hugging Face layout or as an ONNX graph, without the rest."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from foretext.cli.import_ import show
from foretext.cli.output import Json, Output
from foretext.cli.units import columns, size
from foretext.core.errors import ConfigError

if TYPE_CHECKING:
    from foretext.evaluation.graphs import Measured
    from foretext.inference.onnx import Graph
    from foretext.inference.task_run import TaskRun

EXAMPLE = """\
foretext export runs/bert exported/
foretext export runs/bert encoder/ --encoder-only
foretext export runs/task onnx/ --format onnx --int8 --data dev.tsv
foretext export runs/elmo published/ --layout bilm"""


def command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A model folder.")],
    destination: Annotated[Path, typer.Argument(metavar="DST", help="The folder to make.")],
    encoder_only: Annotated[
        bool, typer.Option("--encoder-only", help="Leave out the heads, as for AutoModel.")
    ] = False,
    format_: Annotated[
        str,
        typer.Option("--format", metavar="hf|onnx", help="The layout of Hugging Face, or ONNX."),
    ] = "hf",
    int8: Annotated[
        bool, typer.Option("--int8", help="With ONNX: a second graph that multiplies in 8 bits.")
    ] = False,
    data: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="With ONNX: labels that tell what a graph loses."),
    ] = None,
    layout: Annotated[
        str | None,
        typer.Option("--layout", help="The files that the family was published in: bilm (ELMo)."),
    ] = None,
    json: Json = False,
) -> None:
    """Copy config, weights, tokenizer and card to a folder that `transformers` opens.

    Checkpoints, shards and logs stay behind. The copy is read back and compared. With --format onnx
    the model becomes a graph for any batch and length, which is run in onnxruntime and compared.
    """
    from foretext.api import convert, export_published
    from foretext.cli.counted import say_which
    from foretext.recipes.best import best_folder
    from foretext.runs.card import opens

    output = Output(json=json)
    best = best_folder(run)
    say_which(run, best, output)
    if layout is not None:
        export_published(best, destination, layout=layout)
        output.result(f"{destination}: the files of {layout}", {"folder": str(destination)})
        return
    if format_ == "onnx":
        _onnx(best, destination, output, encoder_only=encoder_only, int8=int8, data=data)
        return
    if format_ != "hf":
        raise ConfigError(f"--format {format_!r} is not known; give hf or onnx")
    if int8 or data is not None:
        raise ConfigError("--int8 and --data are of --format onnx alone; add it or leave them out")
    copy = convert(best, destination, encoder_only=encoder_only)
    show(copy, output)
    library, opening = opens({"": copy.architecture})
    if library == "transformers":
        output.note(f'next: transformers.AutoModel.from_pretrained("{destination}")')
    else:
        output.note(f'{opening} next: foretext.load("{destination}")')


def _onnx(
    folder: Path,
    destination: Path,
    output: Output,
    *,
    encoder_only: bool,
    int8: bool,
    data: Path | None,
) -> None:
    from foretext.core.atomic import atomic_folder
    from foretext.inference.onnx import GRAPH, QUANTISED, check_installed, quantised, write

    check_installed()
    if destination.exists():
        raise ConfigError(f"{destination} exists; give a new folder")
    graph, run = _graph(folder, encoder_only)
    if data is not None and run is None:
        raise ConfigError("--data needs a fine-tuned model; leave it out, or export a task's run")
    table = {}
    with atomic_folder(destination) as made:
        worst = write(graph, made / GRAPH)
        if int8:
            quantised(made / GRAPH, made / QUANTISED)
        for file in ("config.json", *_TOKENIZER):
            if (folder / file).is_file():
                (made / file).write_bytes((folder / file).read_bytes())
        if data is not None and run is not None:
            table = _measured(run, made, data)
    outputs = ", ".join(graph.outputs)
    line = f"{destination}: {GRAPH} gives {outputs} of any batch and length; "
    line += f"run in onnxruntime, within {worst:.0e} of the model"
    record = {"folder": str(destination), "outputs": graph.outputs, "difference": worst}
    numbers = {name: vars(one) for name, one in table.items()}
    output.result("\n".join([line, *_rows(table)]), record | {"measured": numbers})
    path = quote(str(destination / (QUANTISED if int8 else GRAPH)))
    output.note(f"next: onnxruntime.InferenceSession({path!r})")


_TOKENIZER = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"),
    *("vocab.json", "merges.txt"),
)


def _graph(folder: Path, encoder_only: bool) -> tuple[Graph, TaskRun | None]:
    from foretext.api import load
    from foretext.core.config import read_toml
    from foretext.inference.onnx import of_backbone, of_task
    from foretext.inference.task_run import load_task, task_of_class
    from foretext.recipes.folder import RECIPE_FILE

    recipe = folder / RECIPE_FILE
    tuned = "task" in read_toml(recipe) if recipe.is_file() else task_of_class(folder) is not None
    if tuned and not encoder_only:
        run = load_task(folder)
        return of_task(run), run
    loaded = load(folder)
    stored = loaded.stored
    known = stored.family.hub.named(loaded.architecture)
    scores = (known.fills or known.generates) and not encoder_only
    limit = stored.family.max_positions(loaded.model.config)
    return of_backbone(loaded.model, scores=scores, max_length=limit), None


def _measured(run: TaskRun, made: Path, data: Path) -> dict[str, Measured]:
    """PyTorch's fp32 and each graph on the labels, the first reading left out of the times."""
    import time

    from foretext.evaluation.graphs import Measured, measured
    from foretext.evaluation.labelled import evaluate
    from foretext.hub.weight_files import weight_files

    evaluate(run, data)
    begun = time.perf_counter()
    metrics = evaluate(run, data)
    seconds = time.perf_counter() - begun
    held = sum(path.stat().st_size for path in weight_files(run.folder))
    found = {"pytorch": Measured(metrics=metrics, seconds=seconds, bytes=held)}
    for path in sorted(made.glob("*.onnx")):
        found[path.name] = measured(run, path, data)
    return found


def _rows(table: dict[str, Measured]) -> list[str]:
    if not table:
        return []
    names = list(next(iter(table.values())).metrics)
    rows = [
        (name, *(f"{one.metrics[n]:.4f}" for n in names), f"{one.seconds:.2f}", size(one.bytes))
        for name, one in table.items()
    ]
    return columns(rows, header=("", *names, "seconds", "weights")).splitlines()
