"""What every model is to the rest of the house: networks that train, and backbones that read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from foretext.core.batch import Batch
from foretext.core.config import ModelConfig
from foretext.nn.cost import Sizes, TokenCost, transformer_cost


class Reads(StrEnum):
    """What a token's state has seen."""

    BOTH_WAYS = "both ways"  # the whole sequence
    LEFT_TO_RIGHT = "left to right"  # itself and what is before it; such models can be continued
    SOURCE_TO_TARGET = "source to target"  # the whole source, and the target up to itself


class Network(nn.Module):
    """What pre-training trains: a backbone, or several with what joins them."""

    config: ModelConfig

    @property
    def num_predicted(self) -> int:
        """Token ids that its softmax tells apart; those above count as unknown."""
        return self.config.vocab_size

    @property
    def backbones(self) -> tuple[Backbone, ...]:
        """The networks that read a batch, the one that fine-tunes first."""
        raise NotImplementedError

    def initialise(self, generator: torch.Generator) -> None:
        """Initial weights as in the paper, drawn in the order of the modules."""
        raise NotImplementedError


class Backbone(Network):
    """One network that gives every token a state.

    Attributes:
        reads: what a state has seen.
        cls_last: whether the token that stands for a sequence ends it, as XLNet's, where the model
            reads both ways.
        vocabulary_rows: names of parameters with a row for every token id, as far as it has them.
        spells: whether it reads words by their characters, see Batch.words.
    """

    reads: ClassVar[Reads]
    cls_last: ClassVar[bool] = False
    spells: ClassVar[bool] = False
    vocabulary_rows: ClassVar[tuple[str, ...]] = ("embeddings.token.weight",)

    @property
    def backbones(self) -> tuple[Backbone, ...]:
        """Itself."""
        return (self,)

    @property
    def state_size(self) -> int:
        """Of a token's state, which tasks read; hidden, unless a model joins several vectors."""
        return self.config.hidden_size

    def forward(self, batch: Batch, used: Tensor | None = None) -> Tensor:
        """States of the last layer, [tokens, hidden]; used: those that are read, None is all."""
        raise NotImplementedError

    def all_layers(self, batch: Batch) -> list[Tensor]:
        """States before the first layer and after each, [tokens, hidden]; the last: forward's."""
        raise NotImplementedError

    def pooled_output(self, hidden: Tensor, batch: Batch) -> Tensor:
        """What stands for each sequence, [sequences, hidden], from states [tokens, hidden]."""
        raise NotImplementedError

    def pooled_tokens(self, batch: Batch) -> Tensor:
        """The token of each sequence whose state pooled_output reads, [sequences]."""
        at_end = self.cls_last or self.reads is Reads.LEFT_TO_RIGHT
        return batch.last if at_end else batch.first

    def token_cost(self, attended: float, target_rate: float) -> TokenCost:
        """What a token takes in training, about; here, in a Transformer of the config's sizes.

        Args:
            attended: tokens of a token's sequence, on average.
            target_rate: share of the tokens at which the vocabulary is predicted.
        """
        config = self.config
        head = target_rate * config.vocab_size * config.hidden_size
        return transformer_cost(self, cast(Sizes, config), attended, head=head)

    def lower_layers(self, count: int) -> list[nn.Module]:
        """The embeddings and the lowest layers, for freezing.

        Args:
            count: layers; 0 is the embeddings alone.
        """
        raise NotImplementedError


def each_table(model: Network, change: Callable[[nn.Parameter], nn.Parameter]) -> None:
    """Replace every parameter that has a row a token, once where networks share it.

    Args:
        model: changed in place, its config too.
        change: from the old parameter to the new one; all get the same number of rows.
    """
    changed: dict[int, nn.Parameter] = {}  # by the old one's id, and by its own
    for backbone in model.backbones:
        held = dict(backbone.named_parameters(remove_duplicate=False))
        for name in backbone.vocabulary_rows:
            if name not in held or id(held[name]) in changed:
                continue
            new = change(held[name])
            changed[id(held[name])] = changed[id(new)] = new
        for name in backbone.vocabulary_rows:
            if name in held and held[name] is not changed[id(held[name])]:
                _put(backbone, name, changed[id(held[name])])
    size = next(iter(changed.values())).shape[0]
    for network in (*model.backbones, model):
        network.config = replace(network.config, vocab_size=size)


def _put(backbone: Backbone, name: str, parameter: nn.Parameter) -> None:
    """Set a parameter by its full name, and the number of rows that its module states."""
    place, _, leaf = name.rpartition(".")
    module = backbone.get_submodule(place)
    setattr(module, leaf, parameter)
    if isinstance(module, nn.Embedding):
        module.num_embeddings = parameter.shape[0]
