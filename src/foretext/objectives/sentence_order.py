"""ALBERT's two objectives together: masked n-grams, and whether A and B are in their order.

Paper: Lan et al. 2020, https://arxiv.org/abs/1909.11942, sections 3.1 and 4.1; the procedure is the
official create_pretraining_data.py. A and B are neighbours that change places half of the time. A
chunk of one sentence takes B from another document, with the label of a swapped pair, as there.
Hidden are runs of n whole words, n <= 3 with probability proportional to 1/n; a run may cross the
[SEP] between A and B.
Deviations: pairs and masks are drawn anew each epoch, not in 40 static copies, and a row's targets
are not capped at 20. A word piece right after [SEP] starts a word of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from foretext.core.errors import ConfigError
from foretext.objectives.base import (
    Corpus,
    Counts,
    Losses,
    Rows,
    SampleBatch,
    Scores,
    Term,
    Vocabulary,
    assemble,
    check_rates,
)
from foretext.objectives.masked_lm import MLM, REMEDY, ROLES
from foretext.objectives.masking import (
    MaskingConfig,
    choose_ngrams,
    hide,
    read_of,
    rounded_quota,
    where_of,
    words_of,
)
from foretext.objectives.networks import JudgesPairs
from foretext.objectives.next_sentence import NSP
from foretext.objectives.pairs import (
    PairBatch,
    PairRule,
    pair_counts,
    pair_labels,
    pair_losses,
    pair_scores,
    pair_texts,
    pair_warning,
    plan_pairs,
)
from foretext.objectives.spec import ObjectiveSpec

PAIRS = ("order", "next")
SOP = Term(name="sop", title="sentence order", unit="nats a pair", compared=False)


@dataclass(frozen=True, kw_only=True)
class SentenceOrderConfig(MaskingConfig):
    """Masks as for masked LM, but in n-grams of whole words, and how pairs are made."""

    max_ngram: int = 3  # words of the longest run that is hidden together
    pairs: str = "order"  # or "next": B comes from another document instead (table 5)
    short_seq_rate: float = 0.1  # probability of a shorter target length, uniform from 2
    pair_rate: float = 0.5  # probability that a pair is swapped, or random

    def __post_init__(self) -> None:
        super().__post_init__()
        check_rates(self, "short_seq_rate", "pair_rate")
        if self.max_ngram < 1:
            raise ConfigError(f"objective.max_ngram={self.max_ngram} must be at least 1 word")
        if self.pairs not in PAIRS:
            raise ConfigError(f"objective.pairs={self.pairs!r} must be one of {', '.join(PAIRS)}")


@dataclass(frozen=True, kw_only=True)
class SentenceOrder:
    config: SentenceOrderConfig
    vocabulary: Vocabulary
    max_length: int  # tokens, [CLS] and both [SEP] included
    seed: int = 0
    streams = False

    def __post_init__(self) -> None:
        self.vocabulary.require(ROLES, "sentence order", REMEDY)

    @property
    def pair_term(self) -> Term:
        """What the second loss is."""
        return SOP if self.config.pairs == "order" else NSP

    @property
    def terms(self) -> tuple[Term, ...]:
        """Masked LM, and the pair's."""
        return MLM, self.pair_term

    @property
    def target_rate(self) -> float:
        """See Objective."""
        return self.config.mask_rate

    @property
    def rule(self) -> PairRule:
        """A and B change places, or B comes from another document; the label is then 1."""
        c = self.config
        order = c.pairs == "order"
        return PairRule(
            short_seq_rate=c.short_seq_rate,
            random_rate=0.0 if order else c.pair_rate,
            swap_rate=c.pair_rate if order else 0.0,
        )

    def plan(self, corpus: Corpus, epoch: int) -> Iterator[Rows]:
        """Rows of (length, document A, start, stop, document B, start, stop, label)."""
        return plan_pairs(corpus, self.rule, self.max_length, seed=self.seed, epoch=epoch)

    def warning(self, corpus: Corpus) -> str | None:
        """Too few documents of several sentences, or no other document."""
        return pair_warning(corpus, self.pair_term)

    def collate(self, corpus: Corpus, picked: SampleBatch) -> PairBatch:
        """`[CLS] A [SEP] B [SEP]` with runs of words hidden."""
        c, v, seed = self.config, self.vocabulary, self.seed
        laid = assemble(pair_texts(corpus, picked), first=v.cls_id, after=v.sep_id)
        where = where_of(laid, picked, c.mask_sets)
        quota, words = rounded_quota(laid, c.mask_rate), words_of(laid, v)
        targets = choose_ngrams(laid, where, words, quota, longest=c.max_ngram, seed=seed)
        hidden = hide(laid, targets, where, config=c, vocabulary=v, seed=seed)
        return PairBatch(**hidden, pair_labels=pair_labels(picked), used=read_of(hidden))

    def counts(self, batch: PairBatch) -> Counts:
        """Hidden tokens, and pairs."""
        return pair_counts(batch, self.pair_term)

    def loss(self, network: JudgesPairs, batch: PairBatch, counts: Counts) -> Losses:
        """Both terms, in nats per hidden token and per pair; they weigh the same."""
        return pair_losses(network, batch, counts, self.pair_term)

    def scores(self, network: JudgesPairs, batch: PairBatch) -> Scores:
        """Sums of both losses and of the hits of both heads."""
        return pair_scores(network, batch, self.pair_term)


SPEC = ObjectiveSpec(
    name="sentence-order",
    about=__doc__ or "",
    config=SentenceOrderConfig,
    build=SentenceOrder,
    style="bert",
    needs=(JudgesPairs,),
    segments=2,
)
