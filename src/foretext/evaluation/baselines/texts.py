"""Bags of words and of characters: TF-IDF, then logistic regression or a cosine.

Paper: Wang & Manning 2012, https://aclanthology.org/P12-2018 (linear models of n-grams are strong
on short texts). Characters serve languages that are not cut into words by spaces.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretext.tasks.classification import ClassificationConfig
from foretext.tasks.classification import Prediction as Label
from foretext.tasks.columns import TextExample
from foretext.tasks.similarity import Prediction as Score
from foretext.tasks.similarity import SimilarityConfig, score

BAGS: dict[str, dict[str, Any]] = {
    "bag of words": {"ngram_range": (1, 2), "token_pattern": r"\w+|[^\w\s]"},
    "bag of characters": {"analyzer": "char_wb", "ngram_range": (1, 4)},
}
_MOST_FEATURES = 300_000
_STRENGTH = 3.0  # scikit-learn's C


class Bag:
    """Texts as sparse rows, what is weighed learned from the first ones.

    Args:
        name: in BAGS.
        texts: to learn the vocabulary and the weights of n-grams from.
    """

    def __init__(self, name: str, texts: Sequence[str]) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer

        self._vectorizer = TfidfVectorizer(
            **BAGS[name], sublinear_tf=True, max_features=_MOST_FEATURES
        )
        self._vectorizer.fit(texts)

    def rows(self, texts: Sequence[str]) -> Any:
        """A sparse matrix [texts, n-grams] of unit rows."""
        return self._vectorizer.transform(texts)

    def cosines(self, first: Sequence[str], second: Sequence[str]) -> NDArray[np.float64]:
        """How alike the texts of each pair are, [pairs], from 0 to 1."""
        product = self.rows(first).multiply(self.rows(second)).sum(1)
        return np.asarray(product, np.float64).ravel()

    def features(self, examples: Sequence[TextExample]) -> Any:
        """A row of each example; of a pair both texts' n-grams, and those they share."""
        from scipy.sparse import hstack

        sides = [self.rows(side) for side in zip(*(e.texts for e in examples), strict=True)]
        if len(sides) == 1:
            return sides[0]
        return hstack([*sides, sides[0].multiply(sides[1])]).tocsr()


def classifiers(
    train: Sequence[TextExample], config: ClassificationConfig
) -> dict[str, Callable[[Sequence[TextExample]], list[Label]]]:
    """Logistic regression on each bag."""
    from sklearn.linear_model import LogisticRegression

    found: dict[str, Callable[[Sequence[TextExample]], list[Label]]] = {}
    for name in BAGS:
        bag = Bag(name, [text for example in train for text in example.texts])
        model = LogisticRegression(C=_STRENGTH, max_iter=1_000)
        model.fit(bag.features(train), [example.label for example in train])
        found[name] = partial(_labels, bag, model, config)
    return found


def _labels(
    bag: Bag, model: Any, config: ClassificationConfig, examples: Sequence[TextExample]
) -> list[Label]:
    """Labels that the training file lacks have no probability."""
    answers = []
    for row in model.predict_proba(bag.features(examples)):
        shares = dict.fromkeys(config.labels, 0.0)
        shares |= zip(map(str, model.classes_), map(float, row), strict=True)
        answers.append(Label(max(shares, key=shares.__getitem__), shares))
    return answers


def similarities(
    train: Sequence[TextExample],
    config: SimilarityConfig,  # noqa: ARG001  (a config is every baseline's second argument)
) -> dict[str, Callable[[Sequence[TextExample]], list[Score]]]:
    """The cosine of both texts in each bag, on the scale of the training file."""
    found: dict[str, Callable[[Sequence[TextExample]], list[Score]]] = {}
    for name in BAGS:
        bag = Bag(name, [text for example in train for text in example.texts])
        cosines, gold = _cosines(bag, train), [score(example) for example in train]
        centred = cosines - cosines.mean()
        slope = float(centred @ gold / max(float(centred @ centred), 1e-12))
        level = float(np.mean(gold)) - slope * float(cosines.mean())
        found[name] = partial(_scores, bag, slope, level)
    return found


def _scores(bag: Bag, slope: float, level: float, examples: Sequence[TextExample]) -> list[Score]:
    return [Score(level + slope * float(value)) for value in _cosines(bag, examples)]


def _cosines(bag: Bag, examples: Sequence[TextExample]) -> NDArray[np.float64]:
    first, second = zip(*(example.texts for example in examples), strict=True)
    return bag.cosines(first, second)
