"""Which samples a step holds: a function of (seed, step), in constant memory, with any workers.

An epoch's plan, one row a sample, is written once to a file with a checksum and memory-mapped; its
order is a computed permutation, or that of streams. So step N is found without replaying the steps
before it, and a loader worker needs nothing but the step's number.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from foretext.core import rng
from foretext.core.atomic import atomic_file, clean_leftovers, passing_file
from foretext.core.batch import Batch
from foretext.core.errors import DataError
from foretext.objectives.base import Corpus, Counted, Ints, Rows, SampleBatch, SomeObjective
from foretext.training.batch_ramp import BatchSizes
from foretext.training.step import MicroBatch

_SEAL = hashlib.sha256().digest_size  # bytes behind a plan: the checksum of all before them
_BLOCK = 2**20  # bytes read at a time


@dataclass
class SamplePlan:
    """The plans of an objective over a corpus, an epoch each; perhaps others take over later.

    Args:
        objective: cuts the corpus into samples.
        corpus: tokenised documents.
        folder: where plans are kept; the newest two are.
        seed: of the run.
        until: sequences of the run that these serve; None is all.
        then: serve the rest, from their own epoch 0 on.
    """

    objective: SomeObjective
    corpus: Counted
    folder: Path
    seed: int
    sizes: list[int] = field(default_factory=list)  # samples of each epoch known so far
    until: int | None = None
    then: SamplePlan | None = None

    def __post_init__(self) -> None:
        self._maps: dict[int, Rows] = {}

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_maps": {}}

    def serving(self, start: int) -> tuple[SamplePlan, int]:
        """Which epochs serve a sequence of the run, and the sequence's number among theirs."""
        if self.then is None or self.until is None or start < self.until:
            return self, start
        return self.then.serving(start - self.until)

    @property
    def chain(self) -> list[SamplePlan]:
        """These and those that take over."""
        return [self] + ([] if self.then is None else self.then.chain)

    def shares(self, sequences: int) -> list[tuple[SamplePlan, int]]:
        """The epochs that serve a run of so many sequences, and how many of them each serves."""
        if self.then is None or self.until is None or sequences <= self.until:
            return [(self, sequences)]
        return [(self, self.until), *self.then.shares(sequences - self.until)]

    @property
    def known_sizes(self) -> list[list[int]]:
        """Sizes of these and of those that take over: what a resumed run need not plan again."""
        return [plan.sizes for plan in self.chain]

    def remember(self, sizes: list[list[int]]) -> None:
        """Take over the known_sizes of a checkpoint."""
        for plan, known in zip(self.chain, sizes, strict=True):
            plan.sizes[:] = known

    def size(self, epoch: int) -> int:
        """Samples of an epoch."""
        while len(self.sizes) <= epoch:
            self.sizes.append(len(self.rows(len(self.sizes))))
        return self.sizes[epoch]

    def rows(self, epoch: int) -> Rows:
        """All samples of an epoch, [samples, columns]; planned at the first call.

        Raises:
            DataError: the corpus makes no sample.
        """
        if epoch not in self._maps:
            path = self.folder / f"epoch-{epoch:05d}.npy"
            while epoch not in self._maps:
                rows = open_plan(path)
                if rows is None:  # never made, damaged, or let go by a worker that is ahead
                    self._plan(epoch, path)
                else:
                    self._maps[epoch] = rows
            for old in [e for e in self._maps if e < epoch - 1]:
                del self._maps[old]
                (self.folder / f"epoch-{old:05d}.npy").unlink(missing_ok=True)
        return self._maps[epoch]

    def _plan(self, epoch: int, path: Path) -> None:
        """Write the plan beside `path`, then rename: another process may do the same."""
        self.folder.mkdir(parents=True, exist_ok=True)
        clean_leftovers(self.folder)
        with passing_file(path.with_suffix(".raw")) as raw, atomic_file(path) as done:
            samples, columns = 0, 0
            with raw.open("wb") as file:
                for part in self.objective.plan(self.corpus, epoch):
                    samples, columns = samples + len(part), part.shape[1]
                    file.write(np.ascontiguousarray(part).tobytes())
            if not samples:
                raise DataError(
                    f"the corpus has {self.corpus.num_documents} documents and "
                    f"{self.corpus.num_tokens} tokens but makes no sample; give more text"
                )
            flat = np.memmap(raw, np.int32, mode="r", shape=(samples, columns))
            with done.open("wb") as file:
                np.save(file, flat)
            with done.open("rb") as file:
                seal = hashlib.file_digest(file, "sha256").digest()
            with done.open("ab") as file:
                file.write(seal)
            del flat

    def order(self, epoch: int) -> rng.Permutation:
        """The order in which an epoch's samples are served."""
        return rng.Permutation(self.size(epoch), rng.key(self.seed, "order", epoch))

    def pick(self, start: int, count: int) -> SampleBatch:
        """Samples start to start + count of the run, whatever epochs they fall in."""
        if self.objective.streams:
            return self._pick_streams(start // count, count)
        rows, epochs, samples = [], [], []
        epoch = 0
        while count:
            size = self.size(epoch)
            if start >= size:
                start, epoch = start - size, epoch + 1
                continue
            taken = min(count, size - start)
            numbers = self.order(epoch)(np.arange(start, start + taken))
            rows.append(np.asarray(self.rows(epoch)[numbers]))
            samples.append(numbers)
            epochs.append(np.full(taken, epoch))
            start, count = start + taken, count - taken
        return SampleBatch(
            rows=np.concatenate(rows),
            epochs=np.concatenate(epochs),
            samples=np.concatenate(samples),
        )

    def _pick_streams(self, time: int, slots: int) -> SampleBatch:
        """Sample number `time` of each stream.

        Streams are neighbouring parts of an epoch's plan, all of one length; up to slots - 1
        samples are left over, in every epoch others.

        Raises:
            DataError: an epoch has fewer samples than there are streams.
        """
        epoch = 0
        while time >= (steps := self.size(epoch) // slots):
            if not steps:
                raise DataError(
                    f"the text makes {self.size(epoch):,} samples, too few for {slots:,} streams; "
                    "lower training.batch_size or data.max_length, or give more text"
                )
            time, epoch = time - steps, epoch + 1
        size = self.size(epoch)
        shift = epoch * (size % slots)
        numbers = (shift + np.arange(slots) * steps + time) % size
        return SampleBatch(
            rows=np.asarray(self.rows(epoch)[numbers]),
            epochs=np.full(slots, epoch),
            samples=numbers,
            slots=np.arange(slots),
            continues=(time > 0) & (numbers > 0),
            time=time,
        )


def open_plan(path: Path) -> Rows | None:
    """A plan from its file, [samples, columns]; None where it is missing or damaged."""
    try:
        with path.open("rb") as file:
            size = path.stat().st_size - _SEAL
            digest = hashlib.sha256()
            while size > 0 and (block := file.read(min(size, _BLOCK))):
                digest.update(block)
                size -= len(block)
            whole = file.read() == digest.digest()
    except FileNotFoundError:
        return None
    return np.load(path, mmap_mode="r") if whole else None


def by_length(picked: SampleBatch) -> SampleBatch:
    """The same samples from short to long, so that equal lengths are neighbours; streams stay."""
    if picked.slots is not None:
        return picked
    return choose(picked, np.argsort(picked.rows[:, 0], kind="stable"))


def choose(picked: SampleBatch, numbers: Ints | slice) -> SampleBatch:
    """Some of the samples, in this order."""
    return SampleBatch(
        rows=picked.rows[numbers],
        epochs=picked.epochs[numbers],
        samples=picked.samples[numbers],
        slots=None if picked.slots is None else picked.slots[numbers],
        continues=None if picked.continues is None else picked.continues[numbers],
        done=picked.done,
        time=picked.time,
    )


@dataclass
class StepDataset:
    """The micro-batches of each step, by the step's number.

    Args:
        epochs: of the run.
        batch_size: sequences a step, or how their number grows.
        micro_batch_size: sequences at most in a micro-batch; None is all of them.
        start: first step; item 0.
        stop: the step after the last.
        steps: of the whole run; None is `stop`.
    """

    epochs: SamplePlan
    batch_size: int | BatchSizes
    micro_batch_size: int | None
    start: int
    stop: int
    steps: int | None = None

    def __len__(self) -> int:
        return self.stop - self.start

    def __getitem__(self, index: int) -> list[MicroBatch]:
        step = self.start + index
        sizes = self.batch_size
        if isinstance(sizes, int):
            sizes = BatchSizes(full=sizes)
        count = sizes.size(step)
        epochs, first = self.epochs.serving(sizes.before(step))
        picked = by_length(epochs.pick(first, count))
        parts, first_token, first_target = [], 0, 0
        picked = replace(picked, done=step / (self.steps or self.stop))
        size = self.micro_batch_size or count
        for begin in range(0, count, size):
            part = choose(picked, slice(begin, begin + size))
            batch = epochs.objective.collate(epochs.corpus, part)
            parts.append(
                MicroBatch(batch=batch, first_token=first_token, first_target=first_target)
            )
            read, written = batch.tokens_of_sides
            first_token, first_target = first_token + read, first_target + written
        return parts


def in_order(
    objective: SomeObjective, corpus: Corpus, *, batch_size: int, limit: int | None = None
) -> Iterator[Batch]:
    """Every sample once, or the first `limit`, always the same way: held-out evaluation.

    Args:
        batch_size: sequences a batch.
        limit: samples at most; None is all.
    """
    if objective.streams:
        rows = np.concatenate(list(objective.plan(corpus, 0)))[:limit]
        yield from (objective.collate(corpus, picked) for picked in _in_streams(rows, batch_size))
        return
    start = 0
    for part in objective.plan(corpus, 0):
        rows = part if limit is None else part[: max(limit - start, 0)]
        picked = SampleBatch(
            rows=rows,
            epochs=np.zeros(len(rows), np.int64),
            samples=np.arange(start, start + len(rows)),
        )
        start += len(rows)
        picked = by_length(picked)
        for begin in range(0, len(rows), batch_size):
            yield objective.collate(corpus, choose(picked, slice(begin, begin + batch_size)))


def _in_streams(rows: Rows, slots: int) -> Iterator[SampleBatch]:
    """Every row once, in so many streams, of which some are longer by one."""
    slots = min(slots, len(rows))
    borders = np.arange(slots + 1) * len(rows) // max(slots, 1)
    for time in range(int(np.diff(borders).max(initial=0))):
        numbers = borders[:-1] + time
        held = np.flatnonzero(numbers < borders[1:])
        numbers = numbers[held]
        yield SampleBatch(
            rows=rows[numbers],
            epochs=np.zeros(len(held), np.int64),
            samples=numbers,
            slots=held,
            continues=np.full(len(held), time > 0),
            time=time,
        )
