"""Norms of gradients and weights whose bits no number of threads changes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

_ROW = 1024  # numbers summed by one thread; far below the 32,768 at which PyTorch divides a sum


@torch.no_grad()
def clip_gradients(parameters: Iterable[nn.Parameter | Tensor], max_norm: float | None) -> Tensor:
    """Scale gradients in place so that their common norm is at most max_norm.

    On a CPU the norm has the same bits for any number of threads. A norm that is not finite leaves
    gradients that are not finite either: look at it before the update.

    Args:
        parameters: one that comes twice counts once; those without a gradient are passed over.
        max_norm: None = measure only.

    Returns:
        The norm before scaling, a float32 scalar on the gradients' device.
    """
    unique = {id(p): p for p in parameters}.values()
    gradients = [p.grad for p in unique if p.grad is not None]
    if not gradients:
        return torch.zeros(())
    on_cpu = gradients[0].device.type == "cpu"
    norm = exact_norm(gradients) if on_cpu else nn.utils.get_total_norm(gradients).float()
    # Reading the norm is free on a CPU; elsewhere it would wait for the device.
    if max_norm is not None and not (on_cpu and norm <= max_norm):
        torch._foreach_mul_(gradients, max_norm / norm.clamp(min=max_norm))
    return norm


@torch.no_grad()
def clip_each(parameters: Iterable[nn.Parameter | Tensor], max_norm: float) -> None:
    """Scale the gradient of each parameter in place so that its own norm is at most max_norm.

    Paper: Dong et al. 2019 (UniLM), whose BertAdam clips so.
    """
    for parameter in {id(p): p for p in parameters}.values():
        if parameter.grad is not None:
            norm = exact_norm([parameter.grad])
            parameter.grad.mul_(max_norm / norm.clamp(min=max_norm))


def exact_norm(tensors: Sequence[Tensor]) -> Tensor:
    """Euclidean norm of all numbers, summed in an order that no thread count changes.

    Rows of a fixed length are each summed by one thread, then rows of row norms, and so on.
    """
    norms = torch.cat([part for tensor in tensors for part in _row_norms(tensor.reshape(-1))])
    while norms.numel() > 1:
        norms = torch.cat(_row_norms(norms))
    return norms[0]


def _row_norms(flat: Tensor) -> list[Tensor]:
    """Norms of consecutive rows of [numbers]: those of full length, then the last one's."""
    whole = flat.numel() - flat.numel() % _ROW
    parts = []
    if whole:
        rows = flat[:whole].view(-1, _ROW)
        parts.append(torch.linalg.vector_norm(rows, dim=1, dtype=torch.float32))
    if whole < flat.numel() or not whole:
        parts.append(torch.linalg.vector_norm(flat[whole:], dtype=torch.float32).reshape(1))
    return parts
