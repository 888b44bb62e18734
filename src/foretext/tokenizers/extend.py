"""New tokens for a tokenizer that exists: the words of a text that cost it the most pieces.

A new token stands for a whole word and never appears inside another one; tokens that were there
keep their ids, and every other word its pieces. How depends on the kind. WordPiece: an added token
that matches normalised text between word borders. Byte-level BPE: an entry of the vocabulary
without merges, which `ignore_merges` finds for whole words alone. Unigram: a piece as likely as its
own pieces together, so it replaces them where they stood side by side, at the start of a longer
word too. All three are in tokenizer.json, so that other tools give the same ids.

Papers: Hong et al. 2021 (AVocaDo), https://arxiv.org/abs/2110.13434, for adding a domain's words to
a trained vocabulary; Manku & Motwani 2002 for counting in bounded memory.
Deviations: words are chosen by the pieces they save, count * (pieces - 1), not by AVocaDo's
regularised fragment score.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tokenizers import AddedToken
from tokenizers import Tokenizer as Library

from foretext.core.errors import TokenizerError
from foretext.tokenizers.base import Tokenizer
from foretext.tokenizers.components import guarded
from foretext.tokenizers.counting import Progress, count_words

MIN_COUNT = 5  # of a learned word: fewer occurrences do not train an embedding
_CHUNK = 1 << 24  # characters counted at once
_MAX_WORDS = 1 << 20  # different words kept between chunks; the rarest half goes when they are more
_MAX_LENGTH = 100  # characters of a token; WordPiece reads no longer word
_UNIGRAM_BONUS = 1e-4  # nats; what makes a piece likelier than its own pieces


@dataclass(frozen=True, kw_only=True)
class NewToken:
    """A word that becomes a token."""

    token: str  # as the vocabulary spells it
    word: str  # as a reader does
    count: int  # in the text; 0 where it was named, not counted
    pieces: tuple[str, ...]  # what it was until now

    @property
    def saved(self) -> int:
        """Pieces that the text becomes shorter by."""
        return self.count * (len(self.pieces) - 1)


def check_extendable(tokenizer: Tokenizer) -> None:
    """Refuse a tokenizer that cannot have further whole words.

    Raises:
        TokenizerError: says why.
    """
    model = tokenizer.description["model"]
    if tokenizer.kind not in _EXTEND:
        raise TokenizerError(
            f"a tokenizer of kind {tokenizer.kind} has no pieces to join, so it can have no new "
            f"tokens; the kinds that can are {', '.join(_EXTEND)}"
        )
    if model.get("end_of_word_suffix") or (
        tokenizer.kind != "wordpiece" and model.get("continuing_subword_prefix")
    ):
        raise TokenizerError(
            "this tokenizer marks the pieces of a word (GPT-1's </w>), so no whole word can be "
            "added without merges that change other words; set task.new_tokens=0"
        )


def learn_tokens(
    tokenizer: Tokenizer,
    texts: Iterable[str],
    *,
    limit: int,
    progress: Progress | None = None,
) -> list[NewToken]:
    """The words that save the most pieces as tokens, best first.

    Words are counted by streaming; ties go by code points, so the same texts give the same tokens.

    Args:
        tokenizer: whose pieces count.
        texts: documents, read once.
        limit: tokens at most.
        progress: called with the number of UTF-8 bytes read since the call before.

    Raises:
        TokenizerError: the tokenizer cannot be extended, or the texts hold no word.
    """
    check_extendable(tokenizer)
    library = _library(tokenizer)
    found = []
    counts = _counts(library, texts, progress)
    for token, count in (_bare(counts) if tokenizer.kind == "unigram" else counts).items():
        if count >= MIN_COUNT and (new := _new(tokenizer, library, token, count)) is not None:
            found.append(new)
    found.sort(key=lambda new: (-new.saved, new.token))
    kept = _matched(tokenizer, found[: limit + limit // 4 + 8])
    return kept[:limit]


def named_tokens(tokenizer: Tokenizer, words: Iterable[tuple[str, str]]) -> list[NewToken]:
    """Words of a list as new tokens, in its order; those that are tokens already are left out.

    Args:
        tokenizer: to be extended.
        words: (where it is written, the word).

    Raises:
        TokenizerError: the tokenizer cannot be extended, or cuts an entry into several words.
    """
    check_extendable(tokenizer)
    library = _library(tokenizer)
    found: dict[str, NewToken] = {}
    for where, word in words:
        cut = _words(library, f" {word.strip()}")
        if len(cut) != 1:
            raise TokenizerError(
                f"{where}: {word.strip()[:60]!r} is {len(cut)} words to this tokenizer; give one "
                "word a line, without spaces or punctuation"
            )
        new = _new(tokenizer, library, cut[0], 0)
        if new is not None:
            found.setdefault(new.token, new)
    return _matched(tokenizer, list(found.values()))


def refused(
    tokenizer: Tokenizer, words: Iterable[tuple[str, str]], added: Iterable[NewToken]
) -> list[str]:
    """Why named_tokens left words of its list out, a line each.

    Args:
        tokenizer: to be extended.
        words: (where it is written, the word), each one word to the tokenizer.
        added: what named_tokens found.
    """
    library, tokens = _library(tokenizer), {new.token for new in added}
    lines = []
    for where, word in words:
        (token,) = _words(library, f" {word.strip()}")
        if token in tokens:
            continue
        if tokenizer.id_of(token) is not None:
            reason = "is a token already"
        elif not any(c.isalpha() for c in word):
            reason = "holds no letter, and signs and numbers keep their pieces"
        elif len(token) > _MAX_LENGTH:
            reason = f"is longer than {_MAX_LENGTH} characters"
        else:
            reason = "would never be found: its script has no borders between words"
        lines.append(f"{where}: {word.strip()[:60]!r} is not added: it {reason}")
    return lines


def extend(tokenizer: Tokenizer, tokens: Sequence[str]) -> Tokenizer:
    """A tokenizer with further tokens for whole words; those it has keep their ids.

    Args:
        tokenizer: stays as it is.
        tokens: as the vocabulary spells them; the first gets the id tokenizer.vocab_size.

    Raises:
        TokenizerError: the tokenizer cannot be extended, or has one of the tokens already.
    """
    check_extendable(tokenizer)
    for token in tokens:
        if tokenizer.id_of(token) is not None:
            raise TokenizerError(f"the tokenizer has the token {token[:60]!r} already; drop it")
    if not tokens:
        return tokenizer
    library = _EXTEND[tokenizer.kind](tokenizer, tokens)
    limit = tokenizer.max_length
    return Tokenizer(library, roles=tokenizer.roles, note=tokenizer.note, max_length=limit)


def pieces_of(tokenizer: Tokenizer, tokens: Sequence[str]) -> list[list[int]]:
    """Ids of the pieces that each word, as a vocabulary spells it, has in a tokenizer."""
    library = _library(tokenizer)
    return [[piece.id for piece in _tokenize(library, token)] for token in tokens]


def _library(tokenizer: Tokenizer) -> Library:
    return Library.from_str(json.dumps(tokenizer.description))


def _tokenize(library: Library, token: str) -> list[Any]:
    return guarded(lambda: library.model.tokenize(token), f"{token[:60]!r} cannot be tokenised")


def _words(library: Library, text: str) -> list[str]:
    """The words of a text as the vocabulary spells them."""
    if library.normalizer is not None:
        text = library.normalizer.normalize_str(text)
    return [word for word, _ in library.pre_tokenizer.pre_tokenize_str(text)]


def _text(library: Library, token: str) -> str:
    """A text whose only token it is, with its leading space."""
    return token if library.decoder is None else str(library.decoder.decode([token]))


def _new(tokenizer: Tokenizer, library: Library, token: str, count: int) -> NewToken | None:
    """The word as a new token; None if it is a token, unreadable, or no word."""
    if len(token) > _MAX_LENGTH or tokenizer.id_of(token) is not None:
        return None
    word = _text(library, token).strip()
    if "\ufffd" in word or not any(c.isalpha() for c in word):
        return None
    pieces = tuple(piece.value for piece in _tokenize(library, token))
    if len(pieces) == 1:  # unknown as a whole: it costs its meaning, which counts as one piece more
        pieces *= 2
    return NewToken(token=token, word=word, count=count, pieces=pieces)


def _matched(tokenizer: Tokenizer, found: list[NewToken]) -> list[NewToken]:
    """Those that their own tokenizer finds: some scripts' words have no borders it would see."""
    extended = extend(tokenizer, [new.token for new in found])
    library = _library(extended)
    encoded = extended.encode_batch([_text(library, new.token) for new in found])
    return [
        new for new, ids in zip(found, encoded, strict=True) if ids == [extended.id_of(new.token)]
    ]


def _counts(library: Library, texts: Iterable[str], progress: Progress | None) -> Mapping[str, int]:
    """Words and their counts. Beyond _MAX_WORDS the rarest are forgotten between chunks."""
    total: dict[str, int] = {}
    for chunk in _chunks(texts):
        counted = count_words(
            chunk,
            normalizer=library.normalizer,
            pre_tokenizer=library.pre_tokenizer,
            progress=progress,
        )
        for word, count in counted.items():
            total[word] = total.get(word, 0) + count
        if len(total) > _MAX_WORDS:
            floor = sorted(total.values(), reverse=True)[_MAX_WORDS // 2]
            total = {word: count for word, count in total.items() if count > floor}
    return total


def _bare(counts: Mapping[str, int]) -> dict[str, int]:
    """Words without the punctuation that a cut at white space leaves at their ends."""
    bare: dict[str, int] = {}
    for word, count in counts.items():
        end = len(word)
        while end and not word[end - 1].isalnum():
            end -= 1
        bare[word[:end]] = bare.get(word[:end], 0) + count
    return bare


def _chunks(texts: Iterable[str]) -> Iterator[list[str]]:
    chunk: list[str] = []
    held = 0
    for text in texts:
        chunk.append(text)
        held += len(text)
        if held >= _CHUNK:
            yield chunk
            chunk, held = [], 0
    if chunk:
        yield chunk


def _extend_wordpiece(tokenizer: Tokenizer, tokens: Sequence[str]) -> Library:
    library = _library(tokenizer)
    library.add_tokens([AddedToken(t, single_word=True, normalized=True) for t in tokens])
    return library


def _extend_bpe(tokenizer: Tokenizer, tokens: Sequence[str]) -> Library:
    content = copy.deepcopy(tokenizer.description)
    vocab = content["model"]["vocab"]
    for added in content["added_tokens"]:  # their ids must not be given to others
        vocab.setdefault(added["content"], added["id"])
    vocab |= {token: tokenizer.vocab_size + i for i, token in enumerate(tokens)}
    content["model"]["ignore_merges"] = True
    return Library.from_str(json.dumps(content))


def _extend_unigram(tokenizer: Tokenizer, tokens: Sequence[str]) -> Library:
    content = copy.deepcopy(tokenizer.description)
    vocab = content["model"]["vocab"]
    scores = dict(vocab)
    worst = min(scores.values()) - 10.0  # of an unknown character, as the library has it
    library = _library(tokenizer)
    vocab += [[tokenizer.token(i), 0.0] for i in range(len(vocab), tokenizer.vocab_size)]
    for token in tokens:
        pieces = _tokenize(library, token)
        own = sum(scores.get(piece.value, worst) for piece in pieces)
        vocab.append([token, own + _UNIGRAM_BONUS])
    return Library.from_str(json.dumps(content))


_EXTEND: dict[str, Callable[[Tokenizer, Sequence[str]], Library]] = {
    "wordpiece": _extend_wordpiece,
    "byte-bpe": _extend_bpe,
    "bpe": _extend_bpe,
    "unigram": _extend_unigram,
}
