"""Windows cover the context, and characters survive any tokenizer."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretext.labelled.squad import Answer, Question
from foretext.models.bert import Bert
from foretext.tasks.inputs import EncoderFormat, ExtractFormat, input_format_for, task_tokenizer
from foretext.tasks.qa_windows import (
    NULL,
    ContextEncoder,
    EncodedContext,
    borders,
    encode_contexts,
    gold_span,
    most_context,
)
from foretext.tokenizers import Tokenizer, train
from tests.tasks.tiny import tokenizer_of

TEXTS = [
    'the cat sat on the mat, Mr. O\'Neill said: "no"',
    "한국어 위키백과는 2002년 10월 11일에 시작했다.",
    "Zoë naïve café ½ ㎞ ﬁne 🙂🙂 e\u0301 a\u200bb\u3000wide\ttab\nline",
] * 4
KINDS = ["wordpiece", "byte-bpe", "bpe", "unigram", "characters"]


@cache
def tokenizer(kind: str) -> Tokenizer:
    return train(TEXTS, kind=kind, vocab_size=330 if kind == "byte-bpe" else 120)


pieces = st.sampled_from(
    [*" ".join(TEXTS), " the", " cat", "한국", "🙂", "  ", "\n", "é", "\u200d"]
)
contexts = st.lists(pieces, min_size=1, max_size=40).map("".join)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=150)
@given(text=contexts, data=st.data())
def test_a_span_on_token_borders_comes_back_as_the_same_text(
    kind: str, text: str, data: st.DataObject
) -> None:
    (context,) = encode_contexts(tokenizer(kind), [text])
    count = len(context.ids)
    if not count:
        return
    first = data.draw(st.integers(0, count - 1))
    last = data.draw(st.integers(first, count - 1))
    start, stop = context.characters_of(first, last)
    if start >= stop:  # white space alone
        return
    found = context.tokens_of(start, stop)
    assert found is not None
    assert context.characters_of(*found) == (start, stop)
    assert text[start:stop] == text[start:stop].strip()


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=150)
@given(text=contexts, data=st.data())
def test_any_other_span_is_covered_by_the_fewest_tokens(
    kind: str, text: str, data: st.DataObject
) -> None:
    (context,) = encode_contexts(tokenizer(kind), [text])
    start = data.draw(st.integers(0, len(text) - 1))
    stop = data.draw(st.integers(start + 1, len(text)))
    while start < stop and text[start].isspace():
        start += 1
    while start < stop and text[stop - 1].isspace():
        stop -= 1
    if start == stop:
        return
    solid = [i for i in range(len(context.ids)) if context.starts[i] < context.stops[i]]
    covering = [
        (i, j)
        for i in solid
        for j in solid
        if i <= j and context.starts[i] <= start and context.stops[j] >= stop
    ]
    found = context.tokens_of(start, stop)
    if not covering:  # the tokenizer drops characters at the edge
        assert found is None or found[0] <= found[1]
        return
    assert found in covering
    widths = [_width(context, pair) for pair in covering]
    assert found is not None
    assert _width(context, found) == min(widths)


def _width(context: EncodedContext, tokens: tuple[int, int]) -> int:
    start, stop = context.characters_of(*tokens)
    return stop - start


def test_parts_of_a_character_are_widened_to_it() -> None:
    """A byte-level tokenizer may need several tokens for one character."""
    (context,) = encode_contexts(tokenizer("byte-bpe"), ["x 漢 y"])
    inside = [i for i in range(len(context.ids)) if 2 == context.starts[i] < context.stops[i]]
    assert len(inside) >= 3
    assert context.characters_of(inside[1], inside[1]) == (2, 3)
    assert context.tokens_of(2, 3) == (inside[0], inside[-1])


@settings(max_examples=200)
@given(tokens=st.integers(0, 300), max_tokens=st.integers(1, 60), stride=st.integers(1, 80))
def test_windows_cover_every_token(tokens: int, max_tokens: int, stride: int) -> None:
    windows = borders(tokens, max_tokens, stride)
    assert set().union(*(range(start, stop) for start, stop in windows)) == set(range(tokens))
    assert all(stop - start <= max_tokens for start, stop in windows)
    assert windows[-1][1] == tokens
    assert all(stop < tokens for _, stop in windows[:-1])


@settings(max_examples=100)
@given(tokens=st.integers(0, 200), max_tokens=st.integers(1, 50), stride=st.integers(1, 60))
def test_a_token_counts_in_the_window_with_most_context(
    tokens: int, max_tokens: int, stride: int
) -> None:
    """run_squad.py, _check_is_max_context, written out."""
    windows = borders(tokens, max_tokens, stride)
    masks = most_context(windows)
    for token in range(tokens):
        best = None
        for number, (start, stop) in enumerate(windows):
            if start <= token < stop:
                score = min(token - start, stop - 1 - token) + 0.01 * (stop - start)
                if best is None or score > best[0]:
                    best = (score, number)
        counted = [
            number
            for number, (start, stop) in enumerate(windows)
            if start <= token < stop and masks[number][token - start]
        ]
        assert best is not None
        assert counted == [best[1]]


def words(count: int) -> str:
    return " ".join(["the film was great and the plot is"] * (count // 8 + 1))


@pytest.mark.parametrize("model_type", ["bert", "gpt2"])
def test_targets_point_at_the_answer_in_every_window_that_holds_it(model_type: str) -> None:
    text = words(120).replace("great", "boring", 9)
    start = text.index("great")
    question = Question("q", "what was the film", text, (Answer("great", start),))
    kind = EncoderFormat if model_type == "bert" else ExtractFormat
    plain = tokenizer_of(model_type)
    tokens = plain if model_type == "bert" else _extended(plain)
    layout = kind(tokenizer=tokens, max_length=40)
    (windows,) = ContextEncoder(64, 10).encode([question], layout)
    assert len(windows) > 5
    held = 0
    for sample in windows:
        (one,) = sample.inputs
        assert len(one.ids) <= 40
        where = sample.origin
        inside = one.ids[where.offset : where.offset + len(where.starts)]
        assert where.offset + len(inside) + 1 == len(one.ids)  # [SEP] or _classify_
        holds = where.starts[0] <= start and where.stops[-1] >= start + 5
        first, last = sample.target.tolist()
        assert (first != NULL) == (last != NULL) == holds
        if holds:
            held += 1
            begin, end = where.starts[first - where.offset], where.stops[last - where.offset]
            assert text[begin:end] == "great"
    assert held > 1


def _extended(plain: Tokenizer) -> Tokenizer:
    from foretext.models.gpt import Gpt

    return task_tokenizer(plain, Gpt)


def test_a_long_question_leaves_room_for_the_context() -> None:
    layout = input_format_for(Bert, tokenizer_of("bert"), 21)
    question = Question("q", words(100), words(30), None)
    for limit, length in ((4, 4), (64, 9)):
        (windows,) = ContextEncoder(limit, 128).encode([question], layout)
        assert {sample.origin.offset for sample in windows} == {length + 2}
        assert all(not len(sample.target) for sample in windows)


def test_a_context_is_encoded_once_for_all_its_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    whole = Tokenizer.encode_spans

    def counted(self: Tokenizer, texts: list[str]) -> list[object]:
        seen.append(len(texts))
        return list(whole(self, texts))

    monkeypatch.setattr(Tokenizer, "encode_spans", counted)
    questions = [Question(str(i), "what", words(8 * (i % 2 + 1)), None) for i in range(10)]
    ContextEncoder(64, 128).encode(questions, input_format_for(Bert, tokenizer_of("bert"), 40))
    assert seen == [2]


def test_the_answer_most_annotators_marked_is_learned() -> None:
    (context,) = encode_contexts(tokenizer_of("bert"), ["the film was great"])
    film, great = Answer("film", 4), Answer("great", 13)
    assert gold_span((film, great, great), context) == gold_span((great,), context)
    assert gold_span((film, great), context) == gold_span((film,), context)
    assert gold_span((), context) is None


def test_a_context_without_tokens_has_one_empty_window() -> None:
    empty = EncodedContext([], np.zeros(0, np.int64), np.zeros(0, np.int64))
    assert empty.tokens_of(0, 1) is None
    assert borders(0, 10, 5) == [(0, 0)]
    assert [mask.tolist() for mask in most_context([(0, 0)])] == [[]]
