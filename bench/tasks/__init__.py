"""Tasks on real labelled text: foretext and plain transformers from the same trained encoder.

    python -m bench.tasks [NAMES] --data FOLDER [--seeds 3] [--size usual]

A finished run is a line in results/; RESULTS.md is written from the lines.
"""

import os

os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
