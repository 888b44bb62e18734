"""Peak memory of `prepare` as the text grows: it must not grow with it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.text import shards_of
from foretext.shards.store import Shards

SIZES = (10, 100)  # MB of text
_RUN = """
import re, sys
from foretext.shards.prepare import prepare
from foretext.tokenizers import Tokenizer
prepare([sys.argv[1]], tokenizer=Tokenizer.load(sys.argv[2]), out=sys.argv[3], workers=0)
# Not ru_maxrss, which a process inherits from the one that starts it.
status = open("/proc/self/status").read()
print(int(re.search(r"VmHWM:\\s+([0-9]+) kB", status)[1]) * 1024)
"""


def measure(source: Path | None) -> dict[str, Any]:
    """Peak resident bytes of a process that prepares 10 MB and one that prepares 100 MB."""
    shards = Shards.open(shards_of("documents", source), verify=False)
    text = (shards_of("documents", source).parent / "documents.jsonl").read_bytes()
    peaks = {}
    with tempfile.TemporaryDirectory(prefix="foretext-bench-") as folder:
        for size in SIZES:
            path = Path(folder, f"{size}.jsonl")
            with path.open("wb") as file:
                for _ in range(-(-size * 10**6 // len(text))):
                    file.write(text)
            path.write_bytes(path.read_bytes()[: size * 10**6].rpartition(b"\n")[0] + b"\n")
            out = Path(folder, f"shards-{size}")
            command = [
                sys.executable,
                "-c",
                _RUN,
                str(path),
                str(shards.tokenizer_folder),
                str(out),
            ]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            peaks[f"{size} MB"] = int(done.stdout.split()[-1])
    least, most = peaks.values()
    return {"peaks": peaks, "growth": most / least}
