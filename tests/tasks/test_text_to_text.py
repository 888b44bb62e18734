"""Text to text: pairs, their faults, and every task whose answers a model writes."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from foretext.core.errors import ConfigError, DataError
from foretext.evaluation.labelled import evaluate, predict
from foretext.inference.predict import encode_windows
from foretext.models.folder import save_model
from foretext.models.t5 import T5
from foretext.models.t5_sizes import T5Config
from foretext.objectives.base import SampleBatch
from foretext.recipes.task_recipe import TaskRecipe
from foretext.runs.finetune import FinetuneOptions, finetune
from foretext.tasks.base import SampleTable
from foretext.tasks.inputs import SourceFormat
from foretext.tasks.text_to_text import PairInput, TextPair, TextToText, TextToTextConfig, read
from foretext.tasks.writing import WritingObjective
from foretext.text.errors import CorpusStats
from foretext.tokenizers import Tokenizer, train
from foretext.training.step import MicroBatch, TrainStep, gradients

WORDS = [
    "red",
    "blue",
    "cold",
    "warm",
    "small",
    "large",
    "cat",
    "dog",
    "house",
    "river",
    "good",
    "bad",
    "film",
    "plot",
    "actor",
]


def tokenizer() -> Tokenizer:
    texts = [" ".join(WORDS), "sst2 sentence: text sentence1 sentence2 positive negative 0.0 4.8"]
    return train(texts * 30, kind="unigram", vocab_size=190, style="t5")


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A T5 of two layers with random weights."""
    folder = tmp_path_factory.mktemp("t5")
    own = tokenizer()
    model = T5(
        T5Config(
            vocab_size=own.vocab_size,
            hidden_size=32,
            num_layers=2,
            num_decoder_layers=2,
            num_heads=2,
            head_size=16,
            intermediate_size=48,
        )
    )
    model.initialise(torch.Generator().manual_seed(0))
    ids = {"pad_token_id": 0, "eos_token_id": 1}
    save_model(model, folder, architecture="T5ForConditionalGeneration", extra_config=ids)
    own.save(folder)
    return folder


def options(**settings: Any) -> FinetuneOptions:
    usual = {"training.batch_size": 8, "training.threads": 1, "data.max_length": 40}
    return FinetuneOptions(settings=usual | {k.replace("__", "."): v for k, v in settings.items()})


def write(path: Path, rows: list[tuple[str, ...]]) -> Path:
    path.write_text("\n".join("\t".join(row) for row in rows) + "\n", encoding="utf-8")
    return path


def copies(path: Path, count: int) -> Path:
    """Pairs whose target is the source's first word."""
    rows = [(" ".join(WORDS[(i + k) % 10] for k in range(3)), WORDS[i % 10]) for i in range(count)]
    return write(path, [("source", "target"), *rows])


def test_a_model_learns_to_write_and_its_folder_is_used(backbone: Path, tmp_path: Path) -> None:
    """From the command's function: finetune, evaluate, predict."""
    train_file, dev = copies(tmp_path / "train.tsv", 40), copies(tmp_path / "dev.tsv", 10)
    result = finetune(
        backbone,
        "text-to-text",
        train=train_file,
        dev=dev,
        out=tmp_path / "run",
        options=options(
            finetune__epochs=30.0,
            finetune__dropout=0.0,
            finetune__eval_every=150,
            training__learning_rate=0.02,
            task__metrics=("exact", "chrf"),
            task__max_target_length=12,
            task__prefix="first: ",
        ),
    )
    assert result.seeds[0].metrics["exact"] == 100.0
    again = evaluate(tmp_path / "run", dev)
    assert again == pytest.approx(result.seeds[0].metrics)
    (one,) = predict(tmp_path / "run", ["cold warm small"])
    assert one.line == "cold"
    raw = json.loads((tmp_path / "run" / "config.json").read_text())
    assert raw["architectures"] == ["T5ForConditionalGeneration"]


def test_a_data_set_is_worded_of_itself(backbone: Path, tmp_path: Path) -> None:
    """Issue 19: every existing task runs text-to-text; of such a model automatically."""
    rows = [("good film", "1"), ("bad plot", "0"), ("good actor", "1"), ("bad film", "0")] * 6
    train_file = write(tmp_path / "train.tsv", [("sentence", "label"), *rows])
    result = finetune(
        backbone,
        "sst2",
        train=train_file,
        dev=train_file,
        out=tmp_path / "run",
        options=options(
            finetune__epochs=40.0,
            finetune__dropout=0.0,
            finetune__eval_every=120,
            training__learning_rate=0.02,
        ),
    )
    metrics = result.seeds[0].metrics
    assert metrics["accuracy"] == 1.0
    assert metrics["no_label"] == 0.0
    found = list(predict(tmp_path / "run", ["good plot", "bad actor"]))
    assert [one.label for one in found] == ["1", "0"]
    assert [one.text for one in found] == ["positive", "negative"]


def test_as_text_is_for_models_that_write(backbone: Path, tmp_path: Path) -> None:
    train_file = copies(tmp_path / "train.tsv", 4)
    with pytest.raises(ConfigError, match=r"as_text=False does not fit T5, which writes its ans"):
        finetune(
            backbone,
            "text-to-text",
            train=train_file,
            out=tmp_path / "run",
            options=options(finetune__as_text=False),
        )
    assert not (tmp_path / "run").exists()


def test_recipe_of_text_is_that_of_the_paper() -> None:
    """t5.md, e: 128 sequences, constant rate .001, Adafactor, beam 4 with alpha .6."""
    recipe = TaskRecipe.of("text-to-text", {}, left_to_right=False, as_text=True)
    training = recipe.training
    assert (training.batch_size, training.learning_rate) == (128, 1e-3)
    assert (training.optimizer, training.schedule) == ("adafactor", "constant")
    assert (recipe.task.num_beams, recipe.task.length_penalty) == (4, 0.6)
    factors = [training.learning_schedule().factor(step) for step in (0, 5, 9_000)]
    assert factors == [1.0, 1.0, 1.0]


FAULTS = {
    "a\t": "the column 'target' is empty",
    "\tb": "the column 'source' is empty",
    "a <extra_id_3>\tb": "there is a sentinel",
}


@pytest.mark.parametrize(("row", "problem"), FAULTS.items())
def test_pairs_at_fault_are_named_or_skipped(row: str, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "pairs.tsv"
    path.write_text(f"source\ttarget\nc\td\n{row}\n", encoding="utf-8")
    columns, config = PairInput(source="source", target="target"), TextToTextConfig()
    with pytest.raises(DataError, match=rf"pairs.tsv:3: {problem}"):
        list(read(path, config, columns))
    stats = CorpusStats()
    assert list(read(path, config, columns, on_error="skip", stats=stats)) == [TextPair("c", "d")]
    assert stats.skipped == 1


@pytest.mark.parametrize("suffix", ["tsv", "csv", "jsonl"])
def test_tables_of_every_kind_are_read(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"pairs.{suffix}"
    texts = {
        "tsv": "source\ttarget\na b\tc\n",
        "csv": 'source,target\n"a b",c\n',
        "jsonl": '{"source": "a b", "target": "c"}\n',
    }
    path.write_text(texts[suffix], encoding="utf-8")
    columns = PairInput().resolved(path)
    assert list(read(path, TextToTextConfig(), columns)) == [TextPair("a b", "c")]


def test_columns_that_say_nothing_are_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path / "pairs.tsv", [("english", "german"), ("a", "b")])
    with pytest.raises(DataError, match=r"no column is called source.*data\.source"):
        PairInput().resolved(path)


def built() -> tuple[Any, SourceFormat]:
    config = TextToTextConfig(max_target_length=8, max_new_tokens=8)
    return TextToText(config), SourceFormat(tokenizer=tokenizer(), max_length=12)


def test_a_target_that_is_too_long_is_refused() -> None:
    task, layout = built()
    with pytest.raises(DataError, match=r"a target has \d+ tokens, more than the 8 .* raise task"):
        task.encode([TextPair("cat", " ".join(WORDS))], layout)


def test_samples_are_laid_out_as_sources_and_shifted_targets() -> None:
    task, layout = built()
    pairs = [TextPair("red cat", "dog"), TextPair(" ".join(WORDS), "cold house")]
    (window,) = encode_windows(pairs, task, layout)
    batch = window.samples.written_batch(np.array([1, 0]))
    own = layout.tokenizer
    wanted = [own.encode("cold house"), own.encode("dog")]
    assert batch.labels.tolist() == [t for ids in wanted for t in [*ids, 1]]
    assert batch.target.input_ids.tolist() == [t for ids in wanted for t in [0, *ids]]
    assert batch.source.offsets.diff().tolist() == [12, len(own.encode("red cat")) + 1]
    assert window.samples.batch(np.array([1])).input_ids.tolist() == (
        batch.source.input_ids[:12].tolist()
    )


def test_micro_batches_have_the_gradient_of_the_batch(backbone: Path) -> None:
    """With dropout: its masks are a function of the target's token too."""
    from foretext.models.folder import load_model
    from foretext.tasks.base import TaskModel

    task, layout = built()
    pairs = [TextPair(" ".join(WORDS[i : i + 1 + i % 4]), WORDS[i]) for i in range(9)]
    (window,) = encode_windows(pairs, task, layout)
    table: SampleTable = window.samples
    objective = WritingObjective(task=task, max_length=12)
    model = TaskModel(load_model(backbone).model, task.head(None, torch.Generator())).double()
    step, found = TrainStep(model, objective).train(), []
    for cuts in ([0, 9], [0, 4, 7, 9]):
        parts, first, target = [], 0, 0
        for begin, end in pairwise(cuts):
            numbers = np.arange(begin, end)
            rows = np.stack([table.lengths[numbers], numbers], 1).astype(np.int32)
            picked = SampleBatch(rows=rows, epochs=numbers, samples=numbers)
            batch: Any = objective.collate(table, picked)
            parts.append(MicroBatch(batch=batch, first_token=first, first_target=target))
            first += batch.source.num_tokens
            target += batch.target.num_tokens
        model.zero_grad()
        gradients(step, parts, key=5)
        found.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    assert len(found[0]) == len(found[1]) > 20
    assert max(float((a - b).abs().max()) for a, b in zip(*found, strict=True)) < 1e-9


def test_metrics_are_in_percent() -> None:
    meter = TextToText(TextToTextConfig(metrics=("exact", "bleu", "chrf"))).meter()
    from foretext.tasks.text_to_text import Prediction

    meter.add(TextPair("a", "ein Hund läuft im Park"), Prediction("ein Hund läuft im Park"))
    meter.add(TextPair("a", "eine Katze schläft dort oben"), Prediction("x"))
    found = meter.result()
    assert found["exact"] == 50.0
    assert 0 < found["bleu"] < 100
    assert 0 < found["chrf"] < 100
