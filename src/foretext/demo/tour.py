"""The tour's work: two models are pre-trained, transferred from their own and from random weights,
and measured on held-out labels, over several seeds."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from foretext.core.atomic import atomic_write_text
from foretext.demo.data import DemoData
from foretext.evaluation.labelled import evaluate
from foretext.inference.config import GenerationConfig
from foretext.inference.fill import fill
from foretext.inference.generate import generate
from foretext.models.folder import load_model
from foretext.runs.finetune import FinetuneOptions, finetune
from foretext.runs.options import PretrainOptions
from foretext.runs.pretrain import pretrain
from foretext.tokenizers import Tokenizer
from foretext.training.log import read_metrics
from foretext.training.progress import Reporter

Curve = list[tuple[float, float]]  # (step, loss in nats a target)


@dataclass(frozen=True, kw_only=True)
class Stop:
    """One model of the tour, and how it is trained here."""

    name: str
    preset: str
    run: str  # its folder's name
    steps: int  # of pre-training
    settings: Mapping[str, Any]
    transfer: Mapping[str, Any] | None = None  # settings of fine-tuning; None leaves it out
    shows: str = ""  # "fill" or "generate": what it is asked for in the end


# Sizes and rates were found by experiment. Steps, not minutes, so that a busy machine takes longer
# and does not learn less. Weights of .02 barely pass a signal through layers this narrow. Long
# samples and many masks: at 15 % masks in short ones so small a model learns of neighbours alone,
# and the sense of praise and blame is in words that lie far apart.
_SHARED = {
    "data.max_length": 256,
    "data.vocab_size": 4_000,
    "data.held_out_samples": 100,
    "model.dropout": 0.0,  # one pass over more text than can be read: nothing is seen twice
    "model.attention_dropout": 0.0,
    "training.optimizer": "adamw",
    "training.batch_size": 8,
    "training.warmup_steps": 100,
    "training.eval_every": 200,
    "training.save_every": 400,
}
_TRANSFER = {
    "data.max_length": 64,
    "training.optimizer": "adamw",
    "training.learning_rate": 5e-4,
    "training.batch_size": 16,
    "finetune.epochs": 6.0,
    "finetune.warmup_rate": 0.1,
}
STOPS = (
    Stop(
        name="BERT",
        preset="bert-tiny",
        run="bert-tiny",
        steps=1_200,
        settings=_SHARED
        | {
            "objective.name": "masked-lm",
            "objective.mask_rate": 0.7,
            "model.initializer_range": 0.05,
            "training.learning_rate": 1.5e-3,
        },
        transfer=_TRANSFER,
    ),
    # Long samples with many masks teach which words go together, not how a sentence goes on; short
    # ones, which are only then made longer, the reverse (docs/troubleshooting.md, on the plateau).
    Stop(
        name="BERT, short texts first",
        preset="bert-tiny",
        run="bert-tiny-short",
        steps=1_300,
        settings=_SHARED
        | {
            "objective.name": "masked-lm",
            "data.max_length": 12,
            "data.long_length": 48,
            "data.long_rate": 0.3,
            "model.initializer_range": 0.05,
            "training.batch_size": 80,
            "training.learning_rate": 1.5e-3,
        },
        shows="fill",
    ),
    Stop(
        name="GPT",
        preset="gpt-tiny",
        run="gpt-tiny",
        steps=800,
        settings=_SHARED | {"model.initializer_range": 0.04, "training.learning_rate": 2e-3},
        # The auxiliary loss helps large sets, not small ones (Radford et al. 2018, table 5).
        transfer=_TRANSFER | {"task.lm_weight": 0.0, "training.learning_rate": 1e-3},
        shows="generate",
    ),
)
MASKED = (
    "This is one of the [MASK] movies I have ever seen.",
    "The acting was very [MASK].",
    "I would not [MASK] this film to anyone.",
)
PROMPTS = ("This movie is", "The actors")


@dataclass(kw_only=True)
class StopResult:
    """What one model did."""

    name: str
    preset: str
    folder: str
    parameters: int
    steps: int
    tokens: int
    seconds: float  # of pre-training, tokenizer and shards included
    training: Curve
    held_out: Curve
    unigram: float | None = None  # loss of token frequencies alone, on held-out text
    transfer_seconds: float = 0.0
    pretrained: list[float] = field(default_factory=list)  # test accuracy in percent, a seed each
    random: list[float] = field(default_factory=list)

    @property
    def gain(self) -> float:
        """Points of accuracy that pre-training brought: the difference of the medians."""
        return median(self.pretrained) - median(self.random)


@dataclass(kw_only=True)
class TourResult:
    """All that the tour shows."""

    about: str
    seeds: int
    models: list[StopResult]
    filled: list[tuple[str, list[tuple[str, float]]]]  # text -> (token, probability)
    generated: list[tuple[str, str]]  # prompt -> text
    seconds: float


class Interrupted(Exception):
    """A signal stopped the tour; what it had is saved and the same command goes on."""


def tour(
    data: DemoData,
    folder: Path,
    *,
    seeds: int,
    pace: float,
    reporter: Reporter,
    stops: Sequence[Stop] = STOPS,
) -> TourResult:
    """Run the tour in a folder, or go on with one.

    Args:
        data: text and labels.
        folder: runs/… are made in it.
        seeds: of fine-tuning.
        pace: 1 is the tour of some minutes; 0.5 pre-trains half as many steps.
        reporter: takes the news.
        stops: what is pre-trained; one that fills in and one that generates are among them.

    Raises:
        ForetextError: text or labels are at fault.
        Interrupted: by Ctrl-C or SIGTERM, after saving.
    """
    begun = time.perf_counter()
    models = []
    for stop in stops:
        result = _pretrained(stop, data, folder, pace, reporter)
        if data.train and stop.transfer is not None:
            _transferred(result, stop, data, folder, seeds, reporter)
        models.append(result)
    shown = {stop.shows: Path(m.folder) for stop, m in zip(stops, models, strict=True)}
    return TourResult(
        about=data.about,
        seeds=seeds,
        models=models,
        filled=_filled(shown["fill"]),
        generated=_generated(shown["generate"]),
        seconds=time.perf_counter() - begun,
    )


def _pretrained(
    stop: Stop, data: DemoData, folder: Path, pace: float, reporter: Reporter
) -> StopResult:
    reporter.message(f"{stop.name}: pre-training {stop.preset} on text without labels")
    begun = time.perf_counter()
    result = pretrain(
        stop.preset,
        out=folder / "runs" / stop.run,
        options=PretrainOptions(
            text=data.corpus,
            settings=dict(stop.settings) | {"training.steps": max(1, round(stop.steps * pace))},
        ),
        reporter=reporter,
    )
    if result.progress.stopped:
        raise Interrupted
    training, held_out = curves(result.folder)
    return StopResult(
        name=stop.name,
        preset=stop.preset,
        folder=str(result.folder),
        parameters=result.estimate.parameters,
        steps=result.progress.step,
        tokens=result.progress.tokens,
        seconds=time.perf_counter() - begun,
        training=training,
        held_out=held_out,
        unigram=result.progress.last_metrics.get("unigram"),
    )


def curves(run: Path) -> tuple[Curve, Curve]:
    """Training and held-out loss over steps, from metrics.jsonl."""
    training, held_out = [], []
    for record in read_metrics(run):
        if record.get("loss") is not None:
            training.append((float(record["step"]), float(record["loss"])))
        if record.get("eval/loss") is not None:
            held_out.append((float(record["step"]), float(record["eval/loss"])))
    return training, held_out


def _transferred(
    result: StopResult,
    stop: Stop,
    data: DemoData,
    folder: Path,
    seeds: int,
    reporter: Reporter,
) -> None:
    """Fine-tune from the run's weights and from random ones, alike in all else."""
    begun = time.perf_counter()
    assert stop.transfer is not None
    for weights, accuracies in (("pre-trained", result.pretrained), ("random", result.random)):
        for seed in range(seeds):
            reporter.message(
                f"{stop.name}: fine-tuning from {weights} weights, {seed + 1} of {seeds}"
            )
            settings = {"training.seed": seed, "finetune.random_weights": weights == "random"}
            tuned = finetune(
                result.folder,
                "classification",
                train=data.train[seed % len(data.train)],
                dev=data.dev,
                out=folder / "runs" / f"{stop.run}-{weights}" / f"seed-{seed}",
                options=FinetuneOptions(settings=dict(stop.transfer) | settings),
                reporter=reporter,
            )
            if not tuned.finished:
                raise Interrupted
            test = data.test or data.dev or data.train[0]
            accuracies.append(100 * evaluate(tuned.best.folder, test)["accuracy"])
    result.transfer_seconds = time.perf_counter() - begun


def _filled(run: Path) -> list[tuple[str, list[tuple[str, float]]]]:
    tokenizer = Tokenizer.load(run)
    found = fill(load_model(run).model.eval(), tokenizer, MASKED, top_k=4)
    return [
        (text, [(choice.token_str, choice.score) for choice in masks[0]])
        for text, masks in zip(MASKED, found, strict=True)
    ]


def _generated(run: Path) -> list[tuple[str, str]]:
    tokenizer = Tokenizer.load(run)
    config = GenerationConfig(max_new_tokens=40, temperature=0.8, top_k=40, seed=1)
    found = generate(load_model(run).model.eval(), tokenizer, PROMPTS, config=config)
    return [(prompt, texts[0].text) for prompt, texts in zip(PROMPTS, found, strict=True)]


def save(result: TourResult, folder: Path) -> None:
    """The numbers behind the page, as JSON."""
    values = asdict(result) | {"gains": {m.name: m.gain for m in result.models if m.pretrained}}
    atomic_write_text(folder / "demo.json", json.dumps(values, indent=1) + "\n")
