"""What fine-tuning leaves behind opens in `transformers` and gives the same answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from foretext.evaluation.labelled import predict
from foretext.runs.finetune import FinetuneOptions, finetune
from tests.tasks.tiny import MODELS, backbone_folder, pairs, sentence_file, write_tsv

transformers = pytest.importorskip("transformers")


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    level = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    yield
    transformers.logging.set_verbosity(level)


@pytest.mark.parametrize("kind", ["single", "pair"])
@pytest.mark.parametrize("model_type", MODELS)
def test_transformers_opens_the_folder_and_gives_the_same_answers(
    tmp_path: Path, model_type: str, kind: str
) -> None:
    """The issue: ForSequenceClassification with tokenizer and label names, to 1e-4."""
    train = sentence_file(tmp_path / "train.tsv", 40, 0)
    texts: list[Any] = ["a great film", "it was awful", "very quite lovely story with the plot"]
    if kind == "pair":
        names = ["premise", "hypothesis", "label"]
        train = write_tsv(tmp_path / "p.tsv", names, pairs(40, 1))
        texts = list(zip(texts, reversed(texts), strict=True))
    backbone = backbone_folder(tmp_path / "backbone", model_type, noise=0.3, num_layers=3)
    finetune(
        backbone,
        "classification",
        train=train,
        out=tmp_path / "out",
        options=FinetuneOptions(settings={"training.steps": 4, "training.head_learning_rate": 0.3}),
    )
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "out").eval()
    columns = [list(column) for column in zip(*texts, strict=True)] if kind == "pair" else [texts]
    with torch.no_grad():
        logits = model(**tokenizer(*columns, padding=True, return_tensors="pt")).logits
    ours = [list(p.probabilities.values()) for p in predict(tmp_path / "out", texts)]
    mine = torch.tensor(ours).log()
    torch.testing.assert_close(mine, logits.log_softmax(-1), atol=1e-5, rtol=0)
    assert float(mine.std(0).max()) > 2e-4  # the texts differ, so a mixed-up token would show
    labels = ["no", "yes"] if kind == "pair" else ["bad", "good"]
    assert model.config.id2label == dict(enumerate(labels))
    assert model.config.label2id == {label: i for i, label in enumerate(labels)}
    assert model.config.pad_token_id == tokenizer.pad_token_id is not None


def test_a_long_text_is_cut_by_a_pipeline_where_it_was_cut_in_training(tmp_path: Path) -> None:
    """tokenizer_config.json says the length; without it a pipeline runs out of positions."""
    train = sentence_file(tmp_path / "train.tsv", 40, 0)
    settings = {"training.steps": 4, "training.head_learning_rate": 0.3, "data.max_length": 16}
    backbone = backbone_folder(tmp_path / "backbone", "bert", noise=0.3)
    options = FinetuneOptions(settings=settings)
    finetune(backbone, "classification", train=train, out=tmp_path / "out", options=options)
    texts = ["a great film " * 300, "it was awful " * 9, "great"]
    pipeline = transformers.pipeline("text-classification", model=str(tmp_path / "out"))
    assert pipeline.tokenizer.model_max_length == 16
    theirs = pipeline(texts, truncation=True)
    for prediction, other in zip(predict(tmp_path / "out", texts), theirs, strict=True):
        assert prediction.label == other["label"]
        assert prediction.probabilities[prediction.label] == pytest.approx(other["score"], abs=1e-5)
