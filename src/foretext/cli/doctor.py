"""foretext doctor: versions and hardware, as markdown for a bug report."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version

from foretext.cli.machine import free_memory, processor, total_memory, usable_processors
from foretext.cli.output import Json, Output
from foretext.cli.units import size

EXAMPLE = """\
foretext doctor"""

_OPTIONAL = ("typer", "rich", "transformers", "pyarrow", "zstandard", "tensorboard")
_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "HF_HUB_OFFLINE")


def command(json: Json = False) -> None:
    """Print versions, threads, processor, memory and GPU as markdown, for a bug report."""
    from foretext.recipes.folder import environment

    facts = environment() | _packages() | _machine() | _torch()
    facts |= {name: os.environ[name] for name in _VARIABLES if name in os.environ}
    rows = "\n".join(f"| {name} | {value} |" for name, value in facts.items())
    Output(json=json).result(f"| what | value |\n| --- | --- |\n{rows}", facts)


def _packages() -> dict[str, str]:
    found = {}
    for name in _OPTIONAL:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _machine() -> dict[str, str]:
    total, free = total_memory(), free_memory()
    known = "unknown" if total is None or free is None else f"{size(total)}, {size(free)} free"
    return {
        "system": platform.platform(),
        "processor": processor(),
        "processors": f"{usable_processors()} of {os.cpu_count()}",
        "memory": known,
    }


def _torch() -> dict[str, str]:
    import torch

    from foretext.training.precision import DTYPES, matrix_multiply_rate

    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    device = torch.device("cuda" if gpus else "cpu")
    rates = {p: matrix_multiply_rate(device, p, size=512) / 1e9 for p in DTYPES}
    return {
        "threads": str(torch.get_num_threads()),
        "vector instructions": torch.backends.cpu.get_cpu_capability(),
        **{f"matrix multiply, {p}": f"{rate:,.0f} GFLOP a second" for p, rate in rates.items()},
        "GPU": ", ".join(gpus) or "none",
        "CUDA": torch.version.cuda or "none",
    }
