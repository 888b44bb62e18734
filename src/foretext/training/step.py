"""One step: the module that is compiled, wrapped or profiled, and the gradient of a whole step.

The loss of a step is a sum over its targets divided by their count over all micro-batches, never a
mean of means; so it does not matter how a step is cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from foretext.core.batch import Batch
from foretext.nn.blocks import FeedForward
from foretext.nn.dropout import seed_dropout
from foretext.objectives.base import Counts, Losses, SomeObjective
from foretext.training.precision import multiplying


class TrainStep(nn.Module):
    """A network with what it learns: its forward is the loss."""

    def __init__(self, network: nn.Module, objective: SomeObjective) -> None:
        super().__init__()
        self.network = network
        self.objective = objective

    def forward(self, batch: Batch, counts: Counts) -> Losses:
        """The loss terms of a micro-batch.

        Args:
            batch: on the network's device.
            counts: targets of each term, over all micro-batches and ranks of the step.

        Returns:
            Terms whose sum is this micro-batch's share of the step's loss.
        """
        return self.objective.loss(self.network, batch, counts)


@dataclass(frozen=True, kw_only=True)
class MicroBatch:
    """A part of a step that is computed at once."""

    batch: Batch
    first_token: int  # tokens of the step before it; of sources, where there are targets
    first_target: int = 0  # tokens of the step's targets before it


def gradients(
    step: TrainStep,
    parts: list[MicroBatch],
    key: int,
    *,
    device: torch.device | str = "cpu",
    precision: str = "fp32",
) -> Losses:
    """Add a step's gradient to the parameters, however it is cut into micro-batches.

    Args:
        key: of the step's dropout.
        device: of the network.
        precision: of its products, see precision.py.

    Returns:
        The loss terms in nats per target, over all micro-batches.
    """
    device = torch.device(device)
    counts = add_up(step.objective.counts(part.batch) for part in parts)
    totals: Losses = {}
    for part in parts:
        batch = part.batch.to(device)
        seed_dropout(step.network, key, part.first_token, part.first_target)
        with multiplying(precision, device):
            terms = step(batch, counts)
        torch.stack(list(terms.values())).sum().backward()
        totals = add_up((totals, {name: term.detach() for name, term in terms.items()}))
    return totals


def add_up(several: Iterable[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The sum of each name's values."""
    total: dict[str, Tensor] = {}
    for terms in several:
        for name, value in terms.items():
            total[name] = total[name] + value if name in total else value
    return total


def tensors_of(batch: object, prefix: str = "") -> dict[str, Tensor]:
    """Every tensor of a batch by its path, those of batches within it too."""
    found: dict[str, Tensor] = {}
    for name, value in vars(batch).items():
        if isinstance(value, Tensor):
            found[f"{prefix}{name}"] = value
        elif isinstance(value, Batch):
            found |= tensors_of(value, f"{prefix}{name}.")
    return found


def compile_feed_forward(network: nn.Module) -> int:
    """torch.compile where it pays: every feed-forward network, when it is first used.

    A whole network is compiled anew for every ragged layout, since attention groups sequences by
    their lengths in Python. A feed-forward network sees tokens alone, of which only the number
    changes, so one compilation with a dynamic first size serves all batches.

    Returns:
        How many there are.
    """
    found = [module for module in network.modules() if isinstance(module, FeedForward)]
    for module in found:
        module.compile(dynamic=True)
    return len(found)
