"""What a run carries beside weights and moments: state of networks, and of objectives.

A network whose context lives beyond a batch (the memory of XLNet and Transformer-XL, ELMo's
streams) carries state; an objective that reads the corpus again while training (REALM's retrieval)
refreshes. Both are saved in every checkpoint, so that a resumed run has the same bits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from foretext.training.checkpoint import Checkpoint
from foretext.training.samples import SamplePlan


@runtime_checkable
class CarriesState(Protocol):
    """A network whose forward in training leaves something for the next batch.

    State belongs to streams: a batch of an objective that asks for streams says which stream each
    of its sequences continues (SampleBatch.slots, SampleBatch.continues).
    """

    def carried_state(self) -> dict[str, Tensor]:
        """All of it, by name; {} before the first batch."""
        ...

    def load_carried_state(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what carried_state gave, on any device; {} begins anew."""
        ...


@runtime_checkable
class Refreshes(Protocol):
    """An objective that looks at its corpus again, every training.refresh_every steps."""

    def refresh(self, network: nn.Module, step: int) -> None:
        """Before the update number `step`, counted from 0; the network is in eval mode.

        Loader workers are started anew afterwards, so what collate reads may change here.
        """
        ...

    def refreshed_state(self) -> dict[str, Tensor]:
        """What the last refresh left, by name; all that a resumed run needs of it."""
        ...

    def load_refreshed_state(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what refreshed_state gave."""
        ...


def state_groups(network: nn.Module, plan: SamplePlan) -> dict[str, dict[str, Tensor]]:
    """Groups of tensors for a checkpoint, of whatever carries state."""
    groups: dict[str, dict[str, Tensor]] = {}
    if isinstance(network, CarriesState):
        groups["carried"] = network.carried_state()
    for number, one in enumerate(plan.chain):
        if isinstance(one.objective, Refreshes):
            groups[f"refreshed-{number}"] = one.objective.refreshed_state()
    return groups


def load_state_groups(network: nn.Module, plan: SamplePlan, checkpoint: Checkpoint) -> None:
    """Give state_groups back to those it is of."""
    if isinstance(network, CarriesState):
        network.load_carried_state(checkpoint.tensors("carried"))
    for number, one in enumerate(plan.chain):
        if isinstance(one.objective, Refreshes):
            one.objective.load_refreshed_state(checkpoint.tensors(f"refreshed-{number}"))


@torch.no_grad()
def refresh(network: nn.Module, plan: SamplePlan, step: int) -> None:
    """Let every objective that refreshes do so."""
    for one in plan.chain:
        if isinstance(one.objective, Refreshes):
            network.eval()
            one.objective.refresh(network, step)
            network.train()


def refreshes(plan: SamplePlan) -> bool:
    """Whether an objective of the plan does."""
    return any(isinstance(one.objective, Refreshes) for one in plan.chain)


@contextmanager
def looking_elsewhere(network: nn.Module) -> Iterator[None]:
    """The network in eval mode, on other text: what it carries is put aside and given back."""
    kept = None
    if isinstance(network, CarriesState):
        kept = {name: tensor.clone() for name, tensor in network.carried_state().items()}
        network.load_carried_state({})
    network.eval()
    try:
        yield
    finally:
        network.train()
        if isinstance(network, CarriesState) and kept is not None:
            network.load_carried_state(kept)
