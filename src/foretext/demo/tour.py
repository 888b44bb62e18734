"""The tour's work: two models are pre-trained, transferred from their own and from random weights,
and measured on held-out labels beside a bag of words, over several seeds."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from foretext.core.atomic import atomic_write_text
from foretext.demo.baseline import BagResult, bags
from foretext.demo.data import DemoData
from foretext.demo.stages import Stages
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
    transfer: Mapping[str, Any]  # settings of fine-tuning
    shows: str  # "fill" or "generate": what it is asked for in the end


# Sizes and rates were found by experiment (bench/budget/RESULTS.md). Steps, not minutes, so that a
# busy machine takes longer and does not learn less. Both models read the shards of the first.
_SHARED = {
    "data.max_length": 32,  # near neighbours first
    "data.long_length": 64,
    "data.long_rate": 0.2,
    "data.vocab_size": 6_000,
    "data.held_out_samples": 100,
    "model.dropout": 0.0,  # one pass over more text than can be read: nothing is seen twice
    "model.attention_dropout": 0.0,
    "training.optimizer": "bert-adamw",
    "training.eps": 1e-6,
    "training.learning_rate": 7e-4,
    "training.batch_size": 64,
    "training.save_every": 200,
}
_TRANSFER = {
    "data.max_length": 64,
    "task.pooling": "mean",
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
        steps=700,
        settings=_SHARED | {"objective.name": "masked-lm"},
        transfer=_TRANSFER,
        shows="fill",
    ),
    Stop(
        name="GPT",
        preset="gpt-tiny",
        run="gpt-tiny",
        steps=350,
        settings=_SHARED | {"data.tokenizer": "wordpiece", "data.lowercase": True},
        # The auxiliary loss helps large sets, not small ones (Radford et al. 2018, table 5).
        transfer=_TRANSFER | {"task.lm_weight": 0.0},
        shows="generate",
    ),
)
_STAGES = 3  # of a model that is transferred; one more is the end
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
    bag: BagResult | None  # None without labels, or without scikit-learn
    filled: list[tuple[str, list[tuple[str, float]]]]  # text -> (token, probability)
    generated: list[tuple[str, str]]  # prompt -> text
    seconds: float

    @property
    def verdict(self) -> list[str]:
        """A line for each model on the medians, good or bad."""
        lines = []
        for model in self.models:
            if not model.pretrained:
                continue
            parts = [f"{model.gain:+.1f} points over the same model untrained"]
            if self.bag is not None:
                gap = median(model.pretrained) - median(self.bag.accuracies)
                parts.append(f"{gap:+.1f} over a bag of words")
            lines.append(f"{model.name}: pre-training brought {', '.join(parts)}")
        return lines


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
    stages = Stages(reporter, (_STAGES if data.train else 1) * len(stops) + 1)
    models: list[StopResult] = []
    for stop in stops:
        first = Path(models[0].folder) if models else None
        result = _pretrained(stop, data, folder, pace, stages, first)
        if data.train:
            _transferred(result, stop, data, folder, seeds, stages)
        models.append(result)
    stages.begin("the end", "a bag of words, gaps filled in, texts gone on with")
    shown = {stop.shows: Path(m.folder) for stop, m in zip(stops, models, strict=True)}
    return TourResult(
        about=data.about,
        seeds=seeds,
        models=models,
        bag=bags(data, seeds, reporter) if data.train else None,
        filled=_filled(shown["fill"]),
        generated=_generated(shown["generate"]),
        seconds=time.perf_counter() - begun,
    )


def _pretrained(
    stop: Stop, data: DemoData, folder: Path, pace: float, stages: Stages, first: Path | None
) -> StopResult:
    """Pre-train a model; on the first run's shards where there is one."""
    stages.begin(f"pre-train {stop.name}", f"{stop.preset} on text without labels")
    begun = time.perf_counter()
    steps = max(1, round(stop.steps * pace))
    settings = dict(stop.settings) | schedule(steps)
    text: dict[str, Any] = {"text": data.corpus} if first is None else {"shards": first / "shards"}
    result = pretrain(
        stop.preset,
        out=folder / "runs" / stop.run,
        options=PretrainOptions(settings=settings, **text),
        reporter=stages,
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


def schedule(steps: int) -> dict[str, Any]:
    """Settings of a run of so many steps, by path."""
    return {
        "training.steps": steps,
        "training.warmup_steps": steps // 10,
        "training.eval_every": max(1, steps // 5),
    }


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
    result: StopResult, stop: Stop, data: DemoData, folder: Path, seeds: int, stages: Stages
) -> None:
    """Fine-tune from the run's weights and from random ones, alike in all else."""
    begun = time.perf_counter()
    for weights, accuracies in (("pre-trained", result.pretrained), ("random", result.random)):
        stages.begin(f"fine-tune {stop.name}", f"from {weights} weights, {seeds} seeds")
        for seed in range(seeds):
            stages.part = seed, seeds
            settings = {"training.seed": seed, "finetune.random_weights": weights == "random"}
            tuned = finetune(
                result.folder,
                "classification",
                train=data.train[seed % len(data.train)],
                dev=data.dev,
                out=folder / "runs" / f"{stop.run}-{weights}" / f"seed-{seed}",
                options=FinetuneOptions(settings=dict(stop.transfer) | settings),
                reporter=stages,
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
    values = asdict(result) | {"verdict": result.verdict}
    values |= {"gains": {m.name: m.gain for m in result.models if m.pretrained}}
    atomic_write_text(folder / "demo.json", json.dumps(values, indent=1) + "\n")
