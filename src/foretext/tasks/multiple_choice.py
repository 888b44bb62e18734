"""Multiple choice: each candidate joined with the context is one sequence and gets one score.

    encoders             [CLS] context [SEP] candidate [SEP]
    left-to-right models _start_ context _delimiter_ candidate _classify_

A softmax over an example's candidates makes the scores probabilities; there may be two, or any
number, and another one in each example. What does not fit is cut as in inputs.py: an encoder's
longer text first, which is the context as a rule, so that candidates stay whole.

Papers: Devlin et al. 2019, section 4.4 (a vector whose product with the [CLS] representation is
the score); Radford et al. 2018, sections 3.2 and 3.3 and train.py of finetune-transformer-lm (one
dropout mask for the candidates of an example, and the auxiliary loss of every candidate).
Deviation: the score has a bias, as in `transformers`; the softmax takes it away.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from foretext.core.errors import ConfigError
from foretext.labelled.inspect import Facts
from foretext.objectives.base import Term
from foretext.tasks.auxiliary import check_lm_weight, lm_term, lm_terms, resolved_lm_weight
from foretext.tasks.base import Features, TaskBatch, TaskModel
from foretext.tasks.choices import ChoiceExample, ChoiceInput, given_choices, read_choices
from foretext.tasks.columns import Placed
from foretext.tasks.guide import Guide
from foretext.tasks.heads import sentence_head
from foretext.tasks.inputs import InputFormat, reads_left_to_right
from foretext.text.errors import CorpusStats, Faults


@dataclass(frozen=True, kw_only=True)
class MultipleChoiceConfig:
    """Head."""

    dropout: float = 0.1  # probability; of the state that the head reads
    lm_weight: float | None = None  # of the auxiliary loss; None = 0.5 left to right, 0 else

    def __post_init__(self) -> None:
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"task.dropout={self.dropout} must be from 0 to below 1")
        check_lm_weight(self.lm_weight)


def resolve(
    config: MultipleChoiceConfig,
    columns: ChoiceInput,  # noqa: ARG001
    train: Path,  # noqa: ARG001
    model: Any,
    on_error: str,  # noqa: ARG001
) -> MultipleChoiceConfig:
    """The config with the weight of the auxiliary loss.

    Raises:
        ConfigError: an auxiliary loss is asked of a model that has none.
    """
    weight = resolved_lm_weight(config.lm_weight, left_to_right=reads_left_to_right(model))
    return replace(config, lm_weight=weight)


def read(
    path: Path,
    config: MultipleChoiceConfig,  # noqa: ARG001
    columns: ChoiceInput,
    *,
    labelled: bool = True,
    on_error: str = "stop",
    stats: CorpusStats | None = None,
) -> Iterator[ChoiceExample]:
    """The examples of a table; arguments and errors as for read_choices."""
    return read_choices(path, columns, labelled=labelled, on_error=on_error, stats=stats)


def given(
    placed: Iterable[Placed],
    columns: ChoiceInput,  # noqa: ARG001
    faults: Faults,
) -> Iterator[ChoiceExample]:
    """Examples of bare texts (context, candidate, candidate, ...), as for given_choices."""
    return given_choices(placed, faults)


@dataclass(frozen=True, slots=True)
class Prediction:
    """The likeliest candidate and the probability of each."""

    index: int  # from 0
    answer: str
    probabilities: tuple[float, ...]

    @property
    def line(self) -> str:
        """The candidate, a tab and its probability."""
        return f"{' '.join(self.answer.split())}\t{self.probabilities[self.index]:.4f}"


@dataclass(frozen=True)
class MultipleChoice:
    config: MultipleChoiceConfig  # resolved

    use = "multiple-choice"
    metric = "accuracy"
    measured = ("accuracy", "loss")

    def encode(
        self, examples: Sequence[ChoiceExample], layout: InputFormat
    ) -> list[list[Features]]:
        """One sample an example, a sequence for each candidate; targets are 1 where it is right."""
        texts = [text for one in examples for text in (one.context, *one.continuations())]
        ids = iter(layout.tokenizer.encode_batch(texts))
        encoded = []
        for example in examples:
            context = next(ids)
            inputs = tuple(layout.arrange(context, next(ids)) for _ in example.candidates)
            right = np.zeros(len(inputs), np.int64)
            right[list(example.answers)] = 1
            target = right if example.answers else np.zeros(0, np.int64)
            encoded.append([Features(inputs, target)])
        return encoded

    def head(self, backbone: Any, generator: torch.Generator) -> nn.Module:
        """A new head, truncated normal for an encoder and normal for a GPT; the bias is 0."""
        return sentence_head(
            backbone, 1, dropout=self.config.dropout, bias=True, generator=generator
        )

    def hub_config(self) -> dict[str, Any]:
        """Keys of config.json that `transformers` reads for this task."""
        return {}

    @property
    def terms(self) -> tuple[Term, ...]:
        """See Task."""
        return (
            Term(name="choice", title="the right candidate", unit="nats an example"),
            *lm_terms(self.config.lm_weight),
        )

    def counts(self, batch: TaskBatch) -> dict[str, Tensor]:
        """Examples, and for the auxiliary term sequences."""
        counts = {"choice": torch.tensor(batch.num_samples)}
        return counts | ({"lm": torch.tensor(batch.num_sequences)} if self.config.lm_weight else {})

    def scores(self, model: TaskModel, hidden: Tensor, batch: TaskBatch) -> Tensor:
        """Log-probabilities [sequences], in fp32, of each candidate among its example's."""
        if reads_left_to_right(model.backbone):  # one mask an example
            at = batch.last[batch.samples[:-1]].repeat_interleave(batch.samples.diff())
        else:
            at = batch.first
        scores = model.head(model.backbone.pooled_output(hidden, batch), at)
        return ragged_log_softmax(scores.float()[:, 0], batch.samples)

    def used(self, model: TaskModel, batch: TaskBatch) -> Tensor | None:
        """The tokens that stand for sequences; all of them for the auxiliary loss."""
        return None if self.config.lm_weight else model.sentence_tokens(batch)

    def loss(
        self, model: TaskModel, hidden: Tensor, batch: TaskBatch, counts: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """Cross-entropy in nats an example, and the weighted auxiliary loss.

        Of several right candidates any will do: the loss is of their probability together.
        """
        scores, right = self.scores(model, hidden, batch), batch.labels.bool()
        if int(right.sum()) == batch.num_samples:
            total = -scores[right].sum()
        else:
            group = torch.arange(batch.num_samples, device=scores.device)
            group = group.repeat_interleave(batch.samples.diff())
            shares = scores.exp().new_zeros(batch.num_samples)
            total = -shares.index_add(0, group[right], scores[right].exp()).log().sum()
        terms = {"choice": total / counts["choice"]}
        return terms | lm_term(self.config.lm_weight, model, hidden, batch, counts)

    def outputs(self, model: TaskModel, hidden: Tensor, batch: TaskBatch) -> list[NDArray[Any]]:
        """Probabilities [candidates] of each sample."""
        shares = self.scores(model, hidden, batch).double().exp().cpu().numpy()
        return np.split(shares, batch.samples[1:-1].tolist())

    def decode(
        self,
        example: ChoiceExample,
        outputs: Sequence[NDArray[Any]],
        origins: Sequence[Any],  # noqa: ARG002
    ) -> Prediction:
        """The likeliest candidate; of equals the first."""
        index = int(outputs[0].argmax())
        return Prediction(index, example.candidates[index], tuple(outputs[0].tolist()))

    def meter(self) -> MultipleChoiceMetric:
        """Metrics of this task's predictions."""
        return MultipleChoiceMetric()


def ragged_log_softmax(scores: Tensor, borders: Tensor) -> Tensor:
    """Log-probabilities of scores [n] within each group; borders as TaskBatch.samples."""
    count = borders.shape[0] - 1
    group = torch.arange(count, device=scores.device).repeat_interleave(borders.diff())
    peaks = scores.new_full((count,), -torch.inf).scatter_reduce(0, group, scores.detach(), "amax")
    shifted = scores - peaks[group]
    totals = scores.new_zeros(count).index_add(0, group, shifted.exp())
    return shifted - totals.log()[group]


class MultipleChoiceMetric:
    """Accuracy and the loss; constant memory."""

    def __init__(self) -> None:
        self._hits = 0
        self._nats = 0.0
        self._gold: Counter[int] = Counter()  # right answers by position

    def record(self, example: ChoiceExample, prediction: Prediction) -> tuple[int, int, float]:
        """The right position, the predicted one, and the loss in nats.

        Of several right ones the predicted one counts, if it is among them.
        """
        right = example.answers
        total = sum(prediction.probabilities[i] for i in right)
        share = max(total, np.finfo(np.float64).tiny)
        gold = prediction.index if prediction.index in right else right[0]
        return gold, prediction.index, -float(np.log(share))

    def measure(self, records: NDArray[np.float64]) -> dict[str, float]:
        """Accuracy in [0, 1]; loss in nats an example."""
        hits = records[:, 0] == records[:, 1]
        return {"accuracy": float(hits.mean()), "loss": float(records[:, 2].mean())}

    def add(self, example: ChoiceExample, prediction: Prediction) -> None:
        """Count one prediction of a labelled example."""
        gold, answer, nats = self.record(example, prediction)
        self._gold[gold] += 1
        self._hits += gold == answer
        self._nats += nats

    def result(self) -> dict[str, float]:
        """The metrics of what was added, as measure."""
        total = max(self._gold.total(), 1)
        return {"accuracy": self._hits / total, "loss": self._nats / total}

    def baseline(self) -> dict[str, float]:
        """Accuracy of always answering the position that is right most often."""
        return {"accuracy": max(self._gold.values(), default=0) / max(self._gold.total(), 1)}


def _facts(example: ChoiceExample) -> Facts:
    answers = tuple(f"candidate {i + 1}" for i in example.answers)
    texts = (example.context, *example.continuations())
    return Facts(texts=texts, labels=answers, answer=" ".join(answers))


GUIDE = Guide(
    files=".tsv, .csv, .jsonl or a .json list: a context, candidates, and which one is right",
    metrics="accuracy",
    labelled="test.jsonl",
    inputs="questions.jsonl",
    hub="multiple-choice",
    unit="questions",
    facts=_facts,
)
Config, Input, Build = MultipleChoiceConfig, ChoiceInput, MultipleChoice
