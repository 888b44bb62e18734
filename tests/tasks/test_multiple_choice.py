"""Multiple choice: a softmax over any number of candidates, and folders that others open."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from foretext.core.errors import ConfigError
from foretext.evaluation.labelled import evaluate, predict
from foretext.inference.task_run import load_task
from foretext.models.bert import Bert
from foretext.models.gpt import Gpt
from foretext.nn.dropout import seed_dropout
from foretext.objectives.networks import PredictsTokens
from foretext.runs.finetune import FinetuneOptions, finetune
from foretext.tasks.base import TaskModel
from foretext.tasks.choices import ChoiceExample, ChoiceInput
from foretext.tasks.multiple_choice import (
    MultipleChoice,
    MultipleChoiceConfig,
    MultipleChoiceMetric,
    Prediction,
    ragged_log_softmax,
    resolve,
)
from tests.tasks.built import Built, assert_steps_agree, built
from tests.tasks.tiny import FILLERS, MODELS, WORDS, backbone_folder, tokenizer_of, write_tsv

TYPES = ("bert", "gpt2", "openai-gpt")
CHOICES = [
    ("it was", ["great film", "the awful plot", "a story"]),
    ("the film of the story", ["boring", "lovely and great"]),
    ("there is a plot", ["was it", "with the film", "very lovely", "in to of a"]),
]


def tokens_of(model: TaskModel) -> PredictsTokens:
    assert isinstance(model.backbone, PredictsTokens)
    return model.backbone


def some(count: int = 9) -> list[ChoiceExample]:
    """Examples of 2 to 4 candidates, one of which has a good word."""
    drawn = random.Random(4)
    found = []
    for _ in range(count):
        candidates = [" ".join(drawn.choices(FILLERS, k=3)) for _ in range(drawn.randint(2, 4))]
        answer = drawn.randrange(len(candidates))
        candidates[answer] += " " + drawn.choice(WORDS["good"])
        context = " ".join(drawn.choices(FILLERS, k=drawn.randint(1, 9)))
        found.append(ChoiceExample(context, tuple(candidates), answer=answer))
    return found


def made(model_type: str, examples: Sequence[ChoiceExample] | None = None, **changes: Any) -> Built:
    def build(lm_weight: float) -> MultipleChoice:
        return MultipleChoice(MultipleChoiceConfig(lm_weight=lm_weight))

    return built(model_type, build, examples or some(), **changes)


def probabilities(made: Built) -> list[np.ndarray[Any, Any]]:
    objective, model, table = made
    with torch.no_grad():
        model.head.linear.weight.normal_(std=10, generator=torch.Generator().manual_seed(0))
        batch = table.batch(np.arange(len(table)))
        return objective.task.outputs(model.eval(), model(batch), batch)


def choice_file(path: Path, count: int, seed: int) -> Path:
    """Two candidates; the right one has a good word."""
    drawn = random.Random(seed)
    rows = []
    for _ in range(count):
        answer = drawn.randrange(2)
        ends = [" ".join([*drawn.choices(FILLERS, k=3), drawn.choice(WORDS["bad"])]) for _ in "ab"]
        ends[answer] = " ".join([*drawn.choices(FILLERS, k=3), drawn.choice(WORDS["good"])])
        rows.append([" ".join(drawn.choices(FILLERS, k=4)), *ends, str(answer)])
    return write_tsv(path, ["context", "ending0", "ending1", "label"], rows)


@pytest.mark.parametrize("model_type", TYPES)
def test_micro_batches_add_up_to_the_batch(model_type: str) -> None:
    """design.md: the same masks and an exact loss however the step is cut; dropout is on."""
    assert_steps_agree(made(model_type), [1, 5, 6])


def test_a_softmax_within_each_group_equals_torchs() -> None:
    sizes = [1, 4, 2, 3]
    scores = torch.randn(10, generator=torch.Generator().manual_seed(0)) * 100
    scores.requires_grad_()
    borders = torch.tensor([0, 1, 5, 7, 10])
    expected = torch.cat([part.log_softmax(0) for part in scores.split(sizes)])
    found = ragged_log_softmax(scores, borders)
    torch.testing.assert_close(found, expected)
    weights = torch.arange(10.0)
    (theirs,) = torch.autograd.grad((expected * weights).sum(), scores)
    (ours,) = torch.autograd.grad((found * weights).sum(), scores)
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("model_type", TYPES)
def test_each_candidate_is_a_sequence_with_the_context(model_type: str) -> None:
    """Devlin et al. 2019, section 4.4; Radford et al. 2018, figure 1."""
    example = ChoiceExample("a film", ("the plot", "was it"), prefix="there", answer=1)
    _, _, table = made(model_type, [example])
    tokenizer = tokenizer_of(model_type)
    first, *others = (
        list(tokenizer.encode(t)) for t in ("a film", "there the plot", "there was it")
    )
    if model_type == "bert":
        start, middle, end = (tokenizer.id_of(token) for token in ("[CLS]", "[SEP]", "[SEP]"))
    else:
        start, middle, end = (tokenizer.vocab_size + i for i in range(3))
    batch = table.batch(np.array([0]))
    expected = [i for other in others for i in (start, *first, middle, *other, end)]
    assert batch.input_ids.tolist() == expected
    assert (batch.samples.tolist(), batch.labels.tolist()) == ([0, 2], [0, 1])


@pytest.mark.parametrize("model_type", TYPES)
def test_probabilities_do_not_depend_on_other_examples_or_on_their_number(model_type: str) -> None:
    """2 to 4 candidates in one batch; alone each example gets the same."""
    together = probabilities(made(model_type))
    assert {len(shares) for shares in together} == {2, 3, 4}
    for example, shares in zip(some(), together, strict=True):
        assert len(shares) == len(example.candidates)
        assert shares.sum() == pytest.approx(1)
        (alone,) = probabilities(made(model_type, [example]))
        np.testing.assert_allclose(alone, shares, atol=1e-5)


@pytest.mark.parametrize("model_type", TYPES)
def test_permuted_candidates_have_permuted_probabilities(model_type: str) -> None:
    there = some()
    back = [replace(example, candidates=example.candidates[::-1]) for example in there]
    for shares, reversed_ in zip(
        probabilities(made(model_type, there)), probabilities(made(model_type, back)), strict=True
    ):
        np.testing.assert_allclose(shares, reversed_[::-1], atol=1e-5)
        assert np.ptp(shares) > 1e-4


def test_the_loss_is_cross_entropy_over_candidates_and_half_the_row_means() -> None:
    """gpt.md 1c: every candidate's row counts in the auxiliary loss."""
    objective, model, table = made("gpt2")
    model.eval()
    batch = table.batch(np.arange(len(table)))
    with torch.no_grad():
        model.head.linear.weight.normal_()
        terms = objective.loss(model, batch, objective.counts(batch))
        hidden = model(batch)
        scores = model.head.linear(hidden[batch.offsets[1:] - 1])[:, 0]
        parts = scores.split(batch.samples.diff().tolist())
        nats = [
            F.cross_entropy(part[None], torch.tensor([example.answer]))
            for part, example in zip(parts, some(), strict=True)
        ]
        logits = tokens_of(model).logits(hidden)
        each = [
            F.cross_entropy(logits[start : stop - 1], batch.input_ids[start + 1 : stop])
            for start, stop in zip(batch.offsets[:-1], batch.offsets[1:], strict=True)
        ]
    assert len(each) > 2 * len(nats)
    assert float(terms["choice"]) == pytest.approx(float(torch.stack(nats).mean()), rel=1e-5)
    assert float(terms["lm"]) == pytest.approx(0.5 * float(torch.stack(each).mean()), rel=1e-5)


@pytest.mark.parametrize("model_type", ["bert", "gpt2"])
def test_only_a_gpts_candidates_share_a_dropout_mask(model_type: str) -> None:
    """train.py of finetune-transformer-lm: noise of shape [batch, 1, hidden]."""
    same = [ChoiceExample("a film", ("the plot",) * 3), ChoiceExample("a film", ("the plot",) * 2)]
    objective, model, table = made(model_type, same)
    batch = table.batch(np.arange(2))
    with torch.no_grad():
        hidden = model.eval()(batch)  # the backbone without dropout
        model.head.linear.weight.normal_()
        model.train()
        seed_dropout(model, 7)
        shares = objective.task.outputs(model, hidden, batch)
    for part in shares:
        assert (np.ptp(part) < 1e-6) == (model_type == "gpt2")


def test_the_weight_of_the_auxiliary_loss_is_the_papers(tmp_path: Path) -> None:
    columns = ChoiceInput(context=("c",), candidates=("a", "b"))
    for family, weight in ((Bert, 0.0), (Gpt, 0.5)):
        config = resolve(MultipleChoiceConfig(), columns, tmp_path, family, "stop")
        assert config.lm_weight == weight
    with pytest.raises(ConfigError, match="reads left to right"):
        resolve(MultipleChoiceConfig(lm_weight=0.5), columns, tmp_path, Bert, "stop")


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"dropout": 1.0}, "from 0 to below 1"), ({"lm_weight": -1.0}, "must not be negative")],
)
def test_configs_that_cannot_be_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        MultipleChoiceConfig(**settings)


def test_the_meter_counts_hits_and_nats_and_its_baseline_is_a_position() -> None:
    meter = MultipleChoiceMetric()
    records = []
    for gold, shares in [
        (0, (0.5, 0.25, 0.25)),
        (1, (0.75, 0.25)),
        (1, (0.0, 1.0)),
        (3, (0.25,) * 4),
    ]:
        index = int(np.argmax(shares))
        pair = ChoiceExample("x", ("y",) * len(shares), answer=gold), Prediction(index, "y", shares)
        meter.add(*pair)
        records.append(meter.record(*pair))
    expected = {"accuracy": 0.5, "loss": (np.log(2) + 2 * np.log(4)) / 4}
    assert meter.result() == pytest.approx(expected)
    assert meter.measure(np.array(records)) == pytest.approx(expected)
    assert meter.baseline() == {"accuracy": 0.5}


def test_a_prediction_is_one_line() -> None:
    assert Prediction(1, "a\ttab\nand more", (0.25, 0.75)).line == "a tab and more\t0.7500"


@pytest.mark.parametrize("model_type", ["bert", "gpt2"])
def test_it_learns_and_the_folder_says_what_the_run_measured(
    tmp_path: Path, model_type: str
) -> None:
    settings = {
        "data.max_length": 24,
        "training.learning_rate": 3e-3 if model_type == "bert" else 1e-2,
        "training.head_learning_rate": 1e-2,
        "training.batch_size": 16,
        "finetune.epochs": 4,
    }
    dev = choice_file(tmp_path / "dev.tsv", 60, 9)
    result = finetune(
        backbone_folder(tmp_path / "backbone", model_type, num_layers=1),
        "multiple-choice",
        train=choice_file(tmp_path / "train.tsv", 150, 0),
        dev=dev,
        out=tmp_path / "out",
        options=FinetuneOptions(settings=settings),
    )
    found = result.best.metrics
    assert found["accuracy"] > 0.9
    assert result.degenerate == ()
    run = load_task(tmp_path / "out")
    assert evaluate(run, dev) == pytest.approx(found)
    from_file = list(predict(run, dev))
    lines = [line.split("\t")[:3] for line in dev.read_text(encoding="utf-8").splitlines()[1:]]
    for one, other in zip(predict(run, [tuple(line) for line in lines]), from_file, strict=True):
        assert (one.index, one.answer) == (other.index, other.answer)
        assert one.probabilities == pytest.approx(other.probabilities)


@pytest.mark.parametrize("model_type", MODELS)
def test_transformers_gives_the_same_scores(
    tmp_path: Path, model_type: str, quiet_transformers: Any
) -> None:
    """ForMultipleChoice, and GPT's DoubleHeadsModel; all candidates, to 1e-5."""
    finetune(
        backbone_folder(tmp_path / "backbone", model_type, noise=0.3, num_layers=3),
        "multiple-choice",
        train=choice_file(tmp_path / "train.tsv", 40, 0),
        out=tmp_path / "out",
        options=FinetuneOptions(settings={"training.steps": 4, "training.head_learning_rate": 1.0}),
    )
    ours = [p.probabilities for p in predict(tmp_path / "out", [(c, *e) for c, e in CHOICES])]
    tokenizer = quiet_transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    model = their_model(quiet_transformers, tmp_path / "out", model_type)
    for (context, ends), mine in zip(CHOICES, ours, strict=True):
        inputs = tokenizer([context] * len(ends), ends, padding=True, return_tensors="pt")
        with torch.no_grad():
            if "gpt" in model_type:
                last = inputs["attention_mask"].sum(-1)[None] - 1
                ids = inputs["input_ids"][None]
                logits = model(input_ids=ids, mc_token_ids=last).mc_logits
            else:
                logits = model(**{name: tensor[None] for name, tensor in inputs.items()}).logits
        log_mine = torch.tensor(mine).log()
        torch.testing.assert_close(log_mine, logits.log_softmax(-1)[0], atol=1e-5, rtol=0)
        assert float(log_mine.std()) > 2e-4  # candidates differ, so a mixed-up token would show


def their_model(transformers: Any, folder: Path, model_type: str) -> Any:
    """The class that config.json names; every weight must come from the file."""
    name = {"gpt2": "GPT2DoubleHeadsModel", "openai-gpt": "OpenAIGPTDoubleHeadsModel"}.get(
        model_type, f"{model_type.capitalize()}ForMultipleChoice"
    )
    kind = getattr(transformers, name)
    model, info = kind.from_pretrained(folder, output_loading_info=True)
    assert model.config.architectures == [name]
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    return model.eval()


def test_of_several_right_candidates_any_will_do() -> None:
    """The loss is of their probability together; a prediction among them is right."""
    example = ChoiceExample("the film", ("good", "bad", "fine"), answer=0, right=(0, 2))
    objective, model, table = made("bert", [example, ChoiceExample("it", ("a", "b"), answer=1)])
    batch = table.batch(np.array([0, 1]))
    with torch.no_grad():
        loss = objective.loss(model.eval(), batch, objective.counts(batch))["choice"]
        shares = objective.task.outputs(model, model(batch), batch)
    expected = -(np.log(shares[0][0] + shares[0][2]) + np.log(shares[1][1])) / 2
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    meter = objective.task.meter()
    for index, hit in ((2, 1), (1, 0)):
        record = meter.record(example, Prediction(index, "x", (0.2, 0.5, 0.3)))
        assert (record[0] == record[1]) == bool(hit)
        assert record[2] == pytest.approx(-np.log(0.5))
