"""Where the characters of a plain text lie in the text as it was given."""

from __future__ import annotations

import unicodedata

from hypothesis import given as drawn
from hypothesis import strategies as st

from foretext.text.original import Original, given, plain

# Marks of several classes, jamo, singletons, exclusions, starters that compose with a mate before.
HARD = "ae\0 \u0301\u0323\u0345\u0344\u0f71\u0f73\u1100\u1161\u11a8가각\u212b\u0958\u09c7\u09be"


def test_a_plain_text_is_given_as_it_is() -> None:
    text = "Café 서울\r\n\u00a0"
    assert given(text) == (text, None)


def test_composed_characters_have_the_place_of_all_their_parts() -> None:
    raw = unicodedata.normalize("NFD", "드 서울 é\u0323!")
    text, original = given(raw)
    assert text == "드 서울 ẹ\u0301!"
    assert original is not None
    spans = [original.span(i, i + 1) for i in range(len(text))]
    assert [raw[a:b] for a, b in spans[:4]] == [
        unicodedata.normalize("NFD", character) for character in text[:4]
    ]
    assert raw[slice(*spans[5])] == raw[slice(*spans[6])] == "e\u0323\u0301"  # reordered, so whole
    assert raw[slice(*original.span(2, 4))] == unicodedata.normalize("NFD", "서울")
    assert original.plain_span(*original.span(2, 4)) == (2, 4)
    assert original.plain_span(3, 4) == (2, 3)  # the first jamo of 서


def test_nulls_are_removed_and_counted() -> None:
    text, original = given("\0Ann\0 ran\0")
    assert text == "Ann ran"
    assert original is not None
    assert (original.span(0, 3), original.span(4, 7)) == ((1, 4), (6, 9))
    assert original.plain_span(6, 9) == (4, 7)


@drawn(st.one_of(st.text(), st.text(HARD, max_size=12)))
def test_every_part_of_the_plain_text_is_the_plain_form_of_its_place(raw: str) -> None:
    text, original = given(raw)
    assert text == plain(raw) == unicodedata.normalize("NFC", raw.replace("\0", ""))
    if original is None:
        assert text == raw
        return
    assert isinstance(original, Original)
    for start in range(len(text)):
        first, last = original.span(start, start + 1)
        assert 0 <= first < last <= len(raw)
        inner = original.plain_span(first, last)
        assert inner[0] <= start < inner[1]
        assert plain(raw[first:last]) == text[slice(*inner)]
