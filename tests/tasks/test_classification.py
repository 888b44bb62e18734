"""Classification: loss, micro-batches, head, and what it asks of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from foretext.core.errors import ConfigError, DataError
from foretext.models.bert import Bert
from foretext.models.gpt import Gpt
from foretext.objectives.base import SampleBatch
from foretext.objectives.networks import PredictsTokens
from foretext.tasks import task_module
from foretext.tasks.base import SampleTable, TaskModel, TaskObjective
from foretext.tasks.classification import Classification, ClassificationConfig, read, resolve
from foretext.tasks.columns import InputConfig, TextExample
from foretext.tasks.inputs import fit_to_tokens, input_format_for, task_tokenizer
from tests.tasks.built import assert_steps_agree
from tests.tasks.tiny import WORDS, model_of, pairs, sentences, tokenizer_of, write_tsv

TYPES = ("bert", "gpt2", "openai-gpt")
LABELS = tuple(sorted(WORDS))
COLUMNS = InputConfig(text="sentence", label="label")


def tokens_of(model: TaskModel) -> PredictsTokens:
    assert isinstance(model.backbone, PredictsTokens)
    return model.backbone


def made(
    model_type: str, examples: list[TextExample], lm_weight: float = 0.5, **changes: Any
) -> tuple[TaskObjective, TaskModel, SampleTable]:
    """A tiny model with a task over some examples."""
    family = Bert if model_type == "bert" else Gpt
    plain = tokenizer_of(model_type)
    tokenizer = task_tokenizer(plain, family)
    backbone = model_of(model_type, plain.vocab_size, **changes)
    generator = torch.Generator().manual_seed(3)
    fit_to_tokens(backbone, plain, tokenizer, generator)
    labels = tuple(sorted({example.label or "" for example in examples}))
    weight = 0.0 if model_type == "bert" else lm_weight
    task = Classification(ClassificationConfig(labels=labels, lm_weight=weight))
    model = TaskModel(backbone, task.head(backbone, generator))
    encoded = task.encode(examples, input_format_for(family, tokenizer, 40))
    table = SampleTable(sample for samples in encoded for sample in samples)
    return TaskObjective(task=task, max_length=40), model, table


def some(kind: str) -> list[TextExample]:
    if kind == "pair":
        return [TextExample((a, b), label) for a, b, label in pairs(12, 5)]
    return [TextExample((text,), label) for text, label in sentences(12, 5)]


def test_an_unknown_task_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean"):
        task_module("classifcation")


@pytest.mark.parametrize("kind", ["single", "pair"])
@pytest.mark.parametrize("model_type", TYPES)
def test_micro_batches_add_up_to_the_batch(model_type: str, kind: str) -> None:
    """design.md: the same masks and a token-exact loss however the step is cut; dropout is on."""
    assert_steps_agree(made(model_type, some(kind)), [1, 6, 7])


def test_dropout_acts_on_the_state_the_head_reads() -> None:
    """bert.md e and gpt.md 1e: dropout .1 before the head."""
    objective, model, table = made("bert", some("single"), dropout=0.0, attention_dropout=0.0)
    batch = table.batch(np.arange(len(table)))
    counts = objective.counts(batch)
    with torch.no_grad():
        off = objective.loss(model.eval(), batch, counts)["classification"]
        on = objective.loss(model.train(), batch, counts)["classification"]
    assert float(off) != float(on)


def test_the_auxiliary_loss_is_half_a_mean_of_row_means() -> None:
    """gpt.md 1c: 0.5 x mean over rows of (sum of next-token losses / tokens of the row - 1)."""
    objective, model, table = made("gpt2", some("single"))
    model.eval()
    batch = table.batch(np.arange(len(table)))
    rows = []
    with torch.no_grad():
        terms = objective.loss(model, batch, objective.counts(batch))
        for number in range(len(table)):
            one = table.batch(np.array([number]))
            logits = tokens_of(model).logits(model(one))
            rows.append(F.cross_entropy(logits[:-1], one.input_ids[1:]))
    assert float(terms["lm"]) == pytest.approx(0.5 * float(torch.stack(rows).mean()), abs=1e-5)


def test_a_zero_weight_drops_the_auxiliary_loss() -> None:
    objective, model, table = made("gpt2", some("single"), lm_weight=0.0)
    batch = table.batch(np.arange(3))
    assert objective.loss(model, batch, objective.counts(batch)).keys() == {"classification"}


def test_the_encoders_head_is_truncated_normal_with_a_bias_of_zero() -> None:
    """bert.md e: truncated normal .02, bias 0. GPT's has no bias, see the module docstring."""
    _, model, _ = made("bert", some("single"), hidden_size=512)
    tensors = {name: tensor.detach() for name, tensor in model.head_tensors().items()}
    assert float(tensors["weight"].abs().max()) <= 0.04
    assert abs(float(tensors["weight"].std()) - 0.0176) < 0.002
    assert not tensors["bias"].any()
    assert made("gpt2", some("single"))[1].head_tensors().keys() == {"weight"}


def test_rows_hold_lengths_so_that_the_loop_plans_by_them() -> None:
    objective, _, table = made("bert", some("pair"))
    (rows,) = objective.plan(table, 0)
    zeros = np.zeros(2, np.int64)
    batch = objective.collate(table, SampleBatch(rows=rows[[4, 1]], epochs=zeros, samples=zeros))
    assert batch.offsets.diff().tolist() == rows[[4, 1], 0].tolist()
    assert batch.labels.shape == (2,)
    assert torch.equal(batch.input_ids[: rows[4, 0]], table.batch(np.array([4])).input_ids)


def test_joined_tables_hold_the_same_samples() -> None:
    examples = some("pair")
    objective, _, table = made("bert", examples)
    tokenizer = tokenizer_of("bert")
    layout = input_format_for(Bert, tokenizer, 40)
    halves = [
        SampleTable(s for e in objective.task.encode(part, layout) for s in e)
        for part in (examples[:5], examples[5:])
    ]
    joined = SampleTable.joined(halves)
    numbers = np.array([11, 0, 5])
    for name, value in vars(table.batch(numbers)).items():
        if not isinstance(value, torch.Tensor):
            continue  # the layout, which follows from the offsets
        assert torch.equal(vars(joined.batch(numbers))[name], value), name


def test_labels_are_read_from_the_training_file_in_sorted_order(tmp_path: Path) -> None:
    rows = [["x", "b"], ["y", "c"], ["z", "a"]]
    path = write_tsv(tmp_path / "t.tsv", ["sentence", "label"], rows)
    config = resolve(ClassificationConfig(), COLUMNS, path, Bert, "stop")
    assert config.labels == ("a", "b", "c")
    assert config.lm_weight == 0.0
    assert resolve(ClassificationConfig(), COLUMNS, path, Gpt, "stop").lm_weight == 0.5
    given = resolve(ClassificationConfig(labels=("c", "b", "a")), COLUMNS, path, Bert, "stop")
    assert given.labels == ("c", "b", "a")


def test_a_file_with_a_single_label_is_refused(tmp_path: Path) -> None:
    path = write_tsv(tmp_path / "t.tsv", ["sentence", "label"], [["x", "b"], ["y", "b"]])
    with pytest.raises(DataError, match="every row has the label 'b'"):
        resolve(ClassificationConfig(), COLUMNS, path, Bert, "stop")


def test_an_encoder_has_no_auxiliary_loss(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="reads left to right"):
        resolve(ClassificationConfig(lm_weight=0.5), COLUMNS, tmp_path, Bert, "stop")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"labels": ("a", "a")}, "names a label twice"),
        ({"dropout": 1.0}, "from 0 to below 1"),
        ({"lm_weight": -1.0}, "must not be negative"),
    ],
)
def test_configs_that_cannot_be_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ClassificationConfig(**settings)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["label", "sentence"], ("sentence",)),
        (["text", "label"], ("text",)),
        (["id", "document", "label"], ("document",)),
        (["sentence1", "sentence2", "label"], ("sentence1", "sentence2")),
        (["premise", "hypothesis", "label"], ("premise", "hypothesis")),
        (["question", "sentence", "label"], ("question", "sentence")),
        (["text_a", "text_b", "label"], ("text_a", "text_b")),
    ],
)
def test_columns_are_guessed(tmp_path: Path, names: list[str], expected: tuple[str, ...]) -> None:
    path = write_tsv(tmp_path / "t.tsv", names, [["x"] * len(names)])
    assert InputConfig().resolved(path).texts == expected


def test_columns_can_be_named(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"review": "fine", "stars": 5}\n', encoding="utf-8")
    columns = InputConfig(text="review", label="stars").resolved(path)
    config = ClassificationConfig(labels=("4", "5"))
    assert list(read(path, config, columns)) == [TextExample(("fine",), "5")]


def test_a_table_without_header_has_numbered_columns(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.write_text("gj04\t1\t\tit was\n", encoding="utf-8")
    columns = InputConfig(text="3", label="1", header=False).resolved(path)
    config = ClassificationConfig(labels=("0", "1"))
    assert list(read(path, config, columns)) == [TextExample(("it was",), "1")]


def test_a_text_column_that_cannot_be_guessed_names_those_there_are(tmp_path: Path) -> None:
    path = write_tsv(tmp_path / "t.tsv", ["review", "label"], [["x", "y"]])
    with pytest.raises(DataError, match=r"t\.tsv: no column is called .*'review', 'label'.*data\."):
        InputConfig().resolved(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("sentence\tlabel\nx\ta\ny\tzebra\n", r"t\.tsv:3: the label 'zebra' is not among 'a', 'b'"),
        ("sentence\tlabel\nx\ta\n \ta\n", r"t\.tsv:3: the column 'sentence' holds no text"),
        ("sentence\tclass\nx\ta\n", r"t\.tsv: there is no column 'label'"),
        ("sentence\tlabel\nx\ta\ny\t \n", r"t\.tsv:3: the column 'label' is empty"),
        ("sentence\tlabel\nx\ta\ty\n", r"t\.tsv:2: the row has 3 columns"),
        ("", r"t\.tsv: there is no row \(the file holds none\)"),
    ],
)
def test_faults_of_a_file_are_one_line_with_its_place(
    tmp_path: Path, content: str, message: str
) -> None:
    path = tmp_path / "t.tsv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=message) as caught:
        list(read(path, ClassificationConfig(labels=("a", "b")), COLUMNS))
    assert "\n" not in str(caught.value)


def test_rows_at_fault_can_be_skipped(tmp_path: Path) -> None:
    path = write_tsv(tmp_path / "t.tsv", ["sentence", "label"], [["x", "a"], ["", "a"], ["y", "q"]])
    config = ClassificationConfig(labels=("a", "b"))
    assert list(read(path, config, COLUMNS, on_error="skip")) == [TextExample(("x",), "a")]
    other = ClassificationConfig(labels=("c", "d"))
    with pytest.raises(DataError, match="every row was skipped"):
        list(read(path, other, COLUMNS, on_error="skip"))
