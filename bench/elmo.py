"""ELMo's LSTMs against torch.nn.LSTM over padded sentences: python -m bench.elmo

Both read the same batches of sentences in both directions and learn from them: two layers, a
projection, forward and backward pass, no dropout. PyTorch's LSTM neither clips nor skips, and is
given the padded batch ready made; ours does both and is given ragged rows. CPU time of this
process, one thread, in turns.
"""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from foretext.core import rng
from foretext.models.elmo_network import ElmoLayer
from foretext.models.elmo_sizes import PRESETS
from foretext.nn.recurrent import Steps

TURNS = 5
SENTENCES = 32  # a batch
MEAN = 22.0  # words of a sentence, of an exponential distribution from 3 to 60, as prose has


def lengths(batch: int) -> list[int]:
    """Words of a batch's sentences."""
    draws = rng.uniform(0, batch, np.arange(SENTENCES))
    return np.clip(-MEAN * np.log1p(-draws), 3, 60).astype(int).tolist()


def ours(preset: str) -> Callable[[list[int], Tensor], None]:
    """A step of ours: the packed rows of both directions through both layers and back."""
    config = PRESETS[preset]
    layers = nn.ModuleList(ElmoLayer(config, skip=i > 0) for i in range(2)).eval()
    for layer in layers:
        assert isinstance(layer, ElmoLayer)
        layer.lstm.initialise(torch.Generator().manual_seed(0))

    def step(sizes: list[int], rows: Tensor) -> None:
        steps = Steps.of(sizes)
        tokens = torch.stack([steps.order, steps.reverse])
        packed = rows[tokens]
        for layer in layers:
            packed, _ = layer(packed, tokens, steps.sizes, None)
        states = torch.cat([packed[0][steps.place], packed[1][steps.reverse_place]], 1)
        states.sum().backward()

    return step


def padded(preset: str) -> Callable[[list[int], Tensor], None]:
    """A step of PyTorch's, over sentences filled up to the longest."""
    config = PRESETS[preset]
    layers = [
        nn.LSTM(
            config.projection_size,
            config.cell_size,
            num_layers=2,
            proj_size=config.projection_size,
            batch_first=True,
        )
        for _ in range(2)
    ]

    def step(sizes: list[int], rows: Tensor) -> None:
        whole = nn.utils.rnn.pad_sequence(list(rows.split(sizes)), batch_first=True)
        backward = nn.utils.rnn.pad_sequence(
            [part.flip(0) for part in rows.split(sizes)], batch_first=True
        )
        states = [lstm(x)[0] for lstm, x in zip(layers, (whole, backward), strict=True)]
        torch.cat(states, 2).sum().backward()

    return step


def seconds(step: Callable[[list[int], Tensor], None], width: int, turn: int) -> float:
    """CPU time of a turn's step."""
    sizes = lengths(turn)
    rows = torch.randn(sum(sizes), width, requires_grad=True)
    begun = time.process_time()
    step(sizes, rows)
    return time.process_time() - begun


def main() -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # that oneDNN has no LSTM with a projection
    for preset in ("elmo-tiny", "elmo-mini"):
        sides, width = (ours(preset), padded(preset)), PRESETS[preset].projection_size
        for side in sides:
            seconds(side, width, 0)  # the first step makes kernels
        turns = [tuple(seconds(s, width, n) for s in sides) for n in range(1, TURNS + 1)]
        mine, theirs = (statistics.median(column) for column in zip(*turns, strict=True))
        words = statistics.mean(sum(lengths(n)) for n in range(1, TURNS + 1))
        print(
            f"{preset}: ours {mine * 1e3:.0f} ms, padded torch.nn.LSTM {theirs * 1e3:.0f} ms a "
            f"batch of {words:.0f} words on average, {theirs / mine:.2f} x"
        )


if __name__ == "__main__":
    main()
