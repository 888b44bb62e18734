"""Similarity of two texts as a number (regression), such as 0 to 5 in STS-B.

Papers: Devlin et al. 2019, section 4.1, as run for STS-B (squared error of one linear score of the
pooled [CLS] state); Radford et al. 2018, section 3.3: the pair in both orders, `_start_ A
_delimiter_ B _classify_` and `_start_ B _delimiter_ A _classify_`, whose two states are added
before the linear layer, and the auxiliary loss of both sequences.
Deviation: the left-to-right head has no bias, GPT-1's has one; so it is the `score` of the Hugging
Face layout, and the similarity is the sum of what `transformers` gives for the two orders.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from foretext.core.errors import ConfigError, DataError
from foretext.labelled.inspect import Facts
from foretext.metrics import regression as metrics
from foretext.objectives.base import Term
from foretext.tasks.auxiliary import check_lm_weight, lm_term, lm_terms, resolved_lm_weight
from foretext.tasks.base import Features, TaskBatch, TaskModel
from foretext.tasks.columns import (
    LABEL,
    InputConfig,
    Placed,
    TextExample,
    given_examples,
    read_examples,
)
from foretext.tasks.guide import Guide
from foretext.tasks.heads import sentence_head
from foretext.tasks.inputs import ExtractFormat, InputFormat, reads_left_to_right
from foretext.tasks.long_text import arrange_long
from foretext.text.errors import CorpusStats, Faults, shown, shown_path
from foretext.text.tables import column_names

_SCORES = ("score", LABEL, "similarity")  # columns that are taken for the label, if it is unnamed


@dataclass(frozen=True, kw_only=True)
class SimilarityConfig:
    """Range and head."""

    lowest: float | None = None  # score of the training file; predictions are not cut to it
    highest: float | None = None  # likewise
    dropout: float = 0.1  # probability; of the state that the head reads
    lm_weight: float | None = None  # of the auxiliary loss; None = 0.5 left to right, 0 else

    def __post_init__(self) -> None:
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"task.dropout={self.dropout} must be from 0 to below 1")
        check_lm_weight(self.lm_weight)


@dataclass(frozen=True, kw_only=True)
class SimilarityInput(InputConfig):
    """Columns of pairs; label = None is "score", "label" or "similarity", the first there is."""

    def resolved(self, path: Path) -> SimilarityInput:
        """The same with every column named.

        Raises:
            DataError: no two columns have names that say they hold the texts.
            ConfigError: one text is named, but not the other.
        """
        names = column_names(path, header=self.header, kind=self.format)
        guessed = next((name for name in _SCORES if name in names), LABEL)
        found = super(SimilarityInput, replace(self, label=self.label or guessed)).resolved(path)
        assert isinstance(found, SimilarityInput)
        if found.text_pair is not None:
            return found
        if self.text is None:
            raise DataError(
                f"{shown_path(path)}: a similarity is of two texts, and only the column "
                f"{shown(found.text)} looks like one; name them with data.text and data.text_pair"
            )
        raise ConfigError(
            f"data.text={self.text!r} names one text, but a similarity is of two; name the other "
            "with data.text_pair"
        )


def resolve(
    config: SimilarityConfig, columns: SimilarityInput, train: Path, model: Any, on_error: str
) -> SimilarityConfig:
    """The config with the range of the training file and the weight of the auxiliary loss.

    Raises:
        DataError: every row has the same score.
        ConfigError: an auxiliary loss is asked of a model that has none.
    """
    weight = resolved_lm_weight(config.lm_weight, left_to_right=reads_left_to_right(model))
    config = replace(config, lm_weight=weight)
    if config.lowest is not None and config.highest is not None:
        return config
    lowest, highest = math.inf, -math.inf
    for example in read(train, config, columns, on_error=on_error):
        value = score(example)
        lowest, highest = min(lowest, value), max(highest, value)
    if lowest == highest:
        raise DataError(
            f"{shown_path(train)}: every row has the score {lowest:g}; there is nothing to learn, "
            "so name the right column with data.label"
        )
    return replace(config, lowest=lowest, highest=highest)


def read(
    path: Path,
    config: SimilarityConfig,  # noqa: ARG001
    columns: SimilarityInput,
    *,
    labelled: bool = True,
    on_error: str = "stop",
    stats: CorpusStats | None = None,
) -> Iterator[TextExample]:
    """As read_examples; a score that is no finite number is a fault too."""
    return read_examples(
        path, columns, None, problem=_problem, labelled=labelled, on_error=on_error, stats=stats
    )


def given(placed: Iterable[Placed], columns: InputConfig, faults: Faults) -> Iterator[TextExample]:
    """Examples of bare texts; arguments and errors as for given_examples."""
    return given_examples(placed, columns, faults)


def score(example: TextExample) -> float:
    """The gold score of a labelled example."""
    return float(example.label or "nan")


def _problem(label: str) -> str | None:
    """What is wrong with a score."""
    try:
        value = float(label.replace("_", " "))  # Python's own 1_000 is nobody's number
    except ValueError:
        return f"the score {shown(label)} is not a number"
    return None if math.isfinite(value) else f"the score {shown(label)} is not finite"


@dataclass(frozen=True, slots=True)
class Prediction:
    """The similarity on the scale of the training file, not cut to its range."""

    score: float

    @property
    def line(self) -> str:
        return f"{self.score:.4f}"


@dataclass(frozen=True)
class Similarity:
    config: SimilarityConfig  # resolved

    use = "similarity"
    metric = "spearman"
    measured = ("pearson", "spearman", "mse")

    def encode(self, examples: Sequence[TextExample], layout: InputFormat) -> list[list[Features]]:
        """One sample an example: of one sequence a window, left to right of one in either order."""
        texts = [text for example in examples for text in example.texts]
        ids = iter(layout.tokenizer.encode_batch(texts))
        both_orders = isinstance(layout, ExtractFormat)
        encoded = []
        for example in examples:
            first, second = next(ids), next(ids)
            known = [] if example.label is None else [score(example)]
            orders = [arrange_long(layout, (first, second), layout.long_text)]
            if both_orders:
                orders.append(arrange_long(layout, (second, first), layout.long_text))
            inputs = tuple(one for window in zip(*orders, strict=True) for one in window)
            encoded.append([Features(inputs, np.array(known, np.float32))])
        return encoded

    def head(self, backbone: Any, generator: torch.Generator) -> nn.Module:
        """A new head: truncated normal and a bias for an encoder, normal without one for a GPT."""
        bias = not reads_left_to_right(backbone)
        return sentence_head(
            backbone, 1, dropout=self.config.dropout, bias=bias, generator=generator
        )

    def hub_config(self) -> dict[str, Any]:
        """Keys of config.json that `transformers` reads for this task."""
        name = "similarity"
        return {"id2label": {"0": name}, "label2id": {name: 0}, "problem_type": "regression"}

    @property
    def terms(self) -> tuple[Term, ...]:
        """See Task."""
        return (
            Term(name="similarity", title="scores", unit="squared error a pair"),
            *lm_terms(self.config.lm_weight),
        )

    def counts(self, batch: TaskBatch) -> dict[str, Tensor]:
        """Pairs, and for the auxiliary term sequences."""
        counts = {"similarity": torch.tensor(batch.num_samples)}
        return counts | ({"lm": torch.tensor(batch.num_sequences)} if self.config.lm_weight else {})

    def scores(self, model: TaskModel, hidden: Tensor, batch: TaskBatch) -> Tensor:
        """Scores [samples], in fp32, of the sums of each window's sentence states, their mean."""
        at = model.sentence_tokens(batch)
        states = model.backbone.pooled_output(hidden, batch)
        sample = torch.arange(batch.num_samples, device=states.device)
        owner = sample.repeat_interleave(batch.samples.diff())
        added = states.new_zeros(batch.num_samples, states.shape[1]).index_add(0, owner, states)
        orders = 2 if reads_left_to_right(model.backbone) else 1
        added = added / (batch.samples.diff() // orders)[:, None]
        return model.head(added, at[batch.samples[:-1]]).float()[:, 0]

    def used(self, model: TaskModel, batch: TaskBatch) -> Tensor | None:
        """The tokens that stand for sequences; all of them for the auxiliary loss."""
        return None if self.config.lm_weight else model.sentence_tokens(batch)

    def loss(
        self, model: TaskModel, hidden: Tensor, batch: TaskBatch, counts: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """Squared error a pair, and the weighted auxiliary loss."""
        total = (self.scores(model, hidden, batch) - batch.labels).square().sum()
        terms = {"similarity": total / counts["similarity"]}
        return terms | lm_term(self.config.lm_weight, model, hidden, batch, counts)

    def outputs(self, model: TaskModel, hidden: Tensor, batch: TaskBatch) -> list[NDArray[Any]]:
        """The score [1] of each sample."""
        return list(self.scores(model, hidden, batch).double().cpu().numpy()[:, None])

    def decode(
        self,
        example: TextExample,  # noqa: ARG002
        outputs: Sequence[NDArray[Any]],
        origins: Sequence[Any],  # noqa: ARG002
    ) -> Prediction:
        """The score as it is."""
        return Prediction(float(outputs[0][0]))

    def meter(self) -> SimilarityMetric:
        """Metrics of this task's predictions."""
        return SimilarityMetric()


class SimilarityMetric:
    """Pearson's and Spearman's correlation and the mean squared error.

    Ranks need every pair, so this holds 16 bytes an example.
    """

    def __init__(self) -> None:
        self._records = array("d")

    def record(self, example: TextExample, prediction: Prediction) -> tuple[float, float]:
        """The gold score and the predicted one."""
        return score(example), prediction.score

    def measure(self, records: NDArray[np.float64]) -> dict[str, float]:
        """The correlations, in [-1, 1], and the mean squared error."""
        gold, predicted = records.T
        return {
            "pearson": metrics.pearson(gold, predicted),
            "spearman": metrics.spearman(gold, predicted),
            "mse": metrics.mse(gold, predicted),
        }

    def add(self, example: TextExample, prediction: Prediction) -> None:
        """Count one prediction of a labelled example."""
        self._records.extend(self.record(example, prediction))

    def result(self) -> dict[str, float]:
        """The metrics of what was added, as measure."""
        return self.measure(self._pairs())

    def baseline(self) -> dict[str, float]:
        """Those of always answering the mean; a constant correlates with nothing."""
        pairs = self._pairs()
        pairs[:, 1] = pairs[:, 0].mean()
        return self.measure(pairs)

    def _pairs(self) -> NDArray[np.float64]:
        return np.array(self._records).reshape(-1, 2)


def _facts(example: TextExample) -> Facts:
    about = f"about {round(score(example))}"
    return Facts(texts=example.texts, labels=(about,), answer=example.label or "")


GUIDE = Guide(
    files=".tsv, .csv, .jsonl or a .json list: two columns of text, and a number in `score`",
    metrics="Spearman's and Pearson's correlation, squared error",
    labelled="test.tsv",
    inputs="pairs.tsv",
    hub="text-classification",
    unit="rows",
    facts=_facts,
)
Config, Input, Build = SimilarityConfig, SimilarityInput, Similarity
