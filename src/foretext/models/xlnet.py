"""XLNet: a Transformer-XL that predicts tokens in a random order, by two streams of states.

Paper: Yang et al. 2019, https://arxiv.org/abs/1906.08237, sections 2.3 to 2.5; where it is silent,
the official repository (modeling.py).
The content stream holds what a token is and what it has seen; the query stream, which begins as one
learned vector, holds what has been seen where a token is to be predicted, and not the token. Both
have the same weights. Tasks read the content stream alone, at the last token, <cls>.
Deviations: dropout rates are rounded to 1/256 on a CPU (nn/dropout.py), and nothing of the table of
distances is dropped. The query stream has draws of its own. GELU is the exact (erf) form, as in the
Hugging Face layout; the official code has the tanh form. A pooled state is dropped once, before
the task's linear layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from foretext.core.batch import Batch
from foretext.core.errors import ConfigError
from foretext.core.masks import Full, Order
from foretext.hub.layout import HubLayout
from foretext.models.family import Family
from foretext.models.shape import check_shape
from foretext.models.xlnet_hub import ARCHITECTURES, class_for, config_values, weight_map
from foretext.models.xlnet_hub import fields_of as hub_fields
from foretext.nn.attention.relative import Relative
from foretext.nn.backbone import Backbone, Reads
from foretext.nn.dropout import Dropout
from foretext.nn.embeddings import TokenEmbeddings
from foretext.nn.heads import linear_cross_entropy
from foretext.nn.initialise import normal
from foretext.nn.linear import Linear
from foretext.nn.two_streams import Places, TwoStreamBlock


@dataclass(frozen=True, kw_only=True)
class XlnetConfig:
    """Sizes of an XLNet; the defaults are the base model."""

    vocab_size: int = 32000
    hidden_size: int = 768
    num_layers: int = 12
    num_heads: int = 12
    head_size: int = 64  # of queries, keys and values of a head
    intermediate_size: int = 3072
    activation: str = "gelu"
    dropout: float = 0.1  # probability; embeddings and sublayer outputs
    attention_dropout: float = 0.1  # probability; attention weights
    layer_norm_eps: float = 1e-12
    initializer_range: float = 0.02  # standard deviation of the normal
    # Tokens of a stream whose states the next batch sees.
    memory_length: int = field(default=384, metadata={"least": 0})

    def __post_init__(self) -> None:
        check_shape(self)
        if self.memory_length < 0:
            raise ConfigError(f"model.memory_length={self.memory_length} must not be negative")


def _sized(num_layers: int, hidden_size: int, **changes: Any) -> XlnetConfig:
    shape = {"num_heads": hidden_size // 64, "intermediate_size": 4 * hidden_size}
    return XlnetConfig(num_layers=num_layers, hidden_size=hidden_size, **(shape | changes))


PRESETS = {
    "xlnet-tiny": _sized(2, 128, memory_length=64),
    "xlnet-mini": _sized(4, 256, memory_length=64),
    "xlnet-base": _sized(12, 768),
    "xlnet-large": _sized(24, 1024),
}

# Section 3.1 and appendix A.4.
_PAPER = {
    "objective.name": "permutation-lm",
    "data.tokenizer": "unigram",
    "data.special_tokens": "xlnet",
    "data.lowercase": False,
    "data.max_length": 512,
    "training.optimizer": "bert-adamw",
    "training.learning_rate": 4e-4,
    "training.eps": 1e-6,
    "training.weight_decay": 0.01,
    "training.clip_norm": 1.0,
    "training.schedule": "linear",
    "training.steps": 500_000,
    "training.warmup_steps": 40_000,
    "training.batch_size": 8_192,
}
# A laptop has neither the batch nor the steps of the paper: fewer, larger steps.
_LAPTOP = {
    "data.vocab_size": 8_000,
    "data.max_length": 128,
    "training.learning_rate": 1e-3,
    "training.steps": 3_000,
    "training.warmup_steps": 300,
    "training.batch_size": 32,
}


def recipe(preset: str) -> dict[str, Any]:
    """Settings of a preset, by path in the recipe, that differ from the defaults."""
    return _PAPER | (_LAPTOP if preset in ("xlnet-tiny", "xlnet-mini") else {})


def finetune_recipe(config: XlnetConfig) -> dict[str, Any]:
    """Settings of fine-tuning, by path (appendix A.5); small models learn faster."""
    return {"training.learning_rate": 2e-5 if config.hidden_size >= 768 else 1e-4}


class Xlnet(Backbone):
    """The two streams with their tied vocabulary output.

    Attributes:
        memory: by stream, the states before each layer that the next batch of the stream sees,
            [layers, at most memory_length, hidden]; see training/state.py.
    """

    reads = Reads.BOTH_WAYS
    cls_last = True
    vocabulary_rows = ("embeddings.token.weight", "lm_bias")
    config: XlnetConfig

    def __init__(self, config: XlnetConfig) -> None:
        super().__init__()
        self.config = c = config
        self.embeddings = TokenEmbeddings(c.vocab_size, c.hidden_size, dropout=c.dropout)
        self.query_start = nn.Parameter(torch.zeros(c.hidden_size))
        self.layers = nn.ModuleList(
            TwoStreamBlock(
                c.hidden_size,
                c.num_heads,
                c.head_size,
                c.intermediate_size,
                activation=c.activation,
                eps=c.layer_norm_eps,
                dropout=c.dropout,
                attention_dropout=c.attention_dropout,
            )
            for _ in range(c.num_layers)
        )
        self.lm_bias = nn.Parameter(torch.zeros(c.vocab_size))
        self.pooler = Linear(c.hidden_size, c.hidden_size)
        self.query_dropout = Dropout(c.dropout)
        self.output_dropout = Dropout(c.dropout)
        self.memory: dict[int, Tensor] = {}

    def initialise(self, generator: torch.Generator) -> None:
        """Normal weights, biases of the linear maps 0, norms 1 and 0 (official modeling.py)."""
        c = self.config
        normal(self, c.initializer_range, generator)
        loose = [p for n, p in self.named_parameters() if n.endswith(("_bias", "segment"))]
        with torch.no_grad():
            for parameter in (self.query_start, *loose):
                if parameter is not self.lm_bias:
                    parameter.normal_(0, c.initializer_range, generator=generator)

    def forward(self, batch: Batch, used: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """The content stream of whole sequences, without a memory.

        Args:
            batch: sequences one after another, no padding; segments 0, 1 and, of <cls>, 2.
            used: not looked at; all states are computed.

        Returns:
            Hidden states of the last layer, [tokens, hidden].
        """
        return self.all_layers(batch)[-1]

    def all_layers(self, batch: Batch) -> list[Tensor]:
        """States before the first layer and after each; the last ones as forward gives them."""
        c, types = self.config, batch.token_type_ids
        at = Relative.of(batch.layout, c.hidden_size, segments=types, key_segments=types)
        states = [self.embeddings(batch)]
        for layer in self._blocks():
            hidden = states[-1]
            keys = layer.attention.keys(hidden)
            states.append(layer.content(hidden, keys, at, batch.mask or Full()))
        states[-1] = self.output_dropout(states[-1])
        return states

    def _blocks(self) -> list[TwoStreamBlock]:
        return [layer for layer in self.layers if isinstance(layer, TwoStreamBlock)]

    def in_order(
        self,
        batch: Batch,
        ranks: Tensor,
        targets: Tensor,
        *,
        backwards: Tensor,
        slots: tuple[int, ...],
        continues: tuple[bool, ...],
        kept: int,
    ) -> Tensor:
        """States of the query stream where tokens are to be predicted, [targets, hidden].

        Args:
            batch: sequences that each continue a stream.
            ranks: [tokens], the order of prediction: a token sees those of a lower rank.
            targets: [targets], which tokens are predicted, ascending, one a sequence at least.
            backwards: [sequences] bool, the text runs backwards.
            slots: the stream of each sequence.
            continues: whether it follows the stream's last batch, which it then sees.
            kept: tokens of the beginning of each sequence that the stream's memory takes.

        Paper: section 2.3, equations 3 and 4, and section 2.4 (the memory).
        """
        known = zip(slots, continues, strict=True)
        places = Places.of(batch, targets, [self._remembered(*one) for one in known])
        content, query = places.relative(self.config.hidden_size, batch, targets, backwards)
        key_ranks = places.keys(ranks, int(ranks.min()))
        sees = Order(key_ranks, sees_itself=True)
        asks = Order(key_ranks, sees_itself=False, query_ranks=ranks.index_select(0, targets))
        hidden = self.embeddings(batch)
        asking = self.query_dropout(self.query_start.expand(len(targets), -1), targets)
        taken: list[Tensor] = []
        for number, layer in enumerate(self._blocks()):
            taken.append(hidden.detach())
            keys = layer.attention.keys(places.states(hidden, number))
            asking = layer.query(asking, keys, query, asks, places.targets)
            if number + 1 < len(self.layers):  # nothing reads the last layer's content
                hidden = layer.content(hidden, keys, content, sees)
        self._remember(batch, slots, places.memories, taken, kept)
        return self.output_dropout(asking, targets)

    def _remembered(self, slot: int, continues: bool) -> Tensor | None:
        return self.memory.get(slot) if continues and self.config.memory_length else None

    def _remember(
        self,
        batch: Batch,
        slots: tuple[int, ...],
        before: list[Tensor | None],
        states: list[Tensor],
        kept: int,
    ) -> None:
        """Section 3.1 of Transformer-XL: the newest states, of what comes next's past."""
        length = self.config.memory_length
        if not length:
            return
        starts = [int(first) for first in batch.layout.offsets[:-1]]
        for slot, start, old in zip(slots, starts, before, strict=True):
            new = torch.stack([layer[start : start + kept] for layer in states])
            whole = new if old is None else torch.cat([old, new], 1)
            self.memory[slot] = whole[:, -length:]

    def carried_state(self) -> dict[str, Tensor]:
        """The memory of every stream, by its number."""
        return {str(slot): states for slot, states in sorted(self.memory.items())}

    def load_carried_state(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what carried_state gave; {} forgets all."""
        device = self.lm_bias.device
        self.memory = {int(slot): states.to(device) for slot, states in state.items()}

    def logits(self, hidden: Tensor) -> Tensor:
        """Vocabulary scores [..., vocab] of hidden states [..., hidden]."""
        return hidden @ self.embeddings.token.weight.T + self.lm_bias

    def linear_cross_entropy(
        self, hidden: Tensor, labels: Tensor, weights: Tensor | None = None
    ) -> Tensor:
        """Summed, perhaps weighted cross-entropy in nats of labels [targets], from states there."""
        table = self.embeddings.token.weight
        return linear_cross_entropy(hidden, table, self.lm_bias, labels, weights)

    def lower_layers(self, count: int) -> list[nn.Module]:
        """The embeddings and the lowest layers."""
        return [self.embeddings, *self.layers[:count]]

    def pooled_output(self, hidden: Tensor, batch: Batch) -> Tensor:
        """A dense layer and tanh on the last token's state of every sequence, [., hidden]."""
        return self.pooler(hidden[batch.last]).tanh()


def num_parameters(config: XlnetConfig) -> int:
    """Parameters of the model with its heads, tied ones once; a closed form."""
    h, inner, wide = (
        config.hidden_size,
        config.num_heads * config.head_size,
        config.intermediate_size,
    )
    layer = 5 * h * inner + 5 * inner + 2 * h * wide + wide + h + 4 * h
    return config.vocab_size * (h + 1) + h + config.num_layers * layer + h * h + h


def from_hf(raw: dict[str, Any]) -> XlnetConfig:
    """Our config from config.json; errors as xlnet_hub.fields_of's."""
    return XlnetConfig(**hub_fields(raw))


def to_hf(config: XlnetConfig, architecture: str) -> dict[str, Any]:
    """config.json of this config, saved as one of ARCHITECTURES."""
    return config_values(config, architecture)


FAMILY = Family(
    name="xlnet",
    title="XLNet",
    summary="a Transformer-XL that predicts tokens in a random order, by two streams of states",
    paper="Yang et al. 2019, https://arxiv.org/abs/1906.08237, sections 2.3 to 2.5",
    config=XlnetConfig,
    presets=PRESETS,
    model=Xlnet,
    max_positions=lambda _: None,
    recipe=recipe,
    finetune_recipe=finetune_recipe,
    hub=HubLayout(
        model_types=("xlnet",),
        architectures=ARCHITECTURES,
        class_for=class_for,
        bare_for=lambda _: "XLNetModel",
        make=Xlnet,
        num_parameters=num_parameters,
        weight_map=weight_map,
        from_hf=from_hf,
        to_hf=to_hf,
    ),
)
