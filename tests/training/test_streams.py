"""Streams, what a network carries in them, and objectives that look at the corpus again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from foretext.core.batch import Batch
from foretext.core.errors import DataError
from foretext.objectives.base import (
    Corpus,
    Counts,
    Ints,
    Losses,
    Predicts,
    Rows,
    SampleBatch,
    Scores,
    Term,
    assemble,
)
from foretext.objectives.packing import pack, sizes_from
from foretext.runs.estimate import probe
from foretext.training.config import TrainingConfig
from foretext.training.job import Job
from foretext.training.loop import train
from foretext.training.progress import Silent, StepReport
from foretext.training.samples import SamplePlan, StepDataset, in_order
from foretext.training.state import CarriesState, Refreshes
from tests.objectives.corpora import VOCAB, ListCorpus, random_corpus
from tests.training.killed import KillAt, Killed

LENGTH, SLOTS, STEPS = 8, 4, 14


@dataclass(frozen=True, kw_only=True)
class StreamBatch(Batch):
    slots: Tensor  # [sequences]
    continues: Tensor  # [sequences] bool
    factor: Tensor  # what the last refresh left


@dataclass(frozen=True, kw_only=True)
class NextToken:
    """The smallest objective that asks for streams, and refreshes."""

    max_length: int = LENGTH
    terms = (Term(name="lm", title="LM", unit="nats a token", predicts=Predicts.EVERY),)
    target_rate = 1.0
    streams = True
    found: dict[str, Tensor] = field(default_factory=dict)
    seen: list[int] = field(default_factory=list)

    def plan(self, corpus: Corpus, epoch: int) -> Iterator[Rows]:  # noqa: ARG002
        return pack(sizes_from(corpus, 0), self.max_length)

    def collate(self, corpus: Corpus, picked: SampleBatch) -> StreamBatch:
        assert picked.slots is not None
        assert picked.continues is not None
        texts = [[_row(corpus, *row)] for row in picked.rows.tolist()]
        return StreamBatch(
            **assemble(texts, first=None, after=None).batch_fields(),
            slots=torch.from_numpy(picked.slots),
            continues=torch.from_numpy(picked.continues),
            factor=self.found.get("factor", torch.zeros(())),
        )

    def counts(self, batch: StreamBatch) -> Counts:
        return {"lm": torch.tensor(batch.num_tokens)}

    def loss(self, network: nn.Module, batch: StreamBatch, counts: Counts) -> Losses:
        return {"lm": (1 + batch.factor) * network(batch).square().sum() / counts["lm"]}

    def scores(self, network: nn.Module, batch: StreamBatch) -> Scores:
        return {"lm": (network(batch).square().sum(), torch.tensor(batch.num_tokens))}

    def refresh(self, network: nn.Module, step: int) -> None:
        assert not network.training
        self.seen.append(step)
        self.found["factor"] = next(network.parameters()).detach().mean().clone()

    def refreshed_state(self) -> dict[str, Tensor]:
        return self.found

    def load_refreshed_state(self, state: Mapping[str, Tensor]) -> None:
        self.found.update(state)


def _row(corpus: Corpus, length: int, document: int, start: int) -> Ints:
    """Of documents that each begin with a token of their own, 7."""
    pieces: list[Ints] = []
    while length > 0:
        text = np.concatenate([[7], corpus.tokens(document, 0, 10**6)])[start : start + length]
        pieces.append(text)
        document, start, length = (document + 1) % corpus.num_documents, 0, length - len(text)
    return np.concatenate(pieces)


class Remembering(nn.Module):
    """Adds to each sequence what its stream left; which sequence that is, the slot says."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Embedding(VOCAB, 3)
        self.left: dict[int, Tensor] = {}

    def forward(self, batch: StreamBatch) -> Tensor:
        states = []
        for number, slot in enumerate(batch.slots.tolist()):
            part = slice(int(batch.offsets[number]), int(batch.offsets[number + 1]))
            hidden = self.table(batch.input_ids[part])
            if bool(batch.continues[number]) and slot in self.left:
                hidden = hidden + self.left[slot]
            self.left[slot] = hidden.detach().mean(0)
            states.append(hidden)
        return torch.cat(states)

    def carried_state(self) -> dict[str, Tensor]:
        return {str(slot): value for slot, value in self.left.items()}

    def load_carried_state(self, state: Mapping[str, Tensor]) -> None:
        self.left = {int(name): value.clone() for name, value in state.items()}


def job(folder: Path, **changes: object) -> Job:
    objective, corpus = NextToken(), random_corpus(9)
    plan = SamplePlan(objective, corpus, folder / "plans", seed=1)
    network = Remembering()
    config = TrainingConfig(
        steps=STEPS, batch_size=SLOTS, micro_batch_size=3, save_every=3, log_every=1, eval_every=4,
        refresh_every=5, learning_rate=0.05,
    )  # fmt: skip
    held = ListCorpus(corpus.documents[:2])

    def evaluate() -> dict[str, float]:
        assert not network.left  # nothing of the training text
        total = 0.0
        for batch in in_order(objective, held, batch_size=2):
            assert isinstance(batch, StreamBatch)
            total += objective.scores(network, batch)["lm"][0].item()
        return {"loss": total}

    made = Job(
        model=network, objective=objective, epochs=plan, config=config, folder=folder,
        evaluate=evaluate,
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


def steps_of(folder: Path, documents: int = 9, slots: int = SLOTS) -> StepDataset:
    plan = SamplePlan(NextToken(), random_corpus(documents), folder, seed=1)
    return StepDataset(epochs=plan, batch_size=slots, micro_batch_size=None, start=0, stop=10**6)


def test_the_protocols_are_those_of_the_engine() -> None:
    assert isinstance(Remembering(), CarriesState)
    assert isinstance(NextToken(), Refreshes)


def test_each_stream_is_the_text_in_its_order(tmp_path: Path) -> None:
    """Where a sequence continues, it is the row after the one its slot held a step before."""
    steps = steps_of(tmp_path)
    plan = steps.epochs
    size = plan.size(0)
    rows, length = plan.rows(0), size // SLOTS
    before: Ints | None = None
    seen: list[int] = []
    for step in range(3 * length):
        picked = plan.pick(step * SLOTS, SLOTS)
        assert picked.continues is not None
        assert (picked.rows == rows[picked.samples]).all()
        assert (picked.epochs == step // length).all()
        if before is not None:
            assert (picked.samples == before + 1)[picked.continues].all()
        assert not picked.continues.any() or step % length
        before = picked.samples
        seen += picked.samples.tolist() if step < length else []
    assert len(set(seen)) == len(seen) == length * SLOTS
    assert size - len(seen) < SLOTS


def test_what_is_left_over_is_another_part_of_the_text_in_each_epoch(tmp_path: Path) -> None:
    plan = steps_of(tmp_path, slots=7).epochs
    size = plan.size(0)
    length = size // 7
    assert size % 7
    served = [
        {s for t in range(length) for s in plan.pick((e * length + t) * 7, 7).samples.tolist()}
        for e in range(2)
    ]
    assert served[0] | served[1] == set(range(size))


def test_too_little_text_for_the_streams_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"makes 6 samples, too few for 1,000 streams; lower"):
        steps_of(tmp_path, documents=1, slots=1000)[0]


def test_held_out_text_is_read_once_in_streams() -> None:
    corpus = random_corpus(3)
    batches = list(in_order(NextToken(), corpus, batch_size=4))
    assert sum(batch.num_tokens for batch in batches) == corpus.num_tokens + 3
    assert all(isinstance(batch, StreamBatch) for batch in batches)


@pytest.mark.parametrize("workers", [0, 1])
def test_killed_and_resumed_has_the_same_bits(workers: int, tmp_path: Path) -> None:
    """Weights, what the network carries, and what the objective found, after step 7 of 14."""
    whole = job(tmp_path / "whole")
    train(whole)
    config = replace(whole.config, workers=workers)
    with pytest.raises(Killed):
        train(job(tmp_path / "cut", config=config, reporter=KillAt(7)))
    resumed = job(tmp_path / "cut", config=config)
    train(resumed)
    for one, other in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(one, other)
    assert isinstance(whole.model, Remembering)
    assert isinstance(resumed.model, Remembering)
    assert set(whole.model.left) == set(range(SLOTS))
    for slot, value in whole.model.left.items():
        assert torch.equal(value, resumed.model.left[slot])
    assert isinstance(whole.objective, NextToken)
    assert isinstance(resumed.objective, NextToken)
    assert whole.objective.seen == [0, 5, 10]
    assert resumed.objective.seen == [10]  # the one of step 5 is in the checkpoint
    assert torch.equal(whole.objective.found["factor"], resumed.objective.found["factor"])


def test_measuring_a_step_leaves_the_run_as_it_was(tmp_path: Path) -> None:
    """runs/estimate.py measures real steps, of samples that the objective has to look up first."""
    one = job(tmp_path)
    seconds, steps = probe(one)
    assert seconds > 0
    assert steps > 0
    assert isinstance(one.model, Remembering)
    assert isinstance(one.objective, NextToken)
    assert not one.model.left
    assert one.objective.seen == [0]


def test_what_is_carried_and_found_matters(tmp_path: Path) -> None:
    """Else the test above would pass without either."""
    losses: dict[bool, list[float]] = {}
    for forgets in (False, True):
        told: list[float] = []

        class Listening(Silent):
            def step(self, report: StepReport, told: list[float] = told) -> None:
                told.append(report.loss)

        one = job(tmp_path / str(forgets), reporter=Listening())
        if forgets:
            one.model.forward = lambda batch, network=one.model: network.table(batch.input_ids)
        train(one)
        losses[forgets] = told
    assert losses[False][0] == losses[True][0]
    assert losses[False][1] != losses[True][1]
