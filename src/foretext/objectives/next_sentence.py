"""BERT's two objectives together: masked LM, and whether B is the text after A.

Paper: Devlin et al. 2019, section 3.1 and appendix A.2; the procedure is the official
create_pretraining_data.py. Deviations: pairs and masks are drawn anew each epoch, not in ten static
copies. Where only one document exists, its own text is the random partner, as there.
"""

from __future__ import annotations

from dataclasses import dataclass

from foretext.objectives.base import check_rates
from foretext.objectives.masked_lm import MaskedLMConfig
from foretext.objectives.pairs import PairMaskedLM, PairRule


@dataclass(frozen=True, kw_only=True)
class NextSentenceConfig(MaskedLMConfig):
    """Masks as for masked LM, and how pairs are made."""

    short_seq_rate: float = 0.1  # probability of a shorter target length, uniform from 2
    random_next_rate: float = 0.5  # probability that B comes from another document

    def __post_init__(self) -> None:
        super().__post_init__()
        check_rates(self, "short_seq_rate", "random_next_rate")


@dataclass(frozen=True, kw_only=True)
class NextSentence(PairMaskedLM):
    config: NextSentenceConfig
    term = "nsp"

    @property
    def rule(self) -> PairRule:
        """B follows A, or comes from another document; its label is then 1."""
        c = self.config
        return PairRule(short_seq_rate=c.short_seq_rate, random_rate=c.random_next_rate)


SEGMENTS = 2  # of a sample, at most
Config, Build = NextSentenceConfig, NextSentence
