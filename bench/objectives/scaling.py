"""Loss against compute: five sizes of GPT by one recipe, and the power law through them.

    python -m bench.objectives.scaling [--text PATH] [--seeds N]

Papers: Brown et al. 2020, figure 3.1: L = 2.57 * C^-0.048 in nats, C in PF-days; Kaplan et al.
2020, https://arxiv.org/abs/2001.08361, section 1.2. Each size reads tokens in proportion to the
square root of its parameters, so data and size grow together. Compute is what the run's estimate
counts: matrix multiplies, forward and backward, vocabulary and attention included. A finished run
is a line of results/scaling.jsonl and is not done again; the table goes to its place in RESULTS.md.
"""

from __future__ import annotations

import argparse
import json
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import curve_fit

from bench.objectives.charts import loss_chart
from bench.objectives.results import FOLDER, HERE, SCALING, Results
from bench.objectives.runs import Clock
from bench.objectives.table import PAGE, replaced, table
from foretext.core.atomic import remove_folder
from foretext.models.gpt import PRESETS, num_parameters
from foretext.runs.options import PretrainOptions
from foretext.runs.pretrain import pretrain
from foretext.shards.prepare import prepare
from foretext.text.corpus import read_corpus
from foretext.tokenizers import train

SIZES = ("0.1m", "0.2m", "0.4m", "0.8m", "1.6m")
TEXT = Path("../shared/data/corpora/en_books_train.txt")
CHART = HERE / "scaling.svg"
VOCABULARY, LENGTH, BATCH = 1_024, 128, 16  # tokens, tokens of a row, rows of a step
PF_DAY = 1e15 * 86_400  # FLOP

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Point:
    """One run."""

    size: str
    seed: int
    parameters: int  # outside the tables
    tokens: float
    flops: float
    loss: float  # of held-out text, nats a token
    seconds: float  # of the CPU


@dataclass(frozen=True, kw_only=True)
class Fit:
    """loss = a * C^-b + c, C in units of the smallest run's compute."""

    a: float
    b: float
    c: float
    residual: float  # root mean square of the errors of log loss


def main() -> None:
    """Run what is asked for and not done yet, and write the table."""
    arguments = _arguments()
    shards = prepared(arguments.text, arguments.cache, megabytes=arguments.megabytes)
    results = Results(arguments.results / SCALING)
    for seed in range(arguments.seeds):
        for size in SIZES:
            if results.missing(size, seed, ["pretrain"]):
                point = run(size, seed, shards, arguments.cache, tokens=arguments.tokens)
                results.add(size, seed, "pretrain", asdict(point))
    points = [point_of(record) for record in results.records]
    found = fits(points)
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(replaced(page, "scaling", section(points, found)), encoding="utf-8")
    measured = [(p.flops, p.loss) for p in points]
    law = found["a * C^-b"]
    low = min(p.flops for p in points)
    loss_chart(CHART, measured, lambda flops: law.a * (flops / low) ** -law.b)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--text", type=Path, default=TEXT, help="any text foretext reads")
    parser.add_argument("--megabytes", type=float, default=4.0, help="of the text that are read")
    parser.add_argument("--tokens", type=int, default=100_000, help="of the smallest size")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--results", type=Path, default=FOLDER)
    parser.add_argument("--cache", type=Path, default=HERE.parent / "cache" / "scaling")
    return parser.parse_args()


def prepared(text: Path, folder: Path, *, megabytes: float) -> Path:
    """Shards of the first documents of a text, with a tokenizer learned from them; made once."""
    if (folder / "shards").exists():
        return folder / "shards"
    folder.mkdir(parents=True, exist_ok=True)
    chosen, size = [], 0.0
    for document in read_corpus([text]):
        if size >= megabytes * 1e6:
            break
        chosen.append(document.text)
        size += len(document.text.encode())
    tokenizer = train(chosen, kind="byte-bpe", vocab_size=VOCABULARY)
    lines = "".join(json.dumps({"text": part}) + "\n" for part in chosen)
    (folder / "text.jsonl").write_text(lines, encoding="utf-8")
    prepare([folder / "text.jsonl"], tokenizer=tokenizer, out=folder / "shards", workers=0)
    return folder / "shards"


def run(size: str, seed: int, shards: Path, folder: Path, *, tokens: int) -> Point:
    """Pre-train one size on its share of tokens."""
    preset = f"gpt-scale-{size}"
    smallest = parameters_of(f"gpt-scale-{SIZES[0]}")
    wanted = tokens * (parameters_of(preset) / smallest) ** 0.5
    steps = max(2, round(wanted / (BATCH * LENGTH)))
    settings: dict[str, Any] = {
        "data.max_length": LENGTH,
        "data.held_out": 0.05,
        "data.held_out_samples": 500,
        "training.steps": steps,
        "training.batch_size": BATCH,
        "training.learning_rate": 3e-3,
        "training.save_every": steps,
        "training.eval_every": steps,
        "training.threads": 1,
        "training.seed": seed,
    }
    out, clock = folder / f"{preset}-{seed}", Clock()
    if out.exists():
        remove_folder(out)
    options = PretrainOptions(shards=shards, settings=settings)
    result = pretrain(preset, out=out, options=options, reporter=clock)
    if result.progress.stopped:
        raise SystemExit(130)
    return Point(
        size=size,
        seed=seed,
        parameters=parameters_of(preset),
        tokens=result.progress.tokens,
        flops=result.estimate.flops,
        loss=result.progress.last_metrics["loss"],
        seconds=clock.seconds_per_step * steps,
    )


def point_of(record: dict[str, Any]) -> Point:
    """A line of the results as a point."""
    return Point(**{name: record[name] for name in Point.__dataclass_fields__})


def parameters_of(preset: str) -> int:
    """Parameters outside the tables of tokens and positions."""
    config = PRESETS[preset]
    tables = (config.vocab_size + config.max_position_embeddings) * config.hidden_size
    return num_parameters(config) - tables


def fits(points: list[Point]) -> dict[str, Fit]:
    """Least squares in the logarithm of the loss, over the means of the seeds."""
    known = [size for size in SIZES if any(p.size == size for p in points)]
    means = {size: [p for p in points if p.size == size] for size in known}
    flops = np.array([np.mean([p.flops for p in runs]) for runs in means.values()])
    loss = np.array([np.mean([p.loss for p in runs]) for runs in means.values()])
    compute = flops / flops[0]

    def plain(x: Floats, a: float, b: float) -> Floats:
        return np.log(a) - b * np.log(x)

    def offset(x: Floats, a: float, b: float, c: float) -> Floats:
        return np.log(a * x**-b + c)

    found = {}
    start = (loss[0], 0.05)
    (a, b), _ = curve_fit(plain, compute, np.log(loss), p0=start)
    found["a * C^-b"] = _fit(a, b, 0.0, plain(compute, a, b) - np.log(loss))
    bounds = ([1e-6, 0, 0], [10 * loss[0], 3, loss.min()])
    guess = (0.5 * loss[0], 0.2, 0.4 * loss[0])
    (a, b, c), _ = curve_fit(offset, compute, np.log(loss), p0=guess, bounds=bounds)
    found["a * C^-b + c"] = _fit(a, b, c, offset(compute, a, b, c) - np.log(loss))
    return found


def _fit(a: float, b: float, c: float, errors: Floats) -> Fit:
    residual = float(np.sqrt(np.mean(errors**2)))
    return Fit(a=float(a), b=float(b), c=float(c), residual=residual)


def section(points: list[Point], found: dict[str, Fit]) -> str:
    """The part of RESULTS.md."""
    runs = [
        (
            p.size,
            str(p.seed),
            f"{p.parameters:,}",
            f"{p.tokens:,.0f}",
            f"{p.flops:.2e}",
            f"{p.flops / PF_DAY:.2e}",
            f"{p.loss:.4f}",
            f"{p.seconds:.0f}",
        )
        for p in sorted(points, key=lambda p: (SIZES.index(p.size), p.seed))
    ]
    header = ("size", "seed", "parameters", "tokens", "FLOP", "PF-days", "loss", "CPU s")
    laws = [
        (name, f"{fit.a:.3f}", f"{fit.b:.4f}", f"{fit.c:.3f}", f"{fit.residual:.4f}")
        for name, fit in found.items()
    ]
    low = min(p.flops for p in points)
    return f"""
{table(header, runs)}
Least squares in log loss over the means of the seeds, C in units of {low:.2e} FLOP
({platform.machine()}, one thread):

{table(("law", "a", "b", "c", "rms error of log loss"), laws)}"""


if __name__ == "__main__":
    main()
