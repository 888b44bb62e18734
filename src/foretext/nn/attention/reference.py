"""Attention as the paper writes it, one sequence at a time: what every backend is tested against.

Paper: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, section 3.2.1, equation 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from foretext.core.masks import Mask
from foretext.nn.attention.bias import Bias
from foretext.nn.attention.call import Backend, Call


def attend_reference(call: Call, keep: Sequence[Tensor] | None = None) -> Tensor:
    """Attention with a dense matrix for each sequence, [tokens, heads, head_size].

    keep: of each sequence the factors of its weights, [heads, query, key]; None is one.
    """
    rows = call.query.split([*call.layout.lengths, len(call.query) - call.layout.tokens])
    mixed, number = [], 0
    for stack, keys, values in zip(
        call.layout.stacks, call.keys_by_stack, call.values_by_stack, strict=True
    ):
        biases = None if call.bias is None else call.bias.of(stack)
        for i, (k, v) in enumerate(zip(keys, values, strict=True)):
            q = rows[number].transpose(0, 1)
            scores = q @ k.transpose(1, 2) * call.scale
            if biases is not None:
                scores = scores + biases[i if len(biases) > 1 else 0]
            seen = call.mask.dense(call.layout, number)
            weights = scores.masked_fill(~seen, -torch.inf).softmax(-1)
            weights = weights.masked_fill(~seen, 0.0)  # a row that sees nothing
            if keep is not None:
                weights = weights * keep[number]
            mixed.append((weights @ v).transpose(0, 1))
            number += 1
    return torch.cat([*mixed, torch.zeros_like(rows[-1])])


REFERENCE = Backend(
    name="reference", run=attend_reference, masks=(Mask,), biases=(Bias,), dropout=False
)
