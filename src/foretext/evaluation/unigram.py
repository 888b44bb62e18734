"""What token frequencies alone would reach: the loss that a model must leave behind.

A language model learns them within some dozen steps and may stay there for long (the unigram
plateau), so a held-out loss says little without this number beside it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from foretext.objectives.base import Corpus, Ints, Predicts, Term

_TOKENS = 500_000  # read of each text at most
_LEFT = 0.3  # nats below the frequencies from which on a model uses what is around a token


def unigram_nats(
    train: Corpus, held_out: Corpus, vocab_size: int, num_predicted: int | None = None
) -> float:
    """Cross-entropy of held-out tokens with the training text's frequencies, nats a token.

    Args:
        train: its first documents are counted, and each token once more, so that none has no
            probability.
        held_out: its first documents are scored.
        vocab_size: number of ids.
        num_predicted: ids from this one on are one, as the model has it; None: all are different.
    """
    seen, asked = _counts(train, vocab_size), _counts(held_out, vocab_size)
    if num_predicted is not None and num_predicted < vocab_size:
        borders = np.arange(num_predicted + 1)
        seen, asked = np.add.reduceat(seen, borders), np.add.reduceat(asked, borders)
    weights = seen + 1.0
    nats = np.log(weights.sum()) - np.log(weights)
    return float((asked * nats).sum() / asked.sum())


def plateau(metrics: Mapping[str, float], terms: Iterable[Term]) -> str | None:
    """What to tell of a run whose held-out loss is that of frequencies; None if it is not.

    Args:
        metrics: of evaluate_objective, and "unigram", in nats; without the latter None is known.
        terms: of the objective.
    """
    alone = metrics.get("unigram", math.inf)
    for name in (term.name for term in terms if term.predicts is not Predicts.NOTHING):
        if name in metrics and metrics[name] > alone - _LEFT:
            return (
                f"held-out {name} is {metrics[name]:.2f} nats and token frequencies alone give "
                f"{alone:.2f}: the model is still on the plateau; give it more "
                "steps, or see docs/troubleshooting.md"
            )
    return None


def _counts(corpus: Corpus, vocab_size: int) -> NDArray[np.int64]:
    counts: Ints = np.zeros(vocab_size, np.int64)
    left = _TOKENS
    for document in range(corpus.num_documents):
        size = int(corpus.sentence_offsets(document)[-1])
        counts += np.bincount(corpus.tokens(document, 0, min(size, left)), minlength=vocab_size)
        left -= size
        if left <= 0:
            break
    return counts
