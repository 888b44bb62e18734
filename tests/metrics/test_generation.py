"""Sums of counts against the libraries' own scores of a corpus."""

from __future__ import annotations

import random

import numpy as np
import pytest

from foretext.metrics import generation

sacrebleu = pytest.importorskip("sacrebleu")


@pytest.fixture(scope="module")
def texts() -> tuple[list[str], list[str]]:
    draw = random.Random(0)
    words = ["der", "die", "das", "Hund", "läuft", ",", "im", "Park", ".", "schnell", "!", "3.5"]
    predictions = [" ".join(draw.choices(words, k=draw.randint(1, 12))) for _ in range(60)]
    references = [" ".join(draw.choices(words, k=draw.randint(3, 12))) for _ in range(60)]
    predictions[3] = ""
    predictions[5] = references[5]
    return predictions, references


@pytest.mark.parametrize("tokens", ["intl", "13a", "char"])
def test_bleu_is_that_of_the_corpus(texts: tuple[list[str], list[str]], tokens: str) -> None:
    counts = [generation.bleu_counts(p, r, tokens=tokens) for p, r in zip(*texts, strict=True)]
    expected = sacrebleu.corpus_bleu(texts[0], [texts[1]], tokenize=tokens).score
    assert generation.bleu(np.array(counts)) == pytest.approx(expected, abs=1e-9)


def test_chrf_is_that_of_the_corpus(texts: tuple[list[str], list[str]]) -> None:
    counts = [generation.chrf_counts(p, r) for p, r in zip(*texts, strict=True)]
    expected = sacrebleu.corpus_chrf(texts[0], [texts[1]]).score
    assert generation.chrf(np.array(counts)) == pytest.approx(expected, abs=1e-9)


def test_rouge_of_equal_texts_is_100_and_of_disjoint_ones_0() -> None:
    pytest.importorskip("rouge_score")
    same, other = (np.array([generation.rouge_scores("a b . c", t)]) for t in ("a b . c", "d e"))
    assert generation.rouge(same) == {"rouge1": 100.0, "rouge2": 100.0, "rougeLsum": 100.0}
    assert generation.rouge(other) == {"rouge1": 0.0, "rouge2": 0.0, "rougeLsum": 0.0}
