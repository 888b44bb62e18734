"""Question answering: the answer is a span of the context, or there is none.

Papers: Devlin et al. 2019, section 4.2 (a start and an end vector, softmax over all positions of a
window, the mean of the two cross-entropies, no answer = [CLS]) with run_squad.py; the joint
answerability head: Clark et al. 2020, Yang et al. 2019, Lan et al. 2019 (a classifier of the [CLS]
state and the states weighted by the start probabilities, loss weight 0.5).
Deviations: left-to-right models point at their last token for "no answer", the only one whose state
has seen both texts. The joint head's end vector is not conditioned on the start, and there is no
beam over it: start and end stay what the matching class of `transformers` reads. Windows without
the answer are trained as "no answer" in SQuAD 1.1 too, as in run_squad.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from foretext.core.errors import ConfigError
from foretext.labelled.inspect import Facts
from foretext.labelled.squad import Question, fits, read_squad
from foretext.objectives.base import Term
from foretext.tasks.auxiliary import check_lm_weight, lm_term, lm_terms, resolved_lm_weight
from foretext.tasks.base import Features, SampleTable, TaskBatch, TaskModel
from foretext.tasks.columns import Placed
from foretext.tasks.guide import Guide
from foretext.tasks.heads import initialised
from foretext.tasks.inputs import InputFormat, reads_left_to_right
from foretext.tasks.qa_answers import AnswerDecoder, Prediction
from foretext.tasks.qa_metric import FAMILIES, AnswerMetric, tuned_threshold
from foretext.tasks.qa_windows import NULL, ContextEncoder, ContextWindow
from foretext.text.errors import CorpusStats, Faults
from foretext.text.normalise import nfc
from foretext.text.original import given as as_given

SETTINGS = {"data.max_length": 384}
IN_USE = (  # what a finished model may be used with otherwise
    "metric",
    "max_query_length",
    "doc_stride",
    "max_answer_length",
    "n_best",
    "allow_impossible",
    "null_threshold",
)
_MANY = 0.05  # share of the training answers that may be longer than max_answer_length
GOALS = ("f1", "balanced")  # of the threshold for no answer
_ANSWERABLE_WIDTH = 512  # of the joint head's hidden layer; ELECTRA's
_SPAN = Term(name="question-answering", title="start and end", unit="nats a window")
_ANSWERABLE = Term(
    name="answerable", title="whether there is an answer", unit="nats a window", weight=0.5
)


@dataclass(frozen=True, kw_only=True)
class QuestionAnsweringConfig:
    """Windows, head and decoding."""

    metric: str = "squad"  # squad | korquad, whose official scorer measures
    max_query_length: int = 64  # tokens of a question; the rest is cut
    doc_stride: int = 128  # tokens between the beginnings of two windows
    max_answer_length: int = 30  # tokens of an answer
    n_best: int = 20  # candidates of a prediction
    allow_impossible: bool | None = None  # None = whether the training file has such questions
    answerable_head: bool = False  # "no answer" is judged by a classifier of its own
    null_threshold: float = 0.0  # no answer where the null score is above; tuned after training
    threshold_goal: str = "f1"  # f1 | balanced: of all, or of the worse kind
    lm_weight: float | None = None  # of the auxiliary loss; None = 0.5 left to right, 0 else

    def __post_init__(self) -> None:
        if self.metric not in FAMILIES:
            raise ConfigError(f"task.metric={self.metric!r} must be one of {', '.join(FAMILIES)}")
        if self.threshold_goal not in GOALS:
            raise ConfigError(
                f"task.threshold_goal={self.threshold_goal!r} must be one of {', '.join(GOALS)}"
            )
        for name in ("max_query_length", "doc_stride", "max_answer_length", "n_best"):
            if getattr(self, name) < 1:
                raise ConfigError(f"task.{name}={getattr(self, name)} must be at least 1")
        if self.answerable_head and self.allow_impossible is False:
            raise ConfigError(
                "task.answerable_head needs questions without an answer, but there are none; "
                "train on a file that has some, or set it to false"
            )
        check_lm_weight(self.lm_weight)


@dataclass(frozen=True, kw_only=True)
class QuestionInput:
    """Length of what is read; the files' fields are fixed, see labelled/squad.py."""

    max_length: int | None = None  # tokens of a window, question included; None = the paper's

    long_text: ClassVar[str] = "head"

    def __post_init__(self) -> None:
        if self.max_length is not None and self.max_length < 8:
            raise ConfigError(f"data.max_length={self.max_length} must be at least 8 tokens")

    @property
    def texts(self) -> tuple[str, ...]:
        """What is read, by its name in the files."""
        return ("question", "context")

    @property
    def label(self) -> str:
        """What is learned, by its name in the files."""
        return "answers"

    def resolved(self, path: Path) -> QuestionInput:  # noqa: ARG002
        """The same; there is nothing to find out."""
        return self


def resolve(
    config: QuestionAnsweringConfig, columns: QuestionInput, train: Path, model: Any, on_error: str
) -> QuestionAnsweringConfig:
    """The config with what the training file and the model decide.

    Raises:
        DataError: the training file is at fault.
        ConfigError: an auxiliary loss is asked of a model that has none, or an answerability head
            where every question has an answer.
    """
    weight = resolved_lm_weight(config.lm_weight, left_to_right=reads_left_to_right(model))
    impossible = config.allow_impossible
    if impossible is None:
        questions = read(train, config, columns, on_error=on_error)
        impossible = any(question.answers == () for question in questions)
    return replace(config, lm_weight=weight, allow_impossible=impossible)


def fitted(config: QuestionAnsweringConfig, samples: SampleTable) -> QuestionAnsweringConfig:
    """The config whose max_answer_length admits the answers of the training samples.

    It stays where at most _MANY of them are longer, as in SQuAD under run_squad.py's 30 tokens;
    else no prediction could be right and the best weights would be chosen among wrong ones.
    """
    spans = samples.targets.reshape(-1, 2)
    spans = spans[spans[:, 0] != NULL]
    lengths = spans[:, 1] - spans[:, 0] + 1
    if not len(lengths) or (lengths > config.max_answer_length).mean() <= _MANY:
        return config
    return replace(config, max_answer_length=int(lengths.max()))


def read(
    path: Path,
    config: QuestionAnsweringConfig,  # noqa: ARG001
    columns: QuestionInput,  # noqa: ARG001
    *,
    labelled: bool = True,
    on_error: str = "stop",
    stats: CorpusStats | None = None,
) -> Iterator[Question]:
    """The questions of a file; arguments and errors as for read_squad."""
    return read_squad(path, on_error, labelled=labelled, stats=stats)


def given(placed: Iterable[Placed], columns: QuestionInput, faults: Faults) -> Iterator[Question]:  # noqa: ARG001
    """Examples of bare (question, context) pairs.

    Raises:
        DataError: a text is empty or too long, or there are not two; faults say.
    """
    for place, texts in placed:
        if len(texts) != 2:
            problem = f"{len(texts)} texts where the model reads 2"
            faults.skip("number of texts", place, problem, "give a question and a context")
        elif not all(text.strip() for text in texts):
            faults.skip("empty text", place, "there is no text")
        elif fits(texts[1], place, faults):
            context, original = as_given(texts[1])
            yield Question(place, nfc(texts[0]), context, given=original)


class AnswerHead(nn.Module):
    """A start and an end vector, and, if asked for, a classifier of answerability.

    Args:
        hidden_size: of the states.
        answerable: whether there is the classifier.
    """

    def __init__(self, hidden_size: int, *, answerable: bool) -> None:
        super().__init__()
        self.linear = nn.Linear(hidden_size, 2)  # row 0 start, row 1 end
        self.answerable = (
            nn.Sequential(
                nn.Linear(2 * hidden_size, _ANSWERABLE_WIDTH),
                nn.GELU(),
                nn.Linear(_ANSWERABLE_WIDTH, 1),
            )
            if answerable
            else None
        )

    def forward(self, hidden: Tensor, null: Tensor, rows: Tensor) -> tuple[Tensor, Tensor | None]:
        """Scores of every token and of every window.

        Args:
            hidden: states of all windows' tokens, [tokens, hidden].
            null: each window's token for no answer, [windows].
            rows: the window of each token, [tokens].

        Returns:
            Logits of start and end [tokens, 2], and of being without an answer [windows], in fp32.
        """
        scores = self.linear(hidden).float()
        if self.answerable is None:
            return scores, None
        shares = log_softmax(scores[:, 0], rows, len(null)).exp().to(hidden.dtype)
        empty = hidden.new_zeros(len(null), hidden.shape[1])
        attended = empty.index_add(0, rows, shares[:, None] * hidden)
        judged = self.answerable(torch.cat([hidden[null], attended], dim=1))
        return scores, judged[:, 0].float()


def log_softmax(scores: Tensor, rows: Tensor, count: int) -> Tensor:
    """Logarithms of the softmax over each row's tokens, [tokens].

    Args:
        scores: [tokens].
        rows: the row of each token, [tokens].
        count: of the rows.
    """
    highest = scores.detach().new_full((count,), -torch.inf)
    highest = highest.scatter_reduce(0, rows, scores.detach(), "amax")
    shifted = scores - highest[rows]
    total = scores.new_zeros(count).index_add(0, rows, shifted.exp())
    return shifted - total.log()[rows]


@dataclass(frozen=True)
class QuestionAnswering:
    config: QuestionAnsweringConfig  # resolved

    use = "question-answering"
    metric = "f1"

    @property
    def measured(self) -> tuple[str, ...]:
        kinds = ("", "HasAns_", "NoAns_", "best_") if self.config.allow_impossible else ("",)
        return tuple(f"{kind}{name}" for kind in kinds for name in ("exact", "f1"))

    def encode(self, examples: Sequence[Question], layout: InputFormat) -> list[list[Features]]:
        """The windows of each example; their target is the answer's first and last token."""
        config = self.config
        encoder = ContextEncoder(
            config.max_query_length, config.doc_stride, config.max_answer_length
        )
        return encoder.encode(examples, layout)

    def size(self, example: Question) -> int:
        """Characters of an example; a long context has thousands of windows."""
        return len(example.context)

    def head(self, backbone: Any, generator: torch.Generator) -> nn.Module:
        """A new head: truncated normal for an encoder, normal for a GPT; biases 0."""
        head = AnswerHead(backbone.state_size, answerable=self.config.answerable_head)
        return initialised(head, backbone, generator)

    def hub_config(self) -> dict[str, Any]:
        """Nothing: start and end have no names."""
        return {}

    @property
    def terms(self) -> tuple[Term, ...]:
        """See Task."""
        answerable = (_ANSWERABLE,) if self.config.answerable_head else ()
        return (_SPAN, *answerable, *lm_terms(self.config.lm_weight))

    def counts(self, batch: TaskBatch) -> dict[str, Tensor]:
        """Windows, for every term."""
        count = torch.tensor(batch.num_sequences)
        return dict.fromkeys((term.name for term in self.terms), count)

    def used(self, model: TaskModel, batch: TaskBatch) -> Tensor | None:  # noqa: ARG002
        """All tokens: an answer may start anywhere."""
        return None

    def loss(
        self, model: TaskModel, hidden: Tensor, batch: TaskBatch, counts: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """Mean of the cross-entropies of start and end in nats a window; weighted other terms."""
        null, rows = _places(model, batch)
        scores, absent = model.head(hidden, null, rows)
        targets = batch.labels.view(-1, 2)
        at = torch.where(targets == NULL, null[:, None], targets + batch.first[:, None])
        name = "question-answering"
        total = sum(
            -log_softmax(scores[:, side], rows, len(null))[at[:, side]].sum() for side in (0, 1)
        )
        terms = {name: total / 2 / counts[name]}
        if absent is not None:
            wanted = (targets[:, 0] == NULL).to(absent.dtype)
            lost = F.binary_cross_entropy_with_logits(absent, wanted, reduction="sum")
            terms["answerable"] = _ANSWERABLE.weight * lost / counts["answerable"]
        return terms | lm_term(self.config.lm_weight, model, hidden, batch, counts)

    def outputs(self, model: TaskModel, hidden: Tensor, batch: TaskBatch) -> list[NDArray[Any]]:
        """Scores [2, 1 + tokens] of each window's start and end; first column: of no answer."""
        null, rows = _places(model, batch)
        scores, absent = model.head(hidden, null, rows)
        nulls = scores[null]
        if absent is not None:
            nulls = torch.stack([absent, torch.zeros_like(absent)], dim=1)
        borders = batch.offsets.tolist()
        values, firsts = scores.cpu().numpy(), nulls.cpu().numpy()
        return [
            np.concatenate([firsts[i : i + 1], values[start:stop]]).T
            for i, (start, stop) in enumerate(pairwise(borders))
        ]

    def decode(
        self, example: Question, outputs: Sequence[NDArray[Any]], origins: Sequence[ContextWindow]
    ) -> Prediction:
        """The best span over the windows, or none."""
        return self._decoder().decode(example, outputs, origins)

    def _decoder(self) -> AnswerDecoder:
        config = self.config
        return AnswerDecoder(
            n_best=config.n_best,
            max_answer_length=config.max_answer_length,
            allow_impossible=bool(config.allow_impossible),
            null_threshold=config.null_threshold,
            joint=config.answerable_head,
        )

    def meter(self) -> AnswerMetric:
        """Metrics of this task's predictions."""
        return AnswerMetric(self.config.metric, strict=not self.config.allow_impossible)

    def calibrated(self, pairs: Iterable[tuple[Question, Prediction]]) -> QuestionAnsweringConfig:
        """The config with the null threshold that is best on these predictions."""
        if not self.config.allow_impossible:
            return self.config
        balanced = self.config.threshold_goal == "balanced"
        threshold = tuned_threshold(self.meter(), pairs, balanced=balanced)
        return self.config if threshold is None else replace(self.config, null_threshold=threshold)


def _places(model: TaskModel, batch: TaskBatch) -> tuple[Tensor, Tensor]:
    """Each window's token for no answer [windows], and the window of each token [tokens]."""
    null = model.sentence_tokens(batch)
    numbers = torch.arange(batch.num_sequences, device=null.device)
    return null, torch.repeat_interleave(numbers, batch.offsets.diff())


def _facts(question: Question) -> Facts:
    return Facts(
        texts=(question.question, question.context),
        labels=("answered" if question.answers else "no answer",),
        answer="\0".join(f"{answer.start} {answer.text}" for answer in question.answers or ()),
    )


GUIDE = Guide(
    files="SQuAD's and KorQuAD's .json; .jsonl with a question a line",
    metrics="F1 and exact match in percent; HasAns, NoAns and best thresholds as SQuAD 2.0",
    labelled="test.json",
    inputs="questions.json",
    hub="question-answering",
    unit="questions",
    facts=_facts,
)
Config, Input, Build = QuestionAnsweringConfig, QuestionInput, QuestionAnswering
