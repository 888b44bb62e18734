"""A model that was fine-tuned on the same task and labels goes on with its head."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from foretext.evaluation.labelled import predict
from foretext.inference.task_run import load_task
from foretext.models.folder import load_model
from foretext.runs.finetune import FinetuneOptions, finetune
from foretext.training.progress import Silent
from tests.tasks.questions import question_file, questions
from tests.tasks.tiny import MODELS, backbone_folder, sentence_file, tokenizer_of

TEXTS = ["a great film", "it was awful", "very quite lovely story with the plot"]
STILL = {"training.steps": 1, "training.learning_rate": 1e-12, "training.weight_decay": 0.0}
GOES_ON = "the model's own head goes on (finetune.new_head=true begins with a new one)"


class Listener(Silent):
    def __init__(self) -> None:
        self.heard: list[str] = []

    def message(self, text: str) -> None:
        self.heard.append(text)


def tuned(run: Path, out: Path, train: Path, **changes: Any) -> list[str]:
    """Fine-tune for classification, or another task, and return what was said."""
    task, seeds = changes.pop("task", "classification"), changes.pop("seeds", 1)
    reporter = Listener()
    settings = {name.replace("__", "."): value for name, value in changes.items()}
    options = FinetuneOptions(settings=settings, seeds=seeds)
    dev = train if seeds > 1 else None
    finetune(run, task, train=train, dev=dev, out=out, options=options, reporter=reporter)
    return [line for line in reporter.heard if "head" in line]


@pytest.fixture(scope="module", params=MODELS)
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of "bad" and "good", far from its start; and the same labels again."""
    folder = tmp_path_factory.mktemp("former")
    backbone_folder(folder / "backbone", request.param, noise=0.3)
    train = sentence_file(folder / "train.tsv", 40, 0)
    rates = {"training__steps": 8, "training__learning_rate": 0.03}
    assert tuned(folder / "backbone", folder / "first", train, **rates) == []
    return folder


def again(place: Path, out: Path, **changes: Any) -> list[str]:
    """A second training that changes nothing but what it begins with."""
    still = {name.replace(".", "__"): value for name, value in STILL.items()}
    return tuned(place / "first", out, place / "train.tsv", **still | changes)


def shares(folder: Path) -> torch.Tensor:
    """P(bad) and P(good) of the texts."""
    found = predict(folder, TEXTS)
    return torch.tensor([[p.probabilities[name] for name in ("bad", "good")] for p in found])


def test_the_same_task_and_labels_keep_the_head(place: Path, tmp_path: Path) -> None:
    assert again(place, tmp_path / "out") == [GOES_ON]
    before, after = (load_model(folder).head for folder in (place / "first", tmp_path / "out"))
    torch.testing.assert_close(after, before)
    torch.testing.assert_close(shares(tmp_path / "out"), shares(place / "first"))


def test_labels_in_another_order_keep_their_rows(place: Path, tmp_path: Path) -> None:
    assert again(place, tmp_path / "out", task__labels=["good", "bad"]) == [GOES_ON]
    assert load_task(tmp_path / "out").recipe.task.labels == ("good", "bad")
    torch.testing.assert_close(shares(tmp_path / "out"), shares(place / "first"))


@pytest.mark.parametrize("setting", ["finetune__new_head", "finetune__random_weights"])
def test_a_new_head_on_demand(place: Path, tmp_path: Path, setting: str) -> None:
    assert again(place, tmp_path / "out", **{setting: True}) == []
    before, after = (load_model(folder).head for folder in (place / "first", tmp_path / "out"))
    assert float((after["weight"] - before["weight"]).abs().min()) > 1e-6


def test_other_labels_begin_with_a_new_head_and_say_so(place: Path, tmp_path: Path) -> None:
    text = (place / "train.tsv").read_text(encoding="utf-8").replace("good", "fine")
    path = tmp_path / "other.tsv"
    path.write_text(text, encoding="utf-8")
    still = {name.replace(".", "__"): value for name, value in STILL.items()}
    heard = tuned(place / "first", tmp_path / "out", path, **still)
    assert heard == ["the head is new: the model's labels were bad, good, these are bad, fine"]
    first, second = (load_model(folder).model for folder in (place / "first", tmp_path / "out"))
    states = second.state_dict()
    for name, tensor in first.state_dict().items():  # the backbone is the former one all the same
        torch.testing.assert_close(states[name], tensor)


def test_another_task_begins_with_a_new_head_and_says_so(place: Path, tmp_path: Path) -> None:
    path = tmp_path / "scores.tsv"
    rows = "".join(f"{text}\t{text} again\t{i}\n" for i, text in enumerate(TEXTS))
    path.write_text("sentence1\tsentence2\tscore\n" + rows, encoding="utf-8")
    still = {name.replace(".", "__"): value for name, value in STILL.items()}
    heard = tuned(place / "first", tmp_path / "out", path, task="similarity", **still)
    assert heard == [
        "the head is new: the model was fine-tuned on classification, not on similarity"
    ]


def test_several_seeds_stand_for_the_best_one(tmp_path: Path) -> None:
    backbone = backbone_folder(tmp_path / "backbone", "bert", noise=0.3)
    train = sentence_file(tmp_path / "train.tsv", 40, 0)
    rates = {"training__steps": 4, "training__learning_rate": 0.03, "seeds": 2}
    tuned(backbone, tmp_path / "first", train, **rates)
    assert again(tmp_path, tmp_path / "out") == [GOES_ON]
    torch.testing.assert_close(shares(tmp_path / "out"), shares(tmp_path / "first"))


def test_a_classifier_of_transformers_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    transformers = pytest.importorskip("transformers")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    tokenizer_of("bert").save(tmp_path / "first")
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = transformers.BertConfig(
        vocab_size=tokenizer_of("bert").vocab_size,
        intermediate_size=64,
        id2label={0: "good", 1: "bad"},
        label2id={"good": 0, "bad": 1},
        initializer_range=0.3,
        **sizes,
    )
    transformers.BertForSequenceClassification(config).save_pretrained(tmp_path / "first")
    sentence_file(tmp_path / "train.tsv", 40, 0)
    assert again(tmp_path, tmp_path / "out") == [GOES_ON]
    torch.testing.assert_close(shares(tmp_path / "out"), shares(tmp_path / "first"))


def test_a_reader_of_squad_1_goes_on_to_2(tmp_path: Path) -> None:
    """Start and end vectors are kept; with the joint head, which it has not, they are new."""
    backbone = backbone_folder(tmp_path / "backbone", "bert", noise=0.3)
    answered = question_file(tmp_path / "one.json", questions(30, 0, impossible=0.0))
    mixed = question_file(tmp_path / "two.json", questions(30, 1, impossible=0.4))
    first = tmp_path / "first"
    tuned(backbone, first, answered, task="squad", training__steps=2, data__max_length=32)
    still: dict[str, Any] = {name.replace(".", "__"): value for name, value in STILL.items()}
    still |= {"task": "squad2", "data__max_length": 32}
    assert tuned(first, tmp_path / "out", mixed, **still) == [GOES_ON]
    before, after = (load_model(folder).head for folder in (first, tmp_path / "out"))
    for name, tensor in before.items():
        torch.testing.assert_close(after[name], tensor)
    heard = tuned(first, tmp_path / "joint", mixed, **still, task__answerable_head=True)
    assert heard == ["the head is new: the model's has other parts than these settings ask for"]
