"""Dropout whose masks are a function of (run and step, the module's name, token).

Not of how often it was called before: computing a layer again (activation checkpointing, reversible
layers) draws the same mask, and so does cutting a step into other micro-batches, or resuming it.
Layers that share weights share no dropout (nn/sharing.py): each has a name, and so a mask, of its
own. A module that is called twice for one token, as for two streams, draws the same mask twice;
give each stream its own.

Deviation: the rate is rounded to a multiple of 1/256 (0.1 becomes 0.1016), and kept values are
scaled by the rounded rate, so that their expectation is exact. On a GPU the masks are others than
on a CPU, and inside PyTorch's attention kernels they depend on how a step is cut (see
seed_kernels).
"""

from __future__ import annotations

from functools import cache
from hashlib import blake2b

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foretext.core import rng
from foretext.nn.cpu.dropout import apply_mask, keep_mask


class Dropout(nn.Module):
    """Sets a share of the elements to zero in training and scales the rest up.

    Args:
        rate: probability of an element to be dropped, in [0, 1).
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.set_rate(rate)
        self.key = (0, 0)  # (run and step, name); set by seed_dropout
        self.first_token = 0
        self.of_target = False  # whether its rows are tokens of targets, not of sources

    def set_rate(self, rate: float) -> None:
        """Drop with another probability from now on."""
        self.rate = rate
        self.threshold = round(rate * 256)
        self.scale = 256 / (256 - self.threshold)

    @property
    def active(self) -> bool:
        return self.training and self.threshold > 0

    def forward(self, hidden: Tensor, tokens: Tensor | None = None) -> Tensor:
        """Drop elements.

        A row's mask belongs to its token, whose number in the step is the same however the step is
        cut into micro-batches.

        Args:
            hidden: [rows, ...].
            tokens: of the micro-batch, for which the rows stand, [rows]; None: row r is token r.
        """
        if not self.active:
            return hidden
        if torch.compiler.is_compiling():  # a key for each step would be a graph for each step
            return F.dropout(hidden, self.rate)
        return apply_mask(hidden, self._keep(hidden, tokens), self.scale)

    def _keep(self, hidden: Tensor, tokens: Tensor | None) -> Tensor:
        row, count = hidden.shape[1:], hidden.shape[0]
        if hidden.device.type != "cpu":
            numbers = torch.arange(count, device=hidden.device) if tokens is None else tokens
            keep = hashed_mask(
                numbers + self.first_token, row.numel(), key=self.key, threshold=self.threshold
            )
            return keep.view(hidden.shape)
        if tokens is not None:
            count = int(tokens.max()) + 1 if len(tokens) else 0
        keep = self.keep_mask(torch.Size((count, *row)), self.first_token * row.numel())
        return keep if tokens is None else keep[tokens]

    def keep_mask(self, shape: torch.Size, start: int, *, stream: int = 0) -> Tensor:
        """Bool mask of this shape, True = keep: bytes [start, start + size) of a random sequence.

        Args:
            shape: of the mask.
            start: first byte; one byte decides one element.
            stream: a sequence of its own; attention has one for each sequence length.
        """
        return keep_mask(shape, start, key=self.key, stream=stream, threshold=self.threshold)

    def seed_kernels(self, token: int) -> None:
        """Seed what a GPU's own kernel draws next; a function of the key and of a first token.

        token: the first of the micro-batch's that the kernel computes. Its other tokens' masks
            depend on their place after it, so that other micro-batches draw other masks.
        """
        torch.cuda.manual_seed(rng.key(self.key[0], self.key[1], self.first_token + token) % 2**63)

    def extra_repr(self) -> str:
        return f"rate={self.rate}"


def seed_dropout(model: nn.Module, key: int, first_token: int = 0, first_target: int = 0) -> None:
    """Point every dropout layer at one micro-batch of one step.

    Args:
        model: its dropout layers are told apart by their names in it.
        key: of the run and the step, see rng.key.
        first_token: number of the micro-batch's first token within the step.
        first_target: the same of targets, for the layers of a decoder.
    """
    for name, layer in model.named_modules():
        if isinstance(layer, Dropout):
            layer.key = (key, _of_name(name))
            layer.first_token = first_target if layer.of_target else first_token


@cache
def _of_name(name: str) -> int:
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest())


def hashed_mask(tokens: Tensor, columns: int, *, key: tuple[int, int], threshold: int) -> Tensor:
    """Bool mask [tokens, columns], True = keep, on any device: a hash of key, token and column.

    Hash: "lowbias32" of Ellis' search for integer hash functions (2018), once for each token, once
    for each column, and once for both together.

    Args:
        tokens: numbers in the step, [rows].
        columns: elements a token.
        key: two words of 64 bits.
        threshold: of 256 values of a byte, those that drop.
    """
    words = rng.bits(key[0], key[1], [0, 1, 2]).astype("uint32").view("int32").tolist()
    low, high = tokens.int(), (tokens >> 31).int()
    of_token = _mixed(_mixed(low ^ words[0]) ^ high ^ words[1])
    of_column = _mixed(torch.arange(columns, device=tokens.device, dtype=torch.int32) ^ words[2])
    return (_mixed(of_token[:, None] ^ of_column) & 0xFF) >= threshold


def _mixed(values: Tensor) -> Tensor:
    """A bijection of 32 bits whose every bit depends on all of them."""
    # Shifts are arithmetic; what is masked makes them logical.
    values = values ^ ((values >> 16) & 0xFFFF)
    values = values.mul_(0x7FEB352D)
    values = values.bitwise_xor_((values >> 15) & 0x1FFFF)
    values = values.mul_(0x846CA68B - 2**32)
    return values.bitwise_xor_((values >> 16) & 0xFFFF)
