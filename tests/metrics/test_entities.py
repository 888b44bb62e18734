"""Tag schemes and entity scores: conlleval's rules by hand, seqeval as the reference."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretext.metrics import tag_schemes as schemes
from foretext.metrics.entities import EntityScores, strict_spans
from foretext.metrics.tag_schemes import SchemeCounts, Span, convert, problem, read_spans

MARKED = [name for name in schemes.SCHEMES if name != schemes.PLAIN]
TYPES = ("LOC", "PER")
IOB_TAGS = schemes.scheme_tags(TYPES, "iob2")


@st.composite
def spans_of_sentences(draw: st.DrawFn) -> tuple[list[Span], int]:
    """Spans that do not overlap, and the number of tokens."""
    spans, at = [], 0
    for _ in range(draw(st.integers(0, 5))):
        start = at + draw(st.integers(0, 2))
        at = start + draw(st.integers(1, 4))
        spans.append(Span(start, at, draw(st.sampled_from(["PER", "LOC", "B-day"]))))
    return spans, at + draw(st.integers(0, 2))


@given(spans_of_sentences(), st.sampled_from(MARKED))
def test_spans_written_as_tags_are_read_again(given: tuple[list[Span], int], scheme: str) -> None:
    spans, length = given
    tags = schemes.write_tags(spans, length, scheme)
    assert read_spans(tags, scheme) == spans
    assert problem(tags, scheme) is None


@given(spans_of_sentences(), st.sampled_from(MARKED), st.sampled_from(MARKED))
def test_conversion_keeps_the_spans(
    given: tuple[list[Span], int], source: str, target: str
) -> None:
    spans, length = given
    tags = schemes.write_tags(spans, length, source)
    assert read_spans(convert(tags, source, target), target) == spans
    assert convert(convert(tags, source, target), target, source) == tags


@pytest.mark.parametrize(
    ("scheme", "tags"),
    [
        ("iob1", "I-PER B-PER I-PER O I-LOC I-PER O"),
        ("iob2", "B-PER B-PER I-PER O B-LOC B-PER O"),
        ("bioes", "S-PER B-PER E-PER O S-LOC S-PER O"),
        ("bilou", "U-PER B-PER L-PER O U-LOC U-PER O"),
        ("iob2-suffix", "PER-B PER-B PER-I O LOC-B PER-B O"),
        ("bioes-suffix", "PER-S PER-B PER-E O LOC-S PER-S O"),
    ],
)
def test_schemes_by_hand(scheme: str, tags: str) -> None:
    spans = [Span(0, 1, "PER"), Span(1, 3, "PER"), Span(4, 5, "LOC"), Span(5, 6, "PER")]
    assert read_spans(tags.split(), scheme) == spans
    assert schemes.write_tags(spans, 7, scheme) == tags.split()


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("O I-PER", [(1, 2, "PER")]),  # I after O begins
        ("I-PER I-LOC", [(0, 1, "PER"), (1, 2, "LOC")]),  # another type begins without B
        ("B-PER I-LOC I-PER", [(0, 1, "PER"), (1, 2, "LOC"), (2, 3, "PER")]),
        ("I-PER B-PER", [(0, 1, "PER"), (1, 2, "PER")]),  # B ends what went on
        ("B-PER B-PER", [(0, 1, "PER"), (1, 2, "PER")]),
        ("B-PER O I-PER", [(0, 1, "PER"), (2, 3, "PER")]),
    ],
)
def test_broken_tags_are_read_as_conlleval_does(
    tags: str, expected: list[tuple[int, int, str]]
) -> None:
    """startOfChunk and endOfChunk of conlleval."""
    assert read_spans(tags.split(), "iob2") == [Span(*one) for one in expected]


@pytest.mark.parametrize(
    ("scheme", "tags", "index", "text"),
    [
        ("iob2", "O I-PER", 1, "'I-PER' cannot follow 'O' in IOB2 (B-X, I-X, O)"),
        ("iob2", "B-LOC I-PER", 1, "'I-PER' cannot follow 'B-LOC'"),
        ("iob2", "I-PER", 0, "'I-PER' cannot follow the sentence's beginning"),
        ("iob1", "O B-PER", 1, "'B-PER' cannot follow 'O' in IOB1"),
        ("bioes", "B-PER O", 1, "'O' cannot follow 'B-PER'"),
        ("bioes", "B-PER I-PER", 1, "'I-PER' cannot end a sentence"),
        ("bioes", "S-PER E-PER", 1, "'E-PER' cannot follow 'S-PER'"),
        ("bilou", "B-PER U-PER", 1, "'U-PER' cannot follow 'B-PER'"),
        ("bioes", "O U-PER", 1, "'U-PER' is no tag of BIOES (B-X, I-X, E-X, S-X, O)"),
        ("iob2", "O PER", 1, "'PER' is no tag of IOB2"),
        ("iob2", "PER-B", 0, "'PER-B' is no tag of IOB2"),
        ("iob2-suffix", "PER-B B-PER", 1, "'B-PER' is no tag of IOB2 (X-B, X-I, O)"),
    ],
)
def test_tags_that_break_a_scheme_are_named(scheme: str, tags: str, index: int, text: str) -> None:
    found = problem(tags.split(), scheme)
    assert found is not None
    assert found.index == index
    assert text in found.text
    assert found.mendable == ("is no tag" not in text)


@given(st.lists(spans_of_sentences(), min_size=8, max_size=20), st.sampled_from(MARKED))
def test_the_scheme_is_told_from_the_tags(
    sentences: list[tuple[list[Span], int]], scheme: str
) -> None:
    """Or one that reads the same tags the same way, such as IOB2 for what both allow."""
    counts = SchemeCounts()
    tags = [schemes.write_tags(spans, length, scheme) for spans, length in sentences]
    for one in tags:
        counts.add(one)
    found = counts.scheme()
    if not any(spans for spans, _ in sentences):
        assert found == schemes.PLAIN
        return
    for (spans, _), one in zip(sentences, tags, strict=True):
        assert problem(one, found) is None
        assert read_spans(one, found) == spans


@pytest.mark.parametrize(
    ("sentences", "scheme"),
    [
        (["I-PER I-PER O", "I-LOC B-LOC"], "iob1"),
        (["I-PER O I-LOC"], "iob1"),
        (["B-PER O", "B-LOC I-LOC", "O I-PER"], "iob2"),  # one slip
        (["B-PER O B-LOC"], "iob2"),
        (["S-PER O", "B-LOC E-LOC"], "bioes"),
        (["S-PER S-PER O", "U-PER"], "bioes"),  # a mixture: the minority is a fault later
        (["U-PER O", "B-LOC L-LOC"], "bilou"),
        (["PER-B O", "LOC-B LOC-I"], "iob2-suffix"),
        (["DET NOUN VERB", "O"], "plain"),
        (["-LRB- B-x NN", "NN S DT"], "plain"),
        (["O O"], "plain"),
    ],
)
def test_detection_by_hand(sentences: list[str], scheme: str) -> None:
    counts = SchemeCounts()
    for tags in sentences:
        counts.add(tags.split())
    assert counts.scheme() == scheme


def scored(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> dict[str, float]:
    scores = EntityScores(TYPES, "iob2")
    records = [scores.record(g, p) for g, p in zip(gold, predicted, strict=True)]
    return scores.measure(np.sum(records, axis=0))


def test_scores_by_hand() -> None:
    """Gold PER LOC PER; found: PER right, LOC too long, a PER split in two (none right)."""
    gold = [["B-PER", "I-PER", "O", "B-LOC", "O", "O", "B-PER", "I-PER"]]
    found = [["B-PER", "I-PER", "O", "B-LOC", "I-LOC", "O", "B-PER", "B-PER"]]
    scores = scored(gold, found)
    assert scores["precision"] == 1 / 4
    assert scores["recall"] == 1 / 3
    assert scores["f1"] == pytest.approx(2 / 7)
    assert scores["accuracy"] == 6 / 8
    assert scores["macro_f1"] == pytest.approx((2 / 5 + 0) / 2)


def test_a_right_span_of_another_type_is_not_found() -> None:
    assert scored([["B-PER"]], [["B-LOC"]])["f1"] == 0


def test_an_entity_without_its_beginning_counts_for_conlleval_and_not_for_klue() -> None:
    scores = scored([["O", "B-PER"]], [["O", "I-PER"]])
    assert scores["f1"] == 1
    assert scores["macro_f1"] == 0


def test_without_entities_every_score_is_zero() -> None:
    assert scored([["O"]], [["O"]]) == {
        "precision": 0, "recall": 0, "f1": 0, "macro_f1": 0, "accuracy": 1,
    }  # fmt: skip


def test_types_have_scores_of_their_own() -> None:
    scores = EntityScores(TYPES, "iob2")
    sums = scores.record(["B-PER", "O", "B-LOC"], ["B-PER", "B-PER", "O"])
    found = scores.by_type(sums)
    assert found["PER"] == {"precision": 0.5, "recall": 1, "f1": pytest.approx(2 / 3), "support": 1}
    assert found["LOC"] == {"precision": 0, "recall": 0, "f1": 0, "support": 1}


TagLists = st.lists(
    st.lists(st.tuples(st.sampled_from(IOB_TAGS), st.sampled_from(IOB_TAGS)), min_size=1),
    min_size=1,
    max_size=5,
)


@given(TagLists)
def test_scores_equal_seqevals_on_any_tags(pairs: list[list[tuple[str, str]]]) -> None:
    """Its default mode is conlleval; KLUE's score is its strict mode, macro, IOB2."""
    library = pytest.importorskip("seqeval.metrics", reason="seqeval is not installed")
    strict_scheme = pytest.importorskip("seqeval.scheme").IOB2
    gold, found = ([[pair[side] for pair in one] for one in pairs] for side in (0, 1))
    scores = scored(gold, found)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of divisions by zero
        assert scores["precision"] == pytest.approx(library.precision_score(gold, found))
        assert scores["recall"] == pytest.approx(library.recall_score(gold, found))
        assert scores["f1"] == pytest.approx(library.f1_score(gold, found))
        assert scores["accuracy"] == pytest.approx(library.accuracy_score(gold, found))
        if any(tag[0] == "B" for one in [*gold, *found] for tag in one):
            strict = library.f1_score(
                gold, found, mode="strict", scheme=strict_scheme, average="macro"
            )
            assert scores["macro_f1"] == pytest.approx(strict)


@given(st.lists(st.sampled_from(IOB_TAGS), min_size=1))
def test_strict_spans_equal_seqevals(tags: list[str]) -> None:
    library = pytest.importorskip("seqeval.scheme", reason="seqeval is not installed")
    entities = library.Entities([tags], library.IOB2).entities[0]
    theirs = [(entity.start, entity.end, entity.tag) for entity in entities]
    assert [(s.start, s.stop, s.type) for s in strict_spans(tags, "iob2")] == theirs
