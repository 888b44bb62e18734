"""python -m bench.budget TEXT [ARM ...]: the ablations on a text of short lines.

TEXT has a blank line between documents that hold several lines (a film's reviews). Each finished
arm prints a row; `--folder` keeps shards and runs.
"""

from __future__ import annotations

import argparse
import resource
from pathlib import Path
from unittest.mock import patch

import torch

from bench.budget.arms import ARMS, COMMON, Arm
from foretext.core.atomic import atomic_write_text
from foretext.runs import warm_start
from foretext.runs.options import PretrainOptions
from foretext.runs.pretrain import pretrain
from foretext.shards.prepare import prepare
from foretext.text.corpus import read_corpus
from foretext.tokenizers import Tokenizer, train
from foretext.training.log import read_metrics

_TOKENS = 8_000


def shards_of(text: Path, layout: str, folder: Path) -> Path:
    """The text as shards, a document for each line or for each film."""
    out = folder / f"shards-{layout}"
    if not (folder / "tokenizer").exists():
        documents = (document.text for document in read_corpus([str(text)]))
        train(documents, kind="wordpiece", vocab_size=_TOKENS).save(folder / "tokenizer")
    source = text
    if layout == "line":
        source = folder / "lines.txt"
        lines = filter(None, text.read_text(encoding="utf-8").split("\n"))
        atomic_write_text(source, "\n\n".join(lines) + "\n")
    if not out.exists():
        prepare([str(source)], tokenizer=Tokenizer.load(folder / "tokenizer"), out=out, workers=0)
    return out


def run(name: str, arm: Arm, text: Path, folder: Path) -> str:
    """The row of an arm: held-out loss by step, and CPU seconds."""
    begun = _cpu()
    kept, identity = arm.identity or (warm_start._KEPT, warm_start._IDENTITY)
    bias = warm_start._log_frequencies
    with (
        patch.object(warm_start, "_KEPT", kept),
        patch.object(warm_start, "_IDENTITY", identity),
        patch.object(
            warm_start, "_log_frequencies", bias if arm.bias else lambda f: torch.zeros(len(f))
        ),
    ):
        result = pretrain(
            arm.preset,
            out=folder / "runs" / name,
            options=PretrainOptions(
                shards=shards_of(text, arm.layout, folder),
                settings={**COMMON, **arm.settings, "training.steps": arm.steps},
                fresh=True,
                force=True,
            ),
        )
    losses = [
        f"{record['eval/loss']:.3f} at {record['step']}"
        for record in read_metrics(result.folder)
        if "eval/loss" in record
    ]
    unigram = result.progress.last_metrics["unigram"]
    return f"| {arm.about} | {', '.join(losses)} | {unigram:.2f} | {_cpu() - begun:.0f} |"


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text", type=Path)
    parser.add_argument("arms", nargs="*", default=list(ARMS))
    parser.add_argument("--folder", type=Path, default=Path("bench-budget"))
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    print("| arm | held-out loss | unigram | CPU seconds |\n| --- | --- | --- | --- |")
    for name in given.arms:
        print(run(name, ARMS[name], given.text, given.folder), flush=True)


if __name__ == "__main__":
    main()
