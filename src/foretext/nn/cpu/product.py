"""Matrix products on the faster of a CPU's two libraries.

PyTorch multiplies fp32 matrices on a CPU through MKL, and has oneDNN beside it. On AVX-512 cores
oneDNN projects onto a vocabulary twice as fast, and is a tenth to a fifth faster in the forward
products of a layer and in those for the gradient of its input; the gradient of its weight stays
with MKL, which is faster there. Not so on AMD's cores from Zen 5 on, of which MKL, which keeps to
256 bits on AMD, uses one half: there oneDNN is twice as fast throughout, and 1.6 to 2 times in
gradients of weights and of what meets a vocabulary. oneDNN compiles a kernel for every new shape,
which takes some 0.5 ms (1 ms in bf16, more onto a vocabulary), and keeps the last thousand, some
1 MB each. So small products stay with MKL, and a batch's rows are filled up to one of few
numbers. Its bits do not depend on the number of threads where little is summed over; over a
vocabulary they do on Zen 4 and do not on Zen 5, the other reason why gradients of a vocabulary's
scores go through it there alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional as F

_GRANULE = 8  # rows
_BITS = 6  # leading ones of a number of rows that are left when it is rounded up
_LEAST = 2**26  # multiplications of a product below which a new kernel costs what it saves
_LEAST_HALF_USED = 3 * 2**23  # the same where oneDNN saves more
_ZEN_5 = 26  # "cpu family" in /proc/cpuinfo
_AVAILABLE = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def joint_linear(rows: Tensor, layers: Sequence[nn.Linear]) -> tuple[Tensor, ...]:
    """Several linear maps of the same rows as one product.

    Args:
        rows: [rows, in].
        layers: all with a bias, or none.

    Returns:
        Each layer's output [rows, out], side by side in one tensor.
    """
    weights, biases = [x.weight for x in layers], [x.bias for x in layers if x.bias is not None]
    fast = _is_large(rows, weights) and all(_fast(rows, weight) for weight in weights)
    many = torch.is_grad_enabled() and (fast or _is_autocast(rows))  # not a few of a generation
    filled = filled_up(rows) if many else rows
    if fast:
        found = _Linear.apply(filled, len(layers), *weights, *biases)
    else:
        found = F.linear(filled, _joined(weights), _joined(biases) if biases else None)
    if filled is not rows:
        found = found[: len(rows)]
    if len(layers) == 1:
        return (found,)
    return _Split.apply(found, [weight.shape[0] for weight in weights])


def side_by_side(parts: Sequence[Tensor]) -> Tensor:
    """torch.cat of [rows, size] along the columns; no copy where they lie so in one tensor."""
    first, width = parts[0], sum(part.shape[1] for part in parts)
    memory, end = first.untyped_storage().data_ptr(), first.storage_offset()
    for part in parts:
        lies_next = part.storage_offset() == end and part.stride() == (first.stride(0), 1)
        if not lies_next or part.untyped_storage().data_ptr() != memory:
            return torch.cat(list(parts), 1)
        end += part.shape[1]
    return first.as_strided((len(first), width), first.stride(), first.storage_offset())


def gelu_of(rows: Tensor, layer: nn.Linear) -> Tensor:
    """The exact GELU of a linear map, [rows, in] -> [rows, out]; one kernel without a gradient."""
    fast = _is_large(rows, [layer.weight]) and _fast(rows, layer.weight)
    if torch.is_grad_enabled() or not fast:
        return F.gelu(joint_linear(rows, [layer])[0])
    return torch.ops.mkldnn._linear_pointwise(rows, layer.weight, layer.bias, "gelu", [], "none")


def _is_large(rows: Tensor, weights: Sequence[Tensor]) -> bool:
    """Whether a product with all of the weights pays for a kernel of oneDNN's."""
    if torch.compiler.is_exporting():  # a graph for any number of rows
        return False
    size = rows.numel() * sum(weight.shape[0] for weight in weights)
    return rows.ndim == 2 and size >= (_LEAST_HALF_USED if is_half_used_by_mkl() else _LEAST)


def few_sizes(rows: int) -> int:
    """The number rounded up to one of few: by less than 8, or at most by 3 %."""
    step = max(_GRANULE, 1 << max(rows.bit_length() - _BITS, 0))
    return -(-rows // step) * step


def filled_up(rows: Tensor) -> Tensor:
    """Rows [rows, size] with zeros after them, on a CPU, for oneDNN to know their size.

    Who calls it leaves out what comes of the zeros, so that nothing has a gradient there.
    """
    if not _is_eager_on_cpu(rows):
        return rows
    more = few_sizes(len(rows)) - len(rows)
    return F.pad(rows, (0, 0, 0, more)) if more else rows


def filled_up_indices(indices: Tensor) -> Tensor:
    """As filled_up for indices of rows [rows]: the last is repeated."""
    more = few_sizes(len(indices)) - len(indices) if len(indices) else 0
    if more and _is_eager_on_cpu(indices):
        return torch.cat([indices, indices[-1:].expand(more)])
    return indices


def _is_eager_on_cpu(tensor: Tensor) -> bool:
    eager = not torch.compiler.is_compiling()
    return _AVAILABLE and tensor.device.type == "cpu" and eager


def _is_autocast(rows: Tensor) -> bool:
    return rows.ndim == 2 and rows.device.type == "cpu" and torch.is_autocast_enabled("cpu")


def scores_of(rows: Tensor, matrix: Tensor, bias: Tensor | None) -> Tensor:
    """rows [rows, size] @ matrix [out, size].T + bias, [rows, out] in fp32; no gradient."""
    if not _fast(rows, matrix):
        scores = (rows @ matrix.T).float()
        return scores if bias is None else scores.add_(bias)
    filled = F.pad(rows, (0, 0, 0, few_sizes(len(rows)) - len(rows)))
    return _product(filled, matrix, bias)[: rows.shape[0]]


def gradient_of_rows(grad: Tensor, matrix: Tensor) -> Tensor:
    """grad [rows, out] @ matrix [out, size]: the gradient that scores_of has none for."""
    if is_half_used_by_mkl() and _fast(grad, matrix):
        return _product(grad, matrix.T, None)
    return grad @ matrix


def _fast(rows: Tensor, matrix: Tensor) -> bool:
    plain = rows.dtype == matrix.dtype == torch.float32 and rows.device.type == "cpu"
    free = not torch.is_autocast_enabled("cpu") and not torch.compiler.is_compiling()
    return _AVAILABLE and plain and free and type(matrix.data) is Tensor  # none that is sharded


def _product(rows: Tensor, matrix: Tensor, bias: Tensor | None) -> Tensor:
    """rows [rows, in] @ matrix [out, in].T + bias by oneDNN."""
    return torch.ops.mkldnn._linear_pointwise(rows, matrix, bias, "none", [], "")


def _of_weight(grad: Tensor, rows: Tensor) -> Tensor:
    """grad [rows, out].T @ rows [rows, in]."""
    if not is_half_used_by_mkl():
        return grad.T @ rows
    if grad.shape[1] < rows.shape[1]:  # measured: the longer side is better the second one
        return _product(_transposed(grad), rows.T, None)
    return _product(_transposed(rows), grad.T, None).T


def _transposed(matrix: Tensor) -> Tensor:
    """A matrix's transpose, contiguous.

    That is a shuffle of the channels of an image of one pixel, for which PyTorch has vector code: a
    third of the time of copying the transpose.
    """
    rows, columns = matrix.shape
    size = rows * columns
    pixel = matrix.contiguous().as_strided((1, size, 1, 1), (size, 1, size, size))
    return torch.native_channel_shuffle(pixel, rows).view(columns, rows)


@cache
def is_half_used_by_mkl() -> bool:
    """Whether the processor is an AMD of Zen 5 or later."""
    return _is_zen_5(Path("/proc/cpuinfo"))


def _is_zen_5(path: Path) -> bool:
    if not path.is_file():  # not Linux
        return False
    with path.open(encoding="utf-8", errors="replace") as lines:
        pairs = dict(_pair(line) for line in islice(lines, 40))  # the first of the processors
    family = pairs.get("cpu family", "")
    wide = "avx512f" in pairs.get("flags", "").split()
    return wide and pairs.get("vendor_id") == "AuthenticAMD" and int(family or 0) >= _ZEN_5


def _pair(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.strip(), value.strip()


def _joined(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


class _Split(torch.autograd.Function):
    """Columns of several layers; their gradients come back side by side, so nothing is copied."""

    @staticmethod
    def forward(ctx: FunctionCtx, joint: Tensor, sizes: list[int]) -> tuple[Tensor, ...]:  # noqa: ARG004
        return joint.split(sizes, 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:  # noqa: ARG004
        return side_by_side(grads), None


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, rows: Tensor, count: int, *parameters: Tensor) -> Tensor:
        weights, biases = parameters[:count], parameters[count:]
        ctx.save_for_backward(rows, *weights)
        return _product(rows, _joined(weights), _joined(biases) if biases else None)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        rows, *weights = ctx.saved_tensors
        count, needs = len(weights), ctx.needs_input_grad
        grad = grads[0].contiguous()
        sizes = [weight.shape[0] for weight in weights]
        none = (None,) * count
        of_rows = _product(grad, _joined(weights).T, None) if needs[0] else None
        of_weights = _of_weight(grad, rows).split(sizes) if any(needs[2 : 2 + count]) else none
        biased = needs[2 + count :]
        of_biases = grad.sum(0).split(sizes) if any(biased) else (None,) * len(biased)
        return (of_rows, None, *of_weights, *of_biases)
