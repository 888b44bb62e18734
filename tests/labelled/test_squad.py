"""Files of questions: what is read, in either form, and every fault by its place."""

from __future__ import annotations

import gzip
import json
import unicodedata
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from foretext.core.errors import DataError
from foretext.labelled import squad
from foretext.labelled.squad import Answer, Question, read_squad
from foretext.metrics import squad as metrics
from foretext.tasks.qa_metric import FAMILIES
from foretext.text import json_array
from foretext.text.errors import CorpusStats

CONTEXT = "Ada Lovelace wrote to Babbage in 1843."
ADA = {"text": "Ada Lovelace", "answer_start": 0}


def qa(name: str = "q1", **changes: Any) -> dict[str, Any]:
    return {"id": name, "question": "Who wrote?", "answers": [ADA]} | changes


def document(*questions: Any, context: Any = CONTEXT) -> dict[str, Any]:
    paragraph = {"context": context, "qas": list(questions)}
    return {"version": "1.1", "data": [{"title": "Ada", "paragraphs": [paragraph]}]}


def write(path: Path, value: Any) -> Path:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    path.write_text(text, encoding="utf-8")
    return path


def read(path: Path, *args: Any, **options: Any) -> list[Question]:
    return list(read_squad(path, *args, **options))


def test_the_official_form_is_read(tmp_path: Path) -> None:
    path = write(
        tmp_path / "q.json",
        document(
            qa(),
            qa("q2", answers=[{"text": "1843", "answer_start": 33}, ADA]),
            qa("q3", answers=[], is_impossible=True, plausible_answers=[ADA]),
        ),
    )
    assert read(path) == [
        Question("q1", "Who wrote?", CONTEXT, (Answer("Ada Lovelace", 0),)),
        Question("q2", "Who wrote?", CONTEXT, (Answer("1843", 33), Answer("Ada Lovelace", 0))),
        Question("q3", "Who wrote?", CONTEXT, ()),
    ]
    assert [question.answers for question in read(path, labelled=False)] == [None] * 3


def test_contexts_of_a_paragraph_are_one_string(tmp_path: Path) -> None:
    first, second = read(write(tmp_path / "q.json", document(qa("a"), qa("b"))))
    assert first.context is second.context


def test_the_flat_form_is_read(tmp_path: Path) -> None:
    rows = [
        {"id": "x", "question": "Who?", "context": CONTEXT, "title": "Ada",
         "answers": {"text": ["Babbage"], "answer_start": [22]}},
        {"question": "Why?", "context": CONTEXT, "answers": {"text": [], "answer_start": []}},
    ]  # fmt: skip
    path = tmp_path / "q.jsonl.gz"
    text = "\n".join(json.dumps(row) for row in rows)
    path.write_bytes(gzip.compress(text.encode()))
    assert read(path) == [
        Question("x", "Who?", CONTEXT, (Answer("Babbage", 22),)),
        Question("line 2", "Why?", CONTEXT, ()),
    ]


def test_offsets_move_with_nfc(tmp_path: Path) -> None:
    """Korean in jamo, as some systems write it: three characters become one."""
    raw = unicodedata.normalize("NFD", "한국의 수도는 서울이다. Café Zoë")
    answers = [{"text": unicodedata.normalize("NFD", text),
                "answer_start": raw.index(unicodedata.normalize("NFD", text))}
               for text in ("서울", "Zoë")]  # fmt: skip
    stats = CorpusStats()
    path = write(tmp_path / "q.json", document(qa(answers=answers), context=raw))
    (question,) = read(path, stats=stats)
    assert question.context == "한국의 수도는 서울이다. Café Zoë"
    assert question.answers == (Answer("서울", 8), Answer("Zoë", 19))
    assert stats.normalized == 1


def test_a_part_of_a_context_has_its_place_in_the_file(tmp_path: Path) -> None:
    """The user has the file: context[start:end] of theirs is the text, in NFD and with NULs."""
    raw = unicodedata.normalize("NFD", "한국의 \0수도는 서울이다.")
    wanted = unicodedata.normalize("NFD", "서울")
    answer = {"text": wanted, "answer_start": raw.index(wanted)}
    path = write(tmp_path / "q.json", document(qa(answers=[answer]), context=raw))
    stats = CorpusStats()
    (question,) = read(path, "replace", stats=stats)
    assert stats.replacements == Counter({"NUL": 1})  # the offset is right, NUL and all
    assert question.answers == (Answer("서울", 8),)
    text, start, stop = question.part(8, 10)
    assert (text, raw[start:stop]) == (wanted, wanted)
    (plain,) = read(write(path, document(qa())))
    assert plain.part(0, 3) == ("Ada", 0, 3)
    assert plain.given is None


def test_an_answer_that_ends_inside_a_composed_character_is_named_or_widened(
    tmp_path: Path,
) -> None:
    """NFC leaves no e of e + accent to be the answer, though the file's offset is right."""
    raw = unicodedata.normalize("NFD", "e crème")
    answer = {"text": "cre", "answer_start": 2}
    path = write(tmp_path / "q.json", document(qa(answers=[answer]), context=raw))
    with pytest.raises(DataError, match="'cre' at 2 is a part of 'crè', whose characters are one"):
        read(path)
    stats = CorpusStats()
    (question,) = read(path, "replace", stats=stats)
    assert question.answers == (Answer("crè", 2),)
    assert stats.replacements == Counter({"answer offset": 1})


IMPOSSIBLE = {"answers": [ADA], "is_impossible": True}


@pytest.mark.parametrize(
    ("question", "message"),
    [
        (qa("q2", answers=[{"text": "Babbage", "answer_start": 3}]),
         r"paragraph 1, question 'q2': the answer 'Babbage' is not at 3, where ' Lovela' stands"),
        (qa("q2", answers=[{"text": "Turing", "answer_start": 0}]), "nor anywhere else"),
        (qa("q2", answers=[{"text": " ", "answer_start": 3}]), "an answer has no text"),
        (qa("q2", answers=[{"text": "Ada"}]), "needs text and answer_start, not 'Ada', None"),
        (qa("q2", answers=[]), "has no answer; say so with is_impossible"),
        (qa("q2", answers="Ada"), "answers must be a list of objects"),
        (qa("q2", **IMPOSSIBLE), "impossible, but has an answer"),
        (qa("q2", is_impossible="no"), "is_impossible='no' is neither true nor false"),
        (qa("q2", question=" \n"), "the question is empty"),
        (qa("q2", question=7), "the question is no text, but 7"),
        (qa("q1"), "the id 'q1' occurs twice"),
        ({"question": "Who?", "answers": [ADA]}, "question 2: there is no 'id'"),
        ({"id": "q2", "answers": [ADA]}, "there is no 'question'"),
        ({"id": "q2", "question": "Who?"}, "there is no 'answers'"),
        ("Who?", "question 2: an object is expected"),
    ],
)  # fmt: skip
def test_a_question_at_fault_is_named_or_skipped(
    tmp_path: Path, question: Any, message: str
) -> None:
    path = write(tmp_path / "q.json", document(qa(), question, qa("q9")))
    with pytest.raises(DataError, match=message) as caught:
        read(path)
    assert "q.json: article 1" in str(caught.value)
    assert "\n" not in str(caught.value)
    stats = CorpusStats()
    assert [q.id for q in read(path, "skip", stats=stats)] == ["q1", "q9"]
    assert stats.skipped == 1


def test_a_wrong_offset_can_be_mended(tmp_path: Path) -> None:
    context = "one two one two one"
    answer = {"text": "one", "answer_start": 10}
    path = write(tmp_path / "q.json", document(qa(answers=[answer]), context=context))
    stats = CorpusStats()
    (question,) = read(path, "replace", stats=stats)
    assert question.answers == (Answer("one", 8),)
    assert stats.replacements == Counter({"answer offset": 1})


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"data": [{"title": "x"}]}, "article 1: there is no list 'paragraphs'; there is 'title'"),
        ({"data": [{"paragraphs": [{"context": "x"}]}]}, "paragraph 1: there is no list 'qas'"),
        ({"data": [7]}, "article 1: there is no list 'paragraphs'; there is no object"),
        (document(qa(), context=""), "the context is empty"),
        (document(qa(), context=None), "the context is no text"),
        ({"data": []}, "there is no question"),
        ({"paragraphs": []}, "there is no list 'data'"),
        ([], "there is no question"),
        ('{"data": [{"paragraphs": []},\n  {"paragraphs": [}]}', r"q\.json:2:19: broken JSON"),
        ('{"data": [{}\n{}]}', r"q\.json:"),
        ('{"data": [', r"q\.json:1:11: broken JSON \(the file ends too early"),
        ('{"data": []} x', r"q\.json:1:14: .*follows"),
        ("", r"q\.json:1:1"),
    ],
)
def test_a_file_at_fault_is_named(tmp_path: Path, value: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(write(tmp_path / "q.json", value))


def test_other_kinds_of_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"not \.json"):
        read(write(tmp_path / "q.tsv", "question\tcontext\n"))


def test_an_integer_beyond_pythons_limit_spoils_its_own_question(tmp_path: Path) -> None:
    """More than 4,300 digits are a ValueError of int(), not a JSONDecodeError."""
    huge = "7" * 5000
    text = json.dumps(document(qa("a"), qa("b"), qa("c", answers=[dict(ADA, answer_start=-77)])))
    text = text.replace("-77", f"-{huge}").replace('"1.1"', huge)
    path, stats = write(tmp_path / "q.json", text), CorpusStats()
    with pytest.raises(DataError, match=r"question 'c': an answer needs .* 'Ada Lovelace', -inf"):
        read(path)
    assert [question.id for question in read(path, "skip", stats=stats)] == ["a", "b"]
    assert stats.skips == Counter({"answers": 1})


def damaged(folder: Path) -> Path:
    """Three paragraphs: of the second the context has a byte that is none, of the third a NUL."""
    contexts = [CONTEXT, f"{CONTEXT} @", f"{CONTEXT} ~"]
    value = {"data": [document(qa(f"{i}a"), qa(f"{i}b"), context=text)["data"][0]
             for i, text in enumerate(contexts)]}  # fmt: skip
    path = folder / "q.json"
    raw = json.dumps(value, indent=1, ensure_ascii=False).encode()
    path.write_bytes(raw.replace(b"@", b"\xe9\xff").replace(b"~", b"\0"))
    return path


@pytest.mark.parametrize("block", [7, json_array._BLOCK])
def test_bytes_that_are_no_text_cost_the_questions_that_hold_them_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    """docs/data-formats.md: an error with the line, U+FFFD or nothing, or left out and counted."""
    monkeypatch.setattr(json_array, "_BLOCK", block)
    path = damaged(tmp_path)
    before = path.read_bytes().partition(b"\xe9")[0]
    place = f"{before.count(10) + 1}:{len(before) - before.rindex(10)}"
    with pytest.raises(DataError, match=rf"q\.json:{place}: invalid UTF-8 \(0xe9\); mend the file"):
        read(path)
    stats = CorpusStats()
    found = read(path, "replace", stats=stats)
    assert [question.context for question in found[::2]] == [
        CONTEXT,
        f"{CONTEXT} \ufffd\ufffd",
        f"{CONTEXT} ",
    ]
    assert stats.replacements == Counter({"invalid UTF-8": 1, "NUL": 1})
    stats = CorpusStats()
    assert [question.id for question in read(path, "skip", stats=stats)] == ["0a", "0b"]
    assert stats.skips == Counter({"invalid UTF-8": 2, "NUL": 2})


def test_a_byte_in_a_question_spoils_that_question_alone(tmp_path: Path) -> None:
    path = tmp_path / "q.json"
    raw = json.dumps(document(qa("a"), qa("b", question="W@?"), qa("c"))).encode()
    path.write_bytes(
        raw.replace(b"@", b"\xff").replace(b'"Ada"', b'"\xff"')
    )  # a title harms nobody
    stats = CorpusStats(noted=[])
    assert [question.id for question in read(path, "skip", stats=stats)] == ["a", "c"]
    assert stats.noted == [f"{path}: article 1, paragraph 1, question 'b': invalid UTF-8 (0xff)"]


@pytest.mark.parametrize(
    ("encoding", "message"),
    [
        ("utf-16", r"q\.json:1:1: invalid UTF-8 \(0xff\); it looks like UTF-16"),
        ("cp949", r"q\.json:1:\d+: invalid UTF-8 .*; it looks like Korean EUC-KR/CP949"),
    ],
)
def test_another_encoding_is_named(tmp_path: Path, encoding: str, message: str) -> None:
    path = tmp_path / "q.json"
    text = json.dumps(document(qa(question="한국의 수도는?")), ensure_ascii=False)
    path.write_bytes(text.encode(encoding))
    with pytest.raises(DataError, match=message):
        read(path)


def test_what_was_read_before_broken_json_is_not_lost(tmp_path: Path) -> None:
    text = json.dumps(document(qa()))[:-2] + ", {]}"
    stats = CorpusStats()
    path = write(tmp_path / "q.json", text)
    assert [question.id for question in read(path, "skip", stats=stats)] == ["q1"]
    assert stats.skips == Counter({"broken JSON": 1})
    place = f"{path}:1:{len(text) - 1}: broken JSON "
    assert stats.left_out == 0  # of questions; nobody knows how many are lost
    assert [rest.startswith(place) for rest in stats.unread] == [True]
    assert stats.unread[0].endswith("; what comes after it was not read")
    with pytest.raises(DataError, match=r"there is no question \(.*q\.json:1:2: broken JSON"):
        read(write(path, "{]"), "skip")


@pytest.mark.parametrize("block", [64, json_array._BLOCK])
def test_what_stands_before_the_damage_of_an_archive_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    """Also where more was wanted at once than was left."""
    monkeypatch.setattr(json_array, "_BLOCK", block)
    articles = [document(qa(f"{i}"))["data"][0] for i in range(40)]
    text = json.dumps({"data": articles})
    path, stats = tmp_path / "q.json.gz", CorpusStats()
    stream = zlib.compressobj(wbits=31)
    path.write_bytes(stream.compress(text[:-60].encode()) + stream.flush(zlib.Z_SYNC_FLUSH))
    with pytest.raises(DataError, match=r"q\.json\.gz:1:\d+: .*cut short.*; get the file again"):
        read(path)
    assert len(read(path, "skip", stats=stats)) == 39
    assert [rest.count("cut short") for rest in stats.unread] == [1]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('{"question": "Who?", "context": "x", "answers": {"text": ["x"]}}', "two lists"),
        ('{"question": "Who?", "context": "x", "answers": {"text": ["x"], "answer_start": []}}',
         "1 answer texts, but 0 values"),
        ('{"question": "Who?", "answers": {"text": [], "answer_start": []}}', "no 'context'"),
        ("{", "broken JSON"),
    ],
)  # fmt: skip
def test_a_row_at_fault_is_named_by_its_line(tmp_path: Path, row: str, message: str) -> None:
    good = '{"question": "Who?", "context": "x", "answers": {"text": ["x"], "answer_start": [0]}}'
    path = write(tmp_path / "q.jsonl", f"{good}\n{row}\n{good}\n")
    with pytest.raises(DataError, match=rf"q\.jsonl:2: .*{message}"):
        read(path)
    assert [question.id for question in read(path, "skip")] == ["line 1", "line 3"]


def test_a_context_beyond_the_limit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(squad, "MAX_CONTEXT", 30)
    path = write(tmp_path / "q.json", document(qa()))
    with pytest.raises(DataError, match="38 characters, more than 30; cut it into paragraphs"):
        read(path)


def test_without_labels_answers_are_left_alone(tmp_path: Path) -> None:
    broken = [qa("a", answers="?"), qa("b", answers=[{"text": " "}]), {"id": 3, "question": "Who?"}]
    path = write(tmp_path / "q.json", document(*broken))
    assert [question.id for question in read(path, labelled=False)] == ["a", "b", "3"]
    row = {"question": "Who?", "context": CONTEXT, "answers": 7}
    path = write(tmp_path / "q.jsonl", json.dumps(row))
    assert read(path, labelled=False) == [Question("line 1", "Who?", CONTEXT)]


def test_a_context_at_fault_is_counted_for_each_of_its_questions(tmp_path: Path) -> None:
    value = document(qa("a"), qa("b"), context=" ")
    value["data"] += document(qa("c"))["data"]
    path = write(tmp_path / "q.json", value)
    with pytest.raises(DataError, match="article 1, paragraph 1, question 'a': the context is"):
        read(path)
    stats = CorpusStats()
    assert [question.id for question in read(path, "skip", stats=stats)] == ["c"]
    assert stats.skips == Counter({"empty context": 2})


def test_articles_are_read_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However small the blocks, and whatever stands around the articles, the same is read."""
    articles = [
        {"paragraphs": [{"context": f"{CONTEXT} é한 {i}", "qas": [qa(f"{i}")]}]} for i in range(50)
    ]
    value = {"n": 12345, "x": {"data": [1]}, "data": articles, "z": [1.5, None], "version": 1.25}
    path = write(tmp_path / "q.json", json.dumps(value, ensure_ascii=False, indent=1))
    whole = read(path)
    assert len(whole) == 50
    monkeypatch.setattr(json_array, "_BLOCK", 7)
    assert read(path) == whole
    stats = CorpusStats()
    monkeypatch.setattr(json_array, "MAX_ELEMENT", 200)
    with pytest.raises(DataError, match="longer than 200 characters"):
        read(path, stats=stats)


REAL = Path(__file__).parents[3] / "shared" / "data" / "qa"
SIZES = {
    "squad11_train_part.json": 11_877,
    "squad11_new_wiki.json": 7_938,
    "squad11_dev_part.json": 1_190,
    "squad20_dev_part.json": 6_078,
    "KorQuAD_v1.0_dev.json": 5_774,
}


@pytest.mark.skipif(not REAL.is_dir(), reason="sample data is absent")
@pytest.mark.parametrize("name", SIZES)
def test_every_question_of_the_real_files_is_read_and_gold_scores_100(name: str) -> None:
    questions = read(REAL / name)
    assert len(questions) == SIZES[name]
    rules = FAMILIES["korquad" if name.startswith("KorQuAD") else "squad"]
    strict = not name.startswith("squad20")
    for question in questions:
        reached = [  # of "The A", an answer to a question, SQuAD 1.1 leaves nothing
            metrics.scores(gold, question.texts, empty_counts=not strict, rules=rules)
            for gold in question.texts or ("",)
        ]
        assert max(reached) == (1, 1), question
        for answer in question.answers or ():
            assert question.context[answer.start : answer.stop] == answer.text


HARBOUR = "The harbour was built by Ada in 1871."
BY_ADA = {"text": ["Ada"], "answer_start": [25]}
LISTED = [{"text": "Ada", "answer_start": 25}]
ASKED = {"question": "Who?", "answers": LISTED}
SHAPES: dict[str, Any] = {
    "KLUE-MRC": {"data": [{"paragraphs": [{"context": HARBOUR, "qas": [
        ASKED | {"guid": "a", "is_impossible": False}]}]}]},
    "KorQuAD 2": {"data": [{"title": "t", "context": HARBOUR, "raw_html": "", "qas": [
        {"id": "a", "question": "Who?", "answer": LISTED[0]}]}]},
    "a list of questions": [{"id": "a", "context": HARBOUR, "question": "Who?", "answers": BY_ADA}],
    "a list of paragraphs": [{"context": HARBOUR, "qas": [ASKED | {"id": "a"}]}],
    "questions under data": {"data": [{"id": "a", "context": HARBOUR, "question": "Who?",
                                       "answers": BY_ADA}]},
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
def test_published_shapes_hold_the_same_question(tmp_path: Path, name: str) -> None:
    path = tmp_path / "q.json"
    path.write_text(json.dumps(SHAPES[name]), encoding="utf-8")
    (found,) = read_squad(path)
    assert (found.id, found.question, found.context) == ("a", "Who?", HARBOUR)
    assert found.answers == (Answer("Ada", 25),)


def test_no_answer_may_be_written_as_an_empty_one(tmp_path: Path) -> None:
    empty = {"text": "", "answer_start": -1}
    one = {"id": "a", "question": "Why?", "answers": [empty], "is_impossible": True}
    path = tmp_path / "q.json"
    path.write_text(json.dumps({"data": [{"paragraphs": [{"context": HARBOUR, "qas": [one]}]}]}))
    (found,) = read_squad(path)
    assert found.answers == ()
