"""One side of a comparison, in a process of its own: runs a block of steps whenever it is told to.

    python -m bench.worker ours|peer ROW_AS_JSON SHARDS

Reads a line from stdin for each block and answers with a JSON line on the real stdout.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from bench.rows import Row

THREADS = int(os.environ.get("BENCH_THREADS", "2"))  # of either side


class Blocks:
    """The conversation with the parent; `begin` waits for its turn, `end` reports."""

    def __init__(self, answers: TextIO) -> None:
        self.answers = answers
        self.started = 0.0
        self.cpu = 0.0

    def begin(self) -> None:
        if not sys.stdin.readline():
            os._exit(0)  # the parent has what it wants
        self.cpu, self.started = time.process_time(), time.perf_counter()

    def end(self, **values: Any) -> None:
        seconds = time.perf_counter() - self.started
        cpu = time.process_time() - self.cpu
        print(json.dumps({"seconds": seconds, "cpu": cpu, **values}), file=self.answers, flush=True)


def main() -> None:
    """Run the side named on the command line."""
    side, row, shards = sys.argv[1], Row.from_values(json.loads(sys.argv[2])), Path(sys.argv[3])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints must not get between the answers
    import torch

    torch.set_num_threads(THREADS)
    run: Callable[[Row, Path, Blocks], None]
    if row.task == "inference":
        from bench.inference import SIDES

        run = SIDES[side]
    elif side == "ours":
        from bench.ours import run
    else:
        from bench.peer import run
    run(row, shards, Blocks(answers))


if __name__ == "__main__":
    main()
