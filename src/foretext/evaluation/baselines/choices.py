"""The candidate that is most like the context: cosines of bags, without learning from answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from foretext.evaluation.baselines.texts import BAGS, Bag
from foretext.tasks.choices import ChoiceExample
from foretext.tasks.multiple_choice import MultipleChoiceConfig, Prediction


def nearest(
    train: Sequence[ChoiceExample],
    config: MultipleChoiceConfig,  # noqa: ARG001  (a config is every baseline's second argument)
) -> dict[str, Callable[[Sequence[ChoiceExample]], list[Prediction]]]:
    """The nearest candidate in each bag."""
    texts = [text for e in train for text in (_question(e), *e.candidates)]
    return {f"nearest by {name}": partial(_answers, Bag(name, texts)) for name in BAGS}


def _question(example: ChoiceExample) -> str:
    return f"{example.context} {example.prefix}"


def _answers(bag: Bag, examples: Sequence[ChoiceExample]) -> list[Prediction]:
    answers = []
    for example in examples:
        question = [_question(example)] * len(example.candidates)
        cosines = bag.cosines(question, example.candidates)
        index, shares = int(cosines.argmax()), np.exp(cosines) / np.exp(cosines).sum()
        answers.append(Prediction(index, example.candidates[index], tuple(shares.tolist())))
    return answers
