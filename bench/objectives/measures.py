"""What a pre-trained model is worth: fine-tuning on labels, and probes of its frozen states."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bench.objectives.world import Tagged, World
from foretext import api
from foretext.core.batch import Batch
from foretext.evaluation.held_out import evaluate_objective
from foretext.evaluation.labelled import evaluate
from foretext.objectives import next_sentence, sentence_order
from foretext.objectives.base import Vocabulary, assemble
from foretext.objectives.masked_lm import MaskedLM, MaskedLMConfig
from foretext.objectives.spec import SomeSpec
from foretext.recipes.folder import read_run
from foretext.runs.finetune import FinetuneOptions, finetune

# The same for every model, whatever its own paper says.
_TUNING: dict[str, Any] = {
    "training.optimizer": "adamw",
    "training.learning_rate": 5e-4,
    "training.layer_decay": 1.0,
    "training.weight_decay": 0.01,
    "training.batch_size": 16,
    "training.threads": 1,
    "training.save_every": 100_000,
    "finetune.warmup_rate": 0.1,
}
_EPOCHS = {"sst2": ("train", "test", 3.0), "swapped": ("probe", "test", 3.0)}
_PAIRS = {"probe": 2_000, "test": 1_500}  # at most
_AT_ONCE = 32  # sequences
_TAGGED_LENGTH = 40  # pieces, which every model has seen


def _length(run: Path) -> int:
    """Tokens of the sequences that a model was pre-trained on."""
    return read_run(run)[0].data.max_length


Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A pre-trained model that is measured."""

    run: Path
    seed: int
    world: World
    scratch: Path  # a folder that a measure may make


def tuned(name: str, subject: Subject) -> dict[str, float]:
    """Accuracy on a test table after fine-tuning on its training table; the last weights."""
    (first, second, epochs), run, world = _EPOCHS[name], subject.run, subject.world
    settings = _TUNING | {
        "training.seed": subject.seed,
        "finetune.epochs": epochs,
        "data.max_length": _length(run),  # positions beyond it were never trained
    }
    finetune(
        run,
        "classification",
        train=world.table(f"{name}-{first}"),
        out=subject.scratch,
        options=FinetuneOptions(settings=settings),
    )
    metrics = evaluate(subject.scratch, world.table(f"{name}-{second}"))
    return {"accuracy": metrics["accuracy"], "loss": metrics["loss"]}


def probed(name: str, subject: Subject) -> dict[str, float]:
    """Accuracy of a linear map of frozen [CLS] states that sorts pairs as an objective labels them.

    "next": does B follow A, or come from another document (NSP)? "order": do A and B stand in
    their order (SOP)? The states are the last layer's at [CLS] and what the pooler makes of it.
    """
    model, length = api.load(subject.run).model, _length(subject.run)
    learned, tested = (
        _states(model, name, subject.world, part, length) for part in ("probe", "test")
    )
    line = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500))
    line.fit(*learned)
    return {
        "accuracy": float(line.score(*tested)),
        "majority": float(max(tested[1].mean(), 1 - tested[1].mean())),
    }


@torch.no_grad()
def _states(
    model: Any, name: str, world: World, part: str, length: int
) -> tuple[Floats, NDArray[np.int64]]:
    """States [pairs, 2 * hidden] and labels [pairs] of the pairs of a corpus."""
    spec: SomeSpec = {"next": next_sentence.SPEC, "order": sentence_order.SPEC}[name]
    vocabulary, corpus = Vocabulary.of(world.tokenizer), world.shards(part)
    objective = spec.build(
        config=spec.config(short_seq_rate=0.0), vocabulary=vocabulary, max_length=length
    )
    rows = np.concatenate(list(objective.plan(corpus, 0)))
    rows = rows[rows[:, 1] == rows[:, 4]] if name == "order" else rows
    rows = np.random.default_rng(0).permutation(rows)[: _PAIRS[part]]
    rows = rows[np.argsort(rows[:, 0], kind="stable")]
    states = []
    for start in range(0, len(rows), _AT_ONCE):
        texts = [
            [corpus.tokens(*row[1:4]), corpus.tokens(*row[4:7])]
            for row in rows[start : start + _AT_ONCE].tolist()
        ]
        laid = assemble(texts, first=vocabulary.cls_id, after=vocabulary.sep_id)
        batch = Batch(**laid.batch_fields())
        hidden = model(batch)
        states.append(torch.cat((hidden[batch.first], model.pooled_output(hidden, batch)), 1))
    return torch.cat(states).double().numpy(), rows[:, 7].astype(np.int64)


def tagged(subject: Subject) -> dict[str, float]:
    """Accuracy of a linear map from frozen states to parts of speech, learned of few sentences.

    A word is known by the state of its first piece. What a map learns of few words carries over
    to others as far as pre-training has given words of a kind states of a kind.
    """
    world = subject.world
    model, tokenizer = api.load(subject.run).model, world.tokenizer
    learned, tested = (_words(model, tokenizer, world.tagged(part)) for part in ("probe", "test"))
    line = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500))
    line.fit(*learned)
    return {"accuracy": float(line.score(*tested))}


@torch.no_grad()
def _words(model: Any, tokenizer: Any, sentences: Sequence[Tagged]) -> tuple[Floats, list[str]]:
    """States [words, hidden] and tags [words] of some sentences."""
    states: list[torch.Tensor] = []
    tags: list[str] = []
    for words, labels in sentences:
        pieces = [np.array(ids, np.int64) for ids in tokenizer.encode_batch(list(words))]
        laid = assemble(
            [[np.concatenate(pieces)]], first=tokenizer.special.cls, after=tokenizer.special.sep
        )
        if len(laid.ids) > _TAGGED_LENGTH or not all(map(len, pieces)):
            continue
        firsts = 1 + np.cumsum([0, *map(len, pieces[:-1])])
        states.append(model(Batch(**laid.batch_fields()))[torch.from_numpy(firsts)])
        tags += labels
    return torch.cat(states).double().numpy(), tags


def frozen_masks(subject: Subject) -> dict[str, float]:
    """Loss of masked LM on the test file, with the same masks for every model."""
    run, world = subject.run, subject.world
    objective = MaskedLM(
        config=MaskedLMConfig(), vocabulary=Vocabulary.of(world.tokenizer), max_length=_length(run)
    )
    return evaluate_objective(api.load(run).model, objective, world.shards("test"), limit=2_000)


MEASURES: dict[str, Callable[[Subject], dict[str, float]]] = {
    "sst2": partial(tuned, "sst2"),
    "swapped": partial(tuned, "swapped"),
    "next": partial(probed, "next"),
    "order": partial(probed, "order"),
    "pos": tagged,
    "frozen-masks": frozen_masks,
}
