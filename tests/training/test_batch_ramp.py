"""The batch ramp: what a step holds is a function of its number, and grows linearly in samples."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from foretext.models.gpt import PRESETS, Gpt
from foretext.objectives.causal_lm import CausalLM, CausalLMConfig
from foretext.training.batch_ramp import BatchSizes
from foretext.training.loader import load
from foretext.training.samples import SamplePlan, StepDataset
from foretext.training.step import TrainStep, gradients
from tests.objectives.corpora import VOCAB, random_corpus, vocabulary

ramps = st.builds(
    BatchSizes,
    full=st.integers(1, 40),
    start=st.none() | st.integers(1, 50),
    over=st.integers(0, 3_000),
)


@settings(max_examples=200)
@given(ramps)
def test_sizes_are_those_of_a_count_of_samples_kept_from_the_first_step(sizes: BatchSizes) -> None:
    """Appendix B of GPT-3: linear from the start to the full size over so many samples."""
    served = 0
    start = sizes.full if sizes.start is None else min(sizes.start, sizes.full)
    for step in range(120):
        size = sizes.full
        if served < sizes.over:
            size = start + (sizes.full - start) * served // sizes.over
        assert sizes.before(step) == served
        assert sizes.size(step) == size
        served += size


@given(ramps, st.integers(1, 5_000))
def test_steps_are_the_fewest_that_hold_so_many(sizes: BatchSizes, sequences: int) -> None:
    """BatchSizes.steps."""
    steps = sizes.steps(sequences)
    assert sizes.before(steps - 1) < sequences <= sizes.before(steps)


def packed_steps(folder: Path, start: int, *, micro: int | None = 3, stop: int = 14) -> StepDataset:
    objective = CausalLM(
        config=CausalLMConfig(packed=True), vocabulary=vocabulary(eot=True), max_length=24, seed=2
    )
    epochs = SamplePlan(objective, random_corpus(8), folder, seed=2)
    sizes = BatchSizes(full=12, start=2, over=60)
    return StepDataset(
        epochs=epochs, batch_size=sizes, micro_batch_size=micro, start=start, stop=stop
    )


def test_samples_do_not_depend_on_where_a_run_begins_or_on_workers(tmp_path: Path) -> None:
    """Every step on the ramp and after it, over the end of an epoch; no replay, 2 workers too."""
    whole = list(load(packed_steps(tmp_path / "a", 0), workers=0))
    assert len(whole[0]) == 1 and sum(p.batch.num_sequences for p in whole[0]) == 2
    assert sum(p.batch.num_sequences for p in whole[-1]) == 12
    for begin in (1, 5, 13):
        for workers in (0, 2) if begin == 5 else (0,):
            part = list(load(packed_steps(tmp_path / f"b{begin}", begin), workers=workers))
            for mine, its in zip(whole[begin:], part, strict=True):
                assert [p.first_token for p in mine] == [p.first_token for p in its]
                ids = [[p.batch.input_ids.tolist() for p in parts] for parts in (mine, its)]
                assert ids[0] == ids[1]


def test_steps_hold_every_sample_of_an_epoch_once(tmp_path: Path) -> None:
    """A step of another size takes up where the one before it ended."""
    steps = packed_steps(tmp_path, 0, micro=None, stop=60)
    size = steps.epochs.size(0)
    rows: list[list[int]] = []
    for step in range(60):
        for part in steps[step]:
            offsets = part.batch.offsets.tolist()
            ids = part.batch.input_ids.tolist()
            rows += [ids[a:b] for a, b in pairwise(offsets)]
    assert len(rows) > size
    counts = {tuple(row): rows[:size].count(row) for row in rows[:size]}
    assert set(counts.values()) == {1}


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_micro_batches_of_packed_rows_have_the_gradient_of_the_batch(
    dropout: float, tmp_path: Path
) -> None:
    """design.md: a sum over targets divided by the step's count; banded layers and dropout too."""
    config = replace(
        PRESETS["gpt3-mini"], hidden_size=32, num_layers=2, intermediate_size=64, vocab_size=VOCAB,
        max_position_embeddings=64, attention_window=5, dropout=dropout, attention_dropout=dropout,
    )  # fmt: skip
    model = Gpt(config)
    model.initialise(torch.Generator().manual_seed(0))
    model.double()
    found = []
    for micro in (None, 5, 1):
        model.zero_grad()
        steps = packed_steps(tmp_path, 0, micro=micro)
        terms = gradients(TrainStep(model, steps.epochs.objective), steps[9], key=11)
        grads = [p.grad for p in model.parameters() if p.grad is not None]
        found.append((terms["lm"], grads))
    for total, grads in found[1:]:
        torch.testing.assert_close(total, found[0][0], rtol=1e-6, atol=1e-6)
        for one, other in zip(grads, found[0][1], strict=True):
            assert (one - other).abs().max() < 1e-6
