"""What an objective is, and the parts that all of them share.

Three steps turn text into a loss. `plan` cuts the documents of a corpus into samples: one row of
integers each, so that a row says where its tokens lie. `collate` reads the tokens of some rows,
corrupts them and lays them end to end. `loss` compares them with a model. All randomness is a
function of (seed, epoch, sample), so a sample is the same whatever batch it lands in.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from foretext.core.batch import Batch, offsets_of, positions
from foretext.core.errors import ConfigError
from foretext.core.words import Spelling
from foretext.objectives.networks import PredictsTokens
from foretext.tokenizers.spelling import SPELLED, spelling_of

Rows = NDArray[np.int32]  # [samples, columns]; column 0 is the length in tokens
Ints = NDArray[np.int64]


def check_rates(config: object, *names: str) -> None:
    """See that fields of an objective's config are probabilities.

    Raises:
        ConfigError: names the first that is not.
    """
    for name in names:
        if not 0 <= (value := getattr(config, name)) <= 1:
            raise ConfigError(f"objective.{name}={value} must lie between 0 and 1")


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """What objectives need to know of a tokenizer."""

    size: int
    cls_id: int | None
    sep_id: int | None
    mask_id: int | None
    bos_id: int | None
    eos_id: int | None
    special_ids: tuple[int, ...]
    pad_id: int | None = None
    sentinel_ids: tuple[int, ...] = ()  # <extra_id_0>, <extra_id_1>, ... of T5
    starts_word: NDArray[np.bool_]  # [vocab]
    ends_word: NDArray[np.bool_]  # [vocab]
    unk_id: int | None = None
    spelling: Spelling | None = None  # characters of the tokens, where they are words

    @classmethod
    def of(cls, tokenizer: Any) -> Vocabulary:
        """The vocabulary of a tokenizers.Tokenizer."""
        special = tokenizer.special
        return cls(
            size=tokenizer.vocab_size,
            cls_id=special.cls,
            sep_id=special.sep,
            mask_id=special.mask,
            bos_id=special.bos,
            eos_id=special.eos,
            special_ids=tuple(tokenizer.special_ids),
            pad_id=special.pad,
            sentinel_ids=tokenizer.sentinel_ids,
            starts_word=tokenizer.starts_word,
            ends_word=tokenizer.ends_word,
            unk_id=special.unk,
            spelling=spelling_of(tokenizer) if tokenizer.kind in SPELLED else None,
        )

    def require(self, needs: tuple[str, ...], objective: str, remedy: str) -> None:
        """See that there are special tokens of these roles.

        Raises:
            ConfigError: names those that are missing.
        """
        missing = [role.upper() for role in needs if getattr(self, f"{role}_id") is None]
        if missing:
            raise ConfigError(
                f"{objective} needs special tokens {', '.join(map(str.upper, needs))}, and "
                f"this tokenizer lacks {', '.join(missing)}; {remedy}"
            )


class Counted(Protocol):
    """What samples can be made of, of any kind."""

    @property
    def num_documents(self) -> int: ...

    @property
    def num_tokens(self) -> int: ...


class Corpus(Counted, Protocol):
    """Tokenised documents; shards.store.Shards and its held-out views."""

    def tokens(self, document: int, start: int, stop: int) -> Ints: ...

    def sentence_offsets(self, document: int) -> Ints: ...

    def sentence_lengths(self) -> Iterator[tuple[int, Ints, Ints]]: ...


@dataclass(frozen=True, kw_only=True)
class SampleBatch:
    """Some samples of a plan, on their way into a batch."""

    rows: Rows  # [samples, columns]
    epochs: Ints  # [samples]
    samples: Ints  # [samples], numbers within their epoch
    slots: Ints | None = None  # [samples], the stream each belongs to; None: they are shuffled
    continues: NDArray[np.bool_] | None = None  # [samples], follows its stream's last sample
    done: float = 0.0  # share of the run's steps before the one they are for; 0 held out
    time: int = 0  # of streams: samples of each before these in the epoch


class Predicts(Enum):
    """At which tokens of its samples a loss predicts the vocabulary."""

    NOTHING = "nothing"  # it judges texts, or tokens, without naming one
    SOME = "some tokens"
    EVERY = "every token"


@dataclass(frozen=True, kw_only=True)
class Term:
    """A part of the loss, and what reports say of it.

    A term that predicts tokens stands beside the loss of token frequencies, has a perplexity, and
    tells what a word costs.
    """

    name: str  # of the loss and of its score, such as "mlm"
    title: str  # for a reader, such as "masked LM"
    unit: str  # of its mean, such as "nats a hidden token"
    predicts: Predicts = Predicts.NOTHING
    weight: float = 1.0  # in the loss; scores are without it
    compared: bool = True  # in a table of one text under two models


Counts = dict[str, Tensor]  # targets of each term, scalars
Losses = dict[str, Tensor]  # nats of each term, scalars
Scores = dict[str, tuple[Tensor, Tensor]]  # name -> (sum, count); a mean is the totals' quotient

Net_contra = TypeVar("Net_contra", contravariant=True)  # what it asks of a network, see networks.py
Data = TypeVar("Data", bound=Batch)  # the batches that it makes
Text_contra = TypeVar(
    "Text_contra", contravariant=True
)  # what it reads: Corpus, or labelled samples


class Objective(Protocol[Net_contra, Data, Text_contra]):
    """How samples make their own labels. See the module docstring."""

    @property
    def max_length(self) -> int:
        """Tokens of the longest sample."""
        ...

    @property
    def terms(self) -> tuple[Term, ...]:
        """The parts of the loss, under the names that counts, loss and scores use."""
        ...

    @property
    def target_rate(self) -> float:
        """Share of the tokens at which the vocabulary is predicted, on average; for estimates."""
        ...

    @property
    def streams(self) -> bool:
        """Whether samples are served as streams instead of shuffled.

        Then a step's batch_size sequences are places of as many streams, each of which goes through
        a part of the epoch's plan in its order, a sample a step; see SampleBatch.slots.
        """
        ...

    def plan(self, corpus: Text_contra, epoch: int) -> Iterator[Rows]:
        """All samples of an epoch, in parts of any size, in constant memory."""
        ...

    def collate(self, corpus: Text_contra, picked: SampleBatch) -> Data:
        """The samples' tokens, corrupted and laid end to end, with their labels."""
        ...

    def counts(self, batch: Data) -> Counts:
        """Targets of each loss term, known before the forward pass."""
        ...

    def loss(self, network: Net_contra, batch: Data, counts: Counts) -> Losses:
        """Terms in nats per target, each times its weight; their sum is the loss.

        counts: totals over all micro-batches and ranks of the step; so the sum is this batch's
            share of the step's loss.
        """
        ...

    def scores(self, network: Net_contra, batch: Data) -> Scores:
        """Evaluation sums: each term under its name, without its weight, and whatever else."""
        ...


class TextObjective(Objective[Net_contra, Data, Corpus], Protocol[Net_contra, Data]):
    """An objective that learns from bare text."""

    def warning(self, corpus: Corpus) -> str | None:
        """What in this text defeats the objective, and the remedy; None if nothing is known."""
        ...


# One of which it is not known what network it trains: check_network has seen that it fits.
SomeObjective = Objective[Any, Any, Any]
SomeTextObjective = TextObjective[Any, Any]


@dataclass(frozen=True, kw_only=True)
class Assembled:
    """Sequences laid end to end as arrays, before they are corrupted and become tensors."""

    ids: Ints  # [tokens]
    segments: Ints  # [tokens]
    special: NDArray[np.bool_]  # [tokens]
    lengths: Ints  # [sequences]

    @property
    def sequence(self) -> Ints:
        """Which sequence each token belongs to, [tokens]."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)

    @property
    def position(self) -> Ints:
        """Position of each token in its sequence, [tokens]."""
        starts = np.cumsum(self.lengths) - self.lengths
        return np.arange(len(self.ids)) - np.repeat(starts, self.lengths)

    def batch_fields(self, ids: Ints | None = None) -> dict[str, Any]:
        """Fields of a Batch; `ids` stand in for the assembled ones."""
        lengths = torch.from_numpy(self.lengths)
        return {
            "input_ids": torch.from_numpy(self.ids if ids is None else ids),
            "position_ids": positions(lengths),
            "token_type_ids": torch.from_numpy(self.segments),
            "special_mask": torch.from_numpy(self.special),
            "offsets": offsets_of(lengths),
        }


def assemble(texts: Sequence[Sequence[Ints]], *, first: int | None, after: int | None) -> Assembled:
    """Lay out samples of one or two texts: `[first] A [after]` or `[first] A [after] B [after]`.

    Args:
        texts: of each sample, the token ids of its texts.
        first: id put before the first text ([CLS]); None is nothing.
        after: id put after each text ([SEP]); None is nothing.
    """
    head = np.array([] if first is None else [first], np.int64)
    tail = np.array([] if after is None else [after], np.int64)
    parts, sizes, segments, special = [], [], [], []
    for sample in texts:
        total = 0
        for number, text in enumerate(sample):
            before = head if number == 0 else head[:0]
            parts += [before, text, tail]
            size = len(before) + len(text) + len(tail)
            segments.append((number, size))
            special += [(True, len(before)), (False, len(text)), (True, len(tail))]
            total += size
        sizes.append(total)
    flags, runs = zip(*special, strict=True)
    numbers, lengths = zip(*segments, strict=True)
    return Assembled(
        ids=np.concatenate(parts).astype(np.int64, copy=False),
        segments=np.repeat(np.array(numbers, np.int64), lengths),
        special=np.repeat(np.array(flags, bool), runs),
        lengths=np.array(sizes, np.int64),
    )


def target_scores(
    network: PredictsTokens, hidden: Tensor, targets: Tensor, labels: Tensor, *, name: str
) -> Scores:
    """Evaluation sums at some tokens: `name` in nats and `name_accuracy`, each with its count.

    Args:
        hidden: states [tokens, hidden].
        targets: [targets], which tokens.
        labels: [targets], their right ids.
    """
    count = torch.tensor(len(targets))
    total = torch.zeros((), dtype=torch.float64)
    hits = torch.zeros((), dtype=torch.int64)
    for part, right in zip(targets.split(512), labels.split(512), strict=True):
        scores = network.logits(hidden[part]).float()
        total += torch.nn.functional.cross_entropy(scores, right, reduction="sum").cpu()
        hits += (scores.argmax(-1) == right).sum().cpu()
    return {name: (total, count), f"{name}_accuracy": (hits, count)}
