"""Characters, and words between spaces, as tokens.

`characters`: one token a Unicode character, spaces and newlines too; a text over the alphabet comes
back exactly. `words`: whatever stands between white space, for corpora of item sequences, molecules
or proteins; the most frequent symbols, those seen once included. `spelled-words`: words of running
text, from which marks at their edges are cut off, for models that know a word by its characters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers
from tokenizers import Tokenizer as Library

from foretext.core.errors import TokenizerError
from foretext.tokenizers.base import Tokenizer
from foretext.tokenizers.counting import Progress, count_words, num_bytes
from foretext.tokenizers.special import Style

# A mark (punctuation or symbol), or from the first to the last other character between white space.
_MARK = r"[\p{P}\p{S}]"
SPELLED_WORD = rf"(?!{_MARK})\S(?:\S*(?!{_MARK})\S)?|{_MARK}"


def train_characters(
    texts: Iterable[str],
    *,
    vocab_size: int,
    style: Style,
    lowercase: bool,
    progress: Progress | None = None,
) -> Tokenizer:
    """The most frequent characters, ties by code point."""
    counts: Counter[str] = Counter()
    for text in texts:
        size = num_bytes(text)
        counts.update(text)
        if progress is not None:
            progress(size)
    normalizer = normalizers.Lowercase() if lowercase else None
    if normalizer is not None:
        lowered: Counter[str] = Counter()
        for character, count in counts.items():
            for part in normalizer.normalize_str(character):
                lowered[part] += count
        counts = lowered
    if not counts:
        raise TokenizerError("the text to train a tokenizer on is empty; name files that hold text")
    library = _word_level(counts, vocab_size=vocab_size, style=style)
    if normalizer is not None:
        library.normalizer = normalizer
    library.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), behavior="isolated")
    library.decoder = decoders.Fuse()
    return Tokenizer.finish(library, style=style, asked=vocab_size)


def train_words(
    texts: Iterable[str],
    *,
    vocab_size: int,
    style: Style,
    lowercase: bool,
    progress: Progress | None = None,
) -> Tokenizer:
    """The most frequent symbols between white space, ties by code point."""
    normalizer = normalizers.Lowercase() if lowercase else None
    cut = pre_tokenizers.WhitespaceSplit()
    counts = count_words(texts, normalizer=normalizer, pre_tokenizer=cut, progress=progress)
    library = _word_level(counts, vocab_size=vocab_size, style=style)
    if normalizer is not None:
        library.normalizer = normalizer
    library.pre_tokenizer = cut
    return Tokenizer.finish(library, style=style, asked=vocab_size)


def train_spelled_words(
    texts: Iterable[str],
    *,
    vocab_size: int,
    style: Style,
    lowercase: bool,
    progress: Progress | None = None,
) -> Tokenizer:
    """The most frequent words and marks, ties by code point; "(U.N.-led)," is ( U.N.-led ) , ."""
    normalizer = normalizers.Lowercase() if lowercase else None
    cut = pre_tokenizers.Split(Regex(SPELLED_WORD), behavior="removed", invert=True)
    counts = count_words(texts, normalizer=normalizer, pre_tokenizer=cut, progress=progress)
    library = _word_level(counts, vocab_size=vocab_size, style=style)
    if normalizer is not None:
        library.normalizer = normalizer
    library.pre_tokenizer = cut
    return Tokenizer.finish(library, style=style, asked=vocab_size)


def words_tokenizer(words: Sequence[str], *, style: Style) -> Tokenizer:
    """A tokenizer of these words between white space, in the order of their ids.

    words: the style's tokens among them.
    """
    vocab = {word: i for i, word in enumerate(words)}
    library = Library(models.WordLevel(vocab, unk_token=style.roles["unk"]))
    library.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return Tokenizer.finish(library, style=style, asked=len(words))


def _word_level(counts: Mapping[str, int], *, vocab_size: int, style: Style) -> Library:
    room = vocab_size - len(style.tokens)
    if room < 1:
        raise TokenizerError(
            f"vocab_size={vocab_size} must exceed the {len(style.tokens)} special tokens; "
            f"ask for at least {len(style.tokens) + 1}"
        )
    special = set(style.tokens)
    ranked = sorted(counts, key=lambda symbol: (-counts[symbol], symbol))
    learned = [symbol for symbol in ranked if symbol not in special][:room]
    vocab = {token: i for i, token in enumerate(style.arrange(learned))}
    return Library(models.WordLevel(vocab, unk_token=style.roles["unk"]))
