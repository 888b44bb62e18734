"""Long texts cut into pieces whose tokens, put together, are the tokens of the whole.

The library takes memory of about 170 times the text it is handed at once (a line of 20 MB: 3.5
GB). A single space between a word character or sentence punctuation and a word character is a
border of pre-tokens in every kind of tokenizer here: BERT's and whitespace splitting end a word
there, GPT-2's pattern and Metaspace begin one, and the space stays in front of the piece it begins.
"""

from __future__ import annotations

import re

_BORDER = re.compile(r"(?<=[\w.,;:!?]) (?=\w)")


def split_long(text: str, size: int) -> list[str]:
    """Pieces of `size` characters, each a little longer up to the next border.

    A text without such borders (no spaces at all) stays whole.
    """
    if len(text) <= size:
        return [text]
    pieces: list[str] = []
    start = 0
    while len(text) - start > size:
        border = _BORDER.search(text, start + size)
        if border is None:
            break
        pieces.append(text[start : border.start()])
        start = border.start()
    pieces.append(text[start:])
    return pieces
