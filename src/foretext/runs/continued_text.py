"""What continued pre-training gained on its domain and forgot of the old text.

The tokens before and after differ where the vocabulary was extended, so losses are compared per
word (white space parts words) and, for a causal LM, per UTF-8 byte, on the very same text. A masked
LM's loss a word is its loss a hidden token times the tokens of a word: what the words would cost if
each token were hidden as the targets are. ELECTRA's is its generator's; the discriminator's loss is
none of words, so it stands beside it, a token and without its weight.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from foretext.evaluation.held_out import score_totals
from foretext.objectives.base import Predicts, Vocabulary
from foretext.recipes.folder import read_run
from foretext.recipes.recipe import Recipe
from foretext.shards.prepare import prepare
from foretext.shards.store import DocumentView, Shards, split
from foretext.tokenizers import Tokenizer


@dataclass(frozen=True, kw_only=True)
class TextLoss:
    """A model on a text."""

    loss: float  # nats a target: a hidden token, or the next one
    per_word: float  # nats
    bits_per_byte: float | None  # of a causal LM
    tokens_per_word: float
    unknown_rate: float  # share of tokens that the tokenizer does not know
    unit: str  # of the loss
    others: dict[str, float] = field(default_factory=dict)  # what else is learnt, by title and unit


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A text under the model before and after."""

    text: str  # "domain" | "old"
    origin: str  # where it is from
    documents: int
    words: int
    bytes: int
    before: TextLoss
    after: TextLoss

    @property
    def change(self) -> float:
        """Of the loss a word, as a share: below 0 is better."""
        return self.after.per_word / self.before.per_word - 1

    def record(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self) | {"change": self.change}

    def rows(self) -> list[tuple[str, str, float, float]]:
        """(text, measure, before, after) for a reader."""
        before, after = self.before, self.after
        found = [
            (before.unit, before.loss, after.loss),
            ("nats a word", before.per_word, after.per_word),
            ("tokens a word", before.tokens_per_word, after.tokens_per_word),
        ]
        if before.bits_per_byte is not None and after.bits_per_byte is not None:
            found[0] = ("bits a byte", before.bits_per_byte, after.bits_per_byte)
        found += [(title, loss, after.others[title]) for title, loss in before.others.items()]
        if before.unknown_rate or after.unknown_rate:
            found.append(("unknown tokens, %", 100 * before.unknown_rate, 100 * after.unknown_rate))
        return [(self.text, *row) for row in found]


@dataclass(frozen=True, kw_only=True)
class TextEvaluator:
    """A model with the tokenizer and the recipe it reads by."""

    model: nn.Module
    tokenizer: Tokenizer
    recipe: Recipe


def compare(
    text: str, origin: str, documents: Iterable[str], *, before: TextEvaluator, after: TextEvaluator
) -> Compared:
    """Both models on the same documents, as many as data.held_out_samples are worth.

    Raises:
        DataError: the documents hold no token, or make no sample.
    """
    data = after.recipe.data
    with tempfile.TemporaryDirectory(prefix="foretext-") as temporary:
        path = Path(temporary) / "text.jsonl"
        limit = data.held_out_samples * data.max_length
        sizes = _write(path, documents, before.tokenizer, limit)
        losses = [
            _measure(reader, path, Path(temporary) / name, sizes)
            for name, reader in (("before", before), ("after", after))
        ]
    return Compared(
        text=text,
        origin=origin,
        documents=sizes.documents,
        words=sizes.words,
        bytes=sizes.bytes,
        before=losses[0],
        after=losses[1],
    )


@dataclass
class _Sizes:
    documents: int = 0
    words: int = 0
    bytes: int = 0


def _write(path: Path, documents: Iterable[str], tokenizer: Tokenizer, limit: int) -> _Sizes:
    """The documents until they have `limit` tokens, as JSONL."""
    sizes, tokens = _Sizes(), 0
    with path.open("w", encoding="utf-8") as file:
        for text in documents:
            file.write(json.dumps({"text": text}) + "\n")
            sizes.documents += 1
            sizes.words += len(text.split())
            sizes.bytes += len(text.encode())
            tokens += len(tokenizer.encode(text))
            if tokens >= limit:
                break
    return sizes


def _measure(reader: TextEvaluator, path: Path, out: Path, sizes: _Sizes) -> TextLoss:
    shards = prepare([path], tokenizer=reader.tokenizer, out=out, workers=0)
    objective = reader.recipe.build_objective(Vocabulary.of(reader.tokenizer))
    device = next(reader.model.parameters()).device
    reader.model.eval()
    totals = score_totals(reader.model, objective, shards, device=device)
    losses = {name: total / max(count, 1.0) for name, (total, count) in totals.items()}
    words = next(term for term in objective.terms if term.predicts is not Predicts.NOTHING)
    loss, total = losses[words.name], totals[words.name][0]
    unknown, tokens = _unknown(shards, reader.tokenizer), shards.num_tokens
    everywhere = words.predicts is Predicts.EVERY
    return TextLoss(
        loss=loss,
        per_word=(total if everywhere else loss * tokens) / max(sizes.words, 1),
        bits_per_byte=total / math.log(2) / sizes.bytes if everywhere else None,
        tokens_per_word=tokens / max(sizes.words, 1),
        unknown_rate=unknown / tokens,
        unit=words.unit,
        others={
            f"{term.title}, {term.unit}": losses[term.name]
            for term in objective.terms
            if term.compared and term.predicts is Predicts.NOTHING
        },
    )


def _unknown(shards: Shards, tokenizer: Tokenizer) -> int:
    unk = tokenizer.special.unk
    if unk is None:
        return 0
    return sum(int(np.sum(shards.document(i) == unk)) for i in range(shards.num_documents))


def texts_of(corpus: Shards | DocumentView, tokenizer: Tokenizer) -> Iterator[str]:
    """The documents of shards as text, as far as the tokenizer keeps it."""
    for i in range(corpus.num_documents):
        yield tokenizer.decode(corpus.document(i).tolist())


def held_out_of(folder: Path, recipe: Recipe | None) -> DocumentView | None:
    """What a pre-training run held out; None if it is no run, held nothing out or lost it."""
    if recipe is None or not recipe.data.held_out:
        return None
    place = Path(read_run(folder)[1].get("shards", folder / "shards"))
    if not place.is_dir():
        return None
    shards = Shards.open(place)
    if shards.num_documents < 2:
        return None
    return split(shards, recipe.data.held_out, recipe.training.seed)[1]
