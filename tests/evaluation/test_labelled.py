"""Fine-tuned models at work: order, constant memory, files and faults."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from foretext.core.errors import CheckpointError, ConfigError, DataError
from foretext.evaluation.labelled import Skipped, evaluate, predict
from foretext.inference import predict as windows
from foretext.inference.task_run import TaskRun, load_task
from foretext.runs.finetune import FinetuneOptions, finetune
from foretext.tasks.classification import Prediction
from foretext.text.errors import CorpusStats
from tests.tasks.tiny import backbone_folder, pairs, sentence_file, sentences, write_tsv

NAMES = ["premise", "hypothesis", "label"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TaskRun]:
    """A model of single texts and one of pairs, their weights anything but small."""
    place = tmp_path_factory.mktemp("labelled")
    backbone = backbone_folder(place / "backbone", "bert", noise=0.3)
    files = {
        "single": sentence_file(place / "single.tsv", 20, 0),
        "pair": write_tsv(place / "pair.tsv", NAMES, pairs(20, 0)),
    }
    settings = {"training.steps": 2, "training.head_learning_rate": 0.02}
    for kind, path in files.items():
        options = FinetuneOptions(settings=settings)
        finetune(backbone, "classification", train=path, out=place / kind, options=options)
    return {kind: load_task(place / kind) for kind in files}


def same(one: Prediction, other: Prediction) -> bool:
    return one.probabilities == pytest.approx(other.probabilities, abs=1e-6)


@pytest.fixture
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "_WINDOW", 5)
    monkeypatch.setattr(windows, "_BATCH_TOKENS", 24)


@pytest.mark.usefixtures("small_windows")
def test_every_text_has_its_prediction_in_order(runs: dict[str, TaskRun]) -> None:
    """Whatever the lengths: sorted inside a window, the answers are those of one text alone."""
    texts = [text for text, _ in sentences(23, 4)]
    found = list(predict(runs["single"], texts))
    alone = [next(predict(runs["single"], [text])) for text in texts]
    assert len(found) == 23
    assert all(map(same, found, alone))
    assert len({round(p.probabilities["good"], 4) for p in found}) > 10


def test_bf16_gives_nearly_the_same_probabilities(runs: dict[str, TaskRun]) -> None:
    """And not quite: the backbone does multiply in it."""
    half = load_task(runs["single"].folder, precision="bf16")
    texts = [text for text, _ in sentences(23, 4)]
    pairs_of = zip(predict(runs["single"], texts), predict(half, texts), strict=True)
    apart = [abs(a.probabilities["good"] - b.probabilities["good"]) for a, b in pairs_of]
    assert 0 < max(apart) < 0.05


def test_an_unknown_precision_is_named(runs: dict[str, TaskRun]) -> None:
    with pytest.raises(ConfigError, match="precision='fp16' must be one of fp32, bf16"):
        load_task(runs["single"].folder, precision="fp16")


def test_a_prediction_is_the_likeliest_label(runs: dict[str, TaskRun]) -> None:
    for prediction in predict(runs["single"], [text for text, _ in sentences(9, 4)]):
        assert prediction.probabilities[prediction.label] == max(prediction.probabilities.values())
        assert sum(prediction.probabilities.values()) == pytest.approx(1.0)
        assert list(prediction.probabilities) == ["bad", "good"]


@pytest.mark.usefixtures("small_windows")
def test_input_is_read_no_further_than_a_window(runs: dict[str, TaskRun]) -> None:
    """Constant memory: a stream without end is predicted as it comes."""
    taken = 0

    def endless() -> Iterator[str]:
        nonlocal taken
        while True:
            taken += 1
            yield "a great film"

    found = predict(runs["single"], endless())
    next(found)
    assert taken == 5
    for _ in range(5):
        next(found)
    assert taken == 10


@pytest.mark.usefixtures("small_windows")
def test_metrics_are_those_of_the_predictions(runs: dict[str, TaskRun], tmp_path: Path) -> None:
    rows = pairs(17, 8)
    path = write_tsv(tmp_path / "t.tsv", NAMES, rows)
    found = list(predict(runs["pair"], [(a, b) for a, b, _ in rows]))
    hits = [p.label == label for p, (_, _, label) in zip(found, rows, strict=True)]
    nats = [-torch.tensor(p.probabilities[r[2]]).log() for p, r in zip(found, rows, strict=True)]
    metrics = evaluate(runs["pair"].folder, path)
    assert metrics["accuracy"] == pytest.approx(sum(hits) / 17)
    assert metrics["loss"] == pytest.approx(float(torch.stack(nats).mean()), abs=1e-5)
    assert metrics.keys() == {"accuracy", "f1", "mcc", "loss"}


def test_tables_and_text_files_are_read_alike(runs: dict[str, TaskRun], tmp_path: Path) -> None:
    """A table needs no label column to be predicted; a text file has a text a line."""
    texts = [text for text, _ in sentences(6, 4)]
    plain = tmp_path / "t.txt"
    plain.write_text("\n".join(texts) + "\n", encoding="utf-8")
    table = write_tsv(tmp_path / "t.tsv", ["id", "sentence"], [["1", text] for text in texts])
    packed = tmp_path / "t.txt.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    named = write_tsv(tmp_path / "n.tsv", ["review"], [[text] for text in texts])
    expected = list(predict(runs["single"], texts))
    for found in (
        predict(runs["single"], plain),
        predict(runs["single"], packed),
        predict(runs["single"], table),
        predict(runs["single"], named, columns={"text": "review"}),
    ):
        assert all(map(same, list(found), expected))


def test_a_bare_string_is_one_text(runs: dict[str, TaskRun]) -> None:
    assert len(list(predict(runs["single"], "a great film"))) == 1


def test_a_bare_string_that_names_a_file_is_asked_about(
    runs: dict[str, TaskRun], tmp_path: Path
) -> None:
    """Its one prediction would be of the file's name."""
    path = tmp_path / "t.txt"
    path.write_text("a film\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"names a file; give Path\('.*t.txt'\) for what it holds"):
        list(predict(runs["single"], str(path)))
    assert len(list(predict(runs["single"], [str(path)]))) == 1


@pytest.mark.parametrize(
    ("kind", "texts", "message"),
    [
        ("single", ["it", " "], "text 2: there is no text"),
        ("single", [("it", "the")], "text 1: 2 texts where the model reads 1"),
        ("pair", ["it"], "text 1: 1 texts where the model reads 2"),
        ("single", ["it", None], "text 2: None is NoneType, not a text; give str"),
        ("single", ["it", float("nan")], "text 2: nan is float, not a text"),  # as of pandas
        ("pair", [("it", 7)], "text 1: 7 is int, not a text"),
    ],
)
def test_texts_at_fault_are_named(
    runs: dict[str, TaskRun], kind: str, texts: list[Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        list(predict(runs[kind], texts))


def test_lines_at_fault_are_named_or_skipped_and_counted(
    runs: dict[str, TaskRun], tmp_path: Path
) -> None:
    path = tmp_path / "t.txt"
    path.write_text("a film\n\nthe plot\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"t\.txt:2: there is no text"):
        list(predict(runs["single"], path))
    stats = CorpusStats()
    found = list(predict(runs["single"], path, on_error="skip", stats=stats))
    assert [isinstance(one, Skipped) for one in found] == [False, True, False]
    assert stats.skips == {"empty text": 1}


def test_an_empty_file_is_named(runs: dict[str, TaskRun], tmp_path: Path) -> None:
    for name in ("t.txt", "t.tsv"):
        (tmp_path / name).touch()
        with pytest.raises(DataError, match=rf"{name}: .*the file (is empty|holds none)"):
            list(predict(runs["single"], tmp_path / name))


def test_an_unknown_label_is_named_with_its_line(runs: dict[str, TaskRun], tmp_path: Path) -> None:
    rows = [["it", "good"], ["the", "ugly"]]
    path = write_tsv(tmp_path / "t.tsv", ["sentence", "label"], rows)
    with pytest.raises(DataError, match=r"t\.tsv:3: the label 'ugly' is not among 'bad', 'good'"):
        evaluate(runs["single"], path)


def test_an_unknown_column_setting_names_the_nearest(
    runs: dict[str, TaskRun], tmp_path: Path
) -> None:
    path = sentence_file(tmp_path / "t.tsv", 3, 0)
    with pytest.raises(ConfigError, match=r"no setting 'data\.texts'; did you mean .*data\.text"):
        evaluate(runs["single"], path, columns={"texts": "sentence"})


def test_another_tasks_head_is_refused(runs: dict[str, TaskRun]) -> None:
    head = {"weight": torch.zeros(3, 32), "bias": torch.zeros(3)}
    with pytest.raises(CheckpointError, match=r"has shapes .*3, 32.* but the task needs .*2, 32"):
        runs["single"].model.load_head(head)


def test_a_folder_that_was_not_fine_tuned_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="was not fine-tuned"):
        load_task(backbone_folder(tmp_path / "backbone", "bert"))


@pytest.mark.usefixtures("small_windows")
def test_answer_n_belongs_to_input_n_also_where_some_are_skipped(
    runs: dict[str, TaskRun], tmp_path: Path
) -> None:
    """At the beginning, at the borders of windows, several in a row, and at the end."""
    texts = [text for text, _ in sentences(20, 4)]
    bad = {0, 4, 5, 6, 11, 18, 19}
    rows = [["" if i in bad else text, "x"] for i, text in enumerate(texts)]
    table = write_tsv(tmp_path / "t.tsv", ["sentence", "other"], rows)
    plain = tmp_path / "t.txt"
    plain.write_bytes(
        b"".join(b"\xff\n" if i in bad else f"{text}\n".encode() for i, text in enumerate(texts))
    )
    expected = list(predict(runs["single"], texts))
    for path, first, problem in ((table, 2, "holds no text"), (plain, 1, "invalid UTF-8")):
        found = list(predict(runs["single"], path, on_error="skip"))
        assert len(found) == 20
        for number, (one, right) in enumerate(zip(found, expected, strict=True)):
            if number in bad:
                assert one.line == "-"
                assert one.error.startswith(f"{path}:{number + first}: ")
                assert problem in one.error
            else:
                assert same(one, right)


def test_a_file_of_bad_rows_alone_has_a_dash_for_each(
    runs: dict[str, TaskRun], tmp_path: Path
) -> None:
    path = write_tsv(tmp_path / "t.tsv", ["sentence", "label"], [["", "good"], [" ", "bad"]])
    found = predict(runs["single"], path, on_error="skip")
    assert [next(found).line, next(found).line] == ["-", "-"]
    with pytest.raises(DataError, match="every row was skipped"):
        next(found)


def test_a_txt_file_is_a_table_where_its_header_says_so(
    runs: dict[str, TaskRun], tmp_path: Path
) -> None:
    """NSMC's ratings_test.txt; any other .txt holds a text a line."""
    path = tmp_path / "t.txt"
    path.write_text("id\tsentence\n1\ta great film\n2\tthe plot\n", encoding="utf-8")
    plain = tmp_path / "p.txt"
    plain.write_text("a great film\nthe plot\n", encoding="utf-8")
    columns = {"format": "tsv"}
    expected = list(predict(runs["single"], ["a great film", "the plot"]))
    for one in (path, plain):
        assert all(map(same, predict(runs["single"], one, columns=columns), expected))
    assert len(list(predict(runs["single"], path))) == 3
