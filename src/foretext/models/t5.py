"""T5: an encoder and a decoder that turn every text problem into text to text.

Paper: Raffel et al. 2020, https://arxiv.org/abs/1910.10683, section 2.1, with the released code
(mesh_tensorflow's transformer) for what the paper leaves open; v1.1 as released.
Deviations: dropout masks differ from token to token, where the released code has one mask for all
positions of a sequence; the initial table of distances is d ** -0.5 as in the Hugging Face port;
dropout rates are rounded to 1/256 on a CPU (nn/dropout.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from foretext.core.batch import Batch, Seq2SeqBatch
from foretext.core.errors import ConfigError
from foretext.core.layout import Layout
from foretext.core.masks import Causal, Full, Mask
from foretext.hub.layout import HubLayout
from foretext.models.family import Family
from foretext.models.t5_hub import ARCHITECTURES, class_for, from_hf, to_hf, weight_map
from foretext.models.t5_sizes import PRESETS, T5Config, finetune_recipe, num_parameters, recipe
from foretext.nn.attention import Bias, CrossAttention, RelativePositionBias, SelfAttention
from foretext.nn.backbone import Backbone, Reads
from foretext.nn.cache import KeyValueCache, LayerCache
from foretext.nn.cost import TokenCost, kept_bytes, layer_weights
from foretext.nn.cpu.product import filled_up
from foretext.nn.dropout import Dropout
from foretext.nn.heads import linear_cross_entropy
from foretext.nn.layers import through
from foretext.nn.linear import Linear
from foretext.nn.norm import RMSNorm


class FeedForward(nn.Module):
    """Two maps with an activation between, or three of which one gates another; no biases."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        c = config
        d, inner = c.hidden_size, c.intermediate_size
        self.gate = Linear(d, inner, False) if c.gated else None
        self.up = Linear(d, inner, False)
        self.down = Linear(inner, d, False)
        self.dropout = Dropout(c.dropout)
        self.activation = c.activation

    def forward(self, hidden: Tensor, rows: Tensor | None = None) -> Tensor:
        """[rows, hidden] -> [rows, hidden]; rows: the tokens they stand for, as Dropout's."""
        if self.gate is None:
            wide = self.up(hidden, self.activation)
        else:
            wide = self.gate(hidden, self.activation) * self.up(hidden)
        return self.down(self.dropout(wide, rows))


class EncoderLayer(nn.Module):
    """x + f(norm(x)) for self-attention, then for the feed-forward network."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        c = config
        self.attention = _attention(SelfAttention, c)
        self.attention_norm = RMSNorm(c.hidden_size, eps=c.layer_norm_eps)
        self.attention_residual = Dropout(c.dropout)
        self.feed_forward = FeedForward(c)
        self.feed_forward_norm = RMSNorm(c.hidden_size, eps=c.layer_norm_eps)
        self.feed_forward_residual = Dropout(c.dropout)

    def forward(
        self,
        hidden: Tensor,
        layout: Layout,
        mask: Mask,
        *,
        bias: Bias | None = None,
        cache: LayerCache | None = None,
        rows: Tensor | None = None,
    ) -> Tensor:
        """[tokens, hidden] -> [tokens or rows, hidden]; Args: as SelfAttention's."""
        normed = self.attention_norm(hidden)
        attended = self.attention(normed, layout, mask, bias=bias, cache=cache, rows=rows)
        hidden = hidden if rows is None else hidden.index_select(0, rows)
        hidden = hidden + self.attention_residual(attended, rows)
        fed = self.feed_forward(self.feed_forward_norm(hidden), rows)
        return hidden + self.feed_forward_residual(fed, rows)


class DecoderLayer(EncoderLayer):
    """As the encoder's, with attention to the source between the two."""

    def __init__(self, config: T5Config) -> None:
        super().__init__(config)
        c = config
        self.cross_attention = _attention(CrossAttention, c)
        self.cross_attention_norm = RMSNorm(c.hidden_size, eps=c.layer_norm_eps)
        self.cross_attention_residual = Dropout(c.dropout)

    def decode(
        self,
        hidden: Tensor,
        layout: Layout,
        source: Tensor | None,
        cross: Layout,
        *,
        bias: Bias,
        cache: LayerCache | None = None,
    ) -> Tensor:
        """[tokens, hidden] -> [tokens, hidden].

        Args:
            layout: of the target; with a cache KeyValueCache.extend's.
            source: the encoder's states, [source tokens, hidden].
            cross: of target and source; with a cache KeyValueCache.cross's.
            bias: of the target's distances.
        """
        normed = self.attention_norm(hidden)
        attended = self.attention(normed, layout, Causal(), bias=bias, cache=cache)
        hidden = hidden + self.attention_residual(attended)
        normed = self.cross_attention_norm(hidden)
        asked = self.cross_attention(normed, source, cross, cache=cache)
        hidden = hidden + self.cross_attention_residual(asked)
        fed = self.feed_forward(self.feed_forward_norm(hidden))
        return hidden + self.feed_forward_residual(fed)


def _attention(kind: type[nn.Module], config: T5Config) -> Any:
    """Attention of T5's: no biases, and no 1 / sqrt(d), which is in the initial weights."""
    return kind(
        config.hidden_size,
        config.num_heads,
        head_size=config.head_size,
        dropout=config.dropout,
        projection_bias=False,
        scale=1.0,
    )


class _Stack(nn.Module):
    """Encoder or decoder: layers, the bias that all of them share, and the final norm."""

    def __init__(
        self, config: T5Config, layers: Sequence[EncoderLayer], *, both_ways: bool
    ) -> None:
        super().__init__()
        c = config
        self.layers = nn.ModuleList(layers)
        self.relative_bias = RelativePositionBias(
            c.num_heads,
            num_buckets=c.relative_buckets,
            max_distance=c.relative_max_distance,
            bidirectional=both_ways,
        )
        self.input_dropout = Dropout(c.dropout)
        self.final_norm = RMSNorm(c.hidden_size, eps=c.layer_norm_eps)
        self.output_dropout = Dropout(c.dropout)

    def ended(self, hidden: Tensor) -> Tensor:
        """States after the final norm."""
        return self.output_dropout(self.final_norm(hidden))


class T5(Backbone):
    """Encoder, decoder and the vocabulary output."""

    reads = Reads.SOURCE_TO_TARGET
    vocabulary_rows = ("shared.weight", "lm_head.weight")
    config: T5Config

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.config = c = config
        self.shared = nn.Embedding(c.vocab_size, c.hidden_size)
        encoder = [EncoderLayer(c) for _ in range(c.num_layers)]
        decoder = [DecoderLayer(c) for _ in range(c.num_decoder_layers)]
        self.encoder = _Stack(c, encoder, both_ways=True)
        self.decoder = _Stack(c, decoder, both_ways=False)
        for module in self.decoder.modules():
            if isinstance(module, Dropout):
                module.of_target = True
        self.lm_head = None if c.tied_output else Linear(c.hidden_size, c.vocab_size, False)

    @torch.no_grad()
    def initialise(self, generator: torch.Generator) -> None:
        """Normal weights whose deviation makes up for the missing 1 / sqrt(d) (mesh_tensorflow)."""
        c = self.config
        d, inner = c.hidden_size, c.num_heads * c.head_size
        stds = {"query": (d * c.head_size) ** -0.5, "output": inner**-0.5, "shared": 1.0}
        stds["down"] = c.intermediate_size**-0.5
        for name, module in self.named_modules():
            if isinstance(module, RMSNorm):
                module.weight.fill_(1.0)
            elif isinstance(module, nn.Linear | nn.Embedding):
                std = stds.get(name.rpartition(".")[2], d**-0.5)
                module.weight.normal_(0, std, generator=generator)

    def token_cost(self, attended: float, target_rate: float) -> TokenCost:
        """See Backbone; a token is one of the source or of the target, as the rate says.

        Sources pass the encoder, and the keys and values of cross-attention; targets the rest.
        """
        c = self.config
        width = c.num_heads * c.head_size
        source, cross = 1 - target_rate, 2 * c.num_decoder_layers * c.hidden_size * width
        read = source * (layer_weights(self.encoder) + cross)
        written = target_rate * (layer_weights(self.decoder) - cross)
        seen = source**2 * c.num_layers + target_rate * c.num_decoder_layers
        layers = source * c.num_layers + target_rate * c.num_decoder_layers
        return TokenCost(
            weights=read + written + target_rate * c.vocab_size * c.hidden_size,
            attention=2 * width * seen * attended,
            kept=kept_bytes(c, attended) * layers / c.num_layers,
        )

    def encode(self, source: Batch) -> Tensor:
        """States [tokens, hidden] of sources, read both ways."""
        encoder = self.encoder
        hidden = encoder.input_dropout(self.shared(source.input_ids))
        bias = encoder.relative_bias(source.layout)
        mask = Full() if source.mask is None else source.mask
        return encoder.ended(through(encoder.layers, hidden, source.layout, mask, bias=bias))

    def new_cache(self) -> KeyValueCache:
        """An empty cache, for writing targets piece by piece."""
        return KeyValueCache(self.config.num_decoder_layers)

    def decode(
        self,
        target: Batch,
        states: Tensor | None,
        source: Layout | None,
        cache: KeyValueCache | None = None,
    ) -> Tensor:
        """States [tokens, hidden] of targets, each from its source and what is before it.

        Args:
            target: token t stands for what follows it; the first is the start token.
            states: of the sources, [source tokens, hidden].
            source: the sources' layout. Both are None where the cache has read them.
            cache: what was decoded before; the targets go on from there.
        """
        decoder, layout = self.decoder, target.layout
        if cache is None:
            assert source is not None
            cross = Layout.cross(layout, source)
        else:
            cross = cache.cross(layout, source)
        layout = layout if cache is None else cache.extend(layout)
        hidden = decoder.input_dropout(self.shared(target.input_ids))
        rows = filled_up(hidden) if cache is None else hidden
        bias = decoder.relative_bias(layout)
        for number, layer in enumerate(decoder.layers):
            assert isinstance(layer, DecoderLayer)
            memory = None if cache is None else cache.layers[number]
            rows = layer.decode(rows, layout, states, cross, bias=bias, cache=memory)
        return decoder.ended(rows[: len(hidden)])

    def forward(  # type: ignore[override]
        self,
        batch: Seq2SeqBatch,
        used: Tensor | None = None,  # noqa: ARG002
    ) -> Tensor:
        """States of the targets' tokens, [target tokens, hidden]."""
        return self.decode(batch.target, self.encode(batch.source), batch.source.layout)

    def lower_layers(self, count: int) -> list[nn.Module]:
        """The embeddings and the lowest layers of the encoder."""
        return [self.shared, *self.encoder.layers[:count]]

    def logits(self, hidden: Tensor) -> Tensor:
        """Vocabulary scores [..., vocab] of the decoder's states [..., hidden]."""
        table, states = self._output(hidden)
        return states @ table.T

    def linear_cross_entropy(self, hidden: Tensor, labels: Tensor, z_loss: float = 0.0) -> Tensor:
        """Summed cross-entropy in nats of labels [targets], and z_loss times log²Z of each."""
        table, states = self._output(hidden)
        return linear_cross_entropy(states, table, None, labels, z_loss=z_loss)

    def _output(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """The output matrix [vocab, hidden], and the states as it takes them."""
        if self.lm_head is None:
            return self.shared.weight, hidden * self.config.hidden_size**-0.5
        return self.lm_head.weight, hidden


def _for_tokenizer(pad_id: int | None) -> dict[str, Any]:
    if pad_id != 0:
        raise ConfigError(
            f"the padding token has id {pad_id}, but T5's targets begin with id 0, padding's; "
            "train a tokenizer with data.special_tokens=t5"
        )
    return {}


FAMILY = Family(
    name="t5",
    title="T5",
    summary="an encoder and a decoder that turn every text problem into text to text",
    paper="Raffel et al. 2020, https://arxiv.org/abs/1910.10683, section 2.1",
    config=T5Config,
    presets=PRESETS,
    model=T5,
    max_positions=lambda config: None,  # noqa: ARG005  (distances are relative)
    recipe=recipe,
    finetune_recipe=finetune_recipe,
    for_tokenizer=_for_tokenizer,
    hub=HubLayout(
        model_types=("t5",),
        architectures=ARCHITECTURES,
        class_for=class_for,
        bare_for=lambda config: "T5Model",  # noqa: ARG005
        make=T5,
        num_parameters=num_parameters,
        weight_map=weight_map,
        from_hf=from_hf,
        to_hf=to_hf,
        stored_layers=lambda config: config.num_layers,
    ),
)
