"""Short runs on film reviews whose losses are kept: `python -m tests.training.golden PRESET` writes
one anew.

A curve that moves without a reason is a fault; one that moves with a reason is written anew.
"""

from __future__ import annotations

import json
import sys
import tempfile
from functools import cache
from pathlib import Path

from foretext.demo.data import Sizes, film_reviews
from foretext.models import family_of
from foretext.runs.options import PretrainOptions
from foretext.runs.pretrain import pretrain
from tests.training.killed import KillAt

FOLDER = Path(__file__).parent.parent / "golden"
STEPS = 30
SETTINGS: dict[str, object] = {
    "model.start": "random",
    "model.initializer_range": 0.02,
    "model.hidden_size": 32,
    "model.intermediate_size": 48,
    "model.max_position_embeddings": 40,
    "data.max_length": 32,
    "data.vocab_size": 320,
    "data.held_out": 0.1,
    "training.steps": STEPS,
    "training.warmup_steps": 5,
    "training.batch_size": 8,
    "training.micro_batch_size": 5,
    "training.learning_rate": 0.01,
    "training.save_every": 4,
    "training.log_every": 1,
    "training.eval_every": STEPS,
    "training.threads": 1,
}
_SHALLOW: dict[str, object] = {"model.num_layers": 2, "model.num_heads": 2}
# A preset's own: GPT-3 counts in tokens, its batch grows, and a window is narrower than a row.
CHANGES: dict[str, dict[str, object]] = {
    "gpt1": _SHALLOW | {"model.intermediate_size": 128},
    "gpt2-small": _SHALLOW,
    "t5-tiny": {"training.learning_rate": 0.1},  # over the root of the step
    "gpt3-mini": {
        "model.num_layers": 2,
        "model.attention_window": 6,
        "training.warmup_steps": 0,
        "training.warmup_tokens": 5 * 8 * 32,
        "training.batch_ramp": [2, 100],
    },
    # Rows of several chunks, with and without filling; both dropouts of attention.
    "reformer-tiny": {
        "model.axial_shape": [5, 8],
        "model.axial_sizes": [8, 24],
        "model.head_size": 12,
        "model.local_chunk": 8,
        "model.lsh_chunk": 6,
        "model.local_attention_dropout": 0.1,
        "model.lsh_attention_dropout": 0.1,
        "model.feed_forward_chunk": 50,
    },
    # Few tokens are predicted: at the usual rate a step may jump.
    "xlnet-tiny": {"model.start": "cooccurrence", "training.learning_rate": 0.005},
    "elmo-tiny": {
        "model.filter_counts": [4, 4, 8, 8, 4, 2, 2],
        "model.projection_size": 16,
        "model.cell_size": 24,
        "model.predicted_words": 200,
        "objective.sampled_words": 60,
        "data.max_length": 10,
        "training.learning_rate": 0.2,
    },
}


@cache
def text() -> Path:
    """Sixty film reviews, real text."""
    reviews = film_reviews(Path(tempfile.mkdtemp()), Sizes(reviews=60, labelled=0, dev=0, test=0))
    return reviews.corpus[0]


def train(preset: str, out: Path, kill_at: int | None = None, **changes: object) -> None:
    """The run of a preset, or its continuation; changes: of [training]."""
    own = {f"training.{name}": value for name, value in changes.items()}
    known = {"start", *family_of(preset).config.__dataclass_fields__}
    usual = {
        path: value
        for path, value in SETTINGS.items()
        if not path.startswith("model.") or path.removeprefix("model.") in known
    }
    settings = usual | CHANGES.get(preset, {}) | own
    options = PretrainOptions(text=[text()], settings=settings)
    pretrain(preset, out=out, options=options, reporter=KillAt(kill_at))


def curve(out: Path) -> list[float]:
    """The loss of every step, in nats."""
    lines = (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [record["loss"] for record in map(json.loads, lines) if "loss" in record]


def main() -> None:
    for preset in sys.argv[1:]:
        with tempfile.TemporaryDirectory() as folder:
            train(preset, Path(folder) / "run")
            losses = [round(loss, 6) for loss in curve(Path(folder) / "run")]
        FOLDER.mkdir(exist_ok=True)
        (FOLDER / f"{preset}.json").write_text(json.dumps(losses) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
