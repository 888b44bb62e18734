"""Files of tagged words: their scheme and labels, what is at fault in them, and real ones."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from foretext.core.errors import ConfigError, DataError
from foretext.models.bert import Bert
from foretext.models.gpt import Gpt
from foretext.tasks.tag_files import TaggingConfig, TaggingInput, read, resolve
from foretext.tasks.tagging import Prediction, Tagging
from foretext.text.errors import CorpusStats
from tests.tasks.tagged import written

COLUMNS = TaggingInput(unit="word")
REAL = Path(__file__).parents[3] / "shared" / "data"


@pytest.mark.parametrize(
    ("content", "scheme", "labels"),
    [
        ("a I-X\nb B-X\nc O\n", "iob1", ("O", "B-X", "I-X")),
        ("a S-Y\nb O\nc B-X\nd E-X\n", "bioes", ("O", "B-X", "I-X", "B-Y", "I-Y")),
        ("a X-B\nb X-I\nc O\n", "iob2-suffix", ("O", "B-X", "I-X")),
        ("a NN\nb DT\nc NN\n", "plain", ("DT", "NN")),
    ],
)
def test_scheme_and_labels_are_found_in_the_training_file(
    tmp_path: Path, content: str, scheme: str, labels: tuple[str, ...]
) -> None:
    path = written(tmp_path / "t.conll", content)
    config = resolve(TaggingConfig(), COLUMNS, path, Bert, "stop")
    assert (config.scheme, config.labels) == (scheme, labels)
    assert config.blank == ("NN" if scheme == "plain" else "O")
    assert (config.label_on, config.lm_weight) == ("first", 0.0)
    left = resolve(TaggingConfig(), COLUMNS, path, Gpt, "stop")
    assert (left.label_on, left.lm_weight) == ("last", 0.5)
    (example,) = read(path, config, COLUMNS)
    if scheme == "iob1":
        assert example.tags == ("B-X", "B-X", "O")


def test_the_scheme_of_training_can_be_bioes(tmp_path: Path) -> None:
    path = written(tmp_path / "t.conll", "a I-X\nb I-X\nc B-X\nd O\n")
    config = resolve(TaggingConfig(scheme_out="bioes"), COLUMNS, path, Bert, "stop")
    assert config.labels == ("O", "B-X", "I-X", "E-X", "S-X")
    (example,) = read(path, config, COLUMNS)
    assert example.tags == ("B-X", "E-X", "S-X", "O")


IOB2 = TaggingConfig(labels=("O", "B-X", "I-X"), scheme="iob2", blank="O")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a O\nb I-X\n", r"t\.conll:2: 'I-X' cannot follow 'O' in IOB2.*task\.scheme.*conlleval"),
        ("a O\n\nb S-X\n", r"t\.conll:3: 'S-X' is no tag of IOB2 \(B-X, I-X, O\)"),
        ("a O\nb B-Z\n", r"t\.conll:2: the tag 'B-Z' is not among 'O', 'B-X', 'I-X'"),
    ],
)
def test_tags_at_fault_are_named_with_their_line(
    tmp_path: Path, content: str, message: str
) -> None:
    path = written(tmp_path / "t.conll", content)
    with pytest.raises(DataError, match=message) as caught:
        list(read(path, IOB2, COLUMNS))
    assert "\n" not in str(caught.value)


def test_sentences_at_fault_are_skipped_or_read_as_conlleval_does(tmp_path: Path) -> None:
    path = written(tmp_path / "t.conll", "a O\nb I-X\n\nc B-X\n\nd S-X\n")
    stats = CorpusStats()
    found = list(read(path, IOB2, COLUMNS, on_error="skip", stats=stats))
    assert [example.units for example in found] == [("c",)]
    assert dict(stats.skips) == {"tag scheme": 2}
    stats = CorpusStats()
    found = list(read(path, IOB2, COLUMNS, on_error="replace", stats=stats))
    assert [example.tags for example in found] == [("O", "B-X"), ("B-X",)]
    assert (dict(stats.replacements), dict(stats.skips)) == ({"tag scheme": 1}, {"tag scheme": 1})
    only = written(tmp_path / "o.conll", "d S-X\n")
    with pytest.raises(DataError, match="every sentence was skipped"):
        list(read(only, IOB2, COLUMNS, on_error="skip"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"labels": ("a", "a")}, "names a label twice"),
        ({"scheme": "iob3"}, r"task\.scheme='iob3' is none; choose one of 'iob1'"),
        ({"scheme_out": "iob1"}, r"task\.scheme_out='iob1' is none"),
        ({"label_on": "middle"}, r"task\.label_on='middle'"),
        ({"stride": 0}, r"task\.stride=0 must be at least 1"),
        ({"dropout": 1.0}, "from 0 to below 1"),
        ({"lm_weight": -1.0}, "must not be negative"),
    ],
)
def test_configs_that_cannot_be_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TaggingConfig(**settings)


@pytest.mark.parametrize(
    ("settings", "unit", "error", "message"),
    [
        ({"labels": ("O", "X")}, "word", ConfigError, "has 'X', which is no tag of iob2"),
        ({"labels": ("B-X", "I-X")}, "word", ConfigError, "lacks 'O'"),
        ({"scheme_out": "bioes"}, "character", ConfigError, "cannot tag characters"),
        ({"lm_weight": 0.5}, "word", ConfigError, "reads left to right"),
    ],
)
def test_settings_that_do_not_fit_the_training_file_are_refused(
    tmp_path: Path, settings: dict[str, Any], unit: str, error: type[Exception], message: str
) -> None:
    path = written(tmp_path / "t.conll", "a B-X\nb I-X\nc O\n")
    with pytest.raises(error, match=message):
        resolve(TaggingConfig(**settings), TaggingInput(unit=unit), path, Bert, "stop")


def test_a_file_with_a_single_tag_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "t.conll", "a O\nb O\n")
    with pytest.raises(DataError, match=r"t\.conll: every word has the tag 'O'"):
        resolve(TaggingConfig(), COLUMNS, path, Bert, "stop")


@pytest.mark.parametrize(
    ("data_set", "name"),
    [
        ("conll2003", "tagging/conll2003/eng.testb"),
        ("conll2000", "tagging/conll2000/test.txt"),
        ("ud-pos", "tagging/ud_en_ewt/en_ewt-ud-test.conllu"),
        ("klue-ner", "korean/klue/klue-ner-v1.1_dev.tsv"),
        ("naver-ner", "korean/naver_ner/all.tsv"),
    ],
)
def test_gold_against_gold_is_perfect_on_real_files(data_set: str, name: str) -> None:
    """Through the settings of the data set; every unit has a token of its own or a neighbour's."""
    from foretext.tasks.datasets import task_of as data_set_of

    path = REAL / name
    if not path.is_file():
        pytest.skip("the sample data are not here")
    _, settings = data_set_of(data_set)
    fields = {key.partition(".")[2]: value for key, value in settings.items()}
    columns = TaggingInput(
        **{key: fields[key] for key in ("format", "unit", "label") if key in fields}
    )
    columns = columns.resolved(path)
    mend = "replace" if data_set == "naver-ner" else "stop"
    config = resolve(TaggingConfig(scheme=fields.get("scheme")), columns, path, Bert, mend)
    task = Tagging(config)
    meter = task.meter()
    for example in itertools.islice(read(path, config, columns, on_error=mend), 1000):
        assert example.tags is not None
        shares = (1.0,) * len(example.tags)
        meter.add(example, Prediction(example.units, example.tags, shares, ()))
    assert set(meter.result().values()) == {1.0}
    assert task.metric in meter.result()


def test_a_table_of_texts_is_no_file_of_tags(tmp_path: Path) -> None:
    """The fault is named, not that nothing was left."""
    path = written(tmp_path / "t.tsv", "sentence\tlabel\na fine film\tgood\na bore\tbad\n")
    with pytest.raises(DataError, match=r"t\.tsv:2: the cell 'a fine film' holds several words"):
        TaggingInput().resolved(path)
