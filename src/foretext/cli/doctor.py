"""foretext doctor: versions and hardware, as markdown for a bug report."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from foretext.cli.output import Json, Output
from foretext.cli.units import size

EXAMPLE = """\
foretext doctor"""

_OPTIONAL = ("typer", "rich", "transformers", "pyarrow", "zstandard", "tensorboard")
_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "HF_HUB_OFFLINE")


def command(json: Json = False) -> None:
    """Print versions, threads, processor, memory and GPU as markdown, for a bug report."""
    from foretext.training.run import environment

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
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "system": platform.platform(),
        "processor": _processor(),
        "processors": f"{usable} of {os.cpu_count()}",
        "memory": _memory(),
    }


def _processor() -> str:
    """The model's name: Linux has it in a file, elsewhere the platform's word must do."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _memory() -> str:
    try:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return "unknown"
    return f"{size(total)}, {size(free)} free"


def _torch() -> dict[str, str]:
    import torch

    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "threads": str(torch.get_num_threads()),
        "vector instructions": torch.backends.cpu.get_cpu_capability(),
        "GPU": ", ".join(gpus) or "none",
        "CUDA": torch.version.cuda or "none",
    }
