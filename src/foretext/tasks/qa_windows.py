"""Questions and contexts as windows: what a model reads, and which characters its tokens stand for.

A long context is read in windows that begin every `doc_stride` tokens, each after the question. A
token of several windows counts in the one where it has most context. Answers are spans of
characters: a token stands for its characters without white space, and tokens that are parts of one
character for all of it, so that a span of tokens is a part of the context for any tokenizer.

Papers: Devlin et al. 2019, section 4.2 and run_squad.py (question of 64 tokens, windows, maximum
context, a window without the answer has the label of no answer).
Deviations: an answer's tokens are the fewest that cover its characters, where run_squad.py looks
for word-pieces that spell it; where annotators differ, training takes the span most of them marked;
a question takes at most half of what fits, however short the model's input is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from foretext.labelled.squad import Answer, Question
from foretext.tasks.base import Features
from foretext.tasks.inputs import InputFormat
from foretext.tokenizers import Tokenizer

NULL = -1  # start and end of a window without the answer; the model's own null position stands in
_SPACES = [i for i in range(0x3001) if chr(i).isspace()]

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class EncodedContext:
    """A context's tokens and their characters, white space left out."""

    ids: list[int]  # [tokens]
    starts: Ints  # [tokens] first character
    stops: Ints  # [tokens] the character after the last; at most the start: a token of white space

    def tokens_of(self, start: int, stop: int) -> tuple[int, int] | None:
        """The fewest tokens, first and last, that cover these characters; None without tokens."""
        solid = np.flatnonzero(self.stops > self.starts)
        if not len(solid):
            return None
        starts, stops = self.starts[solid], self.stops[solid]
        # Tokens of one character start together: the first of them, and at the end the last.
        before = max(int(np.searchsorted(starts, start, "right")) - 1, 0)
        first = int(np.searchsorted(starts, starts[before], "left"))
        after = min(int(np.searchsorted(stops, stop, "left")), len(solid) - 1)
        last = int(np.searchsorted(stops, stops[after], "right")) - 1
        return int(solid[first]), int(solid[max(first, last)])

    def characters_of(self, first: int, last: int) -> tuple[int, int]:
        """The characters of a span of tokens."""
        return int(self.starts[first]), int(self.stops[last])


def encode_contexts(tokenizer: Tokenizer, texts: Sequence[str]) -> list[EncodedContext]:
    """The tokens of contexts and the characters they stand for."""
    found = []
    for text, (ids, begins, ends) in zip(texts, tokenizer.encode_spans(texts), strict=True):
        after, before = _word_edges(text)
        # Normalisers may reorder marks; positions that never fall make spans well defined.
        starts = np.maximum.accumulate(after[begins])
        stops = np.maximum.accumulate(before[ends])
        found.append(EncodedContext(ids.tolist(), starts, stops))
    return found


def _word_edges(text: str) -> tuple[Ints, Ints]:
    """For every place in a text the next character that is no space, and the end of the last one.

    Returns:
        Two arrays [characters + 1].
    """
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    solid = ~np.isin(codes, _SPACES)
    places = np.arange(len(codes), dtype=np.int64)
    after, before = np.full(len(codes) + 1, len(codes)), np.zeros(len(codes) + 1, np.int64)
    after[:-1] = np.where(solid, places, len(codes))
    before[1:] = np.where(solid, places + 1, 0)
    return np.minimum.accumulate(after[::-1])[::-1], np.maximum.accumulate(before)


class ContextWindow(NamedTuple):
    """Where a sample comes from; the arrays are of the context's tokens in it."""

    offset: int  # of its first context token in the sample
    starts: Ints  # [context tokens] characters, as EncodedContext
    stops: Ints
    has_most_context: NDArray[np.bool_]  # in no other window the token has more around it


def borders(tokens: int, max_tokens: int, stride: int) -> list[tuple[int, int]]:
    """First and last + 1 token of each window; together they cover every token."""
    found = [(0, min(max_tokens, tokens))]
    while found[-1][1] < tokens:
        start = found[-1][0] + min(max_tokens, stride)
        found.append((start, min(start + max_tokens, tokens)))
    return found


def most_context(windows: Sequence[tuple[int, int]]) -> list[NDArray[np.bool_]]:
    """For each window which of its tokens count in it: min(left, right) + .01 length is highest."""
    if len(windows) == 1:
        return [np.ones(windows[0][1], np.bool_)]
    tokens = windows[-1][1]
    best, where = np.full(tokens, -1.0), np.zeros(tokens, np.int64)
    for number, (start, stop) in enumerate(windows):
        left = np.arange(stop - start)
        score = np.minimum(left, left[::-1]) + 0.01 * (stop - start)
        better = score > best[start:stop]
        best[start:stop][better] = score[better]
        where[start:stop][better] = number
    return [where[start:stop] == number for number, (start, stop) in enumerate(windows)]


@dataclass(frozen=True)
class ContextEncoder:
    """Questions to samples."""

    max_query_length: int  # tokens
    doc_stride: int  # tokens
    max_answer_length: int = 30  # tokens that an answer may have

    def encode(self, questions: Sequence[Question], layout: InputFormat) -> list[list[Features]]:
        """The windows of each question; a context that several share is encoded once."""
        # Questions of a paragraph share the very string, whose hash is known after the first.
        texts = list(dict.fromkeys(question.context for question in questions))
        contexts = dict(zip(texts, encode_contexts(layout.tokenizer, texts), strict=True))
        ids = layout.tokenizer.encode_batch([question.question for question in questions])
        limit = min(self.max_query_length, layout.max_tokens(0) // 2)
        return [
            self._windows(question, own, contexts[question.context], layout, limit)
            for question, own in zip(questions, ids, strict=True)
        ]

    def _windows(
        self,
        question: Question,
        asked: list[int],
        context: EncodedContext,
        layout: InputFormat,
        limit: int,
    ) -> list[Features]:
        ids = asked[:limit]
        windows = borders(len(context.ids), layout.max_tokens(len(ids)), self.doc_stride)
        known = question.answers is not None
        span = gold_span(question.answers or (), context)
        found = []
        for (start, stop), mask in zip(windows, most_context(windows), strict=True):
            arranged = layout.arrange(ids, context.ids[start:stop])
            offset = arranged.starts[1]
            target = (NULL, NULL)
            if span is not None and start <= span[0] and span[1] < stop:
                target = (span[0] - start + offset, span[1] - start + offset)
            origin = ContextWindow(
                offset, context.starts[start:stop], context.stops[start:stop], mask
            )
            found.append(Features((arranged,), np.array(target if known else (), np.int64), origin))
        lost = self._lost(span, found) if span is not None else []
        if len(asked) > limit:
            lost.append(f"questions are cut at {limit} tokens, see task.max_query_length")
        found[0] = replace(found[0], lost=tuple(lost))
        return found

    def _lost(self, span: tuple[int, int], windows: Sequence[Features]) -> list[str]:
        """Why no prediction can be this answer."""
        if all(sample.target[0] == NULL for sample in windows):
            return ["answers are in no window; raise data.max_length or lower task.doc_stride"]
        if span[1] - span[0] >= self.max_answer_length:
            return [
                f"answers are longer than task.max_answer_length={self.max_answer_length} tokens "
                "and can never be given; raise it"
            ]
        return []


def gold_span(answers: Sequence[Answer], context: EncodedContext) -> tuple[int, int] | None:
    """First and last token of the answer most annotators marked, of equals the first's."""
    if not answers:
        return None
    ((start, stop), _), *_ = Counter((a.start, a.stop) for a in answers).most_common(1)
    return context.tokens_of(start, stop)
