"""Weights of which nothing can be computed, refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from foretext.core.errors import CheckpointError


def check_finite(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    """Refuse tensors with NaN or infinite numbers.

    Args:
        folder: that they come from.
        tensors: by name.

    Raises:
        CheckpointError: names the first of them.
    """
    spoilt = {name: int((~t.isfinite()).sum()) for name, t in tensors.items()}
    spoilt = {name: count for name, count in spoilt.items() if count}
    if spoilt:
        name, count = next(iter(spoilt.items()))
        more = f" and of {len(spoilt) - 1} more tensors" if len(spoilt) > 1 else ""
        raise CheckpointError(
            f"{folder}: {count:,} numbers of {name}{more} are NaN or infinite; its training "
            "diverged or the file is damaged, so take an earlier checkpoint of it"
        )
