"""Data sets by name read files as they are published; real ones where they are at hand."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from foretext.core.config import unflatten
from foretext.core.errors import ConfigError, DataError
from foretext.recipes.papers import PAPER_RECIPES
from foretext.recipes.task_recipe import TaskRecipe
from foretext.tasks import TASKS, task_module
from foretext.tasks.columns import InputConfig, read_examples
from foretext.tasks.datasets import DATASETS, task_of
from foretext.text.errors import CorpusStats

DATA = Path(os.environ.get("FORETEXT_SAMPLE_DATA", Path(__file__).parents[3] / "shared" / "data"))


def read_as(name: str, path: Path, on_error: str = "stop") -> tuple[list[Any], CorpusStats]:
    """The examples of a file under a data set's name."""
    task, settings = task_of(name)
    recipe = TaskRecipe.of(task, settings, left_to_right=False)
    columns = recipe.data.resolved(path)
    stats = CorpusStats()
    config = recipe.task
    if not getattr(config, "labels", True):
        config = task_module(task).resolve(config, columns, path, object(), on_error)
    examples = task_module(task).read(path, config, columns, on_error=on_error, stats=stats)
    return list(examples), stats


def write(path: Path, content: str) -> Path:
    path.write_text(content, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", DATASETS)
def test_every_data_set_names_a_task_and_settings_that_there_are(name: str) -> None:
    task, settings = task_of(name)
    assert task in TASKS
    recipe = TaskRecipe.of(task, settings, left_to_right=False)
    values = recipe.values()
    for section, inner in unflatten(settings).items():
        for key in inner:
            assert key in values[section]
    assert DATASETS[name].about


def test_recipes_name_no_data_set_that_is_unknown() -> None:
    known = {*TASKS, *DATASETS}
    named = {name for recipe in PAPER_RECIPES.values() for name in recipe.named}
    assert named & known, "the tables use other names than the data sets"
    assert {"cola", "sst2", "mrpc", "qqp", "rte", "qnli", "mnli", "wnli"} <= named & known


@pytest.mark.parametrize(
    ("name", "file", "content", "texts", "label"),
    [
        ("cola", "train.tsv", 'gj04\t0\t*\tThe "book, he read.\n', ('The "book, he read.',), "0"),
        ("mrpc", "msr_paraphrase_train.txt",
         '\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t1\t2\t"a b\tc "d" e"\n',
         ('"a b', 'c "d" e"'), "1"),
        ("nsmc", "ratings_train.txt", "id\tdocument\tlabel\n1\t좋다\t1\n", ("좋다",), "1"),
        ("mnli", "dev_matched.tsv",
         "index\tsentence1\tsentence2\tlabel1\tgold_label\n0\tA.\tB.\tneutral\tentailment\n",
         ("A.", "B."), "entailment"),
        ("snli", "snli_1.0_dev.txt", "gold_label\tsentence1\tsentence2\nneutral\tA.\tB.\n",
         ("A.", "B."), "neutral"),
        ("snli", "snli_1.0_dev.jsonl",
         '{"gold_label": "neutral", "sentence1": "A.", "sentence2": "B."}\n',
         ("A.", "B."), "neutral"),
        ("klue-nli", "dev.json",
         json.dumps([{"premise": "가", "hypothesis": "나", "gold_label": "neutral"}], indent=4),
         ("가", "나"), "neutral"),
        ("rte", "dev.tsv", "index\tsentence1\tsentence2\tlabel\n0\tA.\tB.\tentailment\n",
         ("A.", "B."), "entailment"),
        ("qqp", "dev.tsv", "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n"
         "0\t1\t2\tA?\tB?\t0\n", ("A?", "B?"), "0"),
    ],
)  # fmt: skip
def test_files_are_read_as_published(
    tmp_path: Path, name: str, file: str, content: str, texts: tuple[str, ...], label: str
) -> None:
    """Nothing is quoted in GLUE's files; a byte order mark is none of a column's name."""
    examples, _ = read_as(name, write(tmp_path / file, content))
    assert [(example.texts, example.label) for example in examples] == [(texts, label)]


def test_a_dash_is_no_label(tmp_path: Path) -> None:
    """SNLI and MNLI write it where the annotators did not agree."""
    rows = "sentence1\tsentence2\tgold_label\nA\tB\tneutral\nA\tB\t-\nA\tC\tentailment\n"
    path = write(tmp_path / "t.tsv", rows)
    with pytest.raises(DataError, match=r"t\.tsv:3: .*did not agree; drop the row, or --on-error"):
        read_as("snli", path)
    examples, stats = read_as("snli", path, "skip")
    assert (len(examples), dict(stats.skips)) == (2, {"unknown label": 1})


def test_an_empty_document_is_a_fault_with_its_line(tmp_path: Path) -> None:
    """NSMC has some."""
    path = write(tmp_path / "r.txt", "id\tdocument\tlabel\n1\t\t0\n2\t좋다\t1\n")
    with pytest.raises(DataError, match=r"r\.txt:2: the column 'document' holds no text"):
        read_as("nsmc", path)
    examples, stats = read_as("nsmc", path, "skip")
    assert (len(examples), dict(stats.skips)) == (1, {"empty text": 1})


def test_a_suffix_that_says_nothing_needs_a_format(tmp_path: Path) -> None:
    path = write(tmp_path / "t.txt", "text,label\na,b\n")
    with pytest.raises(DataError, match=r"t\.txt: the suffix '\.txt' is not .*say with data\.form"):
        InputConfig().resolved(path)
    columns = InputConfig(format="csv").resolved(path)
    assert [e.texts for e in read_examples(path, columns, None)] == [("a",)]
    with pytest.raises(ConfigError, match=r"data\.format='xls' is not known; choose tsv, csv"):
        InputConfig(format="xls")


@pytest.mark.skipif(not DATA.is_dir(), reason="the sample data is not there")
@pytest.mark.parametrize(
    ("name", "file", "rows", "skipped"),
    [
        ("cola", "sentence/cola/train.tsv", 8551, 0),
        ("cola", "sentence/cola/dev_in_domain.tsv", 527, 0),
        ("cola", "sentence/cola/dev_out_of_domain.tsv", 516, 0),
        ("sst2", "sentence/sst2/test.tsv", 872, 0),
        ("mrpc", "pairs/mrpc/msr-para-train.tsv", 3576, 0),
        ("mrpc", "pairs/mrpc/msr-para-val.tsv", 500, 0),
        ("rte", "pairs/rte/train.tsv", 2490, 0),
        ("rte", "pairs/rte/dev.tsv", 277, 0),
        ("qnli", "pairs/qnli/dev.tsv", 5463, 0),
        ("kornli", "korean/kornli/xnli.dev.ko.tsv", 2490, 0),
        ("kornli", "korean/kornli/xnli.test.ko.tsv", 5010, 0),
        ("klue-nli", "korean/klue/klue-nli-v1.1_dev.json", 3000, 0),
        ("nsmc", "korean/nsmc/ratings_test.txt", 50000, 0),
    ],
)
def test_real_files_are_read_whole(name: str, file: str, rows: int, skipped: int) -> None:
    examples, stats = read_as(name, DATA / file, "skip")
    assert (len(examples), stats.skipped) == (rows, skipped)
