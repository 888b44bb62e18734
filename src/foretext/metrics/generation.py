"""Scores of generated texts against one reference each: BLEU, chrF, ROUGE, exact match.

BLEU and chrF are sacrebleu's, ROUGE is rouge-score's, so that numbers compare with others'. Each
text gives a few counts, whose sums give the score of a corpus; so two models can be compared over
resampled texts.

Papers: Papineni et al. 2002 with Post 2018 (BLEU); Popović 2015 (chrF); Lin 2004 (ROUGE).
T5 measures BLEU with the tokens of mteval's `intl`, and ROUGE-Lsum with a sentence a line.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretext.core.errors import ConfigError

Floats = NDArray[np.float64]

BLEU_TOKENS = ("intl", "13a", "char", "none", "zh", "flores200")
_BLEU_ORDER = 4
_ROUGE = ("rouge1", "rouge2", "rougeLsum")


def bleu_counts(prediction: str, reference: str, *, tokens: str) -> list[float]:
    """What corpus BLEU adds up: matches and n-grams of each order, and both lengths, [10]."""
    found = _bleu(tokens).sentence_score(prediction, [reference])
    return [*map(float, found.counts), *map(float, found.totals), found.sys_len, found.ref_len]


def bleu(counts: Floats) -> float:
    """Corpus BLEU, 0 to 100, of texts' counts [texts, 10]."""
    total = counts.sum(0).astype(np.int64).tolist()
    found = _bleu("intl").compute_bleu(
        correct=total[:_BLEU_ORDER],
        total=total[_BLEU_ORDER : 2 * _BLEU_ORDER],
        sys_len=total[-2],
        ref_len=total[-1],
        smooth_method="exp",
    )
    return float(found.score)


def chrf_counts(prediction: str, reference: str) -> list[float]:
    """What corpus chrF adds up: n-grams of both and their matches, of each order, [18]."""
    (found,) = _chrf()._extract_corpus_statistics([prediction], [[reference]])
    return list(map(float, found))


def chrf(counts: Floats) -> float:
    """Corpus chrF2, 0 to 100, of texts' counts [texts, 18]."""
    return float(_chrf()._compute_f_score(counts.sum(0).astype(np.int64).tolist()))


def rouge_scores(prediction: str, reference: str) -> list[float]:
    """F of ROUGE-1, ROUGE-2 and ROUGE-Lsum, 0 to 100, of one text; a corpus has their means."""
    found = _rouge().score(*(text.replace(" . ", " .\n") for text in (reference, prediction)))
    return [100 * float(found[name].fmeasure) for name in _ROUGE]


def rouge(scores: Floats) -> dict[str, float]:
    """Means over texts' scores [texts, 3]."""
    return dict(zip(_ROUGE, scores.mean(0).tolist(), strict=True))


def check_libraries(names: Sequence[str]) -> None:
    """See that what measures these scores is installed.

    Raises:
        ConfigError: it is not.
    """
    for name in names:
        if name in ("bleu", "chrf"):
            _bleu("intl")
        elif name == "rouge":
            _rouge()


@cache
def _bleu(tokens: str) -> Any:
    try:
        from sacrebleu.metrics.bleu import BLEU
    except ImportError:
        raise _missing("sacrebleu", "BLEU and chrF") from None
    return BLEU(tokenize=tokens, effective_order=True)  # else each text makes it warn


@cache
def _chrf() -> Any:
    try:
        from sacrebleu.metrics.chrf import CHRF
    except ImportError:
        raise _missing("sacrebleu", "BLEU and chrF") from None
    return CHRF()


@cache
def _rouge() -> Any:
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError:
        raise _missing("rouge-score", "ROUGE") from None
    return RougeScorer(list(_ROUGE))


def _missing(library: str, what: str) -> ConfigError:
    return ConfigError(
        f"{what} need the library {library}; install it with `pip install foretext[generation]`, "
        "or measure exact match alone: --set \"task.metrics=['exact']\""
    )
