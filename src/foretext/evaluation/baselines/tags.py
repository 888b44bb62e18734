"""The commonest tag of each word, and of words that were never seen the commonest of all."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from foretext.tasks.tag_files import TaggingConfig
from foretext.tasks.tag_units import TagExample
from foretext.tasks.tagging import Prediction


def commonest(
    train: Sequence[TagExample],
    config: TaggingConfig,  # noqa: ARG001  (a config is every baseline's second argument)
) -> dict[str, Callable[[Sequence[TagExample]], list[Prediction]]]:
    """Counted over the training file; of equally common tags the one that came first."""
    of_word: dict[str, Counter[str]] = defaultdict(Counter)
    of_all = Counter[str]()
    for example in train:
        for unit, tag in zip(example.units, example.tags or (), strict=False):
            of_word[unit][tag] += 1
            of_all[tag] += 1
    best = {word: counts.most_common(1)[0][0] for word, counts in of_word.items()}
    other = of_all.most_common(1)[0][0]
    return {"commonest tag of each word": partial(_tags, best, other)}


def _tags(best: Mapping[str, str], other: str, examples: Sequence[TagExample]) -> list[Prediction]:
    return [
        Prediction(
            tokens=example.units,
            tags=tuple(best.get(unit, other) for unit in example.units),
            probabilities=(1.0,) * len(example.units),
            entities=(),
        )
        for example in examples
    ]
