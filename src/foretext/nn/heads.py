"""Vocabulary heads and their loss, which never holds [tokens, vocabulary] at once.

Papers: Devlin et al. 2019, section 3.1 (masked LM); Press & Wolf 2017 (the tied output matrix).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable

from foretext.nn.blocks import ACTIVATIONS
from foretext.nn.norm import LayerNorm

CHUNK_ELEMENTS = 2**21  # scores held at once: 8 MB in fp32, which stays in a CPU's cache


class MaskedLMHead(nn.Module):
    """Transform, norm, then the (tied) token table and a bias of its own (BERT and its kin).

    Args:
        hidden_size: of the states.
        embedding_size: of the token table's rows.
        vocab_size: rows of the token table.
        activation: a name in ACTIVATIONS.
        eps: of the layer norm.
    """

    def __init__(
        self, hidden_size: int, embedding_size: int, vocab_size: int, *, activation: str, eps: float
    ) -> None:
        super().__init__()
        self.dense = nn.Linear(hidden_size, embedding_size)
        self.activation = ACTIVATIONS[activation]
        self.norm = LayerNorm(embedding_size, eps=eps)
        self.bias = nn.Parameter(torch.zeros(vocab_size))

    def forward(self, hidden: Tensor) -> Tensor:
        """States in the space of the token table, [..., embedding] of hidden [..., hidden]."""
        return self.norm(self.activation(self.dense(hidden)))


def vocabulary_loss(
    hidden: Tensor,
    table: Tensor,
    bias: Tensor | None,
    labels: Tensor,
    weights: Tensor | None = None,
) -> Tensor:
    """Sum over targets of the cross-entropy of softmax(hidden @ table.T + bias), in nats.

    Scores exist a chunk of rows at a time, and their gradient is taken in the forward pass while
    they are in the cache.

    Args:
        hidden: [targets, size], states at the targets alone.
        table: [vocab, size], the output matrix, usually the token embeddings.
        bias: [vocab] or None.
        labels: [targets] int64, the right ids.
        weights: [targets], factors of each target's cross-entropy; None is 1 for all.

    Returns:
        A scalar in fp32; differentiable once in hidden, table and bias.
    """
    return _VocabularyLoss.apply(hidden, table, bias, labels, weights)


class _VocabularyLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx,
        hidden: Tensor,
        table: Tensor,
        bias: Tensor | None,
        labels: Tensor,
        weights: Tensor | None,
    ) -> Tensor:
        needs = [t is not None and t.requires_grad for t in (hidden, table, bias)]
        wants_grad = any(needs)
        ctx.device_type = hidden.device.type  # type: ignore[attr-defined]
        total = hidden.new_zeros((), dtype=torch.float32)
        grad_hidden = torch.empty_like(hidden) if wants_grad else None
        grad_table = torch.zeros_like(table) if wants_grad else None
        grad_bias = torch.zeros_like(bias) if wants_grad and bias is not None else None
        weight = table.to(hidden.dtype)
        rows = max(1, CHUNK_ELEMENTS // table.shape[0])
        for start in range(0, hidden.shape[0], rows):
            part = slice(start, start + rows)
            scores = hidden[part] @ weight.T
            if bias is not None:
                scores = scores.float().add_(bias)
            scores = torch.log_softmax(scores.float(), dim=-1)
            picked = labels[part, None]
            right = scores.gather(1, picked)
            total -= (right if weights is None else right * weights[part, None]).sum()
            if grad_hidden is None or grad_table is None:
                continue
            grad = scores.exp_()
            grad.scatter_add_(1, picked, grad.new_full(picked.shape, -1.0))
            if weights is not None:
                grad *= weights[part, None]
            if grad_bias is not None:
                grad_bias += grad.sum(0)
            grad = grad.to(hidden.dtype)
            grad_hidden[part] = grad @ weight
            if grad_table.dtype == grad.dtype:
                grad_table.addmm_(grad.T, hidden[part])
            else:
                grad_table += (grad.T @ hidden[part]).to(grad_table.dtype)
        ctx.save_for_backward(grad_hidden, grad_table, grad_bias)  # type: ignore[arg-type]
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        scale = grads[0]
        scaled = [None if t is None else t.mul_(scale.to(t.dtype)) for t in ctx.saved_tensors]
        return (*scaled, None, None)
