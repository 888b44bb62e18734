"""What the papers say, as differences between arms that can be measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from bench.objectives.results import Results

# Twice the standard error of a difference between two accuracies near a half, on as many examples
# as the test set has; of nats, what two runs of one arm differ by.
_NOISE = {"sst2": 0.048, "swapped": 0.032, "pos": 0.015, "next": 0.037, "order": 0.037}
_NOISE |= {"frozen-masks": 0.04}


@dataclass(frozen=True, kw_only=True)
class Score:
    """A number of an arm: measure and metric."""

    arm: str
    measure: str
    metric: str = "accuracy"

    def of(self, results: Results) -> dict[int, float]:
        """By seed."""
        return results.values(self.arm, self.measure, self.metric)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One number is better than another."""

    says: str  # the paper, with its numbers
    better: Score
    worse: Score
    lower_is_better: bool = False

    def verdict(self, results: Results) -> str:
        """Whether the difference has the paper's sign, seed by seed.

        "yes" needs three seeds that all have it, "no" a median that has not; fewer seeds say so,
        and nothing of a difference that the size of the test set could make.
        """
        better, worse = self.better.of(results), self.worse.of(results)
        sign = -1 if self.lower_is_better else 1
        gains = [sign * (better[seed] - worse[seed]) for seed in better.keys() & worse.keys()]
        if not gains:
            return "not measured"
        right = sum(gain > 0 for gain in gains)
        seeds = f"{right} of {len(gains)} seeds"
        if len(gains) < 3 and abs(median(gains)) < _NOISE[self.better.measure]:
            return f"too near to tell ({seeds})"
        said = "in the median alone"
        if median(gains) <= 0:
            said = "no"
        elif right == len(gains):
            said = "yes"
        return f"{said} ({seeds})" if len(gains) >= 3 else f"{said} so far ({seeds})"


def shown(values: Mapping[int, float], *, digits: int = 3) -> str:
    """Median (lowest-highest)."""
    if not values:
        return "-"
    found = sorted(values.values())
    middle = f"{median(found):.{digits}f}"
    if len(found) == 1:
        return f"{middle} (one seed)"
    return f"{middle} ({found[0]:.{digits}f}-{found[-1]:.{digits}f})"


_ELECTRA = "ELECTRA, table 5, GLUE:"
_ALBERT = "ALBERT, table 5:"


def _electra(says: str, better: str, worse: str) -> list[Claim]:
    both = ("electra", "bert")
    return [
        Claim(
            says=f"{_ELECTRA} {says}",
            better=Score(arm=better, measure=measure),
            worse=Score(arm=worse, measure=measure),
        )
        for measure in ("pos", "sst2", "swapped")
        if measure != "swapped" or (better, worse) == both
    ]


CLAIMS = (
    *_electra("ELECTRA 85.0 above BERT 82.2", "electra", "bert"),
    *_electra("ELECTRA 85.0 above all-tokens MLM 84.3", "electra", "all-tokens-mlm"),
    *_electra("all-tokens MLM 84.3 above BERT 82.2", "all-tokens-mlm", "bert"),
    *_electra("replace MLM 82.4 above BERT 82.2", "replace-mlm", "bert"),
    *_electra("ELECTRA 85.0 above ELECTRA 15% 82.4", "electra", "electra-15"),
    Claim(
        says=f"{_ALBERT} sentence order is solved by SOP (86.5), not by NSP (52.0)",
        better=Score(arm="albert-sop", measure="order"),
        worse=Score(arm="albert-nsp", measure="order"),
    ),
    Claim(
        says=f"{_ALBERT} next sentence is solved better by NSP (90.5) than by SOP (78.9)",
        better=Score(arm="albert-nsp", measure="next"),
        worse=Score(arm="albert-sop", measure="next"),
    ),
    Claim(
        says=f"{_ALBERT} next sentence is solved better by SOP (78.9) than without either (52.4)",
        better=Score(arm="albert-sop", measure="next"),
        worse=Score(arm="bert-no-nsp", measure="next"),
    ),
    Claim(
        says=f"{_ALBERT} SST-2, NSP 91.1 above SOP 90.3",
        better=Score(arm="albert-nsp", measure="sst2"),
        worse=Score(arm="albert-sop", measure="sst2"),
    ),
    Claim(
        says="BERT, table 5: pairs, QNLI 88.4 with NSP, 84.9 without",
        better=Score(arm="bert-nsp", measure="next"),
        worse=Score(arm="bert-no-nsp", measure="next"),
    ),
    Claim(
        says="BERT, table 5: SST-2 92.7 with NSP, 92.6 without",
        better=Score(arm="bert-nsp", measure="sst2"),
        worse=Score(arm="bert-no-nsp", measure="sst2"),
    ),
    Claim(
        says="RoBERTa, table 1: dynamic masks (SQuAD 78.7) above ten static ones (78.3)",
        better=Score(arm="masks-dynamic", measure="frozen-masks", metric="mlm"),
        worse=Score(arm="masks-10", measure="frozen-masks", metric="mlm"),
        lower_is_better=True,
    ),
    Claim(
        says="the same, against a single static mask",
        better=Score(arm="masks-dynamic", measure="frozen-masks", metric="mlm"),
        worse=Score(arm="masks-1", measure="frozen-masks", metric="mlm"),
        lower_is_better=True,
    ),
)
