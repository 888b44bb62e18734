"""What objectives ask of a network: one protocol a capability.

A network has a capability if it has the methods; an objective lists what it needs, and a recipe
whose model lacks some of it is refused before anything is made.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from foretext.core.batch import Batch, Seq2SeqBatch
from foretext.core.errors import ConfigError


@runtime_checkable
class Encodes(Protocol):
    """Reads a batch."""

    def __call__(self, batch: Batch, used: Tensor | None = None) -> Tensor:
        """States [tokens, hidden] of the last layer; only those `used` need be computed."""
        ...


@runtime_checkable
class PredictsTokens(Encodes, Protocol):
    """Has a vocabulary head on its states."""

    def linear_cross_entropy(
        self, hidden: Tensor, labels: Tensor, weights: Tensor | None = None
    ) -> Tensor:
        """Sum over targets of the cross-entropy in nats, of states [targets, hidden].

        weights: [targets], factors of each target's cross-entropy; None is 1 for all.
        """
        ...

    def logits(self, hidden: Tensor) -> Tensor:
        """Vocabulary scores [..., vocab] of states [..., hidden]."""
        ...


@runtime_checkable
class Translates(Protocol):
    """Reads a source and writes a target."""

    def __call__(self, batch: Seq2SeqBatch, used: Tensor | None = None) -> Tensor:
        """States [target tokens, hidden] of the decoder's last layer."""
        ...

    def encode(self, source: Batch) -> Tensor:
        """States [source tokens, hidden]."""
        ...

    def linear_cross_entropy(
        self, hidden: Tensor, labels: Tensor, *, z_loss: float = 0.0
    ) -> Tensor:
        """As PredictsTokens, of the decoder's states; and z_loss times log²Z of each target."""
        ...

    def logits(self, hidden: Tensor) -> Tensor:
        """Vocabulary scores [..., vocab] of states [..., hidden]."""
        ...


@runtime_checkable
class PredictsInOrder(PredictsTokens, Protocol):
    """Predicts tokens in any order, without seeing them, and remembers streams."""

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
        """States [targets, hidden] that have seen tokens of lower ranks; see models/xlnet.py."""
        ...


@runtime_checkable
class JudgesPairs(PredictsTokens, Protocol):
    """Says beside the tokens whether two texts belong together."""

    def pair_logits(self, hidden: Tensor, batch: Batch) -> Tensor:
        """Scores [sequences, 2]: B follows A, or not."""
        ...


@runtime_checkable
class Samples(PredictsTokens, Protocol):
    """Draws tokens from its own predictions."""

    def linear_cross_entropy_and_sample(
        self, hidden: Tensor, labels: Tensor, draws: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The loss of PredictsTokens, and an id for each draw in [0, 1), both [targets]."""
        ...


@runtime_checkable
class Discriminates(Encodes, Protocol):
    """Judges, token by token, what another network filled in."""

    def discriminator_head(self, hidden: Tensor) -> Tensor:
        """Logits [tokens] of being replaced, from states [tokens, hidden]."""
        ...

    def linear_cross_entropy(
        self, hidden: Tensor, labels: Tensor, weights: Tensor | None = None
    ) -> Tensor:
        """As PredictsTokens, each target's loss times its weight."""
        ...

    def label_log_probabilities(self, hidden: Tensor, labels: Tensor) -> Tensor:
        """Log-probabilities [targets] of the labels, without gradient."""
        ...


@runtime_checkable
class FindsReplaced(Protocol):
    """Holds two networks: a generator fills gaps, a discriminator says which tokens it filled."""

    @property
    def generator(self) -> Samples: ...

    @property
    def discriminator(self) -> Discriminates: ...

    @property
    def copy_gate(self) -> nn.Module | None:
        """Logits [tokens, 1] of copying the input, from states; None without."""
        ...


def check_network(network: nn.Module, needs: tuple[type, ...], objective: str) -> None:
    """See that a network can do what an objective asks of it.

    Raises:
        ConfigError: names the capability that it lacks.
    """
    for capability in needs:
        if not isinstance(network, capability):
            raise ConfigError(
                f"objective.name={objective!r} needs a network that {_said(capability)}, and "
                f"{type(network).__name__} is none; choose another objective or preset"
            )


def _said(capability: type) -> str:
    """A capability's line, as the end of a sentence."""
    first = (capability.__doc__ or capability.__name__).splitlines()[0]
    return first[0].lower() + first[1:].rstrip(".")
