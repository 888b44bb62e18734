"""Vocabulary heads and their loss, which never holds [tokens, vocabulary] at once.

Papers: Devlin et al. 2019, section 3.1 (masked LM); Press & Wolf 2017 (the tied output matrix);
Clark et al. 2020, section 2 (the generator's samples, and the discriminator's head).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable

from foretext.nn.activations import ACTIVATIONS
from foretext.nn.cpu.product import gradient_of_rows, scores_of
from foretext.nn.linear import Linear
from foretext.nn.norm import LayerNorm

CHUNK_ELEMENTS = 2**22  # scores held at once: 16 MB in fp32, which stays in a CPU's cache
_BLOCK = 256  # probabilities added up before the block that holds a draw is looked for


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
        self.dense = Linear(hidden_size, embedding_size)
        self.activation = ACTIVATIONS[activation]
        self.norm = LayerNorm(embedding_size, eps=eps)
        self.bias = nn.Parameter(torch.zeros(vocab_size))

    def forward(self, hidden: Tensor) -> Tensor:
        """States in the space of the token table, [..., embedding] of hidden [..., hidden]."""
        return self.norm(self.activation(self.dense(hidden)))


class DiscriminatorHead(nn.Module):
    """A dense layer and a score for each token (section 2, equation of D)."""

    def __init__(self, hidden_size: int, *, activation: str) -> None:
        super().__init__()
        self.dense = Linear(hidden_size, hidden_size)
        self.activation = ACTIVATIONS[activation]
        self.output = nn.Linear(hidden_size, 1)

    def forward(self, hidden: Tensor) -> Tensor:
        """Logits [tokens] of being replaced, from states [tokens, hidden]."""
        return self.output(self.activation(self.dense(hidden)))[:, 0]


def linear_cross_entropy(
    hidden: Tensor,
    table: Tensor,
    bias: Tensor | None,
    labels: Tensor,
    weights: Tensor | None = None,
    *,
    z_loss: float = 0.0,
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
        z_loss: factor of the square of each softmax's log-normaliser, which is added (T5: 1e-4).

    Returns:
        A scalar in fp32; differentiable once in hidden, table and bias.
    """
    total, _ = _LinearCrossEntropy.apply(hidden, table, bias, labels, weights, None, z_loss)
    return total


def linear_cross_entropy_and_sample(
    hidden: Tensor, table: Tensor, bias: Tensor | None, labels: Tensor, draws: Tensor
) -> tuple[Tensor, Tensor]:
    """As linear_cross_entropy, and one id drawn from each target's softmax while it is at hand.

    Args:
        hidden, table, bias, labels: as for linear_cross_entropy.
        draws: [targets], uniform in [0, 1); see sample_ids.

    Returns:
        The loss, and ids [targets] int64, through which no gradient flows.
    """
    return _LinearCrossEntropy.apply(hidden, table, bias, labels, None, draws, 0.0)


def sample_ids(probabilities: Tensor, draws: Tensor) -> Tensor:
    """Ids [rows] at which the cumulative probability passes the draw: the inverse CDF.

    The same distribution as an argmax of log-probabilities with Gumbel noise, for one random number
    a row instead of one for every id.

    Args:
        probabilities: [rows, vocab], of each row to one.
        draws: [rows], uniform in [0, 1).
    """
    rows, vocab = probabilities.shape
    whole = vocab - vocab % _BLOCK
    sums = probabilities[:, :whole].view(rows, whole // _BLOCK, _BLOCK).sum(-1)
    if whole < vocab:
        sums = torch.cat([sums, probabilities[:, whole:].sum(-1, keepdim=True)], 1)
    ends = sums.double().cumsum(1)
    points = (draws * ends[:, -1])[:, None]
    block = (ends <= points).sum(1, keepdim=True).clamp_(max=sums.shape[1] - 1)
    left = points - (ends - sums).gather(1, block)
    columns = block * _BLOCK + torch.arange(_BLOCK, device=block.device)
    inside = probabilities.gather(1, columns.clamp(max=vocab - 1)).double().cumsum(1)
    found = block * _BLOCK + (inside <= left).sum(1, keepdim=True)
    return found.clamp_(max=vocab - 1)[:, 0]


@torch.no_grad()
def label_log_probabilities(hidden: Tensor, table: Tensor, bias: Tensor, labels: Tensor) -> Tensor:
    """Log-probabilities [targets], fp32, of the labels under softmax(hidden @ table.T + bias).

    Arguments as for linear_cross_entropy; without gradient.
    """
    rows = max(1, CHUNK_ELEMENTS // table.shape[0])
    found = []
    for states, right in zip(hidden.split(rows), labels.split(rows), strict=True):
        scores = (states @ table.to(states.dtype).T).float() + bias
        found.append(torch.log_softmax(scores, -1).gather(1, right[:, None])[:, 0])
    return torch.cat(found)


def _with_product(total: Tensor | None, one: Tensor, other: Tensor, dtype: torch.dtype) -> Tensor:
    """total + one @ other in this type, in place; None saves a pass over zeros."""
    if total is None:
        return (one @ other).to(dtype)
    if dtype == one.dtype:
        return total.addmm_(one, other)
    return total.add_((one @ other).to(dtype))


def _of_scores(
    shares: Tensor,
    labels: Tensor,
    log_z: Tensor | None,
    z_loss: float,
    weights: Tensor | None,
) -> Tensor:
    """The loss's gradient in the scores [rows, vocab], of their softmax, in place.

    Args:
        labels: [rows, 1].
        log_z: of each softmax, [rows, 1]; None without a z-loss.
        z_loss: its factor.
        weights: [rows, 1] or None.
    """
    if log_z is not None:
        shares *= 1 + 2 * z_loss * log_z
    shares.scatter_add_(1, labels, shares.new_full(labels.shape, -1.0))
    return shares if weights is None else shares.mul_(weights)


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx,
        hidden: Tensor,
        table: Tensor,
        bias: Tensor | None,
        labels: Tensor,
        weights: Tensor | None,
        draws: Tensor | None,
        z_loss: float,
    ) -> tuple[Tensor, Tensor | None]:
        needs = [t is not None and t.requires_grad for t in (hidden, table, bias)]
        wants_grad = any(needs)
        ctx.device_type = hidden.device.type  # type: ignore[attr-defined]
        total = hidden.new_zeros((), dtype=torch.float32)
        grad_hidden = torch.empty_like(hidden) if wants_grad else None
        grad_table: Tensor | None = None
        grad_bias = torch.zeros_like(bias) if wants_grad and bias is not None else None
        weight = table.to(hidden.dtype)
        drawn = None if draws is None else torch.empty_like(labels)
        rows = max(1, CHUNK_ELEMENTS // table.shape[0])
        for start in range(0, hidden.shape[0], rows):
            part = slice(start, start + rows)
            scores = scores_of(hidden[part], weight, bias)
            log_z = scores.logsumexp(-1, keepdim=True) if z_loss else None
            scores = torch.log_softmax(scores, dim=-1) if log_z is None else scores.sub_(log_z)
            picked = labels[part, None]
            extra = 0.0 if log_z is None else z_loss * log_z.square()
            right = scores.gather(1, picked) - extra
            total -= (right if weights is None else right * weights[part, None]).sum()
            if not wants_grad and draws is None:
                continue
            grad = scores.exp_()
            if draws is not None and drawn is not None:
                drawn[part] = sample_ids(grad, draws[part])
            if grad_hidden is None:
                continue
            grad = _of_scores(
                grad, picked, log_z, z_loss, None if weights is None else weights[part, None]
            )
            if grad_bias is not None:
                grad_bias += grad.sum(0)
            grad = grad.to(hidden.dtype)
            grad_hidden[part] = gradient_of_rows(grad, weight)
            grad_table = _with_product(grad_table, grad.T, hidden[part], table.dtype)
        if wants_grad and grad_table is None:  # no targets
            grad_table = torch.zeros_like(table)
        ctx.save_for_backward(grad_hidden, grad_table, grad_bias)  # type: ignore[arg-type]
        if drawn is not None:
            ctx.mark_non_differentiable(drawn)
        return total, drawn

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        scale = grads[0]
        scaled = [None if t is None else t.mul_(scale.to(t.dtype)) for t in ctx.saved_tensors]
        return (*scaled, None, None, None, None)
