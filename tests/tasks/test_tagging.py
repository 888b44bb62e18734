"""Tagging: its loss, what it learns, its predictions, and the folder it leaves."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from foretext.cli import main
from foretext.core.batch import IGNORE_INDEX
from foretext.core.errors import DataError
from foretext.evaluation.labelled import evaluate, predict
from foretext.inference.task_run import load_task
from foretext.models import FAMILIES
from foretext.runs.finetune import FinetuneOptions, finetune
from foretext.tasks.base import SampleTable
from foretext.tasks.inputs import input_format_for, task_tokenizer
from foretext.tasks.tag_units import joined
from foretext.tasks.tagging import Prediction
from tests.tasks.built import assert_steps_agree
from tests.tasks.tagged import LABELS, made, some, tag_file, task_of, written
from tests.tasks.tiny import MODELS, backbone_folder, tokenizer_of


@pytest.mark.parametrize("model_type", ["bert", "gpt2", "albert"])
def test_micro_batches_add_up_to_the_batch(model_type: str) -> None:
    """design.md: the same masks and a token-exact loss however the step is cut; dropout is on."""
    assert_steps_agree(made(model_type, some(12, 5)), [1, 6, 7])


def test_the_loss_is_the_mean_over_words() -> None:
    objective, model, table = made("bert", some(5, 2))
    model.eval()
    batch = table.batch(np.arange(len(table)))
    with torch.no_grad():
        terms = objective.loss(model, batch, objective.counts(batch))
        logits = model.head.linear(model(batch))
        expected = F.cross_entropy(logits, batch.labels.long(), ignore_index=IGNORE_INDEX)
    assert float(terms["tagging"]) == pytest.approx(float(expected), abs=1e-6)


SHORT = {"training.steps": 2, "training.learning_rate": 1e-3, "data.max_length": 40}


@pytest.mark.parametrize("model_type", ["bert", "roberta", "albert", "electra", "gpt2"])
def test_the_folder_opens_in_transformers_with_equal_logits(
    tmp_path: Path, model_type: str
) -> None:
    """Their class for token classification, at every token; no two parts of the backbone alike."""
    transformers = pytest.importorskip("transformers")
    backbone = backbone_folder(tmp_path / "backbone", model_type, noise=0.3)
    train = tag_file(tmp_path / "train.conll", 20, 0)
    options = FinetuneOptions(settings=SHORT | {"training.head_learning_rate": 0.5})
    finetune(backbone, "tagging", train=train, out=tmp_path / "out", options=options)
    theirs = transformers.AutoModelForTokenClassification.from_pretrained(tmp_path / "out").eval()
    assert type(theirs).__name__.endswith("ForTokenClassification")
    assert theirs.config.id2label == dict(enumerate(LABELS))
    run = load_task(tmp_path / "out")
    for text in ("the great film", "it was quite awful awful in a story of the plot"):
        arranged = run.layout.arrange(run.layout.tokenizer.encode(text))
        (sample,) = run.task.encode(
            [joined(tuple(text.split()), None, characters=False)], run.layout
        )[0]
        batch = SampleTable([sample]).batch(np.array([0]))
        assert batch.input_ids.tolist() == arranged.ids
        with torch.no_grad():
            ours = run.model.head.linear(run.model(batch))
            other = theirs(input_ids=batch.input_ids[None]).logits[0]
        assert float(ours.abs().max()) > 0.5
        torch.testing.assert_close(ours, other, atol=1e-4, rtol=1e-4)


def test_the_pipeline_of_transformers_finds_the_same_entities(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    backbone = backbone_folder(tmp_path / "backbone", "bert", noise=0.3)
    train = tag_file(tmp_path / "train.conll", 20, 0)
    options = FinetuneOptions(settings=SHORT)
    finetune(backbone, "tagging", train=train, out=tmp_path / "out", options=options)
    text = "the great film was awful"
    theirs = transformers.pipeline(
        "token-classification", model=str(tmp_path / "out"), ignore_labels=[]
    )(text)
    (ours,) = predict(tmp_path / "out", [text])
    first = [token for token in theirs if token["start"] in (0, 4, 10, 15, 19)]
    assert [token["entity"] for token in first] == list(ours.tags)
    assert [token["score"] for token in first] == pytest.approx(list(ours.probabilities), abs=1e-4)


@pytest.mark.parametrize(
    ("model_type", "scheme_out"), [("bert", "iob2"), ("gpt2", "iob2"), ("bert", "bioes")]
)
def test_it_learns_entities(tmp_path: Path, model_type: str, scheme_out: str) -> None:
    """From random weights, so that the whole path must work: targets, updates, scores."""
    backbone = backbone_folder(tmp_path / "backbone", model_type, num_layers=1)
    dev = tag_file(tmp_path / "dev.conll", 60, 9)
    settings = {
        "training.learning_rate": 1e-2,
        "training.batch_size": 16,
        "finetune.epochs": 5,
        "task.scheme_out": scheme_out,
    }
    result = finetune(
        backbone,
        "tagging",
        train=tag_file(tmp_path / "train.conll", 150, 0),
        dev=dev,
        out=tmp_path / "out",
        options=FinetuneOptions(settings=settings),
    )
    # E and S differ in the word that follows, which takes more than these few steps to learn.
    assert result.best.metrics["f1"] > (0.95 if scheme_out == "iob2" else 0.5)
    assert result.degenerate == ()
    assert evaluate(tmp_path / "out", dev) == pytest.approx(result.best.metrics)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with large random weights, fine-tuned for two steps."""
    folder = tmp_path_factory.mktemp("tagging")
    backbone = backbone_folder(folder / "backbone", "bert", noise=0.3)
    train = tag_file(folder / "train.conll", 20, 0)
    options = FinetuneOptions(settings=SHORT)
    finetune(backbone, "tagging", train=train, out=folder / "run", options=options)
    tag_file(folder / "test.conll", 30, 5)
    return folder


def test_predictions_cover_every_word_in_order(trained: Path) -> None:
    texts = ["the  great\tfilm", "x", "it " * 100, "\u200b\u00ad it \x07 was"]
    found = list(predict(trained / "run", texts))
    for text, prediction in zip(texts, found, strict=True):
        assert list(prediction.tokens) == text.split()
        assert prediction.line.split() == list(prediction.tags)
        for entity in prediction.entities:
            assert text[entity.start : entity.end] == entity.text
            assert text[: entity.start].split() == list(prediction.tokens[: entity.first])
            assert entity.text.split() == list(prediction.tokens[entity.first : entity.stop])
            shares = prediction.probabilities[entity.first : entity.stop]
            assert entity.probability == pytest.approx(float(np.prod(shares)))
    alone = [next(predict(trained / "run", [text])) for text in texts]
    assert [one.tags for one in alone] == [one.tags for one in found]


def test_plain_tags_are_kept_by_the_folder(tmp_path: Path) -> None:
    """Parts of speech: what is read back from run.toml is what was trained."""
    backbone = backbone_folder(tmp_path / "backbone", "bert", num_layers=1)
    rows = [("the", "DET"), ("film", "NOUN"), ("was", "VERB"), ("a", "DET"), ("story", "NOUN")]
    train = written(tmp_path / "t.conll", "".join(f"{w} {t}\n" for w, t in rows) * 8)
    settings = SHORT | {"training.steps": 40, "training.learning_rate": 1e-2}
    result = finetune(
        backbone,
        "tagging",
        train=train,
        dev=train,
        out=tmp_path / "out",
        options=FinetuneOptions(settings=settings),
    )
    assert result.metric == "accuracy"
    assert result.best.metrics == {"accuracy": 1.0}
    assert evaluate(tmp_path / "out", train) == {"accuracy": 1.0}
    (found,) = predict(tmp_path / "out", ["a film \x07"])
    assert found.tags == ("DET", "NOUN", load_task(tmp_path / "out").task.config.blank)
    assert found.entities == ()


@pytest.mark.parametrize("model_type", MODELS)
@pytest.mark.parametrize("stride", [None, 1, 9])
def test_right_outputs_decode_to_the_gold_tags(model_type: str, stride: int | None) -> None:
    """Whatever the tokenizer and the windows: nothing is lost between words and tokens."""
    family = FAMILIES[MODELS[model_type][0]].model
    layout = input_format_for(family, task_tokenizer(tokenizer_of(model_type), family), 11)
    task = task_of(model_type, stride=stride)
    examples = some(20, 4, length=9)
    for example, samples in zip(examples, task.encode(examples, layout), strict=True):
        targets = [sample.target[sample.target != IGNORE_INDEX] for sample in samples]
        outputs = [np.stack([t, np.ones_like(t)], 1).astype(float) for t in targets]
        prediction = task.decode(example, outputs, [sample.origin for sample in samples])
        assert prediction.tags == example.tags


def test_a_word_without_tokens_gets_the_blank_tag(trained: Path) -> None:
    run = load_task(trained / "run")
    assert run.layout.tokenizer.encode("\x07") == []
    (prediction,) = predict(run, ["\x07"])
    assert prediction == Prediction(("\x07",), ("O",), (1.0,), ())


def test_evaluate_and_predict_on_the_command_line(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(*arguments: str) -> list[str]:
        assert main([*arguments, "--quiet"]) == 0
        return capsys.readouterr().out.splitlines()

    run, test = str(trained / "run"), str(trained / "test.conll")
    measured = json.loads(said("evaluate", run, "--data", test, "--json")[0])
    expected = evaluate(trained / "run", test)
    assert {name: measured[name] for name in expected} == pytest.approx(expected)
    record = json.loads(said("predict", run, "--text", "the great film", "--json")[0])
    assert record["tokens"] == ["the", "great", "film"]
    assert len(record["tags"]) == len(record["probabilities"]) == 3
    lines = [line.split() for line in said("predict", run, test)]
    blocks = Path(test).read_text(encoding="utf-8").strip("\n").split("\n\n")
    assert [len(line) for line in lines] == [len(block.splitlines()) for block in blocks]


def test_a_txt_file_is_read_as_what_it_holds(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """CoNLL columns, with tags or without, or a sentence a line: the same answers."""
    content = (trained / "test.conll").read_text(encoding="utf-8")
    blocks = [block.splitlines() for block in content.strip("\n").split("\n\n")]
    words = [[line.split()[0] for line in block] for block in blocks]
    bare = "\n\n".join("\n".join(block) for block in words) + "\n"
    sentences = "".join(" ".join(block) + "\n" for block in words)
    for path in (
        trained / "test.conll",
        written(tmp_path / "tagged.txt", content),
        written(tmp_path / "bare.txt", bare),
        written(tmp_path / "sentences.txt", sentences),
    ):
        assert main(["predict", str(trained / "run"), str(path), "--quiet"]) == 0
        found = capsys.readouterr().out
        if path.suffix == ".conll":
            expected = found
            assert len(set(expected.splitlines())) > 10
        assert found == expected, path.name


def test_texts_that_are_none_are_refused(trained: Path) -> None:
    with pytest.raises(DataError, match="text 2: there is no text"):
        list(predict(trained / "run", ["it", " "]))
    with pytest.raises(DataError, match="text 1: 2 texts where the model reads 1"):
        list(predict(trained / "run", [("it", "was")]))
