"""Examples of every task as a source text and a target text, and answers read back from texts.

    classification       sst2 sentence: a gem of a film           -> positive
    similarity           stsb sentence1: ... sentence2: ...       -> 3.8
    multiple choice      race question: ... choice1: ... context: ...   -> choice2
    question answering   question: ... context: ...               -> the answer's text
    tagging              conll2003 tokens: EU rejects ...         -> B-ORG O ...

Paper: Raffel et al. 2020, https://arxiv.org/abs/1910.10683, section 2.4 and appendix D, with the
official t5/data/preprocessors.py: the fields of a pair in alphabetical order, labels as words,
STS-B in steps of 0.2, spaces around the punctuation of SQuAD. Any other text is a wrong answer.
Deviations: T5 has neither the form of multiple choice (COPA's, with any number of choices) nor that
of tagging, nor the words "no answer" of SQuAD 2.0; WNLI is an ordinary pair, not a pronoun to be
resolved; an answer to a question is taken from the context without the spaces that were put into
it, and scored as the official scorer does, where T5 scores spaced answers against spaced golds.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Protocol

import numpy as np

from foretext.labelled.squad import Question
from foretext.metrics.tag_schemes import OUTSIDE
from foretext.tasks import multiple_choice, similarity, tagging
from foretext.tasks.choices import ChoiceExample
from foretext.tasks.columns import TextExample
from foretext.tasks.qa_answers import Candidate
from foretext.tasks.qa_answers import Prediction as Answer
from foretext.tasks.tag_units import TagExample

NO_ANSWER = "no answer"


@dataclass(frozen=True, kw_only=True)
class Wording:
    """How a data set is worded: its name, the names of its texts, and its labels as words."""

    name: str
    fields: tuple[str, ...] = ()  # in the order of an example's texts; () = the columns' names
    labels: Mapping[str, str] = field(default_factory=dict)  # as filed -> as written; else as filed


_PAIR = ("sentence1", "sentence2")
WORDINGS = {
    w.name: w
    for w in (
        Wording(name="cola", fields=("sentence",), labels={"0": "unacceptable", "1": "acceptable"}),
        Wording(name="sst2", fields=("sentence",), labels={"0": "negative", "1": "positive"}),
        Wording(name="mrpc", fields=_PAIR, labels={"0": "not_equivalent", "1": "equivalent"}),
        Wording(
            name="qqp",
            fields=("question1", "question2"),
            labels={"0": "not_duplicate", "1": "duplicate"},
        ),
        Wording(name="stsb", fields=_PAIR),
        Wording(name="mnli", fields=("premise", "hypothesis")),
        Wording(name="snli", fields=("premise", "hypothesis")),
        Wording(name="qnli", fields=("question", "sentence")),
        Wording(name="rte", fields=_PAIR),
        Wording(name="wnli", fields=_PAIR, labels={"0": "not_entailment", "1": "entailment"}),
        Wording(name="nsmc", fields=("document",), labels={"0": "negative", "1": "positive"}),
    )
}


def wording_for(name: str, columns: Sequence[str]) -> Wording:
    """The wording of a data set, or of a task in the names of its columns."""
    if name in WORDINGS:
        return WORDINGS[name]
    named = tuple(columns) if not any(c.isdigit() for c in columns) else ()
    default = ("sentence",) if len(columns) == 1 else _PAIR
    return Wording(name=name, fields=named or default)


class TextForm(Protocol):
    """A task's examples as texts. `read` gives what the task's own decode would."""

    @property
    def longest(self) -> int:
        """Tokens of an answer, at most."""
        ...

    def source(self, example: Any) -> str:
        """What the model reads."""
        ...

    def knows(self, example: Any) -> bool:
        """Whether the example is labelled."""
        ...

    def target(self, example: Any) -> str:
        """What it is to write; the example is labelled."""
        ...

    def read(self, text: str, example: Any) -> Any:
        """The prediction that a text is."""
        ...


def fields_of(name: str, fields: Sequence[tuple[str, str]]) -> str:
    """`name key: value key: value`, keys in this order."""
    return " ".join([name, *(f"{key}: {value}" for key, value in fields)]).strip()


@dataclass(frozen=True, slots=True)
class TextLabel:
    """A label, or a text that is none."""

    label: str | None  # None = the text is no label
    text: str  # as generated

    @property
    def line(self) -> str:
        """The label, or the text where it is none."""
        return " ".join((self.label or self.text).split())


@dataclass(frozen=True)
class LabelForm:
    """Classification."""

    wording: Wording
    labels: tuple[str, ...]  # as filed

    @property
    def longest(self) -> int:
        """As many as the longest word has bytes, and the end."""
        words = [self.wording.labels.get(label, label) for label in self.labels]
        return 2 + max(len(word.encode()) for word in words)

    def source(self, example: TextExample) -> str:
        """The texts by name, in alphabetical order."""
        named = zip(self.wording.fields, example.texts, strict=True)
        return fields_of(self.wording.name, sorted(named))

    def knows(self, example: TextExample) -> bool:
        """Whether the example is labelled."""
        return example.label is not None

    def target(self, example: TextExample) -> str:
        """The label as a word."""
        assert example.label is not None
        return self.wording.labels.get(example.label, example.label)

    def read(self, text: str, example: TextExample) -> TextLabel:  # noqa: ARG002
        """The label that the text is, to the letter."""
        words = {self.wording.labels.get(label, label): label for label in self.labels}
        return TextLabel(words.get(text.strip()), text)


@dataclass(frozen=True)
class ScoreForm:
    """Similarity: the score in 25 steps of its range, 0.2 each for STS-B."""

    wording: Wording
    lowest: float
    highest: float
    longest = 16  # characters of a number, more or less

    @property
    def step(self) -> float:
        """Between two scores that are told apart."""
        return (self.highest - self.lowest) / 25

    def source(self, example: TextExample) -> str:
        """The texts by name, in alphabetical order."""
        named = zip(self.wording.fields, example.texts, strict=True)
        return fields_of(self.wording.name, sorted(named))

    def knows(self, example: TextExample) -> bool:
        """Whether the example is labelled."""
        return example.label is not None

    def target(self, example: TextExample) -> str:
        """The nearest step; half a step goes to the even one, in fp32, as in TensorFlow."""
        steps = np.rint(np.float32(similarity.score(example)) / np.float32(self.step))
        digits = max(0, math.ceil(-math.log10(self.step) - 1e-9))
        return f"{float(steps) * self.step:.{digits}f}"

    def read(self, text: str, example: TextExample) -> similarity.Prediction:  # noqa: ARG002
        """The number that the text is; any other text is below the lowest by 1, as T5's -1."""
        plain = re.fullmatch(r"\s*[-+]?(\d+\.?\d*|\.\d+)\s*", text)
        return similarity.Prediction(float(text) if plain else self.lowest - 1)


@dataclass(frozen=True)
class ChoiceForm:
    """Multiple choice: the number of the right one, as COPA's."""

    wording: Wording
    longest = 16  # characters of choice1

    def source(self, example: ChoiceExample) -> str:
        """What begins every candidate, the candidates, and the context, which may be cut."""
        said = [("question", example.prefix)] if example.prefix else []
        said += [(f"choice{i}", text) for i, text in enumerate(example.candidates, 1)]
        return fields_of(self.wording.name, [*said, ("context", example.context)])

    def knows(self, example: ChoiceExample) -> bool:
        """Whether the example is labelled."""
        return example.answer is not None

    def target(self, example: ChoiceExample) -> str:
        """choice1, choice2, ..."""
        assert example.answer is not None
        return f"choice{example.answer + 1}"

    def read(self, text: str, example: ChoiceExample) -> multiple_choice.Prediction:
        """The candidate named; position -1 and the text itself where none is."""
        named = re.fullmatch(r"\s*choice(\d{1,9})\s*", text, re.ASCII)
        index = int(named[1]) - 1 if named else -1
        if not 0 <= index < len(example.candidates):
            return multiple_choice.Prediction(-1, text, (0.0,) * len(example.candidates))
        shares = tuple(float(i == index) for i in range(len(example.candidates)))
        return multiple_choice.Prediction(index, example.candidates[index], shares)


@dataclass(frozen=True)
class AnswerForm:
    """Question answering: the answer's text."""

    longest = 128  # few answers of SQuAD have 40 words

    def source(self, example: Question) -> str:
        """Question and context, spaces around punctuation."""
        question, context = spaced(example.question), spaced(example.context)
        return f"question: {question} context: {context}"

    def knows(self, example: Question) -> bool:
        """Whether the example is labelled."""
        return example.answers is not None

    def target(self, example: Question) -> str:
        """The first answer."""
        return spaced(example.answers[0].text) if example.answers else NO_ANSWER

    def read(self, text: str, example: Question) -> Answer:
        """The part of the context that the text is, else the text; none for `no answer`."""
        text = text.strip()
        if text in ("", NO_ANSWER):
            return Answer(example.id, "", 0, 0, 0.0, 1.0, 1.0, 1.0, ())
        answer, start, end = text, 0, 0
        if (found := _unspaced(text, example.context)) is not None:
            answer, start, end = example.part(*found)
        best = Candidate(answer, start, end, 0.0, 1.0)
        return Answer(example.id, answer, start, end, 0.0, 1.0, 0.0, -1.0, (best,))


def spaced(text: str) -> str:
    """The text with spaces around every sign that is neither letter, digit, mark nor `_`."""
    return " ".join("".join(map(_spaced, text)).split())


@cache
def _spaced(character: str) -> str:
    inner = character == "_" or unicodedata.category(character)[0] in "LMN"
    return character if inner else f" {character} "


def _unspaced(text: str, context: str) -> tuple[int, int] | None:
    """Where the context, without white space, first holds the text without it."""
    solid = [i for i, c in enumerate(context) if not c.isspace()]
    wanted = "".join(text.split())
    at = "".join(context[i] for i in solid).find(wanted)
    return None if at < 0 or not wanted else (solid[at], solid[at + len(wanted) - 1] + 1)


@dataclass(frozen=True)
class TagForm:
    """Tagging: a tag for each unit, separated by spaces."""

    wording: Wording
    task: tagging.Tagging
    longest = 1024  # three tokens a tag, more or less

    def source(self, example: TagExample) -> str:
        """The units, separated by spaces."""
        return fields_of(self.wording.name, [("tokens", " ".join(example.units))])

    def knows(self, example: TagExample) -> bool:
        """Whether the example is labelled."""
        return example.tags is not None

    def target(self, example: TagExample) -> str:
        """The tags."""
        return " ".join(example.tags or ())

    def read(self, text: str, example: TagExample) -> tagging.Prediction:
        """The tags as far as they are known ones; missing ones are task.blank, or O."""
        config = self.task.config
        blank = config.blank or (OUTSIDE if OUTSIDE in config.labels else config.labels[0])
        said = text.split()[: len(example.units)]
        said += [blank] * (len(example.units) - len(said))
        tags = [tag if tag in config.labels else blank for tag in said]
        return self.task.tagged(example, tags, [1.0] * len(tags))
