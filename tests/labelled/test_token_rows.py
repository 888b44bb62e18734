"""Rows of tokens: what ends a sentence, what parts the columns, what skipping costs."""

from __future__ import annotations

from pathlib import Path

import pytest

from foretext.core.errors import ConfigError, DataError
from foretext.labelled.conll import TagColumns, read_sentences
from foretext.text.errors import CorpusStats

Pairs = list[list[tuple[str, str]]]


def pairs(path: Path, text: str, columns: TagColumns | None = None) -> Pairs:
    path.write_text(text, encoding="utf-8")
    found = read_sentences(path, columns)
    return [list(zip(s.words, s.tags or (), strict=True)) for s in found]


@pytest.mark.parametrize(
    "between",
    ["\n", "\t\n", " \n", " \t \n", "\u00a0\n", "-DOCSTART-\n", "\t-DOCSTART-\tO\n",
     "# sent_id = 2\t\n", "#x\t\n", "\t\n\n-DOCSTART- -X- O\n \n"],
)  # fmt: skip
@pytest.mark.parametrize("sign", ["\t", " "])
def test_a_line_without_a_token_ends_a_sentence(tmp_path: Path, between: str, sign: str) -> None:
    """Three breaks gave one sentence where their lines held white space."""
    lines = [f"A{sign}B-PER\nB{sign}O\n", f"C{sign}O\n", f"D{sign}B-LOC\n", f"E{sign}O\n"]
    found = pairs(tmp_path / "t.conll", between.join(lines))
    assert [[word for word, _ in one] for one in found] == [["A", "B"], ["C"], ["D"], ["E"]]


def test_a_space_with_a_tag_is_a_token_of_a_file_with_tabs(tmp_path: Path) -> None:
    found = pairs(tmp_path / "t.tsv", "a\tB-X\n \tO\nb\tO\n\t\nc\tO\n")
    assert [[word for word, _ in one] for one in found] == [["a", " ", "b"], ["c"]]


@pytest.mark.parametrize("blank", ["\u00a0", "\u3000", "\u200b", "10\u00a0000"])
def test_columns_are_parted_by_spaces_and_tabs_alone(tmp_path: Path, blank: str) -> None:
    found = pairs(tmp_path / "t.conll", f"cost O\n{blank} B-X\nfrancs  O\n")
    assert found == [[("cost", "O"), (blank, "B-X"), ("francs", "O")]]


def test_a_remark_has_other_columns_than_a_token_called_hash(tmp_path: Path) -> None:
    text = "# id = 7 of 9\n# # O\na b O\n\n# id = 8 of 9\nc d O\n"
    found = pairs(tmp_path / "t.conll", text)
    assert found == [[("#", "O"), ("a", "O")], [("c", "O")]]


KAGGLE = """\
Sentence #,Word,POS,Tag
Sentence: 1,Ann,NNP,B-per
,Berg,NNP,I-per
,",",",",O
Sentence: 2,ran,VB,O
Sentence: 2,"3,5",CD,O
"""


def test_kaggle_tables_begin_a_sentence_where_their_column_says(tmp_path: Path) -> None:
    assert pairs(tmp_path / "t.csv", KAGGLE) == [
        [("Ann", "B-per"), ("Berg", "I-per"), (",", "O")],
        [("ran", "O"), ("3,5", "O")],
    ]


def test_columns_of_a_table_can_be_named(tmp_path: Path) -> None:
    columns = TagColumns(words="Word", tags="POS")
    assert pairs(tmp_path / "t.csv", KAGGLE, columns)[1] == [("ran", "VB"), ("3,5", "CD")]
    with pytest.raises(ConfigError, match=r"data\.label='Tagg' is no column.*'word', 'pos', 'tag'"):
        pairs(tmp_path / "t.csv", KAGGLE, TagColumns(tags="Tagg"))


@pytest.mark.parametrize("sign", [",", ";", "|"])
def test_another_sign_between_columns_is_told_from_the_file(tmp_path: Path, sign: str) -> None:
    """The sign itself may be a token, quoted or not."""
    text = f'Ann{sign}B-X\n{sign}{sign}O\n\'{sign}O\n\n"{sign}"{sign}O\n"{sign}O\n'
    found = pairs(tmp_path / "t.conll", text + f"\nran{sign}O\n" * 5)[:2]
    assert found == [[("Ann", "B-X"), (sign, "O"), ("'", "O")], [(sign, "O"), ('"', "O")]]


def test_a_delimiter_of_ones_own(tmp_path: Path) -> None:
    found = pairs(tmp_path / "t.conll", "Ann ### B-X\nran ### O\n", TagColumns(delimiter=" ### "))
    assert found == [[("Ann", "B-X"), ("ran", "O")]]


def test_what_is_skipped_is_counted_in_sentences_and_words(tmp_path: Path) -> None:
    path, stats = tmp_path / "t.conll", CorpusStats()
    path.write_bytes(b"a O\n\nb O\nc\nd O\n\ne O\n\nf \xff\ng O\n")
    found = list(read_sentences(path, on_error="skip", stats=stats))
    assert [sentence.words for sentence in found] == [("a",), ("e",)]
    assert (stats.left_out, stats.skipped_words) == (2, 5)
    assert stats.words_left_out == " (5 words)"


def test_a_row_with_other_columns_is_named_with_what_parts_them(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r":2: the row has 1 columns.*parted by white space"):
        pairs(tmp_path / "t.conll", "a O\nb\n")
