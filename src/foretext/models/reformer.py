"""Reformer: a Transformer for long texts, with hashed attention and reversible layers.

Paper: Kitaev et al. 2020, https://arxiv.org/abs/2001.04451, sections 2 to 4; details as in the
official code (trax). A state has both reversible streams, [tokens, 2 * hidden].
Deviations: those of nn/lsh_attention.py (what a chunk sees, as the official code) and of
nn/reversible.py (streams on a grid of 2^-32). Dropout masks are not shared along the text. Outside
training, rotations are a function of the layer alone, so that scores can be repeated. The output
has no trained bias: `transformers` 5 stores one and does not add it; one that a folder brings is
added, as the official code does. Initial matrices are those of the Hugging Face port (normal, .02).

Sorting depends on the whole text, so a token's buckets are shared with what comes after it, though
its values are not. When generating, a token is sorted among what is there, and its states stay.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from foretext.core.batch import Batch
from foretext.core.errors import ConfigError
from foretext.core.layout import Layout
from foretext.hub.architecture import Architecture
from foretext.hub.layout import HubLayout, by_name
from foretext.models.family import Family
from foretext.models.reformer_hub import from_hf, to_hf, weight_map
from foretext.models.reformer_sizes import PRESETS, ReformerConfig, recipe
from foretext.nn.axial import AxialPositions
from foretext.nn.backbone import Backbone, Reads
from foretext.nn.cache import KeyValueCache, LayerCache
from foretext.nn.cost import TokenCost
from foretext.nn.dropout import Dropout
from foretext.nn.heads import linear_cross_entropy
from foretext.nn.initialise import normal
from foretext.nn.linear import Linear
from foretext.nn.lsh_attention import Hashing, LocalSelfAttention, LshSelfAttention
from foretext.nn.norm import LayerNorm
from foretext.nn.reversible import Half, layer_by_layer, reversible

__all__ = ["PRESETS", "ReformerConfig", "recipe"]


class ReformerEmbeddings(nn.Module):
    """Token and position vectors, added up, then dropout."""

    def __init__(self, config: ReformerConfig) -> None:
        super().__init__()
        c = config
        self.token = nn.Embedding(c.vocab_size, c.hidden_size)
        self.position: AxialPositions | nn.Embedding
        if c.axial_shape is not None and c.axial_sizes is not None:
            self.position = AxialPositions(c.axial_shape, c.axial_sizes)
        else:
            self.position = nn.Embedding(c.max_position_embeddings, c.hidden_size)
        self.dropout = Dropout(c.dropout)

    def forward(self, batch: Batch) -> Tensor:
        """Vectors [tokens, hidden] of a batch."""
        return self.dropout(self.token(batch.input_ids) + self.position(batch.position_ids))


class AttentionSublayer(nn.Module):
    """f of a layer: norm, local or LSH attention, dropout."""

    def __init__(self, config: ReformerConfig, number: int) -> None:
        super().__init__()
        c, kind = config, config.kinds[number]
        self.norm = LayerNorm(c.hidden_size, eps=c.layer_norm_eps)
        shape, chunking = (c.hidden_size, c.num_heads, c.head_size), c.chunking(kind)
        self.attend: LocalSelfAttention | LshSelfAttention
        if kind == "local":
            self.attend = LocalSelfAttention(
                *shape, chunking=chunking, dropout=c.local_attention_dropout, causal=c.causal
            )
        else:
            hashing = Hashing(
                layer=number,
                rounds=c.num_hashes,
                buckets=c.num_buckets,
                max_positions=c.max_position_embeddings,
                seed=c.hash_seed,
            )
            self.attend = LshSelfAttention(
                *shape,
                chunking=chunking,
                dropout=c.lsh_attention_dropout,
                causal=c.causal,
                hashing=hashing,
            )
        self.dropout = Dropout(c.dropout)

    def forward(self, states: Tensor, layout: Layout, cache: LayerCache | None = None) -> Tensor:
        """[tokens, hidden] -> what the other stream gets; layout, cache: as attention's."""
        return self.dropout(self.attend(self.norm(states), layout, cache))


class FeedForwardSublayer(nn.Module):
    """g of a layer: norm, two linear maps, dropout; each token by itself."""

    def __init__(self, config: ReformerConfig) -> None:
        super().__init__()
        c = config
        self.norm = LayerNorm(c.hidden_size, eps=c.layer_norm_eps)
        self.up = Linear(c.hidden_size, c.intermediate_size)
        self.down = Linear(c.intermediate_size, c.hidden_size)
        self.activation = c.activation
        self.inner_dropout = Dropout(c.dropout)
        self.dropout = Dropout(c.dropout)

    def forward(self, states: Tensor, tokens: Tensor | None = None) -> Tensor:
        """[rows, hidden] -> what the other stream gets; tokens: of the rows, as Dropout's."""
        wide = self.inner_dropout(self.up(self.norm(states), self.activation), tokens)
        return self.dropout(self.down(wide), tokens)


class ReformerLayer(nn.Module):
    """The two halves of a reversible layer."""

    def __init__(self, config: ReformerConfig, number: int) -> None:
        super().__init__()
        self.attention = AttentionSublayer(config, number)
        self.feed_forward = FeedForwardSublayer(config)
        self.chunk = config.feed_forward_chunk

    def halves(self, layout: Layout, cache: LayerCache | None = None) -> tuple[Half, Half]:
        """f and g over a batch."""
        attention = _Attention(self.attention, layout, cache)
        return attention, _FeedForward(self.feed_forward, self.chunk)


class _Attention(Half):
    def __init__(self, module: AttentionSublayer, layout: Layout, cache: LayerCache | None) -> None:
        self.module = module
        self.layout = layout
        self.cache = cache

    def parts(self, rows: int) -> Sequence[slice]:
        return [slice(0, rows)]

    def __call__(self, states: Tensor, part: slice) -> Tensor:  # noqa: ARG002
        return self.module(states, self.layout, self.cache)


class _FeedForward(Half):
    def __init__(self, module: FeedForwardSublayer, chunk: int | None) -> None:
        self.module = module
        self.chunk = chunk

    def parts(self, rows: int) -> Sequence[slice]:
        step = self.chunk or max(rows, 1)
        return [slice(start, min(start + step, rows)) for start in range(0, rows, step)]

    def __call__(self, states: Tensor, part: slice) -> Tensor:
        tokens = torch.arange(part.start, part.stop, device=states.device) if part.start else None
        return self.module(states, tokens)


class ReformerHead(nn.Module):
    """Scores of the vocabulary from both streams; see the module's docstring on its bias."""

    def __init__(self, config: ReformerConfig) -> None:
        super().__init__()
        self.decoder = nn.Linear(2 * config.hidden_size, config.vocab_size, bias=False)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size), requires_grad=False)


class Reformer(Backbone):
    """The decoder with its vocabulary output."""

    reads = Reads.LEFT_TO_RIGHT
    vocabulary_rows = ("embeddings.token.weight", "head.decoder.weight", "head.bias")
    config: ReformerConfig

    def __init__(self, config: ReformerConfig) -> None:
        super().__init__()
        self.config = c = config
        self.embeddings = ReformerEmbeddings(c)
        self.layers = nn.ModuleList(ReformerLayer(c, i) for i in range(c.num_layers))
        self.final_norm = LayerNorm(2 * c.hidden_size, eps=c.layer_norm_eps)
        self.final_dropout = Dropout(c.dropout)
        self.head = ReformerHead(c)

    @property
    def state_size(self) -> int:
        """Both streams."""
        return 2 * self.config.hidden_size

    def initialise(self, generator: torch.Generator) -> None:
        """Normal weights; axial positions from N(0, 1)."""
        normal(self, self.config.initializer_range, generator)
        position = self.embeddings.position
        if isinstance(position, AxialPositions):
            for table in position.parameters():
                nn.init.normal_(table, generator=generator)

    def new_cache(self) -> KeyValueCache:
        """An empty cache, for reading sequences piece by piece."""
        return KeyValueCache(self.config.num_layers)

    def forward(
        self,
        batch: Batch,
        used: Tensor | None = None,  # noqa: ARG002
        cache: KeyValueCache | None = None,
    ) -> Tensor:
        """Read a ragged batch.

        Args:
            batch: sequences one after another, no padding; segments are not used.
            used: tokens whose states are read; all are computed.
            cache: what was read of these sequences before, see KeyValueCache. None reads whole
                sequences.

        Returns:
            States of both streams, [tokens, 2 * hidden].

        Raises:
            ValueError: a sequence is longer than max_position_embeddings.
        """
        halves = self.halves(batch, cache)
        return self._joined(reversible(halves, self.embeddings(batch)))

    def halves(self, batch: Batch, cache: KeyValueCache | None = None) -> list[Half]:
        """f and g of all layers over a batch."""
        limit = self.config.max_position_embeddings
        if cache is None:
            layout = batch.layout
            if layout.longest > limit:
                raise ValueError(
                    f"a sequence has {layout.longest} tokens, but the model has {limit} positions"
                )
            memories: Sequence[LayerCache | None] = [None] * len(self.layers)
        else:
            layout, memories = cache.extend(batch.layout, limit=limit), cache.layers
        pairs = zip(self._layers(), memories, strict=True)
        return [half for layer, memory in pairs for half in layer.halves(layout, memory)]

    def all_layers(self, batch: Batch) -> list[Tensor]:
        """Both streams before the first layer and after each; the last are those of forward."""
        streams = layer_by_layer(self.halves(batch), self.embeddings(batch))
        *lower, last = ((first.float(), second.float()) for first, second in streams)
        return [*(torch.cat(pair, -1) for pair in lower), self._joined(last)]

    def _joined(self, streams: tuple[Tensor, Tensor]) -> Tensor:
        return self.final_dropout(self.final_norm(torch.cat(streams, -1)))

    def _layers(self) -> Iterator[ReformerLayer]:
        for layer in self.layers:
            assert isinstance(layer, ReformerLayer)
            yield layer

    def logits(self, hidden: Tensor) -> Tensor:
        """Vocabulary scores [..., vocab] of states [..., 2 * hidden]."""
        return self.head.decoder(hidden) + self.head.bias

    def linear_cross_entropy(
        self, hidden: Tensor, labels: Tensor, weights: Tensor | None = None
    ) -> Tensor:
        """Summed, perhaps weighted cross-entropy in nats of labels [targets], from states there."""
        head = self.head
        return linear_cross_entropy(hidden, head.decoder.weight, head.bias, labels, weights)

    def token_cost(self, attended: float, target_rate: float) -> TokenCost:
        """Layers run forward twice, a third of a step each; both streams and one layer are kept."""
        c, weights, attention = self.config, 0.0, 0.0
        inner = c.num_heads * c.head_size
        for kind in c.kinds:
            is_local = kind == "local"
            chunks = 1 + sum(c.local_looks if is_local else c.lsh_looks)
            seen = min(chunks * c.chunking(kind).length, attended)
            attention += 2 * inner * seen * (1 if is_local else c.num_hashes)
            weights += (4 if is_local else 3) * c.hidden_size * inner
            weights += 2 * c.hidden_size * c.intermediate_size
        softmax = target_rate * c.vocab_size * self.state_size
        numbers = 22 * c.hidden_size + 2 * c.intermediate_size + 6 * inner * (1 + c.num_hashes)
        again = 4 / 3
        return TokenCost(again * weights + softmax, again * attention, kept=4.0 * numbers)

    def lower_layers(self, count: int) -> list[nn.Module]:
        """The embeddings and the lowest layers."""
        return [self.embeddings, *self.layers[:count]]

    def pooled_output(self, hidden: Tensor, batch: Batch) -> Tensor:
        """The state of every sequence's last token, [sequences, 2 * hidden]."""
        return hidden[batch.last]


class TwoWayReformer(Reformer):
    """The same where a token sees what comes after it too; it fills gaps."""

    reads = Reads.BOTH_WAYS

    def new_cache(self) -> KeyValueCache:
        """There is none: a token changes the states before it."""
        raise ConfigError(
            "this Reformer reads both ways (model.causal=false), so it cannot generate; use one "
            "that was trained with objective.name=causal-lm"
        )

    def pooled_output(self, hidden: Tensor, batch: Batch) -> Tensor:
        """The state of every sequence's first token, [sequences, 2 * hidden]."""
        return hidden[batch.first]


def _made(config: ReformerConfig) -> Reformer:
    return Reformer(config) if config.causal else TwoWayReformer(config)


def num_parameters(config: ReformerConfig) -> int:
    """Parameters of the model, its output's bias included; a closed form."""
    c, h, inner = config, config.hidden_size, config.num_heads * config.head_size
    positions = c.max_position_embeddings * h
    if c.axial_shape is not None and c.axial_sizes is not None:
        positions = sum(n * d for n, d in zip(c.axial_shape, c.axial_sizes, strict=True))
    attention = sum((3 if kind == "lsh" else 4) * h * inner for kind in c.kinds)
    rest = 4 * h + 2 * h * c.intermediate_size + c.intermediate_size + h
    return 3 * c.vocab_size * h + c.vocab_size + positions + attention + c.num_layers * rest + 4 * h


_PARTS = ("embeddings", "layers", "final_norm")
_HEADS = {
    "ReformerForSequenceClassification": ("score", ("classification", "similarity")),
    "ReformerForMultipleChoice": ("classifier", ("multiple-choice",)),
    "ReformerForTokenClassification": ("classifier", ("tagging",)),
    "ReformerForQuestionAnswering": ("qa_outputs", ("question-answering",)),
}
ARCHITECTURES = by_name(
    Architecture(
        name="ReformerModelWithLMHead",
        parts=(*_PARTS, "head"),
        bare="ReformerModel",
        generates=True,
    ),
    Architecture(
        name="ReformerForMaskedLM", parts=(*_PARTS, "head"), bare="ReformerModel", fills=True
    ),
    Architecture(name="ReformerModel", parts=_PARTS, base=True),
    *(
        Architecture(
            name=name,
            parts=_PARTS,
            head=head,
            tasks=tasks,
            bare="ReformerModel",
            # Theirs for sentences reads the first token, which has seen nothing of the others.
            opens_as="class" if head == "qa_outputs" else "bare class",
        )
        for name, (head, tasks) in _HEADS.items()
    ),
)


def class_for(config: ReformerConfig, use: str) -> str | None:
    """Their class for an objective or a task."""
    if use == ("causal-lm" if config.causal else "masked-lm"):
        return "ReformerModelWithLMHead" if config.causal else "ReformerForMaskedLM"
    return next((name for name, (_, tasks) in _HEADS.items() if use in tasks), None)


FAMILY = Family(
    name="reformer",
    title="Reformer",
    summary="a left-to-right Transformer for long texts: hashed attention, reversible layers",
    paper="Kitaev et al. 2020, https://arxiv.org/abs/2001.04451",
    config=ReformerConfig,
    presets=PRESETS,
    model=Reformer,
    network=lambda config, use: _made(config),  # noqa: ARG005
    max_positions=lambda config: config.max_position_embeddings,
    recipe=recipe,
    in_use=("num_hashes", "hash_seed"),
    hub=HubLayout(
        model_types=("reformer",),
        architectures=ARCHITECTURES,
        class_for=class_for,
        bare_for=lambda config: "ReformerModel",  # noqa: ARG005
        make=_made,
        num_parameters=num_parameters,
        weight_map=weight_map,
        from_hf=from_hf,
        to_hf=to_hf,
    ),
)
