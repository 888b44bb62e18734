"""Similarity: both orders of a GPT's pair, squared error, files, and folders that others open."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch.nn import functional as F

from foretext.core.errors import ConfigError, DataError
from foretext.evaluation.labelled import evaluate, predict
from foretext.inference.task_run import load_task
from foretext.models.bert import Bert
from foretext.models.gpt import Gpt
from foretext.objectives.networks import PredictsTokens
from foretext.runs.finetune import FinetuneOptions, finetune
from foretext.tasks.base import TaskModel
from foretext.tasks.columns import TextExample
from foretext.tasks.inputs import START
from foretext.tasks.similarity import (
    Prediction,
    Similarity,
    SimilarityConfig,
    SimilarityInput,
    SimilarityMetric,
    read,
    resolve,
)
from foretext.text.errors import CorpusStats
from tests.tasks.built import Built, assert_steps_agree, built
from tests.tasks.tiny import MODELS, backbone_folder, sentences, tokenizer_of, write_tsv

TYPES = ("bert", "gpt2", "openai-gpt")
NAMES = ["sentence1", "sentence2", "score"]
COLUMNS = SimilarityInput(text="sentence1", text_pair="sentence2", label="score")


def tokens_of(model: TaskModel) -> PredictsTokens:
    assert isinstance(model.backbone, PredictsTokens)
    return model.backbone


def rows(count: int, seed: int) -> list[tuple[str, str, str]]:
    """Pairs whose score is 2.5 for each text with a good word."""
    half = zip(sentences(count, seed), sentences(count, seed + 50), strict=True)
    return [(a, b, str(2.5 * [one, other].count("good"))) for (a, one), (b, other) in half]


def some() -> list[TextExample]:
    return [TextExample((a, b), score) for a, b, score in rows(10, 5)]


def made(model_type: str, examples: list[TextExample] | None = None, **changes: Any) -> Built:
    def build(lm_weight: float) -> Similarity:
        return Similarity(SimilarityConfig(lowest=0.0, highest=5.0, lm_weight=lm_weight))

    return built(model_type, build, examples or some(), **changes)


def pair_file(path: Path, count: int, seed: int) -> Path:
    return write_tsv(path, NAMES, rows(count, seed))


@pytest.mark.parametrize("model_type", TYPES)
def test_micro_batches_add_up_to_the_batch(model_type: str) -> None:
    """design.md: the same masks and an exact loss however the step is cut; dropout is on."""
    assert_steps_agree(made(model_type), [1, 5, 6])


def test_a_gpt_reads_the_pair_in_both_orders() -> None:
    """Radford et al. 2018, figure 1: start A delim B extract, and start B delim A extract."""
    _, model, table = made("gpt2", [TextExample(("a film", "the plot"), "1")])
    batch = table.batch(np.array([0]))
    assert batch.samples.tolist() == [0, 2]
    tokenizer = tokenizer_of("gpt2")
    first, second = (list(tokenizer.encode(text)) for text in ("a film", "the plot"))
    start = tokenizer.vocab_size
    expected = [
        [start, *a, start + 1, *b, start + 2] for a, b in [(first, second), (second, first)]
    ]
    assert batch.input_ids.tolist() == [i for one in expected for i in one]
    assert model.backbone.config.vocab_size == start + 3, START


def test_an_encoder_reads_the_pair_once() -> None:
    _, _, table = made("bert")
    assert table.batch(np.arange(3)).samples.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("model_type", ["gpt2", "openai-gpt"])
def test_the_states_of_both_orders_are_added_before_the_linear_layer(model_type: str) -> None:
    """Radford et al. 2018, section 3.3; computed here a sequence at a time."""
    objective, model, table = made(model_type)
    batch = table.batch(np.arange(len(table)))
    with torch.no_grad():
        model.head.linear.weight.normal_()
        scores = objective.task.scores(model.eval(), model(batch), batch)  # type: ignore[attr-defined]
        hidden = model(batch)
        ends = hidden[batch.offsets[1:] - 1]
        expected = F.linear(ends[0::2] + ends[1::2], model.head.linear.weight)[:, 0]
        one_order = F.linear(ends[0::2], model.head.linear.weight)[:, 0]
    torch.testing.assert_close(scores, expected)
    assert float((scores - 2 * one_order).abs().max()) > 1e-3


@pytest.mark.parametrize("model_type", TYPES)
def test_only_a_gpt_gives_both_orders_of_a_pair_the_same_score(model_type: str) -> None:
    there = some()
    back = [replace(example, texts=example.texts[::-1]) for example in there]
    objective, model, table = made(model_type, there + back)
    model.eval()
    with torch.no_grad():
        model.head.linear.weight.normal_()
        batch = table.batch(np.arange(len(table)))
        scores = objective.task.scores(model, model(batch), batch)  # type: ignore[attr-defined]
    first, second = scores.chunk(2)
    if model_type == "bert":
        assert float((first - second).abs().max()) > 1e-4
    else:
        torch.testing.assert_close(first, second)


def test_the_loss_is_the_mean_squared_error_and_half_the_row_means() -> None:
    """transformers' MSELoss for one label; gpt.md 1c for the auxiliary loss, of both orders."""
    objective, model, table = made("gpt2")
    model.eval()
    batch = table.batch(np.arange(len(table)))
    with torch.no_grad():
        terms = objective.loss(model, batch, objective.counts(batch))
        scores = objective.task.scores(model, model(batch), batch)  # type: ignore[attr-defined]
        logits = tokens_of(model).logits(model(batch))
        each = [
            F.cross_entropy(logits[start : stop - 1], batch.input_ids[start + 1 : stop])
            for start, stop in zip(batch.offsets[:-1], batch.offsets[1:], strict=True)
        ]
    gold = torch.tensor([float(label) for _, _, label in rows(10, 5)])
    assert len(each) == 20
    assert float(terms["similarity"]) == pytest.approx(float(F.mse_loss(scores, gold)), rel=1e-6)
    assert float(terms["lm"]) == pytest.approx(0.5 * float(torch.stack(each).mean()), rel=1e-5)


def test_the_range_of_the_training_file_is_kept(tmp_path: Path) -> None:
    path = write_tsv(tmp_path / "t.tsv", NAMES, [["a", "b", "-1.5"], ["a", "c", "7"]])
    config = resolve(SimilarityConfig(), COLUMNS, path, Bert, "stop")
    assert (config.lowest, config.highest, config.lm_weight) == (-1.5, 7.0, 0.0)
    assert resolve(SimilarityConfig(), COLUMNS, path, Gpt, "stop").lm_weight == 0.5
    with pytest.raises(ConfigError, match="reads left to right"):
        resolve(SimilarityConfig(lm_weight=0.5), COLUMNS, path, Bert, "stop")


def test_a_file_with_a_single_score_is_refused(tmp_path: Path) -> None:
    path = write_tsv(tmp_path / "t.tsv", NAMES, [["a", "b", "3.0"], ["a", "c", "3"]])
    with pytest.raises(DataError, match=r"t\.tsv: every row has the score 3; .*data\.label"):
        resolve(SimilarityConfig(), COLUMNS, path, Bert, "stop")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a\tb\thigh", r"t\.tsv:3: the score 'high' is not a number"),
        ("a\tb\t3,5", r"t\.tsv:3: the score '3,5' is not a number"),
        ("a\tb\t1_000", r"t\.tsv:3: the score '1_000' is not a number"),
        ("a\tb\t", r"t\.tsv:3: the column 'score' is empty"),
        ("a\tb\tnan", r"t\.tsv:3: the score 'nan' is not finite"),
        ("a\tb\t-inf", r"t\.tsv:3: the score '-inf' is not finite"),
        ("a\t \t1", r"t\.tsv:3: the column 'sentence2' holds no text"),
        ("a\tb", r"t\.tsv:3: the row has 2 columns"),
    ],
)
def test_rows_at_fault_are_named_or_skipped_and_counted(
    tmp_path: Path, row: str, message: str
) -> None:
    path = tmp_path / "t.tsv"
    path.write_text(f"sentence1\tsentence2\tscore\nx\ty\t 4.5\n{row}\n", encoding="utf-8")
    with pytest.raises(DataError, match=message) as caught:
        list(read(path, SimilarityConfig(), COLUMNS))
    assert "\n" not in str(caught.value)
    counts = CorpusStats()
    found = list(read(path, SimilarityConfig(), COLUMNS, on_error="skip", stats=counts))
    assert found == [TextExample(("x", "y"), "4.5")]
    assert counts.skipped == 1


@pytest.mark.parametrize("label", ["score", "label", "similarity"])
def test_columns_are_guessed(tmp_path: Path, label: str) -> None:
    path = write_tsv(tmp_path / "t.tsv", ["id", "sentence1", "sentence2", label], [["x"] * 4])
    found = SimilarityInput().resolved(path)
    assert (found.texts, found.label) == (("sentence1", "sentence2"), label)


def test_a_single_text_is_refused(tmp_path: Path) -> None:
    path = write_tsv(tmp_path / "t.tsv", ["sentence", "score"], [["x", "1"]])
    with pytest.raises(DataError, match=r"a similarity is of two texts, and only .*'sentence'"):
        SimilarityInput().resolved(path)
    with pytest.raises(ConfigError, match=r"data\.text_pair"):
        SimilarityInput(text="sentence").resolved(path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"dropout": 1.0}, "from 0 to below 1"), ({"lm_weight": -1.0}, "must not be negative")],
)
def test_configs_that_cannot_be_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SimilarityConfig(**settings)


def test_the_meter_agrees_with_scipy_and_its_baseline_is_the_mean() -> None:
    drawn = random.Random(0)
    gold = [drawn.randint(0, 10) / 2 for _ in range(50)]
    predicted = [value + drawn.gauss(0, 1) for value in gold]
    meter = SimilarityMetric()
    for value, guess in zip(gold, predicted, strict=True):
        meter.add(TextExample(("a", "b"), str(value)), Prediction(guess))
    found = meter.result()
    assert found["pearson"] == pytest.approx(stats.pearsonr(gold, predicted).statistic)
    assert found["spearman"] == pytest.approx(stats.spearmanr(gold, predicted).statistic)
    assert found["mse"] == pytest.approx(np.mean((np.array(gold) - predicted) ** 2))
    assert found == meter.measure(np.stack([gold, predicted], 1))
    variance = pytest.approx(np.var(gold))
    assert meter.baseline() == {"pearson": 0.0, "spearman": 0.0, "mse": variance}


@pytest.mark.parametrize(
    ("model_type", "metric"), [("bert", "spearman"), ("gpt2", "pearson"), ("bert", "mse")]
)
def test_it_learns_and_the_folder_says_what_the_run_measured(
    tmp_path: Path, model_type: str, metric: str
) -> None:
    """From random weights; mse, of which less is better, chooses the best weights too."""
    settings = {
        "finetune.metric": metric,
        "data.max_length": 40,
        "training.learning_rate": 1e-3 if model_type == "bert" else 1e-2,
        "training.head_learning_rate": 1e-2,
        "training.batch_size": 16,
        "finetune.epochs": 8 if model_type == "bert" else 4,
    }
    dev = pair_file(tmp_path / "dev.tsv", 60, 9)
    result = finetune(
        backbone_folder(tmp_path / "backbone", model_type, num_layers=1),
        "similarity",
        train=pair_file(tmp_path / "train.tsv", 200, 0),
        dev=dev,
        out=tmp_path / "out",
        options=FinetuneOptions(settings=settings),
    )
    found = result.best.metrics
    assert found["spearman"] > 0.8
    assert found["mse"] < 1.0 < result.best.baseline["mse"]
    assert result.degenerate == ()
    run = load_task(tmp_path / "out")
    assert evaluate(run, dev) == pytest.approx(found)
    bare = [(a, b) for a, b, _ in rows(60, 9)]
    assert list(predict(run, bare)) == pytest.approx(list(predict(run, dev)))


@pytest.mark.parametrize("model_type", MODELS)
def test_transformers_gives_the_same_scores(
    tmp_path: Path, model_type: str, quiet_transformers: Any
) -> None:
    """ForSequenceClassification with one label; for a GPT the sum of its two orders, to 1e-4."""
    finetune(
        backbone_folder(tmp_path / "backbone", model_type, noise=0.3, num_layers=3),
        "similarity",
        train=pair_file(tmp_path / "train.tsv", 40, 0),
        out=tmp_path / "out",
        options=FinetuneOptions(settings={"training.steps": 4, "training.head_learning_rate": 1.0}),
    )
    texts = [
        ("a great film", "it was awful and very boring"),
        ("very quite lovely story with the plot", "the plot"),
        ("of", "a"),
    ]
    tokenizer = quiet_transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    auto = quiet_transformers.AutoModelForSequenceClassification
    model = auto.from_pretrained(tmp_path / "out").eval()
    assert (model.config.num_labels, model.config.problem_type) == (1, "regression")
    orders = [texts] if "gpt" not in model_type else [texts, [(b, a) for a, b in texts]]
    logits = torch.zeros(len(texts))
    with torch.no_grad():
        for order in orders:
            first, second = (list(column) for column in zip(*order, strict=True))
            inputs = tokenizer(first, second, padding=True, return_tensors="pt")
            logits += model(**inputs).logits[:, 0]
    ours = [p.score for p in predict(tmp_path / "out", texts)]
    torch.testing.assert_close(torch.tensor(ours), logits, atol=1e-4, rtol=0)
    assert float(logits.std()) > 2e-3  # the pairs differ, so a mixed-up token would show
