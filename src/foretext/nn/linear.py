"""Matrix products on the faster of a CPU's two libraries.

PyTorch multiplies fp32 matrices on a CPU through MKL, and has oneDNN beside it. On AVX-512 cores
oneDNN projects onto a vocabulary twice as fast. It compiles a kernel for every new shape, some 5
ms, so rows are filled up to few shapes. Its bits do not depend on the number of threads where, as
here, little is summed over; over a vocabulary they do, so gradients stay with MKL.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_GRANULE = 8  # rows
_AVAILABLE = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def scores_of(rows: Tensor, matrix: Tensor, bias: Tensor | None) -> Tensor:
    """rows [rows, size] @ matrix [out, size].T + bias, [rows, out] in fp32; no gradient."""
    if not _fast(rows, matrix):
        scores = (rows @ matrix.T).float()
        return scores if bias is None else scores.add_(bias)
    filled = F.pad(rows, (0, 0, 0, -rows.shape[0] % _GRANULE))
    scores = torch.ops.mkldnn._linear_pointwise(filled, matrix, bias, "none", [], "")
    return scores[: rows.shape[0]]


def _fast(rows: Tensor, matrix: Tensor) -> bool:
    plain = rows.dtype == matrix.dtype == torch.float32 and rows.device.type == "cpu"
    free = not torch.is_autocast_enabled("cpu") and not torch.compiler.is_compiling()
    return _AVAILABLE and plain and free
