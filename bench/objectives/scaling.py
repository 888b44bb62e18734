"""Loss against compute: five sizes of GPT by one recipe, and the power law through them.

    python -m bench.objectives.scaling [--text PATH] [--seeds N]

Papers: Brown et al. 2020, figure 3.1: L = 2.57 * C^-0.048 in nats, C in PF-days; Kaplan et al.
2020, https://arxiv.org/abs/2001.08361, section 1.2. Each size reads tokens in proportion to the
square root of its parameters, so data and size grow together. Compute is what the run's estimate
counts: matrix multiplies, forward and backward, vocabulary and attention included. The table
replaces its own section of RESULTS.md.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import curve_fit

from foretext.data.corpus import read_corpus
from foretext.data.prepare import prepare
from foretext.models.gpt import PRESETS, num_parameters
from foretext.tokenizers import train
from foretext.training.pretrain import PretrainOptions, pretrain

SIZES = ("0.1m", "0.2m", "0.4m", "0.8m", "1.6m")
TEXT = Path("../shared/data/corpora/en_books_train.txt")
RESULTS = Path(__file__).parent / "RESULTS.md"
TITLE = "## GPT: loss against compute"
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
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Fit:
    """loss = a * C^-b + c, C in units of the smallest run's compute."""

    a: float
    b: float
    c: float
    residual: float  # root mean square of the errors of log loss


def main() -> None:
    """Run what is asked for, print it and write the table."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory(prefix="foretext-scaling-") as temporary:
        folder = Path(temporary)
        shards = prepared(arguments.text, folder, megabytes=arguments.megabytes)
        points = [
            run(size, seed, shards, folder, tokens=arguments.tokens)
            for size in SIZES
            for seed in range(arguments.seeds)
        ]
    section = table(points, fits(points), arguments)
    print(section)
    if not arguments.dry:
        write(section)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--text", type=Path, default=TEXT, help="any text foretext reads")
    parser.add_argument("--megabytes", type=float, default=4.0, help="of the text that are read")
    parser.add_argument("--tokens", type=int, default=100_000, help="of the smallest size")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--dry", action="store_true", help="print the table, write nothing")
    return parser.parse_args()


def prepared(text: Path, folder: Path, *, megabytes: float) -> Path:
    """Shards of the first documents of a text, with a tokenizer learned from them."""
    chosen, size = [], 0.0
    for document in read_corpus([text]):
        if size >= megabytes * 1e6:
            break
        chosen.append(document.text)
        size += len(document.text.encode())
    tokenizer = train(chosen, kind="byte-bpe", vocab_size=VOCABULARY)
    lines = "".join(json.dumps({"text": part}) + "\n" for part in chosen)
    (folder / "text.jsonl").write_text(lines, encoding="utf-8")
    prepare([folder / "text.jsonl"], tokenizer=tokenizer, out=folder / "shards")
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
    begun = time.perf_counter()
    options = PretrainOptions(shards=shards, settings=settings)
    result = pretrain(preset, out=folder / f"{preset}-{seed}", options=options)
    point = Point(
        size=size,
        seed=seed,
        parameters=parameters_of(preset),
        tokens=result.estimate.tokens,
        flops=result.estimate.flops,
        loss=result.progress.last_metrics["loss"],
        seconds=time.perf_counter() - begun,
    )
    print(json.dumps(asdict(point)), flush=True)
    return point


def parameters_of(preset: str) -> int:
    """Parameters outside the tables of tokens and positions."""
    config = PRESETS[preset]
    tables = (config.vocab_size + config.max_position_embeddings) * config.hidden_size
    return num_parameters(config) - tables


def fits(points: list[Point]) -> dict[str, Fit]:
    """Least squares in the logarithm of the loss, over the means of the seeds."""
    means = {size: [p for p in points if p.size == size] for size in SIZES}
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


def table(points: list[Point], found: dict[str, Fit], arguments: argparse.Namespace) -> str:
    """The section of RESULTS.md."""
    rows = "\n".join(
        f"| {p.size} | {p.seed} | {p.parameters:,} | {p.tokens:,.0f} | {p.flops:.2e} | "
        f"{p.flops / PF_DAY:.2e} | {p.loss:.4f} | {p.seconds:.0f} |"
        for p in points
    )
    laws = "\n".join(
        f"| {law} | {fit.a:.3f} | {fit.b:.4f} | {fit.c:.3f} | {fit.residual:.4f} |"
        for law, fit in found.items()
    )
    low = min(p.flops for p in points)
    return f"""{TITLE}

`python -m bench.objectives.scaling`: {arguments.text.name}, the first {arguments.megabytes:g} MB;
{VOCABULARY:,} tokens of byte-level BPE, packed rows of {LENGTH}, {BATCH} a step, one recipe for all
sizes; {platform.machine()}, one thread. Parameters are those outside the tables; the loss is that
of held-out text, in nats a token.

| size | seed | parameters | tokens | FLOP | PF-days | loss | seconds |
|---|---|---|---|---|---|---|---|
{rows}

Least squares in log loss, C in units of {low:.2e} FLOP:

| law | a | b | c | rms error of log loss |
|---|---|---|---|---|
{laws}

The paper's direction: the loss falls as a power of compute, b = 0.048 over eight orders of
magnitude of large models (Brown et al. 2020, figure 3.1). Runs as short as these stand at the steep
start of that curve, where what is learned first is the frequency of tokens, so their b is larger
and with five points c is hardly determined.
"""


def write(section: str) -> None:
    """Put the section into RESULTS.md in place of the one of before."""
    old = RESULTS.read_text(encoding="utf-8") if RESULTS.exists() else "# What objectives do\n"
    pattern = re.compile(rf"^{re.escape(TITLE)}\n.*?(?=^## |\Z)", re.DOTALL | re.MULTILINE)
    before = pattern.sub("", old).rstrip()
    RESULTS.write_text(f"{before}\n\n{section}", encoding="utf-8")


if __name__ == "__main__":
    main()
