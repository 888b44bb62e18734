"""The padded twin of a ragged model: its modules over [batch, length], for graphs that are traced.

A graph such as ONNX's has no ragged batch. The twin holds the very modules of the model and runs
its own forward; only attention is another: every sequence has the length of the longest, and an
attention mask hides what is padding, which stands at the right. Nothing but attention looks from
one token to another, so states of real tokens are those of the ragged model.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foretext.core.batch import Batch
from foretext.core.errors import ConfigError
from foretext.core.layout import Layout
from foretext.core.masks import Causal, Full, Mask
from foretext.nn.attention.bias import Bias
from foretext.nn.attention.modules import SelfAttention
from foretext.nn.backbone import Backbone
from foretext.nn.blocks import PostNormBlock, PreNormBlock

Read = Callable[[Backbone, Batch], Tensor]
Finish = Callable[[Backbone, Tensor, "PaddedBatch"], tuple[Tensor, ...]]


class _PaddedLayout(Layout):
    """Stands where a batch has its layout; attention alone looks at it."""

    longest = 0  # what is too long for a table of positions is not known in a graph

    def __init__(self, seen: Tensor) -> None:
        object.__setattr__(self, "seen", seen)

    seen: Tensor  # [batch, length], 0 at padding


@dataclass(frozen=True, kw_only=True)
class PaddedBatch(Batch):
    """Sequences of one length, some of whose last tokens are padding."""

    lengths: Tensor  # [batch], tokens that are no padding

    @property
    def first(self) -> Tensor:
        """Index of every sequence's first token, [batch]."""
        return self.offsets[:-1]

    @property
    def last(self) -> Tensor:
        """Index of every sequence's last token before its padding, [batch]."""
        return self.offsets[:-1] + self.lengths - 1

    @classmethod
    def laid(cls, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> PaddedBatch:
        """All [batch, length]; the mask is 0 at padding."""
        count, length = input_ids.shape
        positions = torch.arange(length, device=input_ids.device).expand(count, length)
        return cls(
            input_ids=input_ids.reshape(-1),
            position_ids=positions.reshape(-1),
            token_type_ids=token_type_ids.reshape(-1),
            special_mask=torch.zeros_like(input_ids, dtype=torch.bool).reshape(-1),
            offsets=torch.arange(count + 1, device=input_ids.device) * length,
            layout=_PaddedLayout(attention_mask),
            lengths=attention_mask.sum(1),
        )


class _PaddedAttention(nn.Module):
    """SelfAttention over sequences of one length."""

    def __init__(self, own: SelfAttention) -> None:
        super().__init__()
        self.own = own

    def forward(
        self,
        hidden: Tensor,
        layout: Layout,
        mask: Mask,
        *,
        bias: Bias | None = None,
        cache: None = None,  # noqa: ARG002
        rows: None = None,  # noqa: ARG002
    ) -> Tensor:
        """[batch * length, hidden] -> the same."""
        seen, own = cast(_PaddedLayout, layout).seen, self.own
        if bias is not None:
            raise ConfigError("attention with a bias has no padded twin yet; use PyTorch for it")
        shape, tokens = (*seen.shape, own.num_heads, own.head_size), seen.numel()
        rows_of = hidden if torch.compiler.is_exporting() else hidden[:tokens]  # nn/cpu fills up
        query, key, value = (
            part(rows_of).view(shape).transpose(1, 2) for part in (own.query, own.key, own.value)
        )
        allowed = _allowed(mask, seen)
        mixed = F.scaled_dot_product_attention(query, key, value, allowed, scale=own.scale)
        output: Tensor = own.output(mixed.transpose(1, 2).reshape(tokens, -1))
        if torch.compiler.is_exporting():
            return output
        return F.pad(output, (0, 0, 0, hidden.shape[0] - tokens))


def _allowed(mask: Mask, seen: Tensor) -> Tensor:
    """Whether a query sees a key, bool, broadcasts to [batch, heads, query, key]."""
    real = seen.bool()[:, None, None, :]
    if isinstance(mask, Full):
        return real
    if not isinstance(mask, Causal):
        raise ConfigError(
            f"a {type(mask).__name__} mask has no padded twin yet; use PyTorch for it"
        )
    at = torch.arange(seen.shape[1], device=seen.device)
    back = at[:, None] - at
    near = back >= 0 if mask.window is None else (back >= 0) & (back < mask.window)
    return real & near


class PaddedTwin(nn.Module):
    """A backbone, and what comes of its states, over padded batches.

    Args:
        backbone: is copied.
        finish: outputs from the twin's backbone, its states [batch * length, hidden] and the batch.
        several: sequences of a sample are an axis of their own, [batch, sequences, length].
        read: states [tokens, hidden] of the backbone for a batch; None is its last layer's.

    Raises:
        ConfigError: the backbone has layers that know no padding.
    """

    def __init__(
        self,
        backbone: Backbone,
        finish: Finish,
        *,
        several: bool = False,
        read: Read | None = None,
    ) -> None:
        super().__init__()
        layers = getattr(backbone, "layers", [])
        if not layers or not all(isinstance(one, PostNormBlock | PreNormBlock) for one in layers):
            raise ConfigError(
                f"a {type(backbone).__name__} cannot be traced over padded batches yet; encoders "
                "such as BERT's and left-to-right models such as GPT-2 can"
            )
        self.backbone = copy.deepcopy(backbone).eval().requires_grad_(False)
        for module in list(self.backbone.modules()):
            for name, child in list(module.named_children()):
                if isinstance(child, SelfAttention):
                    setattr(module, name, _PaddedAttention(child))
        self.finish, self.read = finish, read or last_layer
        self.several = several

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Outputs of padded sequences, all three [batch, length] or [batch, sequences, length]."""
        types = torch.zeros_like(input_ids) if token_type_ids is None else token_type_ids
        flat = [
            part.reshape(-1, input_ids.shape[-1]) for part in (input_ids, attention_mask, types)
        ]
        batch = PaddedBatch.laid(*flat)
        found = self.finish(self.backbone, self.read(self.backbone, batch), batch)
        if not self.several:
            return found
        return tuple(one.reshape(*input_ids.shape[:2], *one.shape[1:]) for one in found)


def last_layer(backbone: Backbone, batch: Batch) -> Tensor:
    """A Read: the states that forward gives."""
    hidden: Tensor = backbone(batch)
    return hidden


def states(backbone: Backbone, hidden: Tensor, batch: PaddedBatch) -> tuple[Tensor, ...]:  # noqa: ARG001
    """A Finish: the states, [batch, length, hidden]."""
    return (per_token(hidden, batch),)


def per_token(values: Tensor, batch: PaddedBatch) -> Tensor:
    """[batch * length, n] -> [batch, length, n]."""
    return values.view(batch.lengths.shape[0], -1, values.shape[1])
