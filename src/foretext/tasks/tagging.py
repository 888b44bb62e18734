"""Tagging of tokens: named entities, chunks, parts of speech; words or single characters.

Papers: Devlin et al. 2019, section 5.3 (dropout and a linear layer on the state of each word's
first sub-token; the others are no targets; no CRF). A left-to-right model is read at the last
sub-token, the only one that has seen the whole word; GPT-1 has no tagging, so that is ours, as is
its auxiliary loss here. KLUE (Park et al. 2021, section 4.3) tags characters.

Words are joined by a space and encoded as text. A word without a token (control characters) gets
task.blank. Characters are joined by nothing: a token has the tag of the character in which it
begins and the characters inside it go on with it (B-X, then I-X); white space without a token is
inside an entity that goes on after it. A sentence that is too long is cut into windows that
overlap; each word is learned and predicted once, where it has most context.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from foretext.core.batch import IGNORE_INDEX
from foretext.labelled.inspect import Facts
from foretext.metrics import tag_schemes as schemes
from foretext.metrics.entities import EntityScores
from foretext.objectives.base import Ints, Term
from foretext.tasks.auxiliary import lm_term, lm_terms
from foretext.tasks.base import Features, TaskBatch, TaskModel
from foretext.tasks.guide import Guide
from foretext.tasks.heads import sentence_head
from foretext.tasks.inputs import ExtractFormat, InputFormat
from foretext.tasks.tag_files import TaggingConfig, TaggingInput, given, read, resolve
from foretext.tasks.tag_units import TagExample, fill_characters, fill_words, label_tokens, windows

__all__ = ["given", "read", "resolve"]

IN_USE = ("scheme", "stride")  # what a finished model may be used with otherwise


@dataclass(frozen=True, slots=True)
class Entity:
    """A predicted span."""

    label: str
    text: str
    start: int  # in characters of the text; for words of a file, of the words joined by a space
    end: int
    first: int  # in units
    stop: int
    probability: float  # that all its tags are right, the tags taken as independent


@dataclass(frozen=True, slots=True)
class Prediction:
    """A tag for every unit, and the spans that they mark."""

    tokens: tuple[str, ...]
    tags: tuple[str, ...]
    probabilities: tuple[float, ...]  # of each tag; 1 where the unit has no token of its own
    entities: tuple[Entity, ...]  # none with plain tags

    @property
    def line(self) -> str:
        """The tags, separated by spaces."""
        return " ".join(self.tags)


@dataclass(frozen=True)
class Tagging:
    config: TaggingConfig  # resolved

    use = "tagging"

    @property
    def metric(self) -> str:
        return "accuracy" if self.config.plain else "f1"

    @property
    def measured(self) -> tuple[str, ...]:
        of_entities = () if self.config.plain else ("precision", "recall", "f1", "macro_f1")
        return (*of_entities, "accuracy")

    def encode(self, examples: Sequence[TagExample], layout: InputFormat) -> list[list[Features]]:
        """A sample a window; targets [tokens] are class ids, 0 where the tag is not known."""
        found = layout.tokenizer.encode_offsets([example.text for example in examples])
        return [
            self._windows(example, ids, starts, layout)
            for example, (ids, starts) in zip(examples, found, strict=True)
        ]

    def _windows(
        self, example: TagExample, ids: Ints, starts: Ints, layout: InputFormat
    ) -> list[Features]:
        units, tokens = label_tokens(example, starts, last=self.config.label_on == "last")
        classes = np.zeros(len(units), np.int16)
        if example.tags is not None:
            numbers = {label: i for i, label in enumerate(self.config.labels)}
            classes = np.array([numbers[example.tags[unit]] for unit in units], np.int16)
        max_tokens = layout.max_tokens()
        stride = min(self.config.stride or max(max_tokens // 2, 1), max_tokens)
        look_left = isinstance(layout, ExtractFormat)
        samples = []
        for begin, owned in windows(
            tokens, len(ids), max_tokens=max_tokens, stride=stride, look_left=look_left
        ):
            arranged = layout.arrange(ids[begin : begin + max_tokens].tolist())
            target = np.full(len(arranged.ids), IGNORE_INDEX, np.int16)
            target[tokens[owned] - begin + arranged.starts[0]] = classes[owned]
            samples.append(Features((arranged,), target, origin=units[owned]))
        return samples

    def head(self, backbone: Any, generator: torch.Generator) -> nn.Module:
        """A new head with a bias of zero: truncated normal for an encoder, normal for a GPT."""
        return sentence_head(
            backbone,
            len(self.config.labels),
            dropout=self.config.dropout,
            bias=True,
            generator=generator,
        )

    def hub_config(self) -> dict[str, Any]:
        """Keys of config.json that `transformers` reads for this task."""
        return {
            "id2label": {str(i): label for i, label in enumerate(self.config.labels)},
            "label2id": {label: i for i, label in enumerate(self.config.labels)},
        }

    @property
    def terms(self) -> tuple[Term, ...]:
        """See Task."""
        return (
            Term(name="tagging", title="tags", unit="nats a word"),
            *lm_terms(self.config.lm_weight),
        )

    def counts(self, batch: TaskBatch) -> dict[str, Tensor]:
        """Tagged words; for the auxiliary loss sequences."""
        counts = {"tagging": batch.labels.ne(IGNORE_INDEX).sum()}
        if self.config.lm_weight:
            counts["lm"] = torch.tensor(batch.num_sequences)
        return counts

    def scores(self, model: TaskModel, hidden: Tensor, batch: TaskBatch) -> Tensor:
        """Scores of the labels at the tokens that are targets, [targets, labels], in fp32."""
        at = _targets(batch)
        return model.head(hidden[at], at).float()

    def used(self, model: TaskModel, batch: TaskBatch) -> Tensor | None:  # noqa: ARG002
        """The tokens that stand for words; all of them for the auxiliary loss."""
        return None if self.config.lm_weight else _targets(batch)

    def loss(
        self, model: TaskModel, hidden: Tensor, batch: TaskBatch, counts: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """Cross-entropy in nats a word, and the weighted auxiliary loss."""
        labels = batch.labels[batch.labels.ne(IGNORE_INDEX)].long()
        total = F.cross_entropy(self.scores(model, hidden, batch), labels, reduction="sum")
        terms = {"tagging": total / counts["tagging"]}
        return terms | lm_term(self.config.lm_weight, model, hidden, batch, counts)

    def outputs(self, model: TaskModel, hidden: Tensor, batch: TaskBatch) -> list[NDArray[Any]]:
        """The class and its probability at each target of each sample, [targets, 2]."""
        shares = self.scores(model, hidden, batch).double().softmax(-1).max(-1)
        found = torch.stack([shares.indices.double(), shares.values], 1).cpu().numpy()
        ends = batch.labels.ne(IGNORE_INDEX).cumsum(0)[batch.last].cpu().numpy()
        return np.split(found, ends[:-1])

    def decode(
        self, example: TagExample, outputs: Sequence[NDArray[Any]], origins: Sequence[Any]
    ) -> Prediction:
        """The likeliest tag of every unit."""
        tags: list[str | None] = [None] * len(example.units)
        shares = [1.0] * len(example.units)
        for found, units in zip(outputs, origins, strict=True):
            for (number, share), unit in zip(found.tolist(), units.tolist(), strict=True):
                tags[unit], shares[unit] = self.config.labels[int(number)], share
        if example.characters:
            full = fill_characters(example.units, tags, plain=self.config.plain)
        else:
            full = fill_words(example, tags, self.config.blank or schemes.OUTSIDE)
        return self.tagged(example, full, shares)

    def tagged(
        self, example: TagExample, tags: Sequence[str], shares: Sequence[float]
    ) -> Prediction:
        """The prediction of a tag for every unit, with the probability of each."""
        entities = () if self.config.plain else self._entities(example, tags, shares)
        return Prediction(example.units, tuple(tags), tuple(shares), tuple(entities))

    def _entities(
        self, example: TagExample, tags: Sequence[str], shares: Sequence[float]
    ) -> Iterator[Entity]:
        for span in schemes.read_spans(tags, self.config.scheme_out):
            last = span.stop - 1
            start, end = example.starts[span.start], example.starts[last] + len(example.units[last])
            yield Entity(
                label=span.type,
                text=example.text[start:end],
                start=start,
                end=end,
                first=span.start,
                stop=span.stop,
                probability=math.prod(shares[span.start : span.stop]),
            )

    def meter(self) -> TaggingMetric:
        """Metrics of this task's predictions."""
        return TaggingMetric(self.config)


class TaggingMetric:
    """Entity precision, recall, F1, macro F1 and accuracy of tags; constant memory.

    Of characters those that are white space do not count, as in KLUE.
    """

    def __init__(self, config: TaggingConfig) -> None:
        self._plain = config.plain
        tags = () if self._plain else config.labels
        pairs = filter(None, (schemes.split_tag(tag, config.scheme_out) for tag in tags))
        types = sorted({kind for _, kind in pairs if kind})
        self._scores = EntityScores(types, config.scheme_out)
        self._gold = Counter[str]()
        self._sums = np.zeros(1)

    def record(self, example: TagExample, prediction: Prediction) -> Sequence[float]:
        """Right and all tags; with a scheme the numbers of EntityScores.record too."""
        gold, found = self._measured(example, prediction)
        if self._plain:
            return float(sum(a == b for a, b in zip(gold, found, strict=True))), float(len(gold))
        return self._scores.record(gold, found).tolist()

    def _measured(
        self, example: TagExample, prediction: Prediction
    ) -> tuple[Sequence[str], Sequence[str]]:
        gold, found = example.tags, prediction.tags
        assert gold is not None
        if not example.characters:
            return gold, found
        kept = [i for i, unit in enumerate(example.units) if not unit.isspace()]
        return [gold[i] for i in kept], [found[i] for i in kept]

    def measure(self, records: NDArray[np.float64]) -> dict[str, float]:
        """The metrics, in [0, 1]: conlleval's precision, recall, f1; macro_f1 (KLUE); accuracy."""
        return self._of_sums(records.sum(0))

    def _of_sums(self, sums: NDArray[np.float64]) -> dict[str, float]:
        if self._plain:
            return {"accuracy": float(sums[0] / max(sums[1], 1))}
        return self._scores.measure(sums)

    def add(self, example: TagExample, prediction: Prediction) -> None:
        """Count one prediction of a labelled example."""
        self._sums = self._sums + np.asarray(self.record(example, prediction))
        self._gold.update(self._measured(example, prediction)[0])

    def result(self) -> dict[str, float]:
        """The metrics of what was added, as measure."""
        return self._of_sums(self._sums)

    def by_type(self) -> dict[str, dict[str, float]]:
        """precision, recall, f1 and support of each type of what was added; {} of plain tags."""
        return {} if self._plain else self._scores.by_type(self._sums)

    def baseline(self) -> dict[str, float]:
        """Always the commonest tag for accuracy, and O for what is measured on entities."""
        names = self._of_sums(self._sums)
        commonest = max(self._gold.values(), default=0) / max(self._gold.total(), 1)
        return {name: commonest if name == "accuracy" else 0.0 for name in names}


def _facts(example: TagExample) -> Facts:
    tags = example.tags or ()
    return Facts(texts=(example.text,), labels=tags, answer=" ".join(tags))


def _targets(batch: TaskBatch) -> Tensor:
    """The tokens that stand for words, ascending."""
    return batch.labels.ne(IGNORE_INDEX).nonzero()[:, 0]


GUIDE = Guide(
    files="CoNLL columns, CoNLL-U, lines of words and tags, .csv, .jsonl or a .json list; IOB1, "
    "IOB2, BIOES or plain; exports of doccano, Prodigy, spaCy, Label Studio",
    metrics="entity F1, precision, recall as conlleval's; macro F1; of plain tags accuracy",
    labelled="test.conll",
    inputs="sentences.txt",
    hub="token-classification",
    unit="sentences",
    facts=_facts,
)
Config, Input, Build = TaggingConfig, TaggingInput, Tagging
