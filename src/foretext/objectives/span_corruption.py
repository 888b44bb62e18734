"""Span corruption: hide spans of a text, and write what was hidden; with T5's other objectives.

Paper: Raffel et al. 2020, https://arxiv.org/abs/1910.10683, sections 3.1.4 and 3.3 and table 3,
with the official preprocessors.py and gin files.

    spans        spans of mean length 3, each one sentinel; the targets are the spans (the baseline)
    replace      the same of tokens drawn one by one, neighbours merged
    drop         the inputs lack them without a sentinel, the targets are they alone
    masked       most become <extra_id_0>, a tenth random tokens; the targets are all of the text
                 (BERT-style)
    mass         all become <extra_id_0>; the targets are all of the text (MASS-style)
    deshuffle    the inputs are the text in a random order, the targets the text
    prefix-lm    the inputs are its beginning, the targets the rest

Inputs and targets end in the end-of-text token. data.max_length is that of the inputs: with 512 a
window has 568 tokens and the targets 114. The z-loss, 1e-4 log²Z a target, is part of the training
loss and of no score.
Deviations: the loss is divided by the targets there are, not by the positions of a padded row. A
document is cut into windows by itself and read whole; packed, documents follow each other in the
corpus's order, and what is joined are all of them, not 128 with 65,536 tokens each at most. Spans
beyond the tokenizer's sentinels are not hidden. A row that draws no noise hides its last token. A
window of a single token, which cannot be both kept and hidden, is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from foretext.core import rng
from foretext.core.batch import Batch, Seq2SeqBatch
from foretext.core.errors import ConfigError, DataError
from foretext.objectives import spans
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
)
from foretext.objectives.networks import Translates
from foretext.objectives.packing import blocks, document_lengths, pack, sizes_from
from foretext.objectives.spec import ObjectiveSpec

DENOISING = Term(
    name="denoising",
    title="denoising",
    unit="nats a target token",
    predicts=Predicts.SOME,
)
KINDS = ("spans", "replace", "drop", "masked", "mass", "deshuffle", "prefix-lm")
_WITH_SENTINELS = ("spans", "replace")


@dataclass(frozen=True, kw_only=True)
class SpanCorruptionConfig:
    """What is hidden and what is asked."""

    kind: str = "spans"  # see the module docstring
    noise_rate: float = 0.15  # share of a window's tokens that is hidden
    mean_span: float = 3.0  # tokens of a span on average
    random_rate: float = 0.1  # share of the hidden tokens that kind masked makes random ones
    roll: bool = False  # turn the noise of spans by random places, so that a span may come first
    packed: bool = False  # windows are full: documents joined without a separator
    z_loss: float = 1e-4  # factor of log²Z in the training loss

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(f"objective.kind={self.kind!r} must be one of {', '.join(KINDS)}")
        if not 0 < self.noise_rate < 1:
            raise ConfigError(f"objective.noise_rate={self.noise_rate} must lie between 0 and 1")
        if not self.mean_span >= 1:
            raise ConfigError(f"objective.mean_span={self.mean_span} must be at least 1 token")
        if not 0 <= self.random_rate <= 1:
            raise ConfigError(f"objective.random_rate={self.random_rate} must lie from 0 to 1")
        if not self.z_loss >= 0:
            raise ConfigError(f"objective.z_loss={self.z_loss} must not be negative")


@dataclass(frozen=True, kw_only=True)
class DenoisingBatch(Seq2SeqBatch):
    labels: torch.Tensor  # [target tokens] int64, what follows each token of the target


@dataclass(frozen=True, kw_only=True)
class SpanCorruption:
    """See the module docstring."""

    config: SpanCorruptionConfig
    vocabulary: Vocabulary
    max_length: int  # tokens of the inputs, the end-of-text token included
    seed: int = 0
    terms = (DENOISING,)
    streams = False

    def __post_init__(self) -> None:
        v = self.vocabulary
        remedy = "train one with data.special_tokens=t5"
        v.require(("pad", "eos"), "span corruption", remedy)
        if not v.sentinel_ids:
            raise ConfigError(
                f"span corruption needs sentinels <extra_id_0>, ..., and this tokenizer has none; "
                f"{remedy}"
            )
        _, needed = spans.noise_counts(np.array([self.window]), self._rate, self.config.mean_span)
        if self.config.kind == "spans" and needed[0] >= len(v.sentinel_ids):
            raise ConfigError(
                f"a window of {self.window} tokens has {needed[0]} spans, but the tokenizer has "
                f"{len(v.sentinel_ids)} sentinels; lower data.max_length or objective.noise_rate, "
                "or raise objective.mean_span"
            )

    @property
    def _rate(self) -> float:
        return self.config.noise_rate

    @cached_property
    def window(self) -> int:
        """Tokens of the longest row of text."""
        if self.config.kind in _WITH_SENTINELS:
            return spans.window_for(self.max_length, self._rate, self.config.mean_span)
        return self.max_length - 1

    @property
    def target_rate(self) -> float:
        """Share of the tokens, of inputs and targets, at which the vocabulary is predicted."""
        inputs, targets = self._lengths(np.array([self.window]))
        return float(targets[0] / (inputs[0] + targets[0]))

    def _lengths(self, rows: Ints) -> tuple[Ints, Ints]:
        """Tokens of inputs and targets of rows of text; on average where they are random."""
        config, hidden = self.config, np.rint(self._rate * rows).astype(np.int64)
        if config.kind in _WITH_SENTINELS:
            return spans.corrupted_lengths(rows, self._rate, config.mean_span)
        if config.kind == "drop":
            return rows - hidden + 1, hidden + 1
        if config.kind == "prefix-lm":
            return rows // 2 + 1, rows - rows // 2 + 1
        return rows + 1, rows + 1

    def plan(self, corpus: Corpus, epoch: int) -> Iterator[Rows]:
        """Rows of (tokens of inputs and targets, document, start, tokens of text)."""
        for rows in self._windows(corpus, epoch):
            text = rows[:, 0].astype(np.int64)
            rows, text = rows[text > 1], text[text > 1]  # noqa: PLW2901
            inputs, targets = self._lengths(text)
            yield np.stack([inputs + targets, rows[:, 1], rows[:, 2], text], 1).astype(np.int32)

    def _windows(self, corpus: Corpus, epoch: int) -> Iterator[Rows]:
        if self.config.packed:
            first = int(rng.integers(corpus.num_documents, rng.key(self.seed, "pack", epoch)))
            yield from pack(sizes_from(corpus, first, separator=0), self.window)
            return
        for first, starts, lengths in corpus.sentence_lengths():
            yield blocks(first, document_lengths(starts, lengths), self.window)

    def warning(self, corpus: Corpus) -> str | None:
        """What windows of one token are left out.

        Raises:
            DataError: the text holds a sentinel, which would be asked for as one of ours.
        """
        single = 0
        for first, starts, lengths in corpus.sentence_lengths():
            sizes = document_lengths(starts, lengths)
            single += int(np.count_nonzero(sizes % self.window == 1))
            self._refuse_sentinels(corpus, first, sizes)
        if not single or self.config.packed:
            return None
        return (
            f"{single:,} windows of one token are left out, which cannot be both kept and hidden; "
            "objective.packed=true joins documents"
        )

    def _refuse_sentinels(self, corpus: Corpus, first: int, sizes: Ints) -> None:
        lowest, highest = min(self.vocabulary.sentinel_ids), max(self.vocabulary.sentinel_ids)
        for document, size in enumerate(sizes.tolist(), first):
            ids = corpus.tokens(document, 0, size)
            if len(ids) and ((ids >= lowest) & (ids <= highest)).any():
                raise DataError(
                    f"document {document + 1} of the text holds a sentinel such as <extra_id_0>, "
                    "which marks what span corruption hides; delete it from the text"
                )

    def collate(self, corpus: Corpus, picked: SampleBatch) -> DenoisingBatch:
        """Sources, and targets that begin with the start token, the padding's."""
        eos, start = self.vocabulary.eos_id, self.vocabulary.pad_id
        assert eos is not None
        assert start is not None
        sources, targets, labels = [], [], []
        rows = zip(
            picked.rows.tolist(), picked.epochs.tolist(), picked.samples.tolist(), strict=True
        )
        for (_, document, begin, length), epoch, sample in rows:
            text = joined_tokens(corpus, document, begin, length)
            source, target = self.corrupt(text, rng.key(self.seed, "noise", epoch, sample))
            sources.append([*source.tolist(), eos])
            labels += [*target.tolist(), eos]
            targets.append([start, *target.tolist()])
        special = self.vocabulary.special_ids
        return DenoisingBatch(
            source=Batch.of(sources, special_ids=special),
            target=Batch.of(targets, special_ids=special),
            labels=torch.tensor(labels, dtype=torch.int64),
        )

    def corrupt(self, ids: Ints, key: int) -> tuple[Ints, Ints]:
        """Inputs and targets of a text [tokens], without end-of-text tokens.

        Args:
            key: of the row; the same one gives the same result.
        """
        kind = self.config.kind
        if kind == "deshuffle":
            return spans.shuffled(ids, key), ids
        noise = self._noise(len(ids), key)
        if kind in _WITH_SENTINELS:
            sentinels = np.array(self.vocabulary.sentinel_ids)
            noise = spans.with_at_most(noise, len(sentinels) - 1)
            hidden = spans.spans_to_sentinels(ids, ~noise, sentinels)
            return spans.spans_to_sentinels(ids, noise, sentinels), hidden
        if kind in ("drop", "prefix-lm"):
            return ids[~noise], ids[noise]
        masked = spans.tokens_to_mask(
            ids,
            noise,
            mask_id=self.vocabulary.sentinel_ids[0],
            random_rate=self.config.random_rate if kind == "masked" else 0.0,
            vocab=self._ordinary,
            key=key,
        )
        return masked, ids

    def _noise(self, length: int, key: int) -> spans.Noise:
        config = self.config
        if config.kind == "spans":
            return spans.span_noise(length, self._rate, config.mean_span, key, roll=config.roll)
        if config.kind == "prefix-lm":
            return spans.suffix_noise(length, key)
        noise = spans.independent_noise(length, self._rate, key)
        if not noise.any():
            noise[-1] = True  # else there is nothing to learn
        if noise.all():
            noise[0] = False
        return noise

    @cached_property
    def _ordinary(self) -> Ints:
        return np.setdiff1d(np.arange(self.vocabulary.size), self.vocabulary.special_ids)

    def counts(self, batch: DenoisingBatch) -> Counts:
        """Tokens of the targets."""
        return {DENOISING.name: torch.tensor(len(batch.labels))}

    def loss(self, network: Translates, batch: DenoisingBatch, counts: Counts) -> Losses:
        """Cross-entropy in nats a target, with the z-loss."""
        states = network(batch)
        total = network.linear_cross_entropy(states, batch.labels, z_loss=self.config.z_loss)
        return {DENOISING.name: total / counts[DENOISING.name]}

    def scores(self, network: Translates, batch: DenoisingBatch) -> Scores:
        """Cross-entropy in nats and right tokens, over targets; without the z-loss."""
        hidden, labels = network(batch), batch.labels
        total, hits = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.int64)
        for part, right in zip(hidden.split(512), labels.split(512), strict=True):
            found = network.logits(part).float()
            total += torch.nn.functional.cross_entropy(found, right, reduction="sum").cpu()
            hits += (found.argmax(-1) == right).sum().cpu()
        count = torch.tensor(len(labels))
        return {DENOISING.name: (total, count), f"{DENOISING.name}_accuracy": (hits, count)}


def joined_tokens(corpus: Corpus, document: int, start: int, length: int) -> Ints:
    """Tokens of the joined documents, from one's start-th on, over the last one to the first."""
    pieces, missing = [], length
    while missing:
        pieces.append(corpus.tokens(document, start, start + missing))
        document, start = (document + 1) % corpus.num_documents, 0
        missing -= len(pieces[-1])
    return np.concatenate(pieces).astype(np.int64)


SPEC = ObjectiveSpec(
    name="span-corruption",
    about=__doc__ or "",
    config=SpanCorruptionConfig,
    build=SpanCorruption,
    style="t5",
    needs=(Translates,),
)
