"""Models that `transformers` fine-tuned: used from config.json alone, with its own logits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from foretext.cli import main
from foretext.core.errors import ConfigError
from foretext.evaluation.labelled import evaluate, predict
from foretext.inference.task_run import load_task
from tests.tasks.tiny import sentence_file, tokenizer_of, write_tsv

transformers = pytest.importorskip("transformers")
BRANDS = {"bert": "Bert", "roberta": "Roberta"}
TEXTS = ["a great film", "it was awful", "very quite lovely story with the plot"]
PAIRS = list(zip(TEXTS, reversed(TEXTS), strict=True))


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    level = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    yield
    transformers.logging.set_verbosity(level)


def saved(folder: Path, model_type: str, kind: str, **config: Any) -> tuple[Any, Any]:
    """Their model with large random weights and their tokenizer, saved by them."""
    tokenizer_of(model_type).save(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    sizes = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 42,
        "vocab_size": len(tokenizer),
        "type_vocab_size": 2 if model_type == "bert" else 1,
        "pad_token_id": tokenizer.pad_token_id,
    }
    brand = BRANDS[model_type]
    torch.manual_seed(0)
    made = getattr(transformers, f"{brand}Config")(**sizes | config)
    model = getattr(transformers, f"{brand}For{kind}")(made).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    model.save_pretrained(folder)
    return model, tokenizer


def logits(model: Any, tokenizer: Any, *texts: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(**tokenizer(*texts, padding=True, return_tensors="pt")).logits
    return found


def labels(*names: str) -> dict[str, Any]:
    return {"id2label": dict(enumerate(names)), "label2id": {n: i for i, n in enumerate(names)}}


@pytest.mark.parametrize("model_type", BRANDS)
def test_classification_of_texts_and_pairs(tmp_path: Path, model_type: str) -> None:
    """Whether it reads one text or two is seen from what it is given."""
    names = ("bad", "good", "neither")
    theirs = saved(tmp_path, model_type, "SequenceClassification", **labels(*names))
    for texts, columns in ((TEXTS, [TEXTS]), (PAIRS, [list(c) for c in zip(*PAIRS, strict=True)])):
        found = list(predict(tmp_path, texts))
        assert tuple(found[0].probabilities) == names
        mine = torch.tensor([list(p.probabilities.values()) for p in found]).log()
        expected = logits(*theirs, *columns).log_softmax(-1)
        torch.testing.assert_close(mine, expected.to(mine.dtype), atol=1e-4, rtol=0)


@pytest.mark.parametrize("model_type", BRANDS)
def test_a_regression_is_a_similarity(tmp_path: Path, model_type: str) -> None:
    theirs = saved(tmp_path, model_type, "SequenceClassification", num_labels=1)
    expected = logits(*theirs, *[list(c) for c in zip(*PAIRS, strict=True)])[:, 0]
    found = [prediction.score for prediction in predict(tmp_path, PAIRS)]
    torch.testing.assert_close(torch.tensor(found), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("model_type", BRANDS)
def test_tagging(tmp_path: Path, model_type: str) -> None:
    """At the first token of each word; the scheme is that of the labels."""
    names = ("O", "B-PER", "I-PER")
    model, tokenizer = saved(tmp_path, model_type, "TokenClassification", **labels(*names))
    config = load_task(tmp_path).task.config
    assert (config.scheme, config.blank, config.labels) == ("iob2", "O", names)
    for text, prediction in zip(TEXTS, predict(tmp_path, TEXTS), strict=True):
        encoded = tokenizer(text, return_tensors="pt")
        with torch.no_grad():
            scores = model(**encoded).logits[0].softmax(-1)
        begins = [sum(len(w) + 1 for w in text.split()[:i]) for i in range(len(text.split()))]
        at = scores[[encoded.char_to_token(begin) for begin in begins]]
        assert list(prediction.tags) == [names[i] for i in at.argmax(-1)]
        assert prediction.probabilities == pytest.approx(at.max(-1).values.tolist(), abs=1e-4)


@pytest.mark.parametrize("model_type", BRANDS)
def test_question_answering(tmp_path: Path, model_type: str) -> None:
    model, tokenizer = saved(tmp_path, model_type, "QuestionAnswering")
    question, context = "was it", "the lovely story and a great film"
    encoded = tokenizer(question, context, return_tensors="pt", return_offsets_mapping=True)
    offsets = encoded.pop("offset_mapping")[0].tolist()
    with torch.no_grad():
        out = model(**encoded)
    inside = [i for i, part in enumerate(encoded.sequence_ids(0)) if part == 1]
    _, first, last = max(
        (float(out.start_logits[0, i] + out.end_logits[0, j]), i, j)
        for i in inside
        for j in inside
        if i <= j
    )
    (found,) = predict(tmp_path, [(question, context)])
    assert found.text == context[offsets[first][0] : offsets[last][1]].strip()


@pytest.mark.parametrize("model_type", BRANDS)
def test_multiple_choice(tmp_path: Path, model_type: str) -> None:
    model, tokenizer = saved(tmp_path, model_type, "MultipleChoice")
    context, candidates = "it was", ["great film", "the awful plot", "a story"]
    encoded = tokenizer([context] * 3, candidates, padding=True, return_tensors="pt")
    with torch.no_grad():
        shares = model(**{k: v[None] for k, v in encoded.items()}).logits[0].softmax(-1)
    (found,) = predict(tmp_path, [(context, *candidates)])
    assert found.probabilities == pytest.approx(shares.tolist(), abs=1e-4)


def test_the_commands_take_such_a_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Columns are found by their names; evaluate measures, predict answers in order."""
    saved(tmp_path / "model", "bert", "SequenceClassification", **labels("bad", "good"))
    data = sentence_file(tmp_path / "t.tsv", 20, 0)
    model = str(tmp_path / "model")
    assert main(["evaluate", model, "--data", str(data), "--json", "--quiet"]) == 0
    measured = json.loads(capsys.readouterr().out)
    assert measured["accuracy"] == pytest.approx(evaluate(model, data)["accuracy"])
    assert main(["predict", model, str(data), "--quiet"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("\t")[0] in ("bad", "good") for line in lines] == [True] * 20
    pair = write_tsv(tmp_path / "p.tsv", ["premise", "hypothesis"], [list(p) for p in PAIRS])
    assert [p.line for p in predict(model, pair)] == [p.line for p in predict(model, PAIRS)]


def test_what_config_json_does_not_say_is_refused(tmp_path: Path) -> None:
    saved(tmp_path / "m", "bert", "SequenceClassification", num_labels=3)
    path = tmp_path / "m" / "config.json"
    raw = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(raw | {"id2label": {"0": "a", "5": "b", "2": "c"}}))
    assert load_task(tmp_path / "m").task.config.labels == ("a", "LABEL_1", "c")
    path.write_text(json.dumps(raw | {"problem_type": "multi_label_classification"}))
    with pytest.raises(ConfigError, match="several labels to a text"):
        load_task(tmp_path / "m")
    raw.pop("id2label")
    path.write_text(json.dumps(raw))
    assert load_task(tmp_path / "m").task.config.labels == ("LABEL_0", "LABEL_1", "LABEL_2")
