"""The files that the examples of the documentation run on: `python -m tests.docs.world FOLDER`.

Sentences are drawn from patterns with a fixed seed, so that a model of a minute learns something:
a document is about one thing and of one mind, in English (books/, train.tsv ...) and in Korean
(reviews_ko/, train_ko.tsv ...). Files of the other tasks are labelled.py's.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.docs import labelled


class Language(NamedTuple):
    """Words by the name that patterns call them, and patterns by mind: "good" or "bad"."""

    words: Mapping[str, Sequence[str]]
    patterns: Mapping[str, Sequence[str]]


ENGLISH = Language(
    words={
        "thing": ["film", "story", "play", "book", "show"],
        "part": ["plot", "music", "ending", "first scene", "cast", "script", "camera work"],
        "who": ["The man", "The woman", "My brother", "Our teacher", "The old actor", "A friend"],
        "place": ["store", "theatre", "cinema", "station", "library", "market"],
        "good": ["good", "great", "fine", "lovely", "moving", "funny", "clever"],
        "bad": ["bad", "awful", "poor", "dull", "empty", "boring", "clumsy"],
        "well": ["well", "wonderfully", "beautifully", "with great care"],
        "badly": ["badly", "poorly", "without any care", "far too slowly"],
        "again": ["again", "next week", "with my family", "twice"],
    },
    patterns={
        "good": [
            "The {part} of this {thing} was {good} and {good}.",
            "{who} laughed and would see it {again}.",
            "It was {good}, and the {part} was done {well}.",
            "{who} went to the {place} and talked about the {good} {part}.",
            "One more {good} {thing} that I would watch {again}.",
        ],
        "bad": [
            "The {part} of this {thing} was {bad} and {bad}.",
            "{who} fell asleep and would not see it {again}.",
            "It was {bad}, and the {part} was done {badly}.",
            "{who} went to the {place} and complained about the {bad} {part}.",
            "One more {bad} {thing} that nobody should watch {again}.",
        ],
    },
)
KOREAN = Language(
    words={
        "thing": ["영화", "드라마", "이야기", "작품", "연극"],
        "part": ["연기가", "음악이", "결말이", "첫 장면이", "대사가", "영상이"],
        "who": ["친구는", "동생은", "어머니는", "선생님은", "우리는"],
        "place": ["극장에서", "집에서", "학교에서", "도서관에서"],
        "good": ["정말 좋았다", "무척 아름다웠다", "아주 재미있었다", "참 감동적이었다"],
        "bad": ["너무 지루했다", "정말 별로였다", "아주 엉성했다", "참 실망스러웠다"],
        "well": ["훌륭한", "따뜻한", "멋진", "잊을 수 없는"],
        "badly": ["뻔한", "어설픈", "재미없는", "돈이 아까운"],
        "again": ["또 보고 싶다", "가족과 다시 보겠다", "강력히 추천한다"],
        "never": ["다시는 안 본다", "시간이 아까웠다", "추천하지 않는다"],
    },
    patterns={
        "good": [
            "이 {thing}의 {part} {good}.",
            "{who} {place} 보고 웃었다.",
            "{well} {thing}, {again}.",
            "{part} 좋아서 {again}.",
        ],
        "bad": [
            "이 {thing}의 {part} {bad}.",
            "{who} {place} 보다가 잠들었다.",
            "{badly} {thing}, {never}.",
            "{part} 나빠서 {never}.",
        ],
    },
)
CONCERTS = Language(  # a domain whose words the English text lacks
    words={
        "who": ["The clarinet", "The oboe", "The conductor", "The orchestra", "The soprano"],
        "what": ["sonata", "symphony", "overture", "concerto"],
        "good": ["softly", "clearly", "beautifully"],
        "bad": ["badly", "poorly"],
    },
    patterns={
        "good": ["{who} played the {what} {good}.", "{who} was {good} heard in the {what}."],
        "bad": ["{who} played the {what} {bad}.", "In the {what} {who} was {bad} heard."],
    },
)


def sentence(language: Language, mind: str, draw: random.Random) -> str:
    """One sentence of one mind."""
    text = draw.choice(language.patterns[mind])
    while "{" in text:
        name = text[text.index("{") + 1 : text.index("}")]
        text = text.replace("{" + name + "}", draw.choice(language.words[name]), 1)
    return text[0].upper() + text[1:]


def documents(language: Language, count: int, draw: random.Random) -> Iterable[str]:
    """Documents of three to eight sentences, two a line."""
    for _ in range(count):
        mind = draw.choice(["good", "bad"])
        told = [sentence(language, mind, draw) for _ in range(draw.randint(3, 8))]
        yield "\n".join(" ".join(told[i : i + 2]) for i in range(0, len(told), 2))


def table(rows: Iterable[Sequence[str]]) -> str:
    """Rows as .tsv."""
    return "".join("\t".join(row) + "\n" for row in rows)


def make(folder: Path) -> None:
    """Write every file below a folder."""
    draw = random.Random(0)
    for name in ("books", "reviews_ko"):
        (folder / name).mkdir(parents=True, exist_ok=True)

    def write(name: str, text: str) -> None:
        (folder / name).write_text(text, encoding="utf-8")

    for name in ("first", "second"):
        write(f"books/{name}.txt", "\n\n".join(documents(ENGLISH, 400, draw)) + "\n")
    concerts = documents(CONCERTS, 300, random.Random(2))
    write("concerts.txt", "\n\n".join(concerts) + "\n")
    write("reviews_ko/reviews.txt", "\n\n".join(documents(KOREAN, 800, draw)) + "\n")
    labels = {"good": "positive", "bad": "negative"}
    for name, count in (("train", 200), ("dev", 60), ("test", 60)):
        minds = [("good", "bad")[i % 2] for i in range(count)]
        rows = [(sentence(ENGLISH, mind, draw), labels[mind]) for mind in minds]
        write(f"{name}.tsv", table([("sentence", "label"), *rows]))
        korean = [
            (str(number), sentence(KOREAN, mind, draw), "01"[mind == "good"])
            for number, mind in enumerate(minds, 1)
        ]
        write(f"{name}_ko.tsv", table([("id", "document", "label"), *korean]))
    write(
        "sentences.txt", "One more clever film that I would watch twice.\nIt was dull and empty.\n"
    )

    def remark(mind: str) -> str:
        return sentence(ENGLISH, mind, draw)

    labelled.make(folder, ENGLISH.words, KOREAN.words, remark)
    write("sentences_ko.txt", "정말 재미있어서 또 보고 싶다.\n너무 지루해서 잠들었다.\n")


if __name__ == "__main__":
    make(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
