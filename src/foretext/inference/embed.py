"""Vectors of texts: token states of a layer, or of a mix of layers, pooled over each text.

The states are those of `AutoModel` in `transformers` (`last_hidden_state`, `hidden_states`), and
mean is over the tokens that its attention mask counts, the layout's own among them, as
sentence-transformers takes it. Deviation: none of these models was trained for comparing texts by
such vectors, so they are what they are: states.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from foretext.core.batch import Batch
from foretext.core.errors import ConfigError
from foretext.core.heap import Heap
from foretext.core.suggest import nearest
from foretext.models.folder import LoadedModel
from foretext.nn.backbone import Backbone, Reads
from foretext.tasks.base import Features, SampleTable
from foretext.tasks.inputs import EXTRACT, Input, input_format_for, reads_left_to_right
from foretext.tokenizers import Tokenizer
from foretext.training.precision import multiplying

_WINDOW = 1024  # texts that are sorted by length at once
_LONGEST = 2**31  # tokens, where the model has no limit
_BATCH_TOKENS = 4096  # computed at once, unless a text is longer


@dataclass(frozen=True, kw_only=True)
class EmbedConfig:
    """What a vector is made of.

    Attributes:
        pool: "mean" of the tokens, or the "first" or "last" one's state.
        layers: share of each layer, 0 being the embeddings; {} is the last layer. Shares are
            taken as they are, so an equal mix of two is {11: 0.5, 12: 0.5}.
        max_length: tokens of a text, the layout's own included; None is what the model reads.
        precision: "fp32" or "bf16", of the products.
    """

    pool: str = "mean"
    layers: Mapping[int, float] = field(default_factory=dict)
    max_length: int | None = None
    precision: str = "fp32"

    def __post_init__(self) -> None:
        if self.pool not in _POOLS:
            raise ConfigError(
                f"pool={self.pool!r} is not known; did you mean {nearest(self.pool, _POOLS)}? "
                f"There are {', '.join(_POOLS)}"
            )
        if self.max_length is not None and self.max_length < 3:
            raise ConfigError(f"max_length={self.max_length} must be at least 3 tokens")


def _mean(states: Tensor, batch: Batch) -> Tensor:
    lengths = batch.offsets.diff()
    number = torch.repeat_interleave(lengths)
    totals = states.new_zeros(len(lengths), states.shape[1]).index_add_(0, number, states)
    return totals / lengths[:, None]


_POOLS: dict[str, Callable[[Tensor, Batch], Tensor]] = {
    "mean": _mean,
    "first": lambda states, batch: states[batch.first],
    "last": lambda states, batch: states[batch.last],
}


class Embedder:
    """A model that gives vectors.

    Args:
        model: of a folder.
        tokenizer: of the same.
        config: what a vector is made of.

    Raises:
        ConfigError: the model has no such layer, or reads a source and a target.
    """

    def __init__(
        self, model: LoadedModel, tokenizer: Tokenizer, config: EmbedConfig | None = None
    ) -> None:
        self.config = config or EmbedConfig()
        self.tokenizer = tokenizer
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model: Backbone = model.model.to(self.device).eval()
        self.cut = 0  # texts that were longer than what is read
        if self.model.reads is Reads.SOURCE_TO_TARGET:
            raise ConfigError(
                "a model that reads a source and a target has no single state a token; give an "
                "encoder or a left-to-right model"
            )
        limit = model.family.max_positions(self.model.config)
        asked = self.config.max_length
        self.max_length = min((n for n in (limit, asked) if n is not None), default=None)
        plain = reads_left_to_right(self.model) and tokenizer.id_of(EXTRACT) is None
        longest = self.max_length or _LONGEST
        self._format = None if plain else input_format_for(self.model, tokenizer, longest)
        self._tokenizer = tokenizer if self._format is None else self._format.tokenizer
        count = self.model.config.num_layers
        if wrong := [n for n in self.config.layers if not 0 <= n <= count]:
            raise ConfigError(
                f"there is no layer {wrong[0]}; the model has {count}, and 0 is its embeddings"
            )
        self.size = self._computed([self._laid([])]).shape[1]  # numbers of a vector

    def vectors(self, texts: Iterable[str]) -> Iterator[NDArray[np.float32]]:
        """The vectors of some texts at a time, [texts, size], in order; memory stays the same."""
        remaining, heap = iter(texts), Heap()
        while window := list(islice(remaining, _WINDOW)):
            laid = [self._laid(ids) for ids in self._tokenizer.encode_batch(window)]
            found = np.empty((len(window), self.size), np.float32)
            order = sorted(range(len(window)), key=lambda n: len(laid[n].ids))
            for numbers in _batches(order, [len(one.ids) for one in laid]):
                found[numbers] = self._computed([laid[n] for n in numbers])
            heap.check()
            yield found

    @torch.inference_mode()
    def _computed(self, inputs: list[Input]) -> NDArray[np.float32]:
        samples = [Features((one,), np.zeros(0)) for one in inputs]
        table = SampleTable(samples, self._tokenizer.spelling)
        batch = table.batch(np.arange(len(inputs))).to(self.device)
        with multiplying(self.config.precision, self.device):
            if self.config.layers:
                layers = self.model.all_layers(batch)
                states = torch.zeros_like(layers[0])
                for number, share in self.config.layers.items():
                    states += share * layers[number]
            else:
                states = self.model(batch)
        pooled = _POOLS[self.config.pool](states.float(), batch)
        return pooled.cpu().numpy()

    def _laid(self, ids: list[int]) -> Input:
        """A text's tokens in the model's layout, cut to what is read."""
        room = self.max_length if self._format is None else self._format.max_tokens()
        self.cut += room is not None and len(ids) > room
        if self._format is not None:
            return self._format.arrange(ids)
        kept = ids[:room] or [self.tokenizer.special.bos or 0]  # a sequence has a token
        return Input(kept, [0] * len(kept), [False] * len(kept))


def parse_layers(text: str) -> dict[int, float]:
    """Layers and their shares: "12", "9,10,11,12" for a plain mean, or "11:0.25,12:0.75".

    Raises:
        ConfigError: it is none of these.
    """
    parts = [part.split(":") for part in text.split(",")]
    try:
        found: dict[int, float] = {
            int(part[0]): float(part[1]) if part[1:] else 1 / len(parts) for part in parts
        }
        whole = all(len(part) == len(parts[0]) <= 2 for part in parts) and len(found) == len(parts)
    except ValueError:
        whole = False
    if not whole:
        raise ConfigError(
            f"layers {text!r} cannot be read; give 12, or 9,10,11,12 for their mean, or shares "
            "such as 11:0.25,12:0.75"
        )
    return found


def _batches(order: list[int], lengths: list[int]) -> Iterator[list[int]]:
    """Numbers of texts from short to long, some _BATCH_TOKENS tokens at a time."""
    batch: list[int] = []
    total = 0
    for number in order:
        if batch and total + lengths[number] > _BATCH_TOKENS:
            yield batch
            batch, total = [], 0
        batch.append(number)
        total += lengths[number]
    if batch:
        yield batch
