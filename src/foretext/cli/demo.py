"""foretext demo: the tour."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foretext.cli.output import Json, Output, Quiet
from foretext.core.errors import ConfigError

if TYPE_CHECKING:
    from foretext.demo.data import DemoData
    from foretext.demo.tour import TourResult

EXAMPLE = """\
foretext demo
foretext demo --out my-demo --pace 0.5
foretext demo --text books/ --train train.tsv --test test.tsv"""


def command(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where everything goes.")] = Path(
        "demo-run"
    ),
    text: Annotated[
        list[str] | None,
        typer.Option(metavar="PATH", help="Text of your own in place of the film reviews."),
    ] = None,
    train: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Labelled rows of your own to learn from.")
    ] = None,
    test: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Labelled rows of your own to test on.")
    ] = None,
    seeds: Annotated[
        int, typer.Option(metavar="N", min=2, help="Runs of fine-tuning, each with other labels.")
    ] = 4,
    pace: Annotated[
        float, typer.Option(metavar="X", min=0.01, help="2 pre-trains twice as long.")
    ] = 1.0,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Pre-train a tiny BERT and a tiny GPT on real text, and see whether it pays.

    Both are fine-tuned on a few labels, from their pre-trained and from random weights, and
    compared on held-out labels with each other and with a bag of words. Takes some minutes on a
    laptop, writes a page with the curves, and goes on where it stopped when it is given again.
    """
    output = Output(json=json, quiet=quiet)
    if (train is None) != (test is None):
        raise ConfigError("--train and --test belong together; give both or neither")
    if train is not None and text is None:
        raise ConfigError("--train and --test come with a --text of the same kind; name it too")
    from foretext.core.atomic import atomic_write_text
    from foretext.demo.page import page
    from foretext.demo.tour import Interrupted, save, tour

    data = _data(out, seeds, text, train, test)
    output.note(f"{data.about}.")
    try:
        with output.progress() as reporter:
            result = tour(data, out, seeds=seeds, pace=pace, reporter=reporter)
    except Interrupted:
        output.note(f"saved; go on with: {_again(out, seeds, pace, text, train, test)}")
        return 130
    save(result, out)
    atomic_write_text(out / "demo.html", page(result))
    output.result(
        _table(result), {"folder": str(out), "page": str(out / "demo.html")} | _numbers(result)
    )
    output.note(f"\nThe page with the curves: {out / 'demo.html'}")
    output.note("Next: foretext pretrain bert-mini --text YOUR_TEXT --out runs/bert")
    return 0


def _again(
    out: Path,
    seeds: int,
    pace: float,
    text: list[str] | None,
    train: Path | None,
    test: Path | None,
) -> str:
    """The command, as it was given."""
    words = ["foretext", "demo", "--out", str(out), "--seeds", str(seeds), "--pace", f"{pace:g}"]
    for name, values in (("--text", text or []), ("--train", [train]), ("--test", [test])):
        for value in filter(None, values):
            words += [name, str(value)]
    return shlex.join(words)


def _data(
    out: Path, seeds: int, text: list[str] | None, train: Path | None, test: Path | None
) -> DemoData:
    from foretext.demo.data import DemoData, Sizes, film_reviews

    if text is None:
        return film_reviews(out / "data", Sizes(draws=seeds))
    return DemoData(
        about=f"Your text: {', '.join(text)}",
        corpus=tuple(Path(t) for t in text),
        train=() if train is None else (train,),
        test=test,
    )


def _table(result: TourResult) -> str:
    from statistics import median

    lines = []
    models = [m for m in result.models if m.pretrained]
    if models:
        lines += [
            f"Accuracy on held-out labels, median of {len(models[0].random)} seeds (range):",
            "",
            f"{'':18}{'random weights':>22}{'pre-trained':>22}{'gain':>8}{'pre-training':>15}",
        ]
    for m in models:
        spreads = [
            f"{median(values):.1f} ({min(values):.1f}-{max(values):.1f})"
            for values in (m.random, m.pretrained)
        ]
        lines.append(
            f"{m.name + ' ' + m.preset:18}{spreads[0]:>22}{spreads[1]:>22}{m.gain:>+8.1f}"
            f"{m.seconds:>13.0f} s"
        )
    if result.bag is not None:
        bag = result.bag
        spread = f"{median(bag.accuracies):.1f} ({min(bag.accuracies):.1f}-"
        lines.append(f"{bag.name:40}{spread + f'{max(bag.accuracies):.1f})':>22}")
        lines.append(f"{'always the same answer':40}{bag.majority:>22.1f}")
    if result.verdict:
        lines += ["", *result.verdict]
    lines += ["", "BERT fills in:"]
    for text, choices in result.filled:
        words = ", ".join(f"{token} {score:.0%}" for token, score in choices)
        lines.append(f"  {text}\n      {words}")
    lines += ["", "GPT goes on:"]
    lines += [f"  {prompt} ...{text.removeprefix(prompt)}" for prompt, text in result.generated]
    lines += ["", f"The tour took {result.seconds:.0f} s."]
    return "\n".join(lines)


def _numbers(result: TourResult) -> dict[str, object]:
    found: dict[str, object] = {
        m.name: {"random": m.random, "pretrained": m.pretrained, "gain": m.gain}
        for m in result.models
        if m.pretrained
    }
    bag = None if result.bag is None else asdict(result.bag)
    return found | {"bag": bag, "verdict": result.verdict}
