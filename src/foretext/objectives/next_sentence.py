"""BERT's two objectives together: masked LM, and whether B is the text after A.

Paper: Devlin et al. 2019, section 3.1 and appendix A.2; the procedure is the official
create_pretraining_data.py. Deviations: pairs and masks are drawn anew each epoch, not in ten static
copies. Where only one document exists, its own text is the random partner, as there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

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
    choose,
    hide,
    read_of,
    rounded_quota,
    where_of,
)
from foretext.objectives.networks import JudgesPairs
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

NSP = Term(name="nsp", title="next sentence", unit="nats a pair", compared=False)


@dataclass(frozen=True, kw_only=True)
class NextSentenceConfig(MaskingConfig):
    """Masks as for masked LM, and how pairs are made."""

    short_seq_rate: float = 0.1  # probability of a shorter target length, uniform from 2
    random_next_rate: float = 0.5  # probability that B comes from another document

    def __post_init__(self) -> None:
        super().__post_init__()
        check_rates(self, "short_seq_rate", "random_next_rate")


@dataclass(frozen=True, kw_only=True)
class NextSentence:
    config: NextSentenceConfig
    vocabulary: Vocabulary
    max_length: int  # tokens, [CLS] and both [SEP] included
    seed: int = 0
    terms = (MLM, NSP)
    streams = False

    def __post_init__(self) -> None:
        self.vocabulary.require(ROLES, "next sentence", REMEDY)

    @property
    def target_rate(self) -> float:
        """See Objective."""
        return self.config.mask_rate

    @property
    def rule(self) -> PairRule:
        """B follows A, or comes from another document; its label is then 1."""
        c = self.config
        return PairRule(short_seq_rate=c.short_seq_rate, random_rate=c.random_next_rate)

    def plan(self, corpus: Corpus, epoch: int) -> Iterator[Rows]:
        """Rows of (length, document A, start, stop, document B, start, stop, label)."""
        return plan_pairs(corpus, self.rule, self.max_length, seed=self.seed, epoch=epoch)

    def warning(self, corpus: Corpus) -> str | None:
        """Too few documents of several sentences, or no other document."""
        return pair_warning(corpus, NSP)

    def collate(self, corpus: Corpus, picked: SampleBatch) -> PairBatch:
        """`[CLS] A [SEP] B [SEP]` with some tokens hidden."""
        c, v, seed = self.config, self.vocabulary, self.seed
        laid = assemble(pair_texts(corpus, picked), first=v.cls_id, after=v.sep_id)
        where = where_of(laid, picked, c.mask_sets)
        quota = rounded_quota(laid, c.mask_rate)
        targets = choose(laid, where, quota, config=c, vocabulary=v, seed=seed)
        hidden = hide(laid, targets, where, config=c, vocabulary=v, seed=seed)
        return PairBatch(**hidden, pair_labels=pair_labels(picked), used=read_of(hidden))

    def counts(self, batch: PairBatch) -> Counts:
        """Hidden tokens, and pairs."""
        return pair_counts(batch, NSP)

    def loss(self, network: JudgesPairs, batch: PairBatch, counts: Counts) -> Losses:
        """Both terms, in nats per hidden token and per pair; they weigh the same."""
        return pair_losses(network, batch, counts, NSP)

    def scores(self, network: JudgesPairs, batch: PairBatch) -> Scores:
        """Sums of both losses and of the hits of both heads."""
        return pair_scores(network, batch, NSP)


SPEC = ObjectiveSpec(
    name="next-sentence",
    about=__doc__ or "",
    config=NextSentenceConfig,
    build=NextSentence,
    style="bert",
    needs=(JudgesPairs,),
    segments=2,
)
