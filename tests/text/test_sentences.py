"""Sentence borders of English and Korean."""

from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretext.text.sentences import sentence_starts


def sentences(text: str) -> list[str]:
    bounds = [*sentence_starts(text), len(text)]
    return [text[start:stop] for start, stop in itertools.pairwise(bounds)]


# A bar marks each border that is expected; nothing else may be one.
ENGLISH = [
    "Hello World.| My name is Jonas.",
    "What is your name?| My name is Jonas.",
    "There it is!| I found it.",
    "My name is Jonas E. Smith.",
    "Please turn to p. 55.",
    "Were Jane and co. at the party?",
    "They closed the deal with Pitt, Briggs & Co. at noon.",
    "Let's ask Jane and Co.| They should know.",
    "They closed the deal with Pitt, Briggs & Co.| It closed yesterday.",
    "I can see Mt. Fuji from here.",
    "St. Michael's Church is on 5th st. near the light.",
    "That is JFK Jr.'s book.",
    "I visited the U.S.A. last year.",
    "I live in the E.U.| How about you?",
    "I live in the U.S.| How about you?",
    "I work for the U.S. Government in Virginia.",
    "I have lived in the U.S. for 20 years.",
    "She has $100.00 in her bag.| It is hers.",
    "He teaches (He previously worked for 5 years as an engineer.) at the local University.",
    "Her email is Jane.Doe@example.com.| I sent her an email.",
    'She turned to him, "This is great." she said.',
    'She turned to him, "This is great."| She held the book out to show him.',
    "“Why?” she asked.| “Because.”| He left.",
    "Hello!!| Long time no see.",
    "Hello??| Who is there?",
    "Hello!?| Is that you?",
    "1. The first item",
    "It happened in 1989.| In 1990 it ended.",
    "Mr. and Mrs. Smith met Dr. J. R. Brown.| They talked.",
    "Use fruit, e.g. Apples, i.e. Sweet ones.",
    "Smith et al. found it in Fig. 3.| See No. 7.",
    "Is it there?| No.| It is gone.",
    "It began on Jan. 5 at 8 a.m. in Rome.",
    "He waited... and waited.| Then he left.",
    "He waited…| Nobody came.",
    "A title\n|Some text.\n\n|More text.",
    "The value is 3.14 or .5, version 2.0.1.",
    "So do I.| He knows.",
    "It was . . . nice.| He left.",
    '"...and so it began.| It ended.',
    "Then Mons. Quesnel met Brig. Gen. Lee.",
    "(It was late.)| We went home.",
    "He left.| (She stayed.)",
]

KOREAN = [
    "나는 학교에 갔다.| 그리고 공부했다.",
    "안녕하세요?| 저는 민수입니다.",
    "정말 좋아요!| 또 올게요.",
    "나는 갔다.|그는 왔다.",
    "괜찮아요.|고마워요.",
    "뭐 할까?|집에 가자.",
    "그렇죠.|맞아요.",
    '그는 "나는 갔다."라고 말했다.| 나도 갔다.',
    '"정말이야?"라고 물었다.',
    '"갔다." 라고 말했다.',
    '"가자!" 하고 외쳤다.| 모두 뛰었다.',
    "가격은 3.5달러다.| 비싸다.",
    "2019. 3. 5. 서울에서 열렸다.| 많이 왔다.",
    "그 사람은... 정말 좋다.| 나는 믿는다.",
    "기다렸다...| 아무도 없었다.",
    "글쎄요…| 잘 모르겠어요.",
    "첫 줄\n|둘째 줄",
    "가.나.다.라 순으로 쓴다.",
    "“어디 가니?”| 그가 물었다.",
    "좋았음.| 다시 보고 싶음.",
    "그는 갔다(그렇게 들었다).| 끝.",
    "왜요?!|몰라요.",
    "U.S. 스틸은 회사다.| 크다.",
    "이것은 foretext.data의 문서다.| 읽자.",
    "재밌다ㅋㅋ!| 추천!",
    "값을 구합니다.| x는 변수입니다.",
    "다음을 입력합니다.| =SUM(A1:B1)",
    "한다.|〈창세기〉를 보라.",
    "今天很好。|我们走吧。",
    "本当ですか？|はい。",
]


@pytest.mark.parametrize("marked", ENGLISH)
def test_english_borders(marked: str) -> None:
    """Rules 1, 3, 4, 7, 8, 9; many cases are pysbd's Golden Rules for English."""
    assert sentences(marked.replace("|", "")) == _parts(marked)


@pytest.mark.parametrize("marked", KOREAN)
def test_korean_borders(marked: str) -> None:
    """Rules 2, 3, 5, 6, 8: endings, quotations, dates, text without white space."""
    assert sentences(marked.replace("|", "")) == _parts(marked)


def _parts(marked: str) -> list[str]:
    """The sentences; the white space after a bar belongs to the sentence before it."""
    parts = marked.split("|")
    for i in range(1, len(parts)):
        stripped = parts[i].lstrip()
        parts[i - 1] += parts[i][: len(parts[i]) - len(stripped)]
        parts[i] = stripped
    return parts


PIECES = '다. 요 ? ! … ... 。 " ” ( ) Mr. U.S. A the The 1 . 가 라고 J 2019.'
pieces = st.lists(
    st.sampled_from([*PIECES.split(" "), " ", "\n", "\t", "\u3000", "\r\n"]), max_size=40
).map("".join)


@given(st.one_of(pieces, st.text()))
def test_sentences_partition_the_text(text: str) -> None:
    """Contract: first offset 0, strictly increasing, each at a character that is no white space."""
    starts = sentence_starts(text)
    assert "".join(sentences(text)) == text
    assert starts[:1] == ([0] if text else [])
    assert all(a < b for a, b in itertools.pairwise(starts))
    assert all(not text[start].isspace() for start in starts[1:])


@given(pieces)
def test_a_newline_always_ends_a_sentence(text: str) -> None:
    """Contract: no sentence holds text after a newline."""
    assert all("\n" not in s.strip() for s in sentences(text))


@pytest.mark.parametrize("unit", [". ", "!", '"', "a.", " ", "\n", "다.", "...", "(", "1."])
def test_time_is_linear_on_hostile_text(unit: str) -> None:
    """A quadratic rule would need minutes for this text."""
    text = unit * (400_000 // len(unit))
    before = time.perf_counter()
    sentence_starts(text)
    assert time.perf_counter() - before < 5
