"""The loss of token frequencies, and who is told that nothing else was learned."""

from __future__ import annotations

import math

import pytest

from foretext.evaluation.unigram import plateau, unigram_nats
from foretext.objectives.causal_lm import LM
from foretext.objectives.masked_lm import MLM
from foretext.objectives.next_sentence import NSP
from tests.objectives.corpora import ListCorpus, random_corpus


def test_it_is_the_cross_entropy_with_smoothed_frequencies() -> None:
    """Counts 3, 1, 0 of ids 0, 1, 2, and one more of each: 4/7, 2/7, 1/7."""
    train = ListCorpus([[[0, 0]], [[0], [1]]])
    found = unigram_nats(train, ListCorpus([[[0, 1]], [[2]]]), 3)
    assert found == pytest.approx(-(math.log(4 / 7) + math.log(2 / 7) + math.log(1 / 7)) / 3)


def test_equally_frequent_tokens_give_the_entropy_of_the_vocabulary() -> None:
    corpus = random_corpus(400)  # 990 ids, drawn evenly
    assert unigram_nats(corpus, random_corpus(40, seed=1), 1_000) == pytest.approx(
        math.log(990), abs=0.03
    )


def test_only_a_loss_near_it_is_spoken_of() -> None:
    assert plateau({}, (MLM,)) is None
    assert plateau({"mlm": 6.3}, (MLM,)) is None  # of a run older than the number
    assert plateau({"mlm": 5.0, "nsp": 0.7, "unigram": 6.4}, (MLM, NSP)) is None
    assert "mlm is 6.30 nats and token frequencies alone give 6.40" in str(
        plateau({"mlm": 6.3, "unigram": 6.4}, (MLM,))
    )
    assert "lm is" in str(plateau({"lm": 6.3, "unigram": 6.4}, (LM,)))
