"""Question answering: loss, heads, micro-batches, figures, and what it asks of a file."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from foretext.core.errors import ConfigError, DataError
from foretext.inference import predict as windows
from foretext.labelled.squad import Answer, Question
from foretext.metrics import squad
from foretext.models.bert import Bert
from foretext.models.gpt import Gpt
from foretext.recipes.task_recipe import TaskRecipe
from foretext.tasks.base import SampleTable, TaskModel, TaskObjective
from foretext.tasks.datasets import task_of
from foretext.tasks.inputs import fit_to_tokens, input_format_for, task_tokenizer
from foretext.tasks.qa_answers import Candidate, Prediction
from foretext.tasks.qa_windows import NULL
from foretext.tasks.question_answering import (
    QuestionAnswering,
    QuestionAnsweringConfig,
    QuestionInput,
    given,
    log_softmax,
    resolve,
)
from foretext.text.errors import CorpusStats, Faults, OnError
from tests.tasks.built import assert_steps_agree
from tests.tasks.questions import question_file, questions
from tests.tasks.tiny import model_of, tokenizer_of

TYPES = ("bert", "gpt2", "openai-gpt")


def made(
    model_type: str, examples: list[Question], *, changes: dict[str, Any] | None = None, **own: Any
) -> tuple[TaskObjective, TaskModel, SampleTable]:
    """A tiny model with the task over some examples, its head anything but small."""
    family = Bert if model_type == "bert" else Gpt
    plain = tokenizer_of(model_type)
    tokenizer = task_tokenizer(plain, family)
    backbone = model_of(model_type, plain.vocab_size, **(changes or {}))
    generator = torch.Generator().manual_seed(3)
    fit_to_tokens(backbone, plain, tokenizer, generator)
    usual: dict[str, Any] = {"allow_impossible": True, "lm_weight": 0.0, "doc_stride": 8}
    task = QuestionAnswering(QuestionAnsweringConfig(**usual | own))
    model = TaskModel(backbone, task.head(backbone, generator))
    with torch.no_grad():
        for parameter in model.head.parameters():
            parameter.normal_(std=0.2, generator=generator)
    encoded = task.encode(examples, input_format_for(family, tokenizer, 26))
    table = SampleTable(sample for samples in encoded for sample in samples)
    return TaskObjective(task=task, max_length=26), model, table


def some() -> list[Question]:
    return questions(12, 5, words=30, impossible=0.3)


@pytest.mark.parametrize("answerable_head", [False, True])
@pytest.mark.parametrize("model_type", TYPES)
def test_micro_batches_add_up_to_the_batch(model_type: str, answerable_head: bool) -> None:
    """design.md: a loss exact however the step is cut; dropout is on."""
    weight = 0.0 if model_type == "bert" else 0.5
    built = made(model_type, some(), answerable_head=answerable_head, lm_weight=weight)
    assert_steps_agree(built, [1, 6, 7])
    objective, _, table = built
    extra = {"answerable"} if answerable_head else set()
    names = {"question-answering"} | extra | ({"lm"} if weight else set())
    assert objective.counts(table.batch(np.arange(2))).keys() == names


@pytest.mark.parametrize("model_type", TYPES)
def test_the_loss_is_the_mean_over_windows_of_start_and_end(model_type: str) -> None:
    """bert.md e: (CE_start + CE_end) / 2 over all positions; no answer: first or last token."""
    objective, model, table = made(model_type, some())
    model.eval()
    batch = table.batch(np.arange(len(table)))
    losses, nulls = [], 0
    with torch.no_grad():
        found = objective.loss(model, batch, objective.counts(batch))["question-answering"]
        for number in range(len(table)):
            one = table.batch(np.array([number]))
            logits = model.head.linear(model(one))
            for side, target in enumerate(one.labels.tolist()):
                nulls += target == NULL
                null = 0 if model_type == "bert" else one.num_tokens - 1
                goal = torch.tensor(null if target == NULL else target)
                losses.append(F.cross_entropy(logits[:, side], goal))
    assert 0 < nulls < 2 * len(table)
    assert float(found) == pytest.approx(float(torch.stack(losses).mean()), abs=1e-5)


def test_the_joint_loss_is_half_of_a_cross_entropy_with_label_1_for_no_answer() -> None:
    """electra.md e: .5 x BCE of [CLS] and the states weighted by the start probabilities."""
    objective, model, table = made("bert", some(), answerable_head=True)
    model.eval()
    batch = table.batch(np.arange(len(table)))
    losses = []
    with torch.no_grad():
        found = objective.loss(model, batch, objective.counts(batch))["answerable"]
        for number in range(len(table)):
            one = table.batch(np.array([number]))
            hidden = model(one)
            shares = model.head.linear(hidden)[:, 0].softmax(0)
            logit = model.head.answerable(torch.cat([hidden[0], shares @ hidden]))
            label = (one.labels[:1] == NULL).float()
            losses.append(F.binary_cross_entropy_with_logits(logit, label))
    assert float(found) == pytest.approx(0.5 * float(torch.stack(losses).mean()), abs=1e-5)


def test_the_ragged_softmax_equals_each_rows_own() -> None:
    scores = torch.randn(9, dtype=torch.float64) * 50
    rows = torch.tensor([0, 0, 0, 1, 2, 2, 2, 2, 2])
    own = torch.cat([part.log_softmax(0) for part in scores.split([3, 1, 5])])
    torch.testing.assert_close(log_softmax(scores, rows, 3), own)


@pytest.mark.parametrize("answerable_head", [False, True])
def test_outputs_hold_the_null_score_first(answerable_head: bool) -> None:
    objective, model, table = made("gpt2", some(), answerable_head=answerable_head)
    model.eval()
    batch = table.batch(np.arange(len(table)))
    with torch.no_grad():
        hidden = model(batch)
        outputs = objective.task.outputs(model, hidden, batch)
        logits = model.head.linear(hidden)
    for number, output in enumerate(outputs):
        own = logits[batch.offsets[number] : batch.offsets[number + 1]]
        np.testing.assert_allclose(output[:, 1:].T, own, atol=1e-6)
        if not answerable_head:
            np.testing.assert_allclose(output[:, 0], own[-1], atol=1e-6)


def test_heads_store_what_transformers_reads_and_the_rest_under_dotted_names() -> None:
    names = made("bert", some(), answerable_head=True)[1].head_tensors().keys()
    assert {name for name in names if "." not in name} == {"weight", "bias"}
    assert len(names) == 6


def answered(text: str, null_score: float, best: str) -> Prediction:
    candidate = Candidate(best, 0, len(best), 1.0, 1.0)
    return Prediction("q", text, 0, len(text), 1.0, 1.0, 0.5, null_score, (candidate,))


CASES = [
    (("cat",), answered("the cat", -1.0, "the cat")),
    (("black cat",), answered("", 0.5, "cat")),
    ((), answered("", 2.0, "dog")),
    ((), answered("dog", -2.0, "dog")),
]


def examples() -> list[tuple[Question, Prediction]]:
    return [
        (Question("q", "?", "x", tuple(Answer(gold, 0) for gold in golds)), prediction)
        for golds, prediction in CASES
    ]


def test_the_meter_gives_the_official_figures() -> None:
    task = QuestionAnswering(QuestionAnsweringConfig(allow_impossible=True))
    meter = task.meter()
    for example, prediction in examples():
        meter.add(example, prediction)
    found = meter.result()
    golds = {str(i): list(golds) for i, (golds, _) in enumerate(CASES)}
    finals = {str(i): prediction.text for i, (_, prediction) in enumerate(CASES)}
    bests = {str(i): prediction.n_best[0].text for i, (_, prediction) in enumerate(CASES)}
    nulls = {str(i): prediction.null_score for i, (_, prediction) in enumerate(CASES)}
    official = squad.evaluate(golds, finals, version="2.0")
    search = squad.evaluate(golds, bests, version="2.0", null_scores=nulls)
    official |= {name: value for name, value in search.items() if name.startswith("best")}
    assert official["best_exact_thresh"] == 0  # where the script begins; of logits it is too high
    official["best_exact_thresh"] = -3.0
    assert found == pytest.approx(official)
    assert meter.baseline()["f1"] == 50
    assert meter.baseline()["NoAns_exact"] == 100


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_an_answer_in_another_form_than_its_gold_is_right(form: Literal["NFC", "NFD"]) -> None:
    """The reader composes golds, and answers are as the context was given."""
    task = QuestionAnswering(QuestionAnsweringConfig(metric="korquad", allow_impossible=False))
    meter = task.meter()
    text = unicodedata.normalize(form, "서울 강남")
    meter.add(Question("q", "?", "x", (Answer("서울 강남", 0),)), answered(text, 0.0, text))
    assert meter.result() == {"exact": 100, "f1": 100, "total": 1}


def test_a_bare_context_is_read_composed_and_kept_as_given() -> None:
    context = unicodedata.normalize("NFD", "서울 강남")
    faults = Faults(OnError.STOP, CorpusStats())
    (question,) = given([("text 1", ("어디?", context))], QuestionInput(), faults)
    assert question.context == "서울 강남"
    assert question.part(3, 5) == (context[-6:], len(context) - 6, len(context))


def test_resampled_records_give_the_figures_of_the_resampled_examples() -> None:
    task = QuestionAnswering(QuestionAnsweringConfig(allow_impossible=True))
    records = np.array([task.meter().record(*pair) for pair in examples()])
    chosen = [3, 0, 0, 1]
    meter = task.meter()
    for number in chosen:
        meter.add(*examples()[number])
    assert task.meter().measure(records[chosen]) == pytest.approx(meter.result())


def test_calibration_reaches_the_best_f1() -> None:
    task = QuestionAnswering(QuestionAnsweringConfig(allow_impossible=True))
    config = task.calibrated(examples())
    assert config.null_threshold == 1.25  # between 0.5, the official one, and 2
    even = QuestionAnsweringConfig(allow_impossible=True, threshold_goal="balanced")
    without = [pair for pair in examples() if not pair[0].answers]
    many = examples() + without * 20  # how many there are of a kind changes nothing
    few = QuestionAnswering(even).calibrated(examples())
    assert QuestionAnswering(even).calibrated(many) == few
    plain = QuestionAnswering(QuestionAnsweringConfig(allow_impossible=False))
    assert plain.calibrated(examples()) == plain.config


def test_korquad_counts_characters() -> None:
    name, usual = task_of("korquad")
    config = TaskRecipe.of(name, usual, left_to_right=False).task
    meter = QuestionAnswering(config).meter()
    meter.add(Question("q", "?", "x", (Answer("서울시", 0),)), answered("서울 시", 0, "서울 시"))
    assert meter.result() == {"exact": 0, "f1": 100, "total": 1}


def test_whether_questions_may_lack_an_answer_is_read_from_the_training_file(
    tmp_path: Path,
) -> None:
    some_lack = question_file(tmp_path / "2.json", questions(20, 0, impossible=0.5))
    none_lacks = question_file(tmp_path / "1.json", questions(20, 0))
    plain = QuestionAnsweringConfig()
    for path, expected in ((some_lack, True), (none_lacks, False)):
        config = resolve(plain, QuestionInput(), path, Bert, "stop")
        assert (config.allow_impossible, config.lm_weight) == (expected, 0.0)
    assert resolve(plain, QuestionInput(), none_lacks, Gpt, "stop").lm_weight == 0.5
    joint = QuestionAnsweringConfig(answerable_head=True)
    with pytest.raises(ConfigError, match="answerable_head needs questions without an answer"):
        resolve(joint, QuestionInput(), none_lacks, Bert, "stop")


def test_pairs_are_a_question_and_a_context() -> None:
    stats = CorpusStats()
    faults = Faults(OnError("skip"), stats)
    placed = [("text 1", ("who", "a b")), ("text 2", ("who",)), ("text 3", (" ", "a"))]
    assert list(given(placed, QuestionInput(), faults)) == [Question("text 1", "who", "a b")]
    assert stats.skipped == 2
    with pytest.raises(DataError, match="text 2: 1 texts where the model reads 2"):
        list(given(placed, QuestionInput(), Faults(OnError("stop"), CorpusStats())))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"metric": "f2"}, "must be one of squad, korquad"),
        ({"doc_stride": 0}, "doc_stride=0 must be at least 1"),
        ({"n_best": 0}, "must be at least 1"),
        ({"lm_weight": -1.0}, "must not be negative"),
        ({"answerable_head": True, "allow_impossible": False}, "needs questions without"),
    ],
)
def test_configs_that_cannot_be_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        QuestionAnsweringConfig(**settings)


def test_the_papers_settings() -> None:
    """bert.md e: 384 tokens, stride 128, question 64, answer 30, n-best 20; batches and epochs."""
    for name, batch, epochs in (("squad", 32, 3.0), ("squad2", 48, 2.0), ("korquad", 32, 3.0)):
        task, usual = task_of(name)
        recipe = TaskRecipe.of(task, usual, left_to_right=False)
        assert (recipe.training.batch_size, recipe.finetune.epochs) == (batch, epochs)
        assert (recipe.data.max_length, recipe.training.learning_rate) == (384, 5e-5)
        windows = (recipe.task.doc_stride, recipe.task.max_query_length)
        assert windows == (128, 64)
        assert (recipe.task.max_answer_length, recipe.task.n_best) == (30, 20)


def test_long_contexts_are_encoded_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded by characters, not by examples alone."""
    monkeypatch.setattr(windows, "_WINDOW_SIZE", 1000)
    task = QuestionAnswering(QuestionAnsweringConfig(allow_impossible=False, lm_weight=0.0))
    asked = [Question(str(i), "was it", "great film " * 30) for i in range(9)]
    layout = input_format_for(Bert, tokenizer_of("bert"), 40)
    found = list(windows.encode_windows(asked, task, layout))
    assert [len(window.examples) for window in found] == [4, 4, 1]
