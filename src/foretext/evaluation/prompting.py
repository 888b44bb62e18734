"""Zero-, one- and few-shot: a model asked by a prompt, without a gradient.

Papers: Brown et al. 2020 (GPT-3), section 2 (settings), 2.4 (options by likelihood, normalised by
length or by the unconditional answer) and figure 2.1. The examples in a prompt are drawn from a
file of their own by a seed and named by a hash; where they do not fit, whole examples are dropped
from the front and counted. A tie counts as a half.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

import numpy as np

from foretext.core import rng
from foretext.core.errors import ConfigError
from foretext.evaluation.suite import Item, Suite
from foretext.inference.scoring import Likelihood, Scorer

_AT_ONCE = 256  # questions


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One question's answer, as a JSON record holds it."""

    line: int
    prompt: str
    options: tuple[str, ...]
    right: int
    scores: tuple[float, ...]
    chosen: int
    credit: float  # 1 right, 0 wrong, a part where several are best
    dropped: int  # examples that did not fit

    @property
    def record(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Result:
    """One setting: so many shots, in one order."""

    suite: str
    shots: int
    order: int
    exemplars: str  # the first of the SHA-256 of the examples in the prompt; "" for none
    questions: int
    accuracy: float
    error: float  # standard error of the accuracy
    chance: float  # of an answer at random
    ties: int
    dropped: int  # examples, over all questions


@dataclass(frozen=True, kw_only=True)
class Shots:
    """Which examples stand before a question."""

    pool: Sequence[Item]  # what they are drawn from
    count: int
    order: int = 0
    seed: int = 0

    def drawn(self) -> list[Item]:
        """The examples, in their order.

        Raises:
            ConfigError: there are fewer in the pool.
        """
        if self.count > len(self.pool):
            raise ConfigError(
                f"--shots {self.count} needs as many examples, but their file has "
                f"{len(self.pool)}; give --exemplars with more rows"
            )
        keys = rng.uniform(rng.key(self.seed, "exemplars"), np.arange(len(self.pool)))
        chosen = np.argsort(keys, kind="stable")[: self.count]
        turn = rng.uniform(rng.key(self.seed, "exemplar order"), self.order, np.arange(self.count))
        return [self.pool[i] for i in chosen[np.argsort(turn, kind="stable")]]


def fingerprint(items: Sequence[Item]) -> str:
    """What names the examples of a prompt, 12 hex digits; "" for none."""
    if not items:
        return ""
    text = "\0".join(item.prompt + item.options[item.right] for item in items)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def ask(scorer: Scorer, suite: Suite, items: Sequence[Item], shots: Shots) -> Iterator[Answer]:
    """Answers in the order of the questions."""
    examples = shots.drawn()
    for begin in range(0, len(items), _AT_ONCE):
        part = items[begin : begin + _AT_ONCE]
        prompts = [_prompt(scorer, suite, item, examples) for item in part]
        pairs = [(p, o) for item, (p, _) in zip(part, prompts, strict=True) for o in item.options]
        found = iter(scorer.score(pairs))
        bare = iter(_unconditional(scorer, suite, part))
        for item, (prompt, dropped) in zip(part, prompts, strict=True):
            scores = tuple(_normalised(next(found), suite, next(bare)) for _ in item.options)
            best = max(scores)
            winners = [n for n, score in enumerate(scores) if score == best]
            yield Answer(
                line=item.place,
                prompt=prompt,
                options=item.options,
                right=item.right,
                scores=scores,
                chosen=winners[0],
                credit=1 / len(winners) if item.right in winners else 0.0,
                dropped=dropped,
            )


def _prompt(scorer: Scorer, suite: Suite, item: Item, examples: Sequence[Item]) -> tuple[str, int]:
    """The examples and the question; and how many examples were dropped to fit."""
    shown = [example.prompt + example.options[example.right] for example in examples]
    longest = max(item.options, key=len)
    for dropped in range(len(shown) + 1):
        prompt = suite.separator.join([*shown[dropped:], item.prompt])
        size = len(scorer.tokenizer.encode(prompt + longest)) + 3
        if scorer.limit is None or size <= scorer.limit or dropped == len(shown):
            return prompt, dropped
    raise AssertionError("the last turn returns")


def _unconditional(scorer: Scorer, suite: Suite, items: Sequence[Item]) -> list[Likelihood | None]:
    options = [option for item in items for option in item.options]
    if suite.normalise != "unconditional":
        return [None] * len(options)
    return list(scorer.score((suite.unconditional, option) for option in options))


def _normalised(found: Likelihood, suite: Suite, bare: Likelihood | None) -> float:
    if bare is not None:
        return found.total - bare.total
    if suite.normalise == "tokens":
        return found.per_token
    return found.per_character if suite.normalise == "characters" else found.total


def summarise(suite: Suite, shots: Shots, answers: Sequence[Answer]) -> Result:
    """The accuracy of a setting."""
    credits = [answer.credit for answer in answers]
    count = len(credits)
    mean = fmean(credits)
    return Result(
        suite=suite.name,
        shots=shots.count,
        order=shots.order,
        exemplars=fingerprint(shots.drawn()),
        questions=count,
        accuracy=mean,
        error=(mean * (1 - mean) / count) ** 0.5,
        chance=fmean(1 / len(answer.options) for answer in answers),
        ties=sum(0 < credit < 1 for credit in credits),
        dropped=sum(answer.dropped for answer in answers),
    )
