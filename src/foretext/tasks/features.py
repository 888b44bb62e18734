"""What a task's head reads of a backbone: its last layer, or a weighted mean of all of them.

Paper: Peters et al. 2018 (ELMo), sections 3.3 and 5.1: a frozen model's layers are mixed with
weights that the task learns, dropped out and read by the task's own LSTMs; the penalty lambda draws
the weights together. Devlin et al. 2019, section 5.3, use BERT so.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from foretext.core.batch import Batch, Seq2SeqBatch
from foretext.core.errors import ConfigError
from foretext.nn.backbone import Backbone, Reads
from foretext.nn.dropout import Dropout
from foretext.nn.recurrent import ProjectedLstm, Steps
from foretext.nn.scalar_mix import ScalarMix

LAYERS = ("top", "mix", "words")


@dataclass(frozen=True, kw_only=True)
class FeatureConfig:
    """How a head reads a backbone; the defaults are plain fine-tuning."""

    layers: str = "top"  # or mix: of all, with learned weights; words: what is below the first
    frozen: bool = False  # the backbone stays as it is and gives features
    mix_penalty: float = 0.0  # lambda, on the squares of the mix's weights: 1 keeps it a mean
    feature_dropout: float = 0.0  # probability, on what the head reads
    reader_cells: int | None = None  # of an LSTM each way between backbone and head; none: no LSTM

    def __post_init__(self) -> None:
        if self.layers not in LAYERS:
            raise ConfigError(f"finetune.layers={self.layers!r} must be one of {', '.join(LAYERS)}")
        if not 0 <= self.feature_dropout < 1:
            raise ConfigError(
                f"finetune.feature_dropout={self.feature_dropout} must be from 0 to below 1"
            )
        if self.mix_penalty < 0:
            raise ConfigError(f"finetune.mix_penalty={self.mix_penalty} must not be negative")
        if self.reader_cells is not None and self.reader_cells < 1:
            raise ConfigError(f"finetune.reader_cells={self.reader_cells} must be at least 1")


class FeatureReader(nn.Module):
    """States [tokens, hidden] that a head reads, from a backbone that it does not hold.

    Args:
        config: how.
        backbone: whose sizes it has.
    """

    def __init__(self, config: FeatureConfig, backbone: Backbone) -> None:
        super().__init__()
        self.config = config
        if backbone.reads is Reads.SOURCE_TO_TARGET and config != FeatureConfig():
            raise ConfigError(
                "finetune.layers, frozen, mix_penalty, feature_dropout and reader_cells are for "
                "models that encode; this one writes texts, so leave them out"
            )
        hidden = backbone.config.hidden_size
        self.mix = ScalarMix(backbone.config.num_layers + 1) if config.layers == "mix" else None
        self.dropout = Dropout(config.feature_dropout)
        self.reader: ProjectedLstm | None = None
        if config.reader_cells is not None:
            if hidden % 2:
                raise ConfigError(f"finetune.reader_cells needs an even hidden size, not {hidden}")
            self.reader = ProjectedLstm(hidden, config.reader_cells, hidden // 2)
        if config.frozen:
            backbone.requires_grad_(False)

    def initialise(self, generator: torch.Generator) -> None:
        """The mix begins as a mean."""
        if self.reader is not None:
            self.reader.initialise(generator)

    def forward(
        self, backbone: Backbone, batch: Batch | Seq2SeqBatch, used: Tensor | None
    ) -> Tensor:
        """States [tokens, hidden]; used: the tokens that the head reads, None is all."""
        if isinstance(batch, Seq2SeqBatch):
            return backbone(batch, used)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.config.frozen):
            layers = self._layers(backbone, batch, used if self.reader is None else None)
        states = layers[0] if self.mix is None else self.mix(layers)
        states = self.dropout(states)
        return states if self.reader is None else self._read(states, batch)

    def _layers(self, backbone: Backbone, batch: Batch, used: Tensor | None) -> list[Tensor]:
        if self.config.layers == "top":
            return [backbone(batch, used)]
        layers = backbone.all_layers(batch)
        return layers if self.config.layers == "mix" else layers[:1]

    def _read(self, states: Tensor, batch: Batch) -> Tensor:
        """Both LSTMs' states; the forward one's last stands at each sequence's first token."""
        assert self.reader is not None
        steps = Steps.of(batch.layout.lengths).to(states.device)
        packed = torch.stack([states[steps.order], states[steps.reverse]])
        hidden, _ = self.reader(packed, steps.sizes)
        forward, backward = hidden[0][steps.place], hidden[1][steps.reverse_place]
        forward = forward.index_copy(0, batch.first, forward[batch.last])
        return torch.cat([forward, backward], 1)

    def penalty(self) -> Tensor | None:
        """lambda times the squares of the mix's weights; None where there is none."""
        if self.mix is None or not self.config.mix_penalty:
            return None
        return self.config.mix_penalty * self.mix.penalty()
