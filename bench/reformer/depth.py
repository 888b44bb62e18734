"""Memory of a training step by depth: reversible layers against plain residuals.

Paper: Kitaev et al. 2020, section 3. A process for each depth and kind, peak resident memory of
forward and backward, less what weights and gradients take.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

DEPTHS = (2, 4, 8, 16)
_RUN = """
import json, re, sys
import torch
from dataclasses import replace
from foretext.core.batch import Batch
from foretext.models.reformer import PRESETS, Reformer
from foretext.nn.reversible import plain, reversible
torch.set_num_threads(1)
depth, kind = int(sys.argv[1]), sys.argv[2]
config = replace(PRESETS["reformer-tiny"], num_layers=depth, dropout=0.0)
model = Reformer(config).train()
model.initialise(torch.Generator().manual_seed(0))
batch = Batch.of([[1 + i % 256 for i in range(1024)]] * 2)
def memory(name):
    return int(re.search(name + r":\\s+([0-9]+) kB", open("/proc/self/status").read())[1]) * 1024
for p in model.parameters():
    p.grad = torch.zeros_like(p)
before = memory("VmRSS")
run = {"plain": plain, "reversible": reversible}[kind]
streams = run(model.halves(batch), model.embeddings(batch))
states = model.final_norm(torch.cat([s.float() for s in streams], -1))
(model.linear_cross_entropy(states, batch.input_ids) / 2048).backward()
print(json.dumps({"depth": depth, "kind": kind, "mb": round((memory("VmHWM") - before) / 1e6, 1)}))
"""


def measure() -> list[dict[str, Any]]:
    """Rows of depth, kind and megabytes beyond what there was before the step."""
    rows = []
    for kind in ("reversible", "plain"):
        for depth in DEPTHS:
            command = [sys.executable, "-c", _RUN, str(depth), kind]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            rows.append(json.loads(done.stdout))
    return rows
