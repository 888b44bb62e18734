"""The official scores of KorQuAD 1.0: SQuAD's, but F1 over characters and articles are kept.

Paper: Lim et al. 2019, with evaluate-v1.0.py.
"""

from __future__ import annotations

import string
from collections.abc import Sequence

from foretext.metrics import squad

_BLANKS = str.maketrans(dict.fromkeys("'\"《》<>〈〉()‘’", " "))
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalise(text: str) -> str:
    """Lower case, quotes and brackets as spaces, no ASCII punctuation, single spaces."""
    bare = text.translate(_BLANKS).lower().translate(_PUNCTUATION)
    return " ".join(bare.split())


def _characters(normalised: str) -> Sequence[str]:
    return normalised.replace(" ", "")


RULES = squad.Rules(normalise, _characters)


def scores(answer: str, golds: Sequence[str], *, empty_counts: bool = False) -> squad.Scores:
    """The best exact match and the best character F1; arguments as for squad.scores."""
    return squad.scores(answer, golds, empty_counts=empty_counts, rules=RULES)
