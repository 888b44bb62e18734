"""What is compared: arms that differ in one thing, and get the same measured compute.

Models are two layers of 128. Post-norm layers this narrow leave the frequencies of tokens behind
sooner with weights of .05, bias-corrected Adam, small steps and short sequences, in which attention
soon finds the neighbours; dropout does not pay where no text is read twice. Both sides of every
comparison have the same of these. Beside ELECTRA a quarter of the tokens is masked, as for its
large size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

COMMON: dict[str, Any] = {
    "data.max_length": 40,
    "data.held_out": 0.02,
    "data.held_out_samples": 600,
    "model.initializer_range": 0.05,
    "model.dropout": 0.0,
    "model.attention_dropout": 0.0,
    "training.optimizer": "adamw",
    "training.betas": (0.9, 0.98),
    "training.eps": 1e-6,
    "training.learning_rate": 1.5e-3,
    "training.batch_size": 24,
    "training.schedule": "linear",
    "training.threads": 1,
}


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One way to pre-train, and what is measured of what comes out."""

    name: str
    preset: str
    settings: Mapping[str, Any]
    measures: tuple[str, ...] = ()  # names in measures.MEASURES
    shards: str = "train"  # or "little": few documents, read again and again
    share: float = 1.0  # of the CPU seconds of a run
    timed_as: str | None = None  # an arm whose steps take as long; None = itself

    @property
    def values(self) -> dict[str, Any]:
        """All settings, by path."""
        return COMMON | dict(self.settings)


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """Arms that are compared with each other."""

    name: str
    title: str
    arms: tuple[str, ...]


_TRANSFER = ("sst2", "pos")
_PAIRS = ("next", "order")
_ELECTRA: dict[str, Any] = {"objective.name": "replaced-token", "objective.mask_rate": 0.25}
# Pairs need max_tokens for two texts.
_LONG: dict[str, Any] = {"data.max_length": 128, "training.batch_size": 8}
_ALBERT: dict[str, Any] = {
    "objective.name": "sentence-order",
    "data.tokenizer": "wordpiece",
    "data.special_tokens": None,
} | _LONG
_MASKED: dict[str, Any] = {"objective.name": "masked-lm"}
_LITTLE: dict[str, Any] = {"shards": "little", "preset": "bert-tiny", "share": 0.4}

ARMS = {
    arm.name: arm
    for arm in (
        Arm(
            name="bert",
            preset="bert-tiny",
            settings=_MASKED | {"objective.mask_rate": 0.25},
            measures=(*_TRANSFER, "swapped"),
        ),
        Arm(
            name="untrained",
            preset="bert-tiny",
            settings=_MASKED,
            measures=_TRANSFER,
            share=0.0,  # a single step
            timed_as="bert",
        ),
        Arm(
            name="electra",
            preset="electra-tiny",
            settings=_ELECTRA,
            measures=(*_TRANSFER, "swapped"),
        ),
        Arm(
            name="electra-15",
            preset="electra-tiny",
            settings=_ELECTRA | {"objective.variant": "masked-only"},
            measures=_TRANSFER,
        ),
        Arm(
            name="replace-mlm",
            preset="electra-tiny",
            settings=_ELECTRA | {"objective.variant": "replace-mlm"},
            measures=_TRANSFER,
        ),
        Arm(
            name="all-tokens-mlm",
            preset="electra-tiny",
            settings=_ELECTRA | {"objective.variant": "all-tokens-mlm"},
            measures=_TRANSFER,
        ),
        Arm(
            name="bert-nsp",
            preset="bert-tiny",
            settings=_MASKED | _LONG | {"objective.name": "next-sentence"},
            measures=(*_TRANSFER, *_PAIRS),
        ),
        Arm(
            name="bert-no-nsp",
            preset="bert-tiny",
            settings=_MASKED | _LONG,
            measures=(*_TRANSFER, *_PAIRS),
        ),
        Arm(
            name="albert-sop",
            preset="albert-tiny",
            settings=_ALBERT,
            measures=(*_TRANSFER, *_PAIRS),
        ),
        Arm(
            name="albert-nsp",
            preset="albert-tiny",
            settings=_ALBERT | {"objective.pairs": "next"},
            measures=(*_TRANSFER, *_PAIRS),
        ),
        *(
            Arm(
                name=name,
                settings=_MASKED | {"objective.mask_sets": sets},
                measures=("frozen-masks",),
                timed_as="masks-dynamic",
                **_LITTLE,
            )
            for name, sets in (("masks-dynamic", None), ("masks-10", 10), ("masks-1", 1))
        ),
    )
}
# ELECTRA's order of the ablations is table 5's.
EXPERIMENTS = {
    experiment.name: experiment
    for experiment in (
        Experiment(
            name="electra",
            title="ELECTRA, its ablations and BERT",
            arms=("electra", "all-tokens-mlm", "replace-mlm", "electra-15", "bert", "untrained"),
        ),
        Experiment(
            name="albert",
            title="ALBERT: sentence order or next sentence",
            arms=("albert-sop", "albert-nsp"),
        ),
        Experiment(
            name="nsp",
            title="BERT with and without next sentences",
            arms=("bert-nsp", "bert-no-nsp"),
        ),
        Experiment(
            name="masks",
            title="Dynamic and static masks",
            arms=("masks-dynamic", "masks-10", "masks-1"),
        ),
    )
}
