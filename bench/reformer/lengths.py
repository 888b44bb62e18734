"""Time of one attention layer by length, at equal tokens: LSH and local against full attention.

Paper: Kitaev et al. 2020, figure 5 (right). Forward and backward, one thread, CPU time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from foretext.core.layout import Layout
from foretext.core.masks import Causal
from foretext.nn.attention import SelfAttention
from foretext.nn.chunks import Chunking
from foretext.nn.lsh_attention import Hashing, LocalSelfAttention, LshSelfAttention

TOKENS, HIDDEN, HEADS, SIZE, CHUNK = 16_384, 128, 2, 64, 64
LENGTHS = (1024, 2048, 4096, 8192, 16_384)


def layers() -> dict[str, Callable[[Tensor, Layout], Tensor]]:
    """Attention of each kind, from states and a layout to states."""
    chunking = Chunking(length=CHUNK, multiple=CHUNK, shortest=CHUNK)
    full = SelfAttention(HIDDEN, HEADS, head_size=SIZE, dropout=0.0, projection_bias=False)
    found: dict[str, Callable[[Tensor, Layout], Tensor]] = {
        "full": lambda states, layout: full(states, layout, Causal()),
        "local": LocalSelfAttention(
            HIDDEN, HEADS, SIZE, chunking=chunking, dropout=0.0, causal=True
        ),
    }
    for rounds in (1, 2, 4):
        found[f"LSH-{rounds}"] = LshSelfAttention(
            HIDDEN,
            HEADS,
            SIZE,
            chunking=chunking,
            dropout=0.0,
            causal=True,
            hashing=Hashing(layer=0, rounds=rounds, max_positions=TOKENS),
        )
    return found


def seconds(layer: Callable[[Tensor, Layout], Tensor], length: int) -> float:
    """CPU seconds of a forward and backward pass of TOKENS tokens in texts of this length."""
    states = torch.randn(TOKENS, HIDDEN, generator=torch.Generator().manual_seed(0))
    layout = Layout.of_lengths([length] * (TOKENS // length))
    states.requires_grad_()
    begun = time.process_time()
    layer(states, layout).square().mean().backward()
    return time.process_time() - begun


def measure(repeats: int) -> Iterator[dict[str, Any]]:
    """Rows of kind, length and the microseconds a token of each repeat, kinds by turns."""
    torch.set_num_threads(1)
    made = layers()
    for layer in made.values():
        seconds(layer, LENGTHS[0])  # kernels are chosen, memory is taken
    for length in LENGTHS:
        spent: dict[str, list[float]] = {name: [] for name in made}
        for _ in range(repeats):
            for name, layer in made.items():
                spent[name].append(round(1e6 * seconds(layer, length) / TOKENS, 2))
        for name, found in spent.items():
            yield {"kind": name, "length": length, "us": found}
