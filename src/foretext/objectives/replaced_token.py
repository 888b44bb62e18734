"""Replaced token detection: a small generator fills gaps, a discriminator says which it filled.

Paper: Clark et al. 2020 (ELECTRA), https://arxiv.org/abs/2003.10555, sections 2 and 3.4; what the
paper leaves out, and where they differ, the official code (build_pretraining_dataset.py,
pretrain_helpers.py, run_pretraining.py): 85% of the chosen tokens become [MASK] and 15% stay, and
positions are drawn with replacement.
Deviations: segments and masks are drawn anew each epoch. A position drawn twice is one target; the
official code counts it twice in the generator's loss and averages the ids of its two samples. The
generator's samples come from the inverse of the cumulative distribution, the same distribution as
the official argmax with Gumbel noise. Each example draws its target length by itself, the first of
a corpus too. For the MLM ablations the paper gives no weight; both losses weigh the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from foretext.core import rng
from foretext.core.batch import Batch
from foretext.core.errors import ConfigError
from foretext.objectives.base import (
    Assembled,
    Corpus,
    Counts,
    Ints,
    Losses,
    Rows,
    SampleBatch,
    Scores,
    Term,
    Vocabulary,
    assemble,
    check_rates,
)
from foretext.objectives.masked_lm import MLM, REMEDY, ROLES, masked_scores
from foretext.objectives.masking import (
    MaskedBatch,
    MaskingConfig,
    Where,
    choose_with_replacement,
    choose_words,
    hide,
    random_order,
    rounded_quota,
    where_of,
    words_of,
)
from foretext.objectives.networks import FindsReplaced
from foretext.objectives.spec import ObjectiveSpec

_ROWS = 2**15  # planned at a time
# What the discriminator learns, and what the model is then for (family.architecture).
VARIANTS = {
    "all-tokens": "replaced-token",  # ELECTRA: replaced or not, of every token
    "masked-only": "replaced-token",  # ELECTRA 15%: of the chosen tokens alone
    "replace-mlm": "replace-mlm",  # the original of each chosen token
    "all-tokens-mlm": "all-tokens-mlm",  # the original of every token, with a gate that copies
}


RTD = Term(name="rtd", title="replaced or not", unit="nats a token")
CORRECTION = Term(name="correction", title="original of each", unit="nats a token")


@dataclass(frozen=True, kw_only=True)
class ReplacedBatch(MaskedBatch):
    draws: Tensor  # [targets] float64, uniform in [0, 1): which token the generator puts there


@dataclass(frozen=True, kw_only=True)
class ReplacedTokenConfig(MaskingConfig):
    """Masks of the generator's input, how examples are made, and what is learnt."""

    random_rate: float = 0.0
    keep_rate: float = 0.15
    variant: str = "all-tokens"  # all-tokens | masked-only | replace-mlm | all-tokens-mlm
    discriminator_weight: float | None = None  # None: 50 for replaced or not, 1 for MLM variants
    single_segment_rate: float = 0.1  # probability of an example without a second segment
    short_seq_rate: float = 0.05  # probability of a shorter target length, uniform from 5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_rates(self, "single_segment_rate", "short_seq_rate")
        if self.discriminator_weight is not None and not self.discriminator_weight >= 0:
            raise ConfigError(
                f"objective.discriminator_weight={self.discriminator_weight} must not be negative"
            )
        if self.variant not in VARIANTS:
            raise ConfigError(
                f"objective.variant={self.variant!r} is not one of {', '.join(VARIANTS)}"
            )

    @property
    def use(self) -> str:
        """What the model is for, as in family.architecture."""
        return VARIANTS[self.variant]

    @property
    def weight(self) -> float:
        """Of the discriminator's loss beside the generator's."""
        if self.discriminator_weight is not None:
            return self.discriminator_weight
        return 50.0 if self.use == "replaced-token" else 1.0


@dataclass(frozen=True, kw_only=True)
class ReplacedToken:
    """The generator's masked LM, and what the discriminator learns."""

    config: ReplacedTokenConfig
    vocabulary: Vocabulary
    max_length: int  # tokens, special tokens included
    seed: int = 0
    streams = False

    def __post_init__(self) -> None:
        self.vocabulary.require(ROLES, "replaced token", REMEDY)

    @property
    def second(self) -> Term:
        """What the discriminator learns."""
        term = RTD if self.config.use == "replaced-token" else CORRECTION
        return replace(term, weight=self.config.weight)

    @property
    def terms(self) -> tuple[Term, ...]:
        """The generator's, and the discriminator's."""
        return MLM, self.second

    @property
    def target_rate(self) -> float:
        """See Objective."""
        return self.config.mask_rate

    @property
    def _everywhere(self) -> bool:
        """Whether the discriminator judges every token, not the targets alone."""
        return self.config.variant.startswith("all-tokens")

    def plan(self, corpus: Corpus, epoch: int) -> Iterator[Rows]:
        """Rows of (length, document, first sentence, last + 1, max_tokens of segment 1, coin)."""
        found: list[tuple[int, ...]] = []
        for first, starts, lengths in corpus.sentence_lengths():
            for number in range(len(starts) - 1):
                sentences = lengths[starts[number] : starts[number + 1]]
                found += self._examples(epoch, first + number, sentences)
                if len(found) >= _ROWS:
                    yield np.array(found, np.int32)
                    found = []
        yield np.array(found, np.int32).reshape(-1, 6)

    def _examples(self, epoch: int, document: int, sentences: Ints) -> Iterator[tuple[int, ...]]:
        """Examples of one document: sentences until their tokens reach a target length."""
        c, count = self.config, len(sentences)
        ends = np.concatenate([[0], np.cumsum(sentences)])
        key = rng.key(self.seed, "replaced token", epoch)
        # columns: short?, target, single?, coin; a draw belongs to the example's first sentence
        draws = rng.uniform(key, document, np.arange(count)[:, None], np.arange(4))
        start = 0
        while start < count:
            short, length, single, coin = draws[start].tolist()
            target = self.max_length
            if short < c.short_seq_rate:
                target = 5 + int(length * (self.max_length - 4))  # uniform in [5, max_length]
            stop = int(np.searchsorted(ends, ends[start] + target, "left"))
            stop = min(max(stop, start + 1), count)
            max_tokens = (
                np.iinfo(np.int32).max if single < c.single_segment_rate else (target - 3) // 2
            )
            second = in_second_segment(sentences[start:stop].tolist(), max_tokens, coin=coin < 0.5)
            in_b = int(sentences[start:stop][second].sum())
            a, b = self._cut(int(ends[stop] - ends[start]) - in_b, in_b)
            yield (a + b + (3 if b else 2), document, start, stop, max_tokens, int(coin < 0.5))
            start = stop

    def _cut(self, a: int, b: int) -> tuple[int, int]:
        """Tokens of both segments that fit, special tokens apart."""
        a = min(a, self.max_length - 2)
        return a, min(b, max(0, self.max_length - a - 3))

    def warning(self, corpus: Corpus) -> str | None:  # noqa: ARG002
        """See TextObjective."""
        return None

    def collate(self, corpus: Corpus, picked: SampleBatch) -> ReplacedBatch:
        """`[CLS] A [SEP]` or `[CLS] A [SEP] B [SEP]` as the generator reads it, and its draws."""
        c, v, seed = self.config, self.vocabulary, self.seed
        texts = [self._segments(corpus, *row[1:]) for row in picked.rows.tolist()]
        laid = assemble(texts, first=v.cls_id, after=v.sep_id)
        where = where_of(laid, picked, c.mask_sets)
        targets = self._choose(laid, where)
        fields = hide(laid, targets, where, config=c, vocabulary=v, seed=seed)
        at = tuple(part[targets] for part in where_of(laid, picked))
        draws = rng.uniform(rng.key(seed, "generator draw"), *at)
        return ReplacedBatch(**fields, draws=torch.from_numpy(draws))

    def _segments(
        self, corpus: Corpus, document: int, start: int, stop: int, max_tokens: int, coin: int
    ) -> list[Ints]:
        """Token ids of segment 1 and, if it has any, segment 2."""
        offsets = corpus.sentence_offsets(document)[start : stop + 1]
        ids = corpus.tokens(document, int(offsets[0]), int(offsets[-1]))
        lengths = np.diff(offsets)
        second = np.repeat(
            in_second_segment(lengths.tolist(), max_tokens, coin=bool(coin)), lengths
        )
        a, b = ids[~second], ids[second]
        size_a, size_b = self._cut(len(a), len(b))
        return [a[:size_a], b[:size_b]] if size_b else [a[:size_a]]

    def _choose(self, laid: Assembled, where: Where) -> Ints:
        """Targets as for masked LM, and at most what the official code has places for."""
        c, order = self.config, random_order(where, seed=self.seed)
        places = int((c.mask_rate + 0.005) * self.max_length)
        quota = np.maximum(1, np.minimum(rounded_quota(laid, c.mask_rate), places))
        if c.whole_words:
            return choose_words(laid, words_of(laid, self.vocabulary), order, quota)
        return choose_with_replacement(laid, order, quota, mask_id=self.vocabulary.mask_id or 0)

    def counts(self, batch: ReplacedBatch) -> Counts:
        """Targets of the generator and of the discriminator."""
        targets = batch.targets.shape[0]
        judged = batch.num_tokens if self._everywhere else targets
        return {MLM.name: torch.tensor(targets), self.second.name: torch.tensor(judged)}

    def loss(self, network: FindsReplaced, batch: ReplacedBatch, counts: Counts) -> Losses:
        """Both terms in nats per target, the discriminator's times its weight."""
        second = self.second
        at_targets = network.generator(batch, batch.targets).index_select(0, batch.targets)
        nats, drawn = network.generator.linear_cross_entropy_and_sample(
            at_targets, batch.labels, batch.draws
        )
        seen, original = replaced(batch, drawn)
        hidden = network.discriminator(seen, self._used(batch))
        total = self._discriminator_loss(network, hidden, batch, seen.input_ids, original)
        return {
            MLM.name: nats / counts[MLM.name].clamp(min=1),
            second.name: second.weight * total / counts[second.name].clamp(min=1),
        }

    def _used(self, batch: ReplacedBatch) -> Tensor | None:
        """Tokens at which the discriminator is judged; None is all."""
        return None if self._everywhere else batch.targets

    def _discriminator_loss(
        self,
        network: FindsReplaced,
        hidden: Tensor,
        batch: ReplacedBatch,
        seen: Tensor,
        original: Tensor,
    ) -> Tensor:
        """Sum in nats, over every token or over the targets."""
        if self.config.variant == "all-tokens-mlm":
            return copying_loss(network, hidden, seen == original, original)
        if self.config.variant == "replace-mlm":
            states = hidden.index_select(0, batch.targets)
            return network.discriminator.linear_cross_entropy(states, batch.labels)
        fake = seen != original
        if self.config.variant == "masked-only":
            hidden, fake = hidden.index_select(0, batch.targets), fake[batch.targets]
        logits = network.discriminator.discriminator_head(hidden).float()
        return F.binary_cross_entropy_with_logits(logits, fake.float(), reduction="sum")

    def scores(self, network: FindsReplaced, batch: ReplacedBatch) -> Scores:
        """Sums of both losses, of the generator's hits, and of the discriminator's.

        Of replaced or not: accuracy over its targets, precision and recall on replaced tokens.
        """
        hidden = network.generator(batch, batch.targets)
        found = masked_scores(network.generator, hidden, batch)
        _, drawn = network.generator.linear_cross_entropy_and_sample(
            hidden.index_select(0, batch.targets), batch.labels, batch.draws
        )
        seen, original = replaced(batch, drawn)
        hidden = network.discriminator(seen, self._used(batch))
        total = self._discriminator_loss(network, hidden, batch, seen.input_ids, original)
        name = self.second.name
        count = self.counts(batch)[name]
        found[name] = (total, count)
        if name == CORRECTION.name:
            return found
        fake = seen.input_ids != original
        said = network.discriminator.discriminator_head(hidden) > 0
        if self.config.variant == "masked-only":
            fake, said = fake[batch.targets], said[batch.targets]
        return found | {
            f"{name}_accuracy": ((said == fake).sum(), count),
            f"{name}_precision": ((said & fake).sum(), said.sum()),
            f"{name}_recall": ((said & fake).sum(), fake.sum()),
        }


def in_second_segment(lengths: list[int], max_tokens: int, *, coin: bool) -> NDArray[np.bool_]:
    """Which sentences go to segment 2, as _create_example of the official code sorts them.

    A short sentence may go to segment 1 although one before it went to segment 2.

    Args:
        lengths: of the sentences, in tokens.
        max_tokens: tokens of segment 1 to be aimed at.
        coin: whether the first sentence that would exceed it still goes to segment 1.
    """
    second = np.zeros(len(lengths), bool)
    first_tokens = second_tokens = 0
    for number, length in enumerate(lengths):
        overflows = second_tokens == 0 and first_tokens < max_tokens and coin
        if first_tokens == 0 or first_tokens + length < max_tokens or overflows:
            first_tokens += length
        else:
            second_tokens += length
            second[number] = True
    return second


def replaced(batch: ReplacedBatch, drawn: Tensor) -> tuple[Batch, Tensor]:
    """What the discriminator reads, and the original ids [tokens].

    drawn: [targets], the generator's ids; one that equals the original counts as original.
    """
    original = batch.input_ids.index_copy(0, batch.targets, batch.labels)
    seen = batch.input_ids.index_copy(0, batch.targets, drawn)
    return replace(batch, input_ids=seen), original


def copying_loss(network: FindsReplaced, hidden: Tensor, copied: Tensor, labels: Tensor) -> Tensor:
    """Sum in nats of -log(D [input is the label] + (1 - D) softmax(label)), D the copy gate.

    Paper: section 3.4, "All-Tokens MLM". The gradient of a mixture's logarithm is that of its
    parts, each weighted by its share in the mixture, so that the vocabulary's part is a weighted
    cross-entropy and [tokens, vocab] is never held.

    Args:
        hidden: of the discriminator, [tokens, hidden].
        copied: [tokens] bool, the input is the label.
        labels: [tokens], original ids.
    """
    assert network.copy_gate is not None
    gate = network.copy_gate(hidden)[:, 0].float()
    likely = network.discriminator.label_log_probabilities(hidden, labels)
    from_vocabulary = F.logsigmoid(-gate) + likely
    both = torch.logaddexp(F.logsigmoid(gate), from_vocabulary)
    chance = torch.where(copied, both, from_vocabulary)
    share = (from_vocabulary - chance).exp().detach()
    through = network.discriminator.linear_cross_entropy(hidden, labels, share)
    return -chance.sum() + (through - through.detach())


SPEC = ObjectiveSpec(
    name="replaced-token",
    about=__doc__ or "",
    config=ReplacedTokenConfig,
    build=ReplacedToken,
    style="bert",
    needs=(FindsReplaced,),
    segments=2,
    variant=lambda config: config.use,
)
