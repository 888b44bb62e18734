"""How long `foretext --help` takes, in processes of their own."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

LIMIT = 0.2  # seconds


def measure(times: int = 11) -> dict[str, Any]:
    """Wall seconds of the command: median, least and most."""
    command = Path(sys.executable).with_name("foretext")
    seconds = []
    for _ in range(times + 1):
        start = time.perf_counter()
        subprocess.run([str(command), "--help"], check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - start)
    warm = seconds[1:]  # the first reads the files from disk
    return {"limit": LIMIT, "seconds": median(warm), "least": min(warm), "most": max(warm)}
