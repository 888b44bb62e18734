"""Readers of tagged sentences: formats, what is left out, faults with file and line."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foretext.core.errors import ConfigError, DataError
from foretext.labelled.conll import Sentence, TagColumns, looks_tagged, read_sentences
from foretext.metrics.tag_schemes import problem, read_spans
from foretext.text.errors import CorpusStats

REAL = Path(__file__).parents[3] / "shared" / "data"

COLUMNS = """\
-DOCSTART- -X- O O

EU NNP I-NP I-ORG
rejects VBZ I-VP O

# # O O


Peter NNP I-NP I-PER
"""
CONLLU = """\
# sent_id = 1
# text = He can't
1\tHe\the\tPRON\tPRP\t_\t2\tnsubj\t_\t_
2-3\tcan't\t_\t_\t_\t_\t_\t_\t_\t_
2\tca\tcan\tAUX\tMD\t_\t0\troot\t_\t_
3\tn't\tnot\tPART\tRB\t_\t2\tadvmod\t_\t_
3.1\tgo\tgo\tVERB\t_\t_\t_\t_\t_\t_

# sent_id = 2
1\tYes\tyes\tINTJ\tUH\t_\t0\troot\t_\t_
"""
KLUE = """\
## 주석 : ##
## klue-ner-v1_dev_00000\t<박:PS> 씨
박\tB-PS
 \tO
씨\tO

## klue-ner-v1_dev_00001\t#
#\tO
"""


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    def write(content: str | bytes, name: str = "t.conll") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def pairs(path: Path, **options: Any) -> list[list[tuple[str, str]]]:
    """Words with their tags."""
    return [list(zip(s.words, s.tags or (), strict=True)) for s in read_sentences(path, **options)]


Written = Callable[..., Path]


def test_columns_give_first_and_last_and_leave_document_starts_out(written: Written) -> None:
    """A # is a token where white space separates: it is pound sterling in CoNLL-2000."""
    assert pairs(written(COLUMNS)) == [
        [("EU", "I-ORG"), ("rejects", "O")],
        [("#", "O")],
        [("Peter", "I-PER")],
    ]


def test_other_columns_can_be_named(written: Written) -> None:
    path = written(COLUMNS)
    assert pairs(path, columns=TagColumns(tags="2"))[0] == [("EU", "I-NP"), ("rejects", "I-VP")]
    assert pairs(path, columns=TagColumns(words="1", tags="-2"))[0][0] == ("NNP", "I-NP")


def test_conllu_leaves_ranges_and_empty_nodes_out(written: Written) -> None:
    wanted = [[("He", "PRON"), ("ca", "AUX"), ("n't", "PART")], [("Yes", "INTJ")]]
    assert pairs(written(CONLLU, "t.conllu")) == wanted
    assert pairs(written(CONLLU, "t.txt")) == wanted
    assert pairs(written(CONLLU, "t.conllu"), columns=TagColumns(tags="xpos"))[1] == [("Yes", "UH")]


def test_characters_keep_their_white_space(written: Written) -> None:
    """KLUE-NER: a character a line, the space too; comments begin with ##."""
    first, second = read_sentences(written(KLUE, "t.tsv"))
    assert first.words == ("박", " ", "씨")
    assert first.tags == ("B-PS", "O", "O")
    assert first.place(2).endswith("t.tsv:5")
    assert second.words == ("#",)


def test_lines_of_words_and_tags(written: Written) -> None:
    path = written("나아가 한 .\tO NUM-B O\n\n그건 관두\tO O\n", "t.tsv")
    assert pairs(path) == [
        [("나아가", "O"), ("한", "NUM-B"), (".", "O")],
        [("그건", "O"), ("관두", "O")],
    ]


@pytest.mark.parametrize("indent", [None, 2])
def test_json_lists(written: Written, indent: int | None) -> None:
    """A record a line, and one list of all records."""
    records = [
        {"tokens": ["a", "b c"], "tags": ["O", "B-X"]},
        {"words": ["d"], "ner_tags": ["O"]},
        {"tokens": ["e"], "labels": ["O"]},
    ]
    path = written("\n".join(map(json.dumps, records)), "t.jsonl")
    expected = [[("a", "O"), ("b c", "B-X")], [("d", "O")], [("e", "O")]]
    assert pairs(path) == expected
    assert pairs(written(json.dumps(records, indent=indent), "t.json")) == expected


def test_json_fields_can_be_named(written: Written) -> None:
    path = written('{"w": ["a"], "t": ["O"], "tokens": ["x"]}', "t.jsonl")
    assert pairs(path, columns=TagColumns(words="w", tags="t")) == [[("a", "O")]]


def test_entities_of_a_text_become_tags_of_characters(written: Written) -> None:
    """Offsets count the characters of the record, also where NFC joins some of them."""
    text = "Re\u0301my is in Lyon"
    entities = [{"start": 0, "end": 5, "label": "PER"}, {"start": 12, "end": 16, "label": "LOC"}]
    path = written(json.dumps({"text": text, "entities": entities}), "t.jsonl")
    (sentence,) = read_sentences(path)
    assert "".join(sentence.words) == "R\u00e9my is in Lyon"
    assert sentence.characters
    assert sentence.tags is not None
    assert [
        "".join(sentence.words[s.start : s.stop]) for s in read_spans(sentence.tags, "iob2")
    ] == [
        "R\u00e9my",
        "Lyon",
    ]


def test_words_are_composed(written: Written) -> None:
    assert pairs(written("Re\u0301my O\n")) == [[("R\u00e9my", "O")]]


def test_compressed_files_and_windows_line_ends(written: Written) -> None:
    path = written(gzip.compress(COLUMNS.replace("\n", "\r\n").encode()), "t.conll.gz")
    assert len(pairs(path)) == 3


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ("EU\nrejects\n\nPeter\n", "t.conll"),
        ("EU rejects\nPeter\n", "t.txt"),
        ('{"tokens": ["EU", "rejects"]}\n{"tokens": ["Peter"]}', "t.jsonl"),
    ],
)
def test_without_labels_words_suffice(written: Written, content: str, name: str) -> None:
    form = "lines" if content.startswith("EU rej") else None
    found = read_sentences(written(content, name), TagColumns(format=form), labelled=False)
    assert [s.words for s in found] == [("EU", "rejects"), ("Peter",)]


def test_a_suffix_outweighs_the_format_of_a_data_set(written: Written) -> None:
    """A model of columns is given JSON lines."""
    path = written('{"tokens": ["EU", "rejects"], "tags": ["B-ORG", "O"]}\n', "t.jsonl")
    columns = TagColumns(format="columns", tags="3")
    assert [(s.words, s.tags) for s in read_sentences(path, columns)] == [
        (("EU", "rejects"), ("B-ORG", "O"))
    ]


FAULTS = [
    (
        "sentence\tlabel\na fine film\tgood\n",
        "t.tsv",
        r"t\.tsv:2: the cell 'a fine film' holds several words, not one",
    ),
    ("a O\nb\n", "t.conll", r"t\.conll:2: the row has 1 columns, but the rows before have 2"),
    ("a O\n\nb X O\n", "t.conll", r"t\.conll:3: the row has 3 columns"),
    ("a\n", "t.conll", r"t\.conll:1: the row has 1 columns, too few for word and tag"),
    ("a\tO\nb\t\n", "t.conll", r"t\.conll:2: the word 'b' has no tag"),
    ("a\tO\n\tO\n", "t.conll", r"t\.conll:2: the word is blank"),
    ("1\ta\tb\n", "t.conllu", r"t\.conllu:1: the row has 3 columns, but CoNLL-U has 10"),
    (
        CONLLU.replace("INTJ", "_"),
        "t.conllu",
        r"t\.conllu:10: the word 'Yes' has no tag",
    ),
    ("# only\n\n" + CONLLU, "t.conllu", r"t\.conllu:1: the sentence has no tokens"),
    ("a b\tO O\nc d\tO\n", "t.tsv", r"t\.tsv:2: 2 words, but 1 tags"),
    ("a b\tO O\nc d\n", "t.tsv", r"t\.tsv:2: the line has 1 columns, not 2"),
    ("a b\tO O\n\tO\n", "t.tsv", r"t\.tsv:2: the sentence has no tokens"),
    ('{"tokens": [], "tags": []}', "t.jsonl", r"t\.jsonl:1: the sentence has no tokens"),
    ('{"tokens": ["a"], "tags": ["O", "O"]}', "t.jsonl", r"t\.jsonl:1: 1 words, but 2 tags"),
    ('{"tokens": ["a"], "tags": [0]}', "t.jsonl", r"'tags' holds numbers, \[0\], not their names"),
    ('{"tokens": ["a"], "tags": [[]]}', "t.jsonl", r"'tags' must be a list of strings"),
    ('[{"tokens": ["a"],\n "tags": ["O", "O"]}]', "t.json", r"t\.json:1: 1 words, but 2 tags"),
    ('{"tokens": ["a"], "tags": [" "]}', "t.jsonl", r"t\.jsonl:1: a word has no tag"),
    ('{"tokens": ["", "a"], "tags": ["O", "O"]}', "t.jsonl", r"t\.jsonl:1: word 1 is blank"),
    ('{"tokens": ["a"]}', "t.jsonl", r"t\.jsonl:1: there is no field tags or .*data\.label"),
    ('{"tokens": ["a"', "t.jsonl", r"t\.jsonl:1: broken JSON"),
    ('{"text": "ab"}', "t.jsonl", r"t\.jsonl:1: there is no field entities or "),
    ('{"text": "ab", "entities": null}', "t.jsonl", r":1: the field 'entities' must be a list"),
    ('{"text": "ab", "entities": [{"start": 1, "end": 3, "label": "X"}]}', "t.jsonl",
     r"t\.jsonl:1: the entity 1-3 is not in the text of 2 characters"),
    ('{"text": "ab", "entities": [{"start": 0, "end": 2, "label": "X"}, '
     '{"start": 1, "end": 2, "label": "Y"}]}', "t.jsonl",
     r"t\.jsonl:1: the entity at 1-2 overlaps another"),
    ('{"text": "ab", "entities": [{"start": "0", "end": 2, "label": "X"}]}', "t.jsonl",
     r"t\.jsonl:1: an entity needs start, end"),
    ("", "t.conll", r"t\.conll: there is no sentence \(the file is empty\)"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "name", "message"), FAULTS)
def test_faults_are_one_line_with_their_place(
    written: Written, content: str, name: str, message: str
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        pairs(written(content, name))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "name", "kept", "kinds"),
    [
        ("a O\n\nb\n\nc O\n", "t.conll", ["a", "c"], {"ragged columns": 1}),
        (b"a O\nb\xff O\n\nc O\n", "t.conll", ["c"], {"invalid UTF-8": 1}),
        ("a a\tO O\nb b\tO\n", "t.tsv", ["a"], {"number of tags": 1}),
        ('{"tokens": ["a"], "tags": ["O"]}\n{}\n[]\n', "t.jsonl", ["a"],
         {"missing field": 1, "not an object": 1}),
    ],
)  # fmt: skip
def test_sentences_at_fault_can_be_skipped_and_are_counted(
    written: Written, content: str | bytes, name: str, kept: list[str], kinds: dict[str, int]
) -> None:
    stats = CorpusStats()
    found = read_sentences(written(content, name), on_error="skip", stats=stats)
    assert [sentence.words[0] for sentence in found] == kept
    assert dict(stats.skips) == kinds


def test_bad_bytes_can_be_replaced(written: Written) -> None:
    stats = CorpusStats()
    found = list(read_sentences(written(b"b\xff O\n"), on_error="replace", stats=stats))
    assert found[0].words == ("b\ufffd",)
    assert dict(stats.replacements) == {"invalid UTF-8": 1}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (TagColumns(format="xml"), r"data\.format='xml' is none; choose one of 'columns'"),
        (TagColumns(tags="ner"), r"data\.label='ner' is no column; give its number"),
    ],
)
def test_columns_that_cannot_be_are_refused(
    written: Written, columns: TagColumns, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        pairs(written(COLUMNS), columns=columns)


def test_a_column_that_the_file_lacks_is_named(written: Written) -> None:
    with pytest.raises(DataError, match=r":3: the row has 4 columns, too few"):
        pairs(written(COLUMNS), columns=TagColumns(tags="7"))


# Sentences, words and entities (or None of plain tags), counted below by other means too.
SETS = [
    ("tagging/conll2003/eng.train", "iob1", 14041),
    ("tagging/conll2003/eng.testa", "iob1", 3250),
    ("tagging/conll2003/eng.testb", "iob1", 3453),
    ("tagging/conll2000/test.txt", "iob2", 2012),
    ("tagging/ud_en_ewt/en_ewt-ud-dev.conllu", None, 2001),
    ("korean/klue/klue-ner-v1.1_dev.tsv", "iob2", 5000),
    ("korean/naver_ner/all.tsv", "iob2-suffix", 9000),
]


def begun(tags: tuple[str, ...], scheme: str) -> int:
    """Entities of a sentence, by their beginnings alone."""
    if scheme != "iob1":
        return sum("B" in (tag[0], tag[-1]) and "-" in tag for tag in tags)
    before = ("O", *tags)
    return sum(
        tag != "O" and (tag[0] == "B" or last[1:] != tag[1:])
        for last, tag in zip(before, tags, strict=False)
    )


@pytest.mark.parametrize(("name", "scheme", "count"), SETS)
def test_every_sentence_of_real_files_is_read(name: str, scheme: str | None, count: int) -> None:
    if not (REAL / name).is_file():
        pytest.skip("the sample data are not here")
    found: list[Sentence] = list(read_sentences(REAL / name))
    assert len(found) == count
    if scheme is None:
        return
    tags = [sentence.tags or () for sentence in found]
    sound = [one for one in tags if problem(one, scheme) is None]
    # Of naver_ner alone 49 sentences hold an I that cannot follow.
    assert len(tags) - len(sound) == (49 if "naver" in name else 0)
    assert sum(len(read_spans(one, scheme)) for one in sound) == sum(
        begun(one, scheme) for one in sound
    )


TABLES = {
    "CoNLL-2003": COLUMNS,
    "two columns, no blank line": "EU B-ORG\nrejects O\n",
    "plain tags with blank lines": "the Det\nfilm Noun\n\nit Pron\n",
    "words alone with blank lines": "the\nfilm\n\nit\nwas\n",
    "characters, tabs and comments": "## klue-1\t<x> y\n영\tB-PS\n \tO\n화\tO\n",
    "words, a tab, tags": "EU rejects\tB-ORG O\nit\tO\n",
    "CoNLL-U": "# text = It\n1\tIt\tit\tPRON\t_\t_\t0\troot\t_\t_\n\n",
    "a ragged row among many": "it O\n" * 20 + "was\n",
    "an invalid byte": b"EU B-ORG\nr\xff O\n",
}
PLAIN = {
    "sentences": "EU rejects German call\nPeter Blackburn\n",
    "two words each": "a film\na plot\n",
    "a word each": "film\nplot\n",
    "blank lines at the end": "a film\na plot\n\n\n",
    "double spacing": "a film\n\na plot\n\nthe end\n",
    "paragraphs": "it was a film\nand a plot\n\nthe end\n",
    "a tab in one of many": "a b\tc\nd e f g\nh\ni j k\n",
    "nothing": "",
}


@pytest.mark.parametrize("name", [*TABLES, *PLAIN])
@pytest.mark.parametrize("packed", [False, True])
def test_columns_are_told_from_a_sentence_a_line(name: str, packed: bool, tmp_path: Path) -> None:
    text = (TABLES | PLAIN)[name]
    raw = text if isinstance(text, bytes) else str(text).encode()
    path = tmp_path / ("t.txt.gz" if packed else "t.txt")
    path.write_bytes(gzip.compress(raw) if packed else raw)
    assert looks_tagged(path) == (name in TABLES)
