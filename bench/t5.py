"""T5-small on documents of up to 512 tokens, beside T5ForConditionalGeneration.

    python -m bench.t5 TEXT [--steps 3] [--batch-size 16]

Both sides read the same documents in the same order: each document is a row of span corruption,
whose inputs and targets are padded to the longest of the batch by the peer (a collator as that of
the Flax script: its noise mask, sentinels, end tokens, labels of -100 where there is padding) and
not by foretext. Both drop with 0.1 and take a step of Adafactor as T5 was trained: no relative
step, scaled by the parameter, threshold 1. Real tokens are those of inputs and targets. Time is
that of the processor, of one thread, in alternating turns; the best turn of each side counts.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from foretext.core import rng
from foretext.core.batch import Batch
from foretext.models.t5 import T5
from foretext.models.t5_sizes import PRESETS
from foretext.objectives import spans
from foretext.objectives.span_corruption import (
    DenoisingBatch,
    SpanCorruption,
    SpanCorruptionConfig,
)
from foretext.tokenizers import Tokenizer, train
from foretext.training.optimizers.build import build_optimizer
from foretext.training.optimizers.config import OptimizerConfig
from foretext.training.step import MicroBatch, TrainStep, gradients

os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
LONGEST = 512  # tokens of a document
RATE, SPAN = 0.15, 3.0
Row = tuple[list[int], list[int]]  # inputs and targets, both ended


def rows_of(text: Path, tokenizer: Tokenizer, count: int) -> list[Row]:
    """Corrupted paragraphs, of 8 to 512 tokens each."""
    lines = text.read_text(encoding="utf-8").split("\n")
    sentinels, rows = np.array(tokenizer.sentinel_ids), []
    for number, ids in enumerate(tokenizer.encode_batch([x for x in lines if x][: 8 * count])):
        if not 8 <= len(ids) <= LONGEST:
            continue
        noise = spans.span_noise(len(ids), RATE, SPAN, rng.key(0, number))
        parts = [spans.spans_to_sentinels(np.array(ids), n, sentinels) for n in (noise, ~noise)]
        rows.append(([*parts[0].tolist(), 1], [*parts[1].tolist(), 1]))
        if len(rows) == count:
            break
    return rows


def ours(tokenizer: Tokenizer) -> Callable[[list[Row], int], None]:
    """A step of foretext's on some rows."""
    model = T5(PRESETS["t5-small"]).train()
    model.initialise(torch.Generator().manual_seed(0))
    from foretext.objectives.base import Vocabulary

    objective = SpanCorruption(
        config=SpanCorruptionConfig(), vocabulary=Vocabulary.of(tokenizer), max_length=LONGEST
    )
    config = OptimizerConfig(name="adafactor", learning_rate=0.01, weight_decay=0, clip_norm=None)
    step, optimizer = TrainStep(model, objective), build_optimizer(model, config)

    def run(rows: list[Row], number: int) -> None:
        ordered = sorted(rows, key=lambda row: len(row[0]))
        batch = DenoisingBatch(
            source=Batch.of([inputs for inputs, _ in ordered]),
            target=Batch.of([[0, *targets[:-1]] for _, targets in ordered]),
            labels=torch.tensor([i for _, targets in ordered for i in targets]),
        )
        optimizer.zero_grad()
        part: Any = MicroBatch(batch=batch, first_token=0)  # type: ignore[arg-type]
        gradients(step, [part], rng.key(0, "dropout", number))
        optimizer.clip()
        optimizer.step()

    return run


def theirs() -> Callable[[list[Row], int], None]:
    """A step of transformers' on the same rows, padded."""
    from transformers import Adafactor, T5Config, T5ForConditionalGeneration

    model = T5ForConditionalGeneration(T5Config(decoder_start_token_id=0)).train()
    optimizer = Adafactor(
        model.parameters(), lr=0.01, relative_step=False, scale_parameter=True, warmup_init=False
    )

    def padded(rows: list[list[int]], value: int) -> torch.Tensor:
        tensors = [torch.tensor(row) for row in rows]
        return torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_value=value)

    def run(rows: list[Row], number: int) -> None:  # noqa: ARG001  (as ours)
        inputs = [row[0] for row in rows]
        optimizer.zero_grad()
        loss = model(
            input_ids=padded(inputs, 0),
            attention_mask=padded([[1] * len(row) for row in inputs], 0),
            labels=padded([row[1] for row in rows], -100),
        ).loss
        loss.backward()
        optimizer.step()

    return run


def main() -> None:
    """Measure both sides and print a row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text", type=Path)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=16)
    given = parser.parse_args()
    torch.set_num_threads(1)
    text = given.text.read_text(encoding="utf-8")[:400_000]
    tokenizer = train([text], kind="unigram", vocab_size=4_000, style="t5")
    rows = rows_of(given.text, tokenizer, given.batch_size * (given.steps + 1))
    batches = [rows[i : i + given.batch_size] for i in range(0, len(rows), given.batch_size)]
    sides = {"foretext": ours(tokenizer), "transformers": theirs()}
    best: dict[str, float] = dict.fromkeys(sides, 0.0)
    for number, batch in enumerate(batches):
        real = sum(len(inputs) + len(targets) for inputs, targets in batch)
        whole = len(batch) * sum(max(len(row[side]) for row in batch) for side in (0, 1))
        for name, step in sides.items():
            begun = time.process_time()
            step(batch, number)
            speed = real / (time.process_time() - begun)
            best[name] = max(best[name], speed) if number else 0.0  # the first one warms up
        print(f"step {number}: {real} real tokens, {whole} padded", flush=True)
    ratio = best["foretext"] / best["transformers"]
    print(" ".join(f"{name} {speed:.0f} tokens/s" for name, speed in best.items()), end=" ")
    print(f"ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
