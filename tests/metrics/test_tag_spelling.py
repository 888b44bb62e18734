"""Spellings of tags are recognised, mended and counted; files with two of them are refused."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from foretext.core.errors import DataError
from foretext.metrics.tag_spelling import MixedSpelling, style_of
from foretext.models.bert import Bert
from foretext.tasks.tag_files import TaggingConfig, TaggingInput, read, resolve
from foretext.text.errors import CorpusStats

COLUMNS = TaggingInput(unit="word", split="space")


def written(path: Path, tags: str, times: int = 3) -> Path:
    block = "".join(f"w{i} {tag}\n" for i, tag in enumerate(tags.split()))
    path.write_text("\n".join([block] * times), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "tags",
    ["B_PER I_PER O B_LOC", "B:PER I:PER O B:LOC", "b-PER i-PER O b-LOC", "b-per i-PER o B-LOC",
     "B/PER I/PER O B/LOC", "PER-B PER-I O LOC-B", "PER_b PER_I o LOC_B", "B_per I_PER O B_LOC",
     "B-PER E-PER O S-LOC", "B-PER L-PER O U-LOC", "B_PER E_PER O W_LOC"],
)  # fmt: skip
def test_each_spelling_marks_the_same_entities(tmp_path: Path, tags: str) -> None:
    path, stats = written(tmp_path / "t.conll", tags), CorpusStats()
    config = resolve(TaggingConfig(), COLUMNS, path, Bert, "stop")
    types = {label.partition("-")[2].upper() for label in config.labels} - {""}
    assert (config.plain, types) == (False, {"PER", "LOC"})
    example, *_ = read(path, config, COLUMNS, stats=stats)
    assert example.tags is not None
    upper = [tag.upper() for tag in example.tags]
    assert upper == ["B-PER", "I-PER", "O", "B-LOC"]
    usual = not set("_:/").isdisjoint(tags) or tags != tags.upper()
    assert bool(stats.notes) == usual, "what is read otherwise than it stands is said"


def test_b_m_e_s_is_bioes(tmp_path: Path) -> None:
    path = written(tmp_path / "t.conll", "B-X M-X M-X E-X O S-X")
    config = resolve(TaggingConfig(), COLUMNS, path, Bert, "stop")
    assert config.scheme == "bioes"
    example, *_ = read(path, config, COLUMNS)
    assert example.tags == ("B-X", "I-X", "I-X", "I-X", "O", "B-X")


def test_another_file_may_be_spelled_otherwise(tmp_path: Path) -> None:
    config = resolve(
        TaggingConfig(), COLUMNS, written(tmp_path / "t.conll", "B-X I-X O"), Bert, "stop"
    )
    stats = CorpusStats()
    example, *_ = read(written(tmp_path / "d.conll", "O b_x i_x"), config, COLUMNS, stats=stats)
    assert example.tags == ("O", "B-X", "I-X")
    assert stats.notes == {
        "tags spelled like 'b_x' read as 'B-X'": 3,
        "tags spelled like 'i_x' read as 'I-X'": 3,
    }


@pytest.mark.parametrize(
    ("tags", "one", "other"),
    [("B-ORG I-ORG O B_MISC I_MISC", "B-ORG", "B_MISC"), ("B-X I-X X-B X-I", "B-X", "X-B")],
)
def test_half_and_half_is_refused_with_both_spellings(
    tmp_path: Path, tags: str, one: str, other: str
) -> None:
    path = written(tmp_path / "t.conll", tags)
    with pytest.raises(DataError, match=rf"two ways, '{one}' and '{other}'"):
        resolve(TaggingConfig(), COLUMNS, path, Bert, "stop")
    assert resolve(TaggingConfig(scheme="plain"), COLUMNS, path, Bert, "stop").plain


def test_half_and_half_of_a_second_file_is_named_with_its_line(tmp_path: Path) -> None:
    config = TaggingConfig(labels=("O", "B-X", "I-X"), scheme="iob2", blank="O")
    path = written(tmp_path / "d.conll", "B-X O B_X", times=1)
    with pytest.raises(DataError, match=r"d\.conll:3: .* two ways, 'B-X' and 'B_X'"):
        list(read(path, config, COLUMNS))


@pytest.mark.parametrize(
    "tags",
    ["NN DT VB .", "S-NP NP VP O", "PER LOC O", "e_s n_s v_l", "-LRB- -RRB- NN"],
)
def test_plain_tags_stay_plain(tags: str) -> None:
    assert style_of(Counter(tags.split())) is None


def test_one_stray_spelling_is_enough_to_refuse() -> None:
    with pytest.raises(MixedSpelling) as caught:
        style_of({"B-X": 50, "I-X": 50, "B_X": 1, "O": 500})
    assert caught.value.args == ("B-X", "B_X")
