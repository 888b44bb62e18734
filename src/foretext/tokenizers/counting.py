"""Words and their counts, and the merges learned from them; the same bytes on every run.

The library's own trainers walk hash maps whose order changes from process to process, and where
two candidates tie (or float sums round) that order decides. Here every symbol goes into the trainer
under a code point of our own, in sorted order, so that `BpeTrainer` starts from an explicit
alphabet and breaks its ties by symbol number. Memory grows with the number of distinct words alone.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from tokenizers import Tokenizer as Library
from tokenizers import models, normalizers, pre_tokenizers, trainers

from foretext.core.errors import TokenizerError
from foretext.tokenizers.splitting import split_long

Progress = Callable[[int], None]

# Share of the characters of the corpus that the alphabet covers; the rest becomes unknown. The
# remainder of web text is long: emoji, stray scripts, mis-encoded bytes. A fixed number of
# characters would be wrong for Korean and Chinese, where thousands are common.
ALPHABET_COVERAGE = 0.9995

# A pair of symbols is merged if it occurs at least this often: what is seen once is no pattern.
MIN_FREQUENCY = 2

_BATCH = 1 << 16  # characters handed to the library at a time

# The library counts pairs in 32 bits; above this many symbols all counts are scaled down.
_MAX_SYMBOLS = 1 << 30

# Plane 15 and 16 of Unicode are for private use: 65,534 code points each.
_FIRST_SYMBOL, _NUM_SYMBOLS = 0xF0000, 65_534 * 2


def _batches(texts: Iterable[str], progress: Progress | None) -> Iterator[list[str]]:
    """Texts, long ones cut at spaces, in lists of about `_BATCH` characters."""
    buffer: list[str] = []
    held = 0
    for text in texts:
        size = num_bytes(text)
        for piece in split_long(text, _BATCH):
            buffer.append(piece)
            held += len(piece)
            if held >= _BATCH:
                yield buffer
                buffer, held = [], 0
        if progress is not None:
            progress(size)
    yield buffer


def num_bytes(text: str) -> int:
    """Length in UTF-8.

    Raises:
        TokenizerError: the text holds half of a surrogate pair.
    """
    try:
        return len(text.encode())
    except UnicodeEncodeError as error:
        raise TokenizerError(
            f"the text to train on holds the lone surrogate U+{ord(text[error.start]):04X} "
            f"at character {error.start}; read it as UTF-8, replacing what is invalid"
        ) from error


def count_words(
    texts: Iterable[str],
    *,
    normalizer: normalizers.Normalizer | None,
    pre_tokenizer: pre_tokenizers.PreTokenizer,
    progress: Progress | None = None,
) -> dict[str, int]:
    """Words of the texts with their counts, in order of code points.

    The library's word-level trainer counts in parallel; its state, which it saves for pickling,
    holds the counts.

    Args:
        texts: read once, in constant memory.
        normalizer: applied first; None for none.
        pre_tokenizer: cuts the normalised text into words.
        progress: called with the number of UTF-8 bytes read since the call before.

    Raises:
        TokenizerError: the texts hold no word.
    """
    library = Library(models.WordLevel(unk_token=""))
    if normalizer is not None:
        library.normalizer = normalizer
    library.pre_tokenizer = pre_tokenizer
    trainer = trainers.WordLevelTrainer(vocab_size=1, min_frequency=1, show_progress=False)
    library.train_from_iterator(_batches(texts, progress), trainer)
    words: dict[str, int] = json.loads(trainer.__getstate__())["WordLevelTrainer"]["words"]
    words.pop("", None)
    if not words:
        raise TokenizerError(
            "the text to train a tokenizer on holds no word; name files that hold text"
        )
    return dict(sorted(words.items()))


def covering(counts: Mapping[str, int], *, coverage: float = ALPHABET_COVERAGE) -> list[str]:
    """The most frequent symbols that make up `coverage` of all, sorted by code point.

    Ties are kept or dropped by code point, lower first.
    """
    wanted = coverage * sum(counts.values())
    kept: list[str] = []
    held = 0
    for symbol in sorted(counts, key=lambda s: (-counts[s], s)):
        if held >= wanted:
            break
        kept.append(symbol)
        held += counts[symbol]
    return sorted(kept)


def count_characters(words: Mapping[str, int]) -> Counter[str]:
    """Occurrences of each character."""
    counts: Counter[str] = Counter()
    for word, count in words.items():
        for character in word:
            counts[character] += count
    return counts


def _repeated(words: Mapping[str, int], scale: int) -> Iterator[str]:
    """Each word as often as it was counted (over `scale`), separated by spaces."""
    buffer: list[str] = []
    held = 0
    for word, count in words.items():
        left = max(1, count // scale)
        at_once = max(1, _BATCH // (len(word) + 1))
        while left > 0:
            now = min(left, at_once)
            buffer.append((word + " ") * now)
            held += (len(word) + 1) * now
            left -= now
            if held >= _BATCH:
                yield "".join(buffer)
                buffer, held = [], 0
    yield "".join(buffer)


Piece = tuple[str, ...]


def code_points(symbols: Sequence[str]) -> dict[str, str]:
    """A private code point for each symbol, in their order.

    Text that holds private code points of its own does not clash: every symbol is replaced.

    Raises:
        TokenizerError: there are more symbols than private code points.
    """
    if len(symbols) > _NUM_SYMBOLS:
        raise TokenizerError(
            f"the text has {len(symbols)} different symbols, and at most {_NUM_SYMBOLS} can be "
            "merged; use kind byte-bpe, whose alphabet is the 256 bytes"
        )
    # U+xFFFE and U+xFFFF are not characters: step over them.
    return {
        symbol: chr(_FIRST_SYMBOL + (i // 65_534) * 0x10000 + i % 65_534)
        for i, symbol in enumerate(symbols)
    }


def learn_merges(
    words: Mapping[str, int], *, codes: Mapping[str, str], size: int
) -> tuple[list[Piece], list[tuple[Piece, Piece]]]:
    """Byte-pair encoding over an explicit, ordered alphabet.

    Args:
        words: counts of words spelled in the code points of `codes`, in a fixed order.
        codes: symbol -> code point, from `code_points`; of two pairs as frequent as each other the
            one with the lower symbols is merged first.
        size: number of symbols and merged pieces wanted; fewer if the words run out of pairs.

    Returns:
        The pieces in the order they were made, the symbols first, and the merges in order.
    """
    library = Library(models.BPE())
    library.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=MIN_FREQUENCY,
        show_progress=False,
        initial_alphabet=list(codes.values()),
    )
    num_symbols = sum(len(word) * count for word, count in words.items())
    library.train_from_iterator(_repeated(words, num_symbols // _MAX_SYMBOLS + 1), trainer)
    learned = json.loads(library.to_str())["model"]
    symbol = {code: symbol for symbol, code in codes.items()}

    def piece(coded: str) -> Piece:
        return tuple(symbol[c] for c in coded)

    pieces = sorted(learned["vocab"], key=learned["vocab"].__getitem__)
    return [piece(p) for p in pieces], [(piece(a), piece(b)) for a, b in learned["merges"]]


def check_room(vocab_size: int, *, specials: int, alphabet: int) -> None:
    """Is there room for the special tokens, the alphabet and at least one piece?

    Raises:
        TokenizerError: there is not.
    """
    if vocab_size <= specials + alphabet:
        raise TokenizerError(
            f"vocab_size={vocab_size} must exceed {specials} special tokens + {alphabet} symbols "
            f"of the alphabet; ask for at least {specials + alphabet + 1}, "
            "or use kind byte-bpe, whose alphabet is 256"
        )
