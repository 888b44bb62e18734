"""Loader workers: what ends them, and what a run is told when one dies."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator
from pathlib import Path
from typing import cast

import pytest

from foretext.core.errors import DataError
from foretext.objectives.next_sentence import NextSentence, NextSentenceConfig
from foretext.training.loader import load
from foretext.training.samples import SamplePlan, StepDataset
from foretext.training.step import MicroBatch
from tests.objectives.corpora import random_corpus, vocabulary


def children() -> list[int]:
    path = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    return [int(child) for child in path.read_text().split()]


def test_a_worker_that_dies_is_one_line_and_none_outlives_the_loader(tmp_path: Path) -> None:
    """As when the kernel kills one for want of memory; no wait, and nothing stays behind."""
    objective = NextSentence(config=NextSentenceConfig(), vocabulary=vocabulary(), max_length=48)
    epochs = SamplePlan(objective, random_corpus(6), tmp_path / "plans", seed=3)
    steps = StepDataset(epochs=epochs, batch_size=8, micro_batch_size=None, start=0, stop=1000)
    before = set(children())
    loading = cast(Generator[list[MicroBatch], None, None], load(steps, workers=1))
    next(loading)
    (worker,) = set(children()) - before
    os.kill(worker, signal.SIGKILL)
    with pytest.raises(DataError, match=r"ended with code -9, perhaps for want of memory; the sam"):
        list(loading)
    assert set(children()) <= before
    loading = cast(Generator[list[MicroBatch], None, None], load(steps, workers=1))
    next(loading)
    loading.close()
    assert set(children()) <= before
