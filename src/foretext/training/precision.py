"""The precision that matrices are multiplied in, and how fast this machine is in each.

bf16 is autocast's: products in bf16; weights, their gradients, moments, layer norms, softmaxes and
losses in fp32. Processors with AVX512-BF16 or AMX and current GPUs multiply it faster than fp32.
"""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from foretext.core.errors import ConfigError

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
_LARGE, _SMALL = 1024, 512  # rows and columns; emulated bf16 would take long on large ones
_PRODUCTS, _SECONDS = 4, 0.1  # that are measured at least
_LONG = 600.0  # seconds of a run for which another precision is worth a line
_WORTH = 1.3  # times as fast


def check_precision(name: str, precision: str) -> None:
    """Raise ConfigError if it is none, naming the setting."""
    if precision not in DTYPES:
        raise ConfigError(f"{name}={precision!r} must be one of {', '.join(DTYPES)}")


def multiplying(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    """Autocast to the precision, a name in DTYPES."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=DTYPES[precision])


def matrix_multiply_rate(
    device: torch.device, precision: str = "fp32", *, size: int = _LARGE
) -> float:
    """FLOPs a second of a matrix multiply here, the best of a few: others may use the machine.

    Args:
        device: to multiply on.
        precision: a name in DTYPES.
        size: rows and columns of both matrices.
    """
    one = torch.randn(size, size, device=device).to(DTYPES[precision])
    taken: list[float] = []
    while len(taken) < _PRODUCTS or sum(taken) < _SECONDS:
        begun = time.perf_counter()
        float((one @ one)[0, 0])  # reading waits for the device
        taken.append(time.perf_counter() - begun)
    return 2 * size**3 / min(taken)


def advice(device: torch.device, precision: str, seconds: float) -> str | None:
    """A line where the other precision is clearly faster here; None if it is not, or not worth it.

    Args:
        device: of the run.
        precision: of the run.
        seconds: that the run will take.
    """
    if precision == "fp32" and seconds < _LONG:
        return None
    full, half = (matrix_multiply_rate(device, p, size=_SMALL) for p in ("fp32", "bf16"))
    if precision == "fp32" and half > _WORTH * full:
        return (
            f"this machine multiplies bf16 {half / full:.1f} times as fast as fp32: "
            "training.precision=bf16 would train faster"
        )
    if precision == "bf16" and full > _WORTH * half:
        return (
            f"this machine multiplies fp32 {full / half:.1f} times as fast as bf16: "
            "training.precision=fp32 would train faster"
        )
    return None


def chosen_device() -> torch.device:
    """Where runs compute: the GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
