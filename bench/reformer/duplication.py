"""The duplication task: 0 w 0 w, of which the second half is to be predicted.

Paper: Kitaev et al. 2020, section 5 and table 2, scaled down: w has 31 symbols for 511, training
has 400 steps for 150,000. One layer; positions have a table of their own, because one layer can
only copy by position.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from foretext.core.batch import Batch
from foretext.models.reformer import Reformer, ReformerConfig
from foretext.nn.dropout import seed_dropout

SYMBOLS, WORD = 31, 31  # other than 0; of w
LENGTH = 2 * (WORD + 1)
ROUNDS = (1, 2, 4, 8)
CONFIG = ReformerConfig(
    vocab_size=SYMBOLS + 1,
    hidden_size=64,
    num_layers=1,
    num_heads=4,
    head_size=16,
    intermediate_size=64,
    pattern=("lsh",),
    max_position_embeddings=LENGTH,
    axial_shape=None,
    axial_sizes=None,
    lsh_chunk=4,
    num_buckets=None,
    dropout=0.0,
    local_attention_dropout=0.0,
    lsh_attention_dropout=0.0,
    initializer_range=0.1,
)


def with_attention(rounds: int | None) -> ReformerConfig:
    """LSH attention of so many rounds; None is full attention, one chunk for all."""
    if rounds is None:
        return replace(CONFIG, lsh_chunk=LENGTH)
    return replace(CONFIG, num_hashes=rounds)


def texts(seed: int, size: int) -> Iterator[tuple[Batch, Tensor]]:
    """Batches of texts without end, and for each token of the second half its place."""
    drawn = torch.Generator().manual_seed(seed)
    ends = torch.arange(0, (size + 1) * LENGTH, LENGTH)
    places = (ends[:-1, None] + torch.arange(LENGTH // 2, LENGTH - 1)).flatten()
    while True:
        word = torch.randint(1, SYMBOLS + 1, (size, WORD), generator=drawn)
        half = torch.cat([torch.zeros(size, 1, dtype=torch.int64), word], 1)
        ids = torch.cat([half, half], 1).flatten()
        positions = torch.arange(LENGTH).repeat(size)
        zeros = torch.zeros_like(ids)
        batch = Batch(
            input_ids=ids,
            position_ids=positions,
            token_type_ids=zeros,
            special_mask=zeros.bool(),
            offsets=ends,
        )
        yield batch, places


def trained(rounds: int | None, *, seed: int, steps: int, size: int, rate: float) -> Reformer:
    """A model after so many updates by AdamW."""
    model = Reformer(with_attention(rounds)).train()
    model.initialise(torch.Generator().manual_seed(seed))
    optimizer = torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad], lr=rate, weight_decay=0.0
    )
    begun, source = time.process_time(), texts(seed, size)
    for step in range(steps):
        batch, places = next(source)
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / 100) * min(1.0, 4 * (1 - step / steps))
        seed_dropout(model, step)
        states = model(batch)
        loss = model.linear_cross_entropy(states[places], batch.input_ids[places + 1])
        optimizer.zero_grad()
        (loss / len(places)).backward()
        optimizer.step()
        if (step + 1) % 200 == 0:
            value = float(loss.detach()) / len(places)
            spent = time.process_time() - begun
            line = f"{rounds} rounds, seed {seed}, step {step + 1}: {value:.3f}, {spent:.0f} s"
            print(line, file=sys.stderr, flush=True)
    return model


@torch.no_grad()
def accuracy(model: Reformer, rounds: int | None) -> float:
    """Share of the second half's symbols that are predicted, of 256 new texts."""
    other = Reformer(with_attention(rounds)).eval()
    other.load_state_dict(model.state_dict())
    batch, places = next(texts(10**6, 256))
    found = other.logits(other(batch)[places]).argmax(-1)
    return float((found == batch.input_ids[places + 1]).float().mean())


def measure(seeds: int, steps: int, size: int, rate: float) -> list[dict[str, Any]]:
    """Accuracies by rounds in training and in evaluation, a row for each seed."""
    rows = []
    for rounds in (1, 4, None):
        for seed in range(seeds):
            model = trained(rounds, seed=seed, steps=steps, size=size, rate=rate)
            found = {str(r or "full"): accuracy(model, r) for r in (*ROUNDS, None)}
            rows.append({"trained": str(rounds or "full"), "seed": seed} | found)
            print(rows[-1], file=sys.stderr, flush=True)
    return rows
