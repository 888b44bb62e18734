"""How likely a text is after another: log-likelihoods under every family, without a gradient.

    left to right      log p of each token after what is before it (Radford et al. 2019)
    both ways          pseudo-log-likelihood: log p of each token where it alone is masked (Salazar
                       et al. 2020, https://arxiv.org/abs/1910.14659, section 2); with whole_words
                       the rest of its word to the right is masked too (Kauf & Ivanova 2023)
    source to target   log p of each token of the target after the source and what is before it

[CLS], [SEP] and the like frame a text and are not scored. A context and its continuation are
tokenised together and parted where the continuation begins, so that no token spans both unnoticed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import log

import torch
from torch import Tensor

from foretext.core.batch import Batch, Seq2SeqBatch
from foretext.core.errors import ConfigError, DataError
from foretext.inference.reader import evaluating
from foretext.nn.backbone import Backbone, Reads
from foretext.objectives.networks import PredictsTokens, Translates
from foretext.tokenizers import Tokenizer

_TOKENS = 4_096  # read at once
_ROWS = 512  # vocabulary scores held at once


@dataclass(frozen=True, kw_only=True)
class Likelihood:
    """A continuation's log-likelihood."""

    text: str
    tokens: tuple[str, ...]
    nats: tuple[float, ...]  # log-probability of each token

    @property
    def total(self) -> float:
        """Of the whole, in nats."""
        return sum(self.nats)

    @property
    def per_token(self) -> float:
        """Mean over tokens, in nats."""
        return self.total / max(len(self.nats), 1)

    @property
    def per_character(self) -> float:
        """Mean over characters, in nats."""
        return self.total / max(len(self.text), 1)

    @property
    def bits_per_byte(self) -> float:
        """Bits a byte of UTF-8 needs; comparable across tokenizers."""
        return -self.total / log(2) / max(len(self.text.encode()), 1)


@dataclass(frozen=True)
class _Job:
    """One sequence to read: where tokens are scored, and which they are."""

    number: int  # of the pair
    ids: list[int]
    places: list[int]  # tokens whose state predicts
    labels: list[int]
    source: list[int] | None = None


class Scorer:
    """A model and its tokenizer.

    Args:
        model: with a vocabulary head.
        tokenizer: the model's.
        limit: tokens of the longest sequence; None is no limit.
        whole_words: for models that read both ways, see the module docstring.

    Raises:
        ConfigError: the model predicts no tokens, or the tokenizer has no mask token.
    """

    def __init__(
        self,
        model: Backbone,
        tokenizer: Tokenizer,
        *,
        limit: int | None,
        whole_words: bool = False,
    ) -> None:
        if not isinstance(model, PredictsTokens | Translates):
            raise ConfigError(
                f"{type(model).__name__} has no vocabulary head, so it cannot score a text; give a "
                "pre-trained model"
            )
        self.model = model
        self.tokenizer = tokenizer
        self.limit = limit
        self.whole_words = whole_words
        if model.reads is Reads.BOTH_WAYS and tokenizer.special.mask is None:
            raise ConfigError("this tokenizer has no mask token, so its model cannot score a text")

    def score(self, pairs: Iterable[tuple[str, str]]) -> list[Likelihood]:
        """The likelihood of each continuation after its context, which may be empty.

        Raises:
            DataError: a continuation has no token, or a sequence is longer than the model reads.
        """
        held = list(pairs)
        jobs: list[_Job] = []
        for number, (context, text) in enumerate(held):
            jobs += self._jobs(number, context, text)
        found: list[list[tuple[int, float]]] = [[] for _ in held]
        for job, nats in self._read(sorted(jobs, key=lambda job: len(job.ids))):
            found[job.number] += zip(job.labels, nats, strict=True)
        order = [[(j.labels, j.places) for j in jobs if j.number == n] for n in range(len(held))]
        return [
            self._likelihood(text, scores, [label for labels, _ in parts for label in labels])
            for (_, text), scores, parts in zip(held, found, order, strict=True)
        ]

    def _likelihood(
        self, text: str, scores: list[tuple[int, float]], labels: list[int]
    ) -> Likelihood:
        names = tuple(self.tokenizer.token(label) for label in labels)
        return Likelihood(text=text, tokens=names, nats=tuple(nats for _, nats in scores))

    def _parted(self, context: str, text: str) -> tuple[list[int], list[int]]:
        """Token ids of the context and of the continuation."""
        if self.model.reads is Reads.SOURCE_TO_TARGET:
            return self.tokenizer.encode(context), self.tokenizer.encode(text)
        before = self.tokenizer.encode(context) if context else []
        whole = self.tokenizer.encode(context + text)
        if whole[: len(before)] != before:  # a token spans both: the continuation takes it
            shared = 0
            while shared < len(before) and whole[shared] == before[shared]:
                shared += 1
            before = before[:shared]
        return before, whole[len(before) :]

    def _jobs(self, number: int, context: str, text: str) -> list[_Job]:
        before, after = self._parted(context, text)
        if not after:
            raise DataError(
                f"the continuation {text[:40]!r} has no token; give a text that the tokenizer knows"
            )
        if self.model.reads is Reads.LEFT_TO_RIGHT:
            return [self._causal(number, before, after)]
        if self.model.reads is Reads.SOURCE_TO_TARGET:
            start, end = self.tokenizer.special.pad or 0, self.tokenizer.special.eos
            source = [*before, *([] if end is None else [end])]
            ids = [start, *after]
            return [_Job(number, ids[:-1], list(range(len(after))), after, source)]
        return self._masked(number, before, after)

    def _causal(self, number: int, before: list[int], after: list[int]) -> _Job:
        special = self.tokenizer.special
        first = special.bos if special.bos is not None else special.eos
        if not before or first is not None:
            before = ([] if first is None else [first]) + before
        if not before:  # nothing predicts the first token, so it is given
            before, after = after[:1], after[1:]
        ids = [*before, *after][:-1]
        self._check(len(ids))
        places = list(range(len(before) - 1, len(ids)))
        return _Job(number, ids, places, after)

    def _masked(self, number: int, before: list[int], after: list[int]) -> list[_Job]:
        special = self.tokenizer.special
        first = [] if special.cls is None or self.model.cls_last else [special.cls]
        last = [t for t in (special.sep, special.cls if self.model.cls_last else None)
                if t is not None]  # fmt: skip
        ids = [*first, *before, *after, *last]
        self._check(len(ids))
        begin = len(first) + len(before)
        jobs = []
        for place in range(begin, begin + len(after)):
            seen = list(ids)
            for hidden in range(place, self._word_end(ids, place, begin + len(after))):
                seen[hidden] = special.mask or 0
            jobs.append(_Job(number, seen, [place], [ids[place]]))
        return jobs

    def _word_end(self, ids: list[int], place: int, stop: int) -> int:
        """The token after the last one that is masked with this one."""
        end = place + 1
        while self.whole_words and end < stop and not self.tokenizer.starts_word[ids[end]]:
            end += 1
        return end

    def _check(self, tokens: int) -> None:
        if self.limit is not None and tokens > self.limit:
            raise DataError(
                f"a text and its context have {tokens} tokens, but the model reads {self.limit}; "
                "shorten them"
            )

    def _read(self, jobs: Sequence[_Job]) -> Iterator[tuple[_Job, list[float]]]:
        """Each job's log-probabilities; the jobs of one pair come in their order."""
        done: dict[int, list[float]] = {}
        for part in _parts(jobs):
            with evaluating(self.model):
                done |= {id(j): nats for j, nats in zip(part, self._nats(part), strict=True)}
        for job in sorted(jobs, key=lambda job: (job.number, job.places[:1])):
            yield job, done[id(job)]

    def _nats(self, part: Sequence[_Job]) -> list[list[float]]:
        device = next(self.model.parameters()).device
        batch = Batch.of([job.ids for job in part]).to(device)
        if part[0].source is not None:
            sources = Batch.of([job.source or [0] for job in part]).to(device)
            hidden = self.model(Seq2SeqBatch(source=sources, target=batch))
        else:
            hidden = self.model(batch)
        starts = batch.layout.offsets.tolist()
        rows = [starts[n] + p for n, job in enumerate(part) for p in job.places]
        labels = torch.tensor([label for job in part for label in job.labels], device=device)
        states = hidden.index_select(0, torch.tensor(rows, device=device))
        pieces = zip(states.split(_ROWS), labels.split(_ROWS), strict=True)
        nats = torch.cat([self._log_probabilities(*piece) for piece in pieces]).tolist()
        found, begin = [], 0
        for job in part:
            found.append(nats[begin : begin + len(job.labels)])
            begin += len(job.labels)
        return found

    def _log_probabilities(self, states: Tensor, labels: Tensor) -> Tensor:
        assert isinstance(self.model, PredictsTokens | Translates)
        logits = self.model.logits(states)[:, : self.tokenizer.vocab_size].float()
        return torch.log_softmax(logits, -1).gather(1, labels[:, None])[:, 0]


def _parts(jobs: Sequence[_Job]) -> Iterator[list[_Job]]:
    part: list[_Job] = []
    held = 0
    for job in jobs:
        size = len(job.ids) + len(job.source or ())
        if part and held + size > _TOKENS:
            yield part
            part, held = [], 0
        part.append(job)
        held += size
    if part:
        yield part
