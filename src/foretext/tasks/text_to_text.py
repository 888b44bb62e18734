"""Text to text: a source, and the target that a model writes for it.

Paper: Raffel et al. 2020, https://arxiv.org/abs/1910.10683, sections 2.4 and 3.1.3 and appendix D:
a prefix says what is to be done ("translate English to German: "), beams of 4 with GNMT's penalty
(alpha 0.6), a constant learning rate of .001 for Adafactor; BLEU of sacrebleu with mteval's `intl`
tokens, ROUGE of rouge-score.
Deviations: the loss is divided by the targets there are (see objectives/span_corruption.py); a
target that is too long is refused, where T5 cuts it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from foretext.core.errors import ConfigError, DataError
from foretext.labelled.inspect import Facts
from foretext.metrics import generation
from foretext.tasks.base import Features
from foretext.tasks.columns import Placed, check_format
from foretext.tasks.guide import Guide
from foretext.tasks.inputs import InputFormat
from foretext.tasks.writing import SENTINEL, Writing, WritingTask, encode_pairs
from foretext.text.errors import CorpusStats, Faults, OnError, listed, shown, shown_path
from foretext.text.normalise import nfc
from foretext.text.tables import column_names, read_table, table_kind

IN_USE = ("metrics", "bleu_tokens", "num_beams", "length_penalty", "max_new_tokens")
_SHORTER = "raise task.max_target_length, or shorten it"
METRICS = ("bleu", "chrf", "rouge", "exact")
SOURCES, TARGETS = ("source", "document", "text"), ("target", "summary", "translation")


@dataclass(frozen=True, kw_only=True)
class TextToTextConfig:
    """What is put before sources, how targets are written, and how they are measured."""

    prefix: str = ""  # put before every source, such as "summarize: "
    metrics: tuple[str, ...] = ("bleu", "chrf", "exact")  # the first chooses the best weights
    bleu_tokens: str = "intl"  # how sacrebleu cuts words; "13a" is its own choice
    num_beams: int = 4  # 1 takes the likeliest token at each step
    length_penalty: float = 0.6  # GNMT's alpha, of beams
    max_target_length: int = 512  # tokens of a target, the end included
    max_new_tokens: int | None = None  # of what is written; None = max_target_length

    def __post_init__(self) -> None:
        if not self.metrics or not set(self.metrics) <= set(METRICS):
            raise ConfigError(
                f"task.metrics={list(self.metrics)} must be some of {', '.join(METRICS)}"
            )
        if self.bleu_tokens not in generation.BLEU_TOKENS:
            raise ConfigError(
                f"task.bleu_tokens={self.bleu_tokens!r} must be one of "
                f"{', '.join(generation.BLEU_TOKENS)}"
            )
        for name in ("num_beams", "max_target_length", "max_new_tokens"):
            if (getattr(self, name) or 1) < 1:
                raise ConfigError(f"task.{name}={getattr(self, name)} must be at least 1")


@dataclass(frozen=True, kw_only=True)
class PairInput:
    """Columns of a file of sources and targets, and the length of what is read."""

    source: str | None = None  # column; None = guessed from its name
    target: str | None = None  # column; None = guessed from its name
    header: bool = True  # the first row names the columns; else they are 0, 1, 2
    format: str | None = None  # tsv, csv, ...: of a file whose suffix says nothing, such as .txt
    max_length: int | None = None  # tokens of a source, the end included; None = the paper's

    long_text: ClassVar[str] = "head"

    def __post_init__(self) -> None:
        if self.max_length is not None and self.max_length < 2:
            raise ConfigError(f"data.max_length={self.max_length} must be at least 2 tokens")
        check_format(self.format)

    @property
    def texts(self) -> tuple[str, ...]:
        """What is read, once it is known."""
        return () if self.source is None else (self.source,)

    @property
    def label(self) -> str | None:
        """What is learned."""
        return self.target

    def is_table(self, path: Path) -> bool:
        """Whether a file whose suffix is no table's, such as .txt, is one nonetheless."""
        return table_kind(path) is not None or self.format is not None

    def resolved(self, path: Path) -> PairInput:
        """The same with both columns named, guessed from a file's where they are not.

        Raises:
            DataError: no column has a name that says what it holds.
        """
        if self.source is not None and self.target is not None:
            return self
        names = column_names(path, header=self.header, kind=self.format)
        found: dict[str, str] = {}
        for part, known in (("source", SOURCES), ("target", TARGETS)):
            guess = getattr(self, part) or next((name for name in known if name in names), None)
            if guess is None:
                raise DataError(
                    f"{shown_path(path)}: no column is called {', '.join(known)}; the file has "
                    f"{listed(names)}; name it with data.{part}"
                )
            found[part] = guess
        return replace(self, source=found["source"], target=found["target"])


@dataclass(frozen=True, slots=True)
class TextPair:
    """A source, perhaps with its target."""

    source: str
    target: str | None = None


def resolve(
    config: TextToTextConfig,
    columns: PairInput,  # noqa: ARG001
    train: Path,  # noqa: ARG001
    model: Any,  # noqa: ARG001
    on_error: str,  # noqa: ARG001
) -> TextToTextConfig:
    """The config with the length of what is written.

    Raises:
        ConfigError: a metric's library is not installed.
    """
    generation.check_libraries(config.metrics)
    return replace(config, max_new_tokens=config.max_new_tokens or config.max_target_length)


def read(
    path: Path,
    config: TextToTextConfig,  # noqa: ARG001
    columns: PairInput,
    *,
    labelled: bool = True,
    on_error: str = "stop",
    stats: CorpusStats | None = None,
) -> Iterator[TextPair]:
    """The pairs of a table, one after another.

    Args:
        path, on_error, stats: as in read_table; an empty source, no target or a sentinel in the
            text is a fault.
        columns: resolved.
        labelled: False leaves the target's column alone.

    Raises:
        DataError: as read_table; a pair at fault (file:line).
    """
    assert columns.source is not None
    stats = CorpusStats() if stats is None else stats
    faults = Faults(OnError.of(on_error), stats)
    wanted = [columns.source, *([columns.target or ""] if labelled else [])]
    table = {"header": columns.header, "kind": columns.format}
    delivered = 0
    for row in read_table(path, wanted, on_error, stats=stats, **table):  # type: ignore[arg-type]
        place = f"{shown_path(path)}:{row.line}"
        values = [row.values[column] for column in wanted]
        empty = [column for column, value in zip(wanted, values, strict=True) if not value.strip()]
        if empty:
            kind = "empty source" if empty[0] == columns.source else "no target"
            faults.skip(kind, place, f"the column {shown(empty[0])} is empty")
        elif any(SENTINEL in value for value in values):
            faults.skip("sentinel", place, *_sentinel())
        else:
            delivered += 1
            yield TextPair(*values)
    if not delivered:
        raise DataError(f"{shown_path(path)}: every row was skipped; mend the file")


def _sentinel() -> tuple[str, str]:
    return f"there is a sentinel {SENTINEL}...>", "it marks gaps in pre-training; delete it"


def given(placed: Iterable[Placed], columns: PairInput, faults: Faults) -> Iterator[TextPair]:  # noqa: ARG001
    """Sources of bare texts.

    Raises:
        DataError: a text is empty, or there are several; faults say.
    """
    for place, texts in placed:
        if len(texts) != 1:
            faults.skip("number of texts", place, f"{len(texts)} texts where the model reads 1")
        elif not texts[0].strip():
            faults.skip("empty text", place, "there is no text")
        elif SENTINEL in texts[0]:
            faults.skip("sentinel", place, *_sentinel())
        else:
            yield TextPair(nfc(texts[0]))


@dataclass(frozen=True, slots=True)
class Prediction:
    """What was written."""

    text: str

    @property
    def line(self) -> str:
        """The text on one line."""
        return " ".join(self.text.split())


@dataclass(frozen=True)
class TextToText(WritingTask):
    config: TextToTextConfig  # resolved

    @property
    def metric(self) -> str:
        return self.measured[0]

    @property
    def measured(self) -> tuple[str, ...]:
        rouge = ("rouge1", "rouge2", "rougeLsum")
        return tuple(
            n for name in self.config.metrics for n in (rouge if name == "rouge" else (name,))
        )

    @property
    def writing(self) -> Writing:
        """How targets are written."""
        config = self.config
        assert config.max_new_tokens is not None
        return Writing(
            max_tokens=config.max_new_tokens,
            num_beams=config.num_beams,
            length_penalty=config.length_penalty,
        )

    def encode(self, examples: Sequence[TextPair], layout: InputFormat) -> list[list[Features]]:
        """One sample an example."""
        prefix, longest = self.config.prefix, self.config.max_target_length
        pairs = [(prefix + example.source, example.target) for example in examples]
        return [
            [sample] for sample in encode_pairs(pairs, layout, longest=longest, remedy=_SHORTER)
        ]

    def decode(
        self,
        example: TextPair,  # noqa: ARG002
        outputs: Sequence[NDArray[Any]],
        origins: Sequence[Any],  # noqa: ARG002
    ) -> Prediction:
        """The text as it was written."""
        return Prediction(str(outputs[0][0]))

    def meter(self) -> TextMetric:
        """Metrics of this task's predictions."""
        return TextMetric(self.config)


class TextMetric:
    """BLEU, chrF, ROUGE and exact match in percent; a few numbers an example are held as sums."""

    def __init__(self, config: TextToTextConfig) -> None:
        self._config = config
        self._records: list[list[float]] = []

    def record(self, example: TextPair, prediction: Prediction) -> list[float]:
        """The counts of each metric, one after another."""
        target, text = (example.target or "").strip(), prediction.text.strip()
        found: list[float] = []
        for name in self._config.metrics:
            if name == "bleu":
                found += generation.bleu_counts(text, target, tokens=self._config.bleu_tokens)
            elif name == "chrf":
                found += generation.chrf_counts(text, target)
            elif name == "rouge":
                found += generation.rouge_scores(text, target)
            else:
                found.append(float(text == target))
        return found

    def measure(self, records: NDArray[np.float64]) -> dict[str, float]:
        """The metrics, 0 to 100."""
        result: dict[str, float] = {}
        at = 0
        for name in self._config.metrics:
            size = {"bleu": 10, "chrf": 18, "rouge": 3, "exact": 1}[name]
            part, at = records[:, at : at + size], at + size
            if name == "bleu":
                result[name] = generation.bleu(part)
            elif name == "chrf":
                result[name] = generation.chrf(part)
            elif name == "rouge":
                result |= generation.rouge(part)
            else:
                result[name] = 100 * float(part.mean())
        return result

    def add(self, example: TextPair, prediction: Prediction) -> None:
        """Count one prediction of a labelled example."""
        self._records.append(self.record(example, prediction))

    def result(self) -> dict[str, float]:
        """The metrics of what was added, as measure."""
        return self.measure(np.array(self._records))

    def baseline(self) -> dict[str, float]:
        """Nothing: no one text is a good answer to many sources."""
        return dict.fromkeys(self.result(), 0.0)


def _facts(example: TextPair) -> Facts:
    return Facts(texts=(example.source,), labels=(), answer=example.target or "")


GUIDE = Guide(
    files=".tsv, .csv, .jsonl or a .json list: two columns of text, `source` and `target`",
    metrics="BLEU, chrF, ROUGE, exact match",
    labelled="test.tsv",
    inputs="sources.txt",
    hub="text2text-generation",
    unit="pairs",
    facts=_facts,
)
Config, Input, Build = TextToTextConfig, PairInput, TextToText
