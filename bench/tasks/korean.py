"""Korean without a trained encoder: does pre-training on reviews pay on labelled reviews?

    python -m bench.tasks.korean --data FOLDER [--steps 7500] [--seeds 3]

A small BERT is pre-trained on corpora/ko_reviews_train.txt and fine-tuned on 5,000 labels of NSMC,
and so is the same model with random weights, in the same way: at the learning rate of BERT's paper,
and at higher ones, which suit random weights better.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch

import foretext
from bench.tasks.files import CACHE, read_rows, write

_LABELS = 5_000
_TESTED = 10_000
_PRESET = "bert-mini"
_STEPS = 7_500
# Weights of .02 barely pass a signal through layers this narrow, and on short sequences the model
# finds the neighbours of a gap sooner (docs/troubleshooting.md). bert-tiny, 60,000 steps of 16
# sequences of 32 tokens: 80.0 of pre-trained and 78.1 of random weights at the highest rate.
_PRETRAIN = {
    "objective.name": "masked-lm",
    "objective.mask_rate": 0.15,
    "model.initializer_range": 0.05,
    "model.dropout": 0.0,
    "model.attention_dropout": 0.0,
    "data.max_length": 12,
    "data.long_length": 48,
    "data.long_rate": 0.6,
    "data.vocab_size": 4_000,
    "training.optimizer": "adamw",
    "training.learning_rate": 1e-3,
    "training.batch_size": 80,
    "training.warmup_steps": 200,
    "training.save_every": 2_000,
    "training.eval_every": 2_000,
}
_RATES = (5e-5, 2e-4, 5e-4)  # the first is the paper's, appendix A.3
_FINETUNE = {
    "data.max_length": 64,
    "training.optimizer": "adamw",
    "training.batch_size": 32,
    "finetune.epochs": 3.0,
    "finetune.dropout": 0.1,
}


def main() -> None:
    """Pre-train once, fine-tune each seed from both, and record the accuracies."""
    parser = argparse.ArgumentParser(prog="python -m bench.tasks.korean", description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=_STEPS)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    nsmc = arguments.data / "korean" / "nsmc"
    train = read_rows(nsmc / "ratings_train.txt").chosen(_LABELS)
    test = read_rows(nsmc / "ratings_test.txt").chosen(_TESTED)
    files = [write(CACHE / "nsmc" / f"{n}.tsv", p) for n, p in (("train", train), ("test", test))]
    begun = time.process_time()
    backbone = reviews_bert(arguments.data, arguments.steps)
    spent = _spent(backbone, time.process_time() - begun)
    rates = [
        {"learning_rate": rate}
        | {
            weights: [_accuracy(backbone, weights, rate, s, files) for s in range(arguments.seeds)]
            for weights in ("pre-trained", "random")
        }
        for rate in _RATES
    ]
    record: dict[str, Any] = {"steps": arguments.steps, "pretrain_cpu": spent, "rates": rates}
    record |= {"labels": _LABELS, "tested": len(test.items), "preset": _PRESET}
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    with (results / "korean.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")
    print(json.dumps(record))


def reviews_bert(data: Path, steps: int = _STEPS) -> Path:
    """A small BERT, pre-trained here on Korean film reviews, or gone on with where it stopped."""
    backbone = CACHE / "nsmc" / f"{_PRESET}-{steps}"
    settings = _PRETRAIN | {"training.steps": steps}
    options = foretext.PretrainOptions(
        text=[data / "corpora" / "ko_reviews_train.txt"], settings=settings
    )
    if foretext.pretrain(_PRESET, out=backbone, options=options).progress.stopped:
        raise SystemExit(130)
    return backbone


def _spent(backbone: Path, seconds: float) -> float:
    """CPU seconds of pre-training, those of the run that did it."""
    path = backbone.with_name(f"{backbone.name}.cpu")
    if not path.exists():
        path.write_text(str(seconds), encoding="utf-8")
    return float(path.read_text(encoding="utf-8"))


def _accuracy(backbone: Path, weights: str, rate: float, seed: int, files: list[Path]) -> float:
    out = backbone.with_name(f"{backbone.name}-{weights}-{rate:g}-{seed}")
    settings = {
        "training.learning_rate": rate,
        "training.seed": seed,
        "finetune.random_weights": weights == "random",
    }
    options = foretext.FinetuneOptions(settings=_FINETUNE | settings)
    foretext.finetune(backbone, "classification", train=files[0], out=out, options=options)
    return 100 * foretext.evaluate(out, files[1])["accuracy"]


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
