"""Long texts: what is read of them, what is counted, and that nothing is cut in silence."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from foretext.core.errors import ConfigError, DataError
from foretext.evaluation.labelled import predict
from foretext.inference.predict import encode_windows
from foretext.inference.tally import Tally
from foretext.inference.task_run import load_task
from foretext.models import FAMILIES
from foretext.models.bert import Bert
from foretext.runs.finetune import FinetuneOptions, finetune
from foretext.tasks.base import SampleTable, TaskModel
from foretext.tasks.classification import Classification, ClassificationConfig
from foretext.tasks.columns import InputConfig, TextExample
from foretext.tasks.inputs import input_format_for, task_tokenizer
from foretext.tasks.long_text import arrange_long, mean_of_windows
from foretext.tasks.similarity import Similarity, SimilarityConfig
from foretext.training.progress import Silent
from tests.tasks.tiny import FILLERS, MODELS, WORDS, backbone_folder, model_of, tokenizer_of

LAYOUT = input_format_for(Bert, tokenizer_of("bert"), 12)
IDS = list(range(100, 126))


def texts_of(how: str, *texts: list[int]) -> list[list[int]]:
    """The ids that are read in each sequence, without the layout's own."""
    return [
        [i for i, special in zip(one.ids, one.special, strict=True) if not special]
        for one in arrange_long(LAYOUT, texts, how)
    ]


def test_head_and_tail_take_a_quarter_and_the_rest() -> None:
    """Sun et al. 2019: 128 of 510 tokens from the beginning, 382 from the end."""
    assert texts_of("head", IDS) == [IDS[:10]]
    assert texts_of("head+tail", IDS) == [IDS[:2] + IDS[-8:]]
    (one,) = arrange_long(LAYOUT, [IDS], "head+tail")
    assert one.left_out == 16


@pytest.mark.parametrize("size", [1, 10, 11, 15, 26])
def test_windows_cover_every_token_and_cut_nothing(size: int) -> None:
    found = arrange_long(LAYOUT, [IDS[:size]], "windows")
    assert {i for one in found for i in one.ids if i >= 100} == set(IDS[:size])
    assert all(one.left_out == 0 and len(one.ids) <= 12 for one in found)
    assert len(found) == (1 if size <= 10 else 2 if size <= 15 else 5)


def test_of_a_pair_the_text_that_fits_stands_in_every_window() -> None:
    other = [7, 8]
    for pair in ((other, IDS), (IDS, other)):
        found = texts_of("windows", *pair)
        assert all({7, 8} <= set(ids) for ids in found)
        assert {i for ids in found for i in ids} == {7, 8, *IDS}
    both = texts_of("windows", IDS, IDS[::-1])
    assert {i for ids in both for i in ids} == set(IDS)


@pytest.mark.parametrize("how", ["head", "head+tail", "windows"])
def test_short_texts_are_read_alike(how: str) -> None:
    assert texts_of(how, IDS[:10]) == [IDS[:10]]
    assert texts_of(how, IDS[:4], IDS[4:8]) == [IDS[:8]]


def test_scores_are_the_mean_over_windows() -> None:
    scores = torch.tensor([[1.0, 0.0], [3.0, 4.0], [5.0, 6.0]])
    found = mean_of_windows(scores, torch.tensor([0, 2, 3]))
    assert found.tolist() == [[2.0, 2.0], [5.0, 6.0]]
    assert mean_of_windows(scores, torch.arange(4)) is scores


@pytest.mark.parametrize("model_type", ["bert", "gpt2"])
def test_a_similarity_of_windows_is_the_mean_of_what_each_gives(model_type: str) -> None:
    family = FAMILIES[MODELS[model_type][0]].model
    tokenizer = task_tokenizer(tokenizer_of(model_type), family)
    backbone = model_of(model_type, tokenizer.vocab_size)
    task = Similarity(SimilarityConfig(lowest=0, highest=5, lm_weight=0.0))
    head = task.head(backbone, torch.Generator().manual_seed(0))
    model = TaskModel(backbone, head).eval()
    layout = input_format_for(family, tokenizer, 14, "windows")
    long = TextExample(("the film was good " * 6, "a plot"), "1")
    (windows,) = task.encode([long], layout)
    inputs = windows[0].inputs
    orders = 2 if model_type == "gpt2" else 1
    assert len(inputs) > 2 * orders
    with torch.no_grad():
        batch = SampleTable(windows).batch(np.arange(1))
        together = task.scores(model, model(batch), batch)
        parts = []
        for first in range(0, len(inputs), orders):
            one = replace(windows[0], inputs=inputs[first : first + orders])
            alone = SampleTable([one]).batch(np.arange(1))
            parts.append(task.scores(model, model(alone), alone))
    torch.testing.assert_close(together, torch.stack(parts).mean(0))


def test_what_is_cut_and_unknown_is_counted() -> None:
    task = Classification(ClassificationConfig(labels=("a", "b")))
    texts = ["the film " * 9, "the film", "the \u2603 film"]
    tally = Tally()
    list(encode_windows([TextExample((t,), "a") for t in texts], task, LAYOUT, tally))
    assert (tally.examples, tally.cut, tally.cut_tokens, tally.longest) == (3, 1, 8, 20)
    assert (tally.unknown, tally.tokens) == (1, 15)
    cut, unknown = tally.said("rows", LAYOUT)
    assert "1 of 3 rows are cut at 12 tokens" in cut
    assert "data.max_length=20" in cut and "data.long_text=windows" in cut
    assert unknown.startswith("6.7% of the tokens are unknown")
    assert tokenizer_of("bert").unknown_words(texts[2]) == ["\u2603"]


class Heard(Silent):
    """Keeps the messages."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def message(self, text: str) -> None:
        self.lines.append(text)


def cue_last(path: Path, count: int, seed: int) -> Path:
    """Texts whose only cue lies far behind what the model reads."""
    drawn, lines = random.Random(seed), ["text\tlabel"]
    for _ in range(count):
        label = drawn.choice(sorted(WORDS))
        words = [*(drawn.choice(FILLERS) for _ in range(30)), *WORDS[label][:2]]
        lines.append(f"{' '.join(words)}\t{label}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_cut_is_said_before_training_and_windows_read_what_lies_behind_it(
    tmp_path: Path,
) -> None:
    train, dev = cue_last(tmp_path / "train.tsv", 80, 0), cue_last(tmp_path / "dev.tsv", 30, 1)
    backbone = backbone_folder(tmp_path / "backbone", "bert", num_layers=1)
    usual: dict[str, Any] = {
        "training.learning_rate": 2e-3,
        "training.batch_size": 16,
        "data.max_length": 26,
        "finetune.dropout": 0,
        "finetune.epochs": 24,
    }
    scores, heard = {}, Heard()
    for how in ("head", "windows", "head+tail"):
        options = FinetuneOptions(settings=usual | {"data.long_text": how})
        files: Any = {"train": train, "dev": dev, "out": tmp_path / how}
        result = finetune(backbone, "classification", **files, options=options, reporter=heard)
        scores[how] = result.best.metrics["accuracy"]
    assert scores["head"] < 0.75
    assert scores["head+tail"] == 1
    assert scores["windows"] > 0.8
    cut = [line for line in heard.lines if "are cut at 26 tokens" in line]
    assert any(f"warning: {train}: 80 of 80 rows are cut" in line for line in cut)
    assert len(cut) == 4, "of train and dev; head and head+tail, not windows"
    run = load_task(tmp_path / "head")
    list(predict(run, ["the film " * 20]))
    assert run.tally.cut == 1


def test_training_on_unknown_tokens_is_refused_unless_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    rows = [f"\u2603 \u2604 the film\t{label}" for label in "ab" * 8]
    path.write_text("text\tlabel\n" + "\n".join(rows) + "\n", encoding="utf-8")
    backbone = backbone_folder(tmp_path / "backbone", "bert", num_layers=1)
    with pytest.raises(DataError, match=r"50\.0% of the tokens are unknown.*unknown_rate=1"):
        finetune(backbone, "classification", train=path, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    options = FinetuneOptions(settings={"finetune.unknown_rate": 1, "training.steps": 1})
    finetune(backbone, "classification", train=path, out=tmp_path / "out", options=options)


def test_another_way_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"data\.long_text='tail' is none; choose one of head"):
        InputConfig(long_text="tail")
