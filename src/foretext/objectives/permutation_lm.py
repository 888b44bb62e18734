"""Permutation LM: predict some tokens, each from those before it in a random order.

Paper: Yang et al. 2019 (XLNet), https://arxiv.org/abs/1906.08237, sections 2.2 to 2.5, and the
official data_utils.py. A sample is `M A <sep> B <sep> <cls>`: M goes on with the stream and is what
the next sample's memory holds; A follows M; B follows A, or is other text half of the time, of
which nothing is to be told. A sixth of the tokens are predicted, in spans of up to 5. M has an
order of its own, and the rest another: M does not see the rest, which sees all of M. Every other
stream runs backwards.
Deviations: documents are joined by the end-of-text token, where the official vocabulary has <eod>.
A ends at a random token, not at a sentence's end. A stream goes over the text once forwards, others
once backwards, in an epoch; the official files mix both in a batch's halves.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from foretext.core import rng
from foretext.core.batch import Batch
from foretext.core.errors import ConfigError
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
    Vocabulary,
    assemble,
    check_rates,
)
from foretext.objectives.networks import PredictsInOrder
from foretext.objectives.orders import ranks_of, sample_single, sample_spans
from foretext.objectives.packing import joined_tokens, pack, sizes_from
from foretext.objectives.spec import ObjectiveSpec

PLM = Term(name="plm", title="permutation LM", unit="nats a target", predicts=Predicts.SOME)
_CLS_SEGMENT = 2
_FRAME = 3  # both <sep> and <cls>


@dataclass(frozen=True, kw_only=True)
class OrderBatch(Batch):
    ranks: Tensor  # [tokens] int64, the order of prediction, compared within a sequence
    targets: Tensor  # [targets] int64, which tokens are predicted, ascending
    labels: Tensor  # [targets] int64, their ids
    backwards: Tensor  # [sequences] bool
    slots: Tensor  # [sequences] int64, the stream of each
    continues: Tensor  # [sequences] bool, it follows the stream's last batch


@dataclass(frozen=True, kw_only=True)
class PermutationLMConfig:
    """How streams are cut, and what is predicted of them."""

    factor: int = 6  # K: one of so many tokens is predicted
    spans: bool = True  # or single tokens (table 6)
    bidirectional_data: bool = True  # every other stream runs backwards (table 6)
    reuse_rate: float = 0.5  # share of a sample that goes on with the stream
    random_next_rate: float = 0.5  # probability that B is other text

    def __post_init__(self) -> None:
        check_rates(self, "reuse_rate", "random_next_rate")
        if self.factor < 1:
            raise ConfigError(f"objective.factor={self.factor} must be at least 1")


@dataclass(frozen=True, kw_only=True)
class PermutationLM:
    config: PermutationLMConfig
    vocabulary: Vocabulary
    max_length: int  # tokens of a sample, both <sep> and <cls> included
    seed: int = 0
    terms = (PLM,)
    streams = True

    def __post_init__(self) -> None:
        self.vocabulary.require(
            ("cls", "sep", "eos"), "permutation LM", "train one with --special-tokens xlnet"
        )

    @property
    def target_rate(self) -> float:
        """See Objective."""
        return 1 / self.config.factor

    @property
    def reused(self) -> int:
        """Tokens of a sample's first part, by which a stream moves on."""
        return max(1, round(self.config.reuse_rate * self.max_length))

    @property
    def _rest(self) -> int:
        """Tokens of A and B together."""
        return self.max_length - self.reused - _FRAME

    def plan(self, corpus: Corpus, epoch: int) -> Iterator[Rows]:
        """Rows of (length, document, start, backwards, first): a window of the joined documents.

        Its first part moves on by what it holds from row to row; backward rows come last and in
        reverse, so that a stream of them moves backwards.
        """
        first = int(rng.integers(corpus.num_documents, rng.key(self.seed, "pack", epoch)))
        rows = np.concatenate(list(pack(sizes_from(corpus, first), self.reused)))
        rows = rows[rows[:, 0] == self.reused]
        rows = np.column_stack([np.full(len(rows), self.max_length), rows[:, 1:]])
        ways = (0, 1) if self.config.bidirectional_data else (0,)
        for way in ways:
            turned = rows[::-1] if way else rows
            begins = np.arange(len(rows)) == 0  # nothing before it is its past
            yield np.column_stack([turned, np.full(len(rows), way), begins]).astype(np.int32)

    def warning(self, corpus: Corpus) -> str | None:  # noqa: ARG002
        """See TextObjective."""
        return None

    def collate(self, corpus: Corpus, picked: SampleBatch) -> OrderBatch:
        """`M A <sep> B <sep> <cls>` of each row, its order, and what is predicted of it."""
        v, windows = self.vocabulary, []
        assert v.sep_id is not None
        assert v.cls_id is not None
        for row, epoch, sample in zip(picked.rows, picked.epochs, picked.samples, strict=True):
            windows.append(self._texts(corpus, row.tolist(), int(epoch), int(sample)))
        laid = assemble(
            [[np.concatenate([*w, [v.cls_id]])] for w in windows], first=None, after=None
        )
        fields = laid.batch_fields()
        functional = np.isin(laid.ids, [v.sep_id, v.cls_id])
        segments = np.concatenate([_segments(w) for w in windows])
        target, ranks = self._order(laid.ids, functional, picked)
        targets = np.flatnonzero(target)
        slots = np.arange(len(windows)) if picked.slots is None else picked.slots
        go_on = np.zeros(len(windows), bool) if picked.continues is None else picked.continues
        go_on = go_on & (picked.rows[:, 4] == 0)
        return OrderBatch(
            **fields
            | {
                "token_type_ids": torch.from_numpy(segments),
                "special_mask": torch.from_numpy(functional),
            },
            ranks=torch.from_numpy(ranks),
            targets=torch.from_numpy(targets),
            labels=torch.from_numpy(laid.ids[targets]),
            backwards=torch.from_numpy(picked.rows[:, 3].astype(bool)),
            slots=torch.from_numpy(np.asarray(slots, np.int64)),
            continues=torch.from_numpy(np.asarray(go_on, bool)),
        )

    def _texts(self, corpus: Corpus, row: list[int], epoch: int, sample: int) -> list[Ints]:
        """M and A, <sep>, B, <sep>."""
        _, document, start, backwards, _ = row
        eos, sep = self.vocabulary.eos_id, np.array([self.vocabulary.sep_id], np.int64)
        assert eos is not None
        u = rng.uniform(rng.key(self.seed, "permutation pair"), epoch, sample, np.arange(4))
        size = self.reused + self._rest
        window = joined_tokens(corpus, size, document, start, end=eos)
        cut = 1 + int(u[0] * max(self._rest - 1, 1))  # tokens of A
        other = window[self.reused + cut :]
        if backwards:
            window = window[::-1]
            other = window[self.reused + cut :]
        if u[1] < self.config.random_next_rate:
            elsewhere = int(u[2] * corpus.num_documents)
            length = int(corpus.sentence_offsets(elsewhere)[-1]) + 1
            other = joined_tokens(corpus, self._rest - cut, elsewhere, int(u[3] * length), end=eos)
            other = other[::-1] if backwards else other
        return [window[: self.reused + cut], sep, other, sep]

    def _order(
        self, ids: Ints, functional: np.ndarray, picked: SampleBatch
    ) -> tuple[np.ndarray, Ints]:
        """Which tokens are predicted and the ranks of all, sample by sample and half by half."""
        length, halves = self.max_length, (0, self.reused, self.max_length)
        target, ranks = np.zeros(len(ids), bool), np.zeros(len(ids), np.int64)
        key = rng.key(self.seed, "permutation")
        starts = self.vocabulary.starts_word[ids] | functional
        for number, (epoch, sample) in enumerate(zip(picked.epochs, picked.samples, strict=True)):
            for half, (begin, end) in enumerate(pairwise(halves)):
                part = slice(number * length + begin, number * length + end)
                size = end - begin
                u = rng.uniform(key, int(epoch), int(sample), half, np.arange(4 * size))
                goal = max(1, -(-size // self.config.factor) if half == 0 else
                           size // self.config.factor)  # fmt: skip
                if self.config.spans:
                    chosen = sample_spans(
                        starts[part], functional[part], goal, self.config.factor, u[: 3 * size]
                    )
                else:
                    chosen = sample_single(functional[part], goal, u)
                target[part] = chosen
                # The second half's lowest rank is above the first half's highest.
                first = half * (2 * length)
                ranks[part] = ranks_of(chosen, functional[part], u[3 * size :], first)
        return target, ranks

    def counts(self, batch: OrderBatch) -> Counts:
        """Predicted tokens."""
        return {PLM.name: torch.tensor(batch.targets.shape[0])}

    def _states(self, network: PredictsInOrder, batch: OrderBatch) -> Tensor:
        return network.in_order(
            batch,
            batch.ranks,
            batch.targets,
            backwards=batch.backwards,
            slots=tuple(batch.slots.tolist()),
            continues=tuple(batch.continues.tolist()),
            kept=self.reused,
        )

    def loss(self, network: PredictsInOrder, batch: OrderBatch, counts: Counts) -> Losses:
        """The term, in nats per predicted token."""
        total = network.linear_cross_entropy(self._states(network, batch), batch.labels)
        return {PLM.name: total / counts[PLM.name].clamp(min=1)}

    def scores(self, network: PredictsInOrder, batch: OrderBatch) -> Scores:
        """Sums over predicted tokens: loss in nats, and hits of the likeliest token."""
        logits = network.logits(self._states(network, batch)).float()
        count = torch.tensor(len(batch.labels))
        total = torch.nn.functional.cross_entropy(logits, batch.labels, reduction="sum")
        hits = (logits.argmax(-1) == batch.labels).sum()
        return {
            PLM.name: (total.double().cpu(), count),
            f"{PLM.name}_accuracy": (hits.cpu(), count),
        }


def _segments(parts: list[Ints]) -> Ints:
    """0 up to the first <sep>, 1 up to the second, 2 of <cls>."""
    first, second = len(parts[0]) + 1, len(parts[2]) + 1
    return np.repeat([0, 1, _CLS_SEGMENT], [first, second, 1])


SPEC = ObjectiveSpec(
    name="permutation-lm",
    about=__doc__ or "",
    config=PermutationLMConfig,
    build=PermutationLM,
    style="xlnet",
    needs=(PredictsInOrder,),
)
