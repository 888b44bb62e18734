"""Unigram language-model pieces, the kind of ALBERT, XLNet and T5: `▁` marks a space.

Paper: Kudo 2018, https://arxiv.org/abs/1804.10959, section 3.2.
Deviations: the library's own trainer gives other results on every run (measured: hash-map order
decides ties and float sums), so the expectation-maximisation is here, in numpy, over counted words
in a fixed order. Expected counts are normalised as they are (no Bayesian smoothing), and what a
piece is worth is its expected count times the log-ratio to the best way of spelling it without it.
As in SentencePiece no piece mixes letters, digits and other signs, and a substring that always goes
on with the same letter is no seed. Text is NFC, not NFKC, which would turn Korean letters into
jamo; white space is one space, as in T5's layout.
"""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from itertools import groupby

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer as Library
from tokenizers import decoders, models, normalizers, pre_tokenizers

from foretext.tokenizers.base import Tokenizer
from foretext.tokenizers.counting import (
    Progress,
    check_room,
    count_characters,
    count_words,
    covering,
)
from foretext.tokenizers.lattice import MAX_LENGTH, Floats, Lattice, Strings, Trie, build_trie
from foretext.tokenizers.special import Style

SPACE = "▁"
LONGEST_PIECE = 16  # characters, as in SentencePiece
SEEDS = 8  # seed pieces for each piece wanted
SHRINK = 0.75  # share of the pieces that survives a round
EM_STEPS = 2  # between two rounds of pruning
_LEAST = 0.01  # expected count below which a character never falls


def train(
    texts: Iterable[str],
    *,
    vocab_size: int,
    style: Style,
    lowercase: bool,
    progress: Progress | None = None,
) -> Tokenizer:
    """Learn pieces and their log-probabilities; see `foretext.tokenizers.train`."""
    lower = [normalizers.Lowercase()] if lowercase else []
    normalizer = normalizers.Sequence([*lower, normalizers.NFC()])
    mark = pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="always", split=True)
    cut = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), mark])
    words = count_words(texts, normalizer=normalizer, pre_tokenizer=cut, progress=progress)
    alphabet = covering(count_characters(words))
    check_room(vocab_size, specials=len(style.tokens), alphabet=len(alphabet))
    scores = learn(_runs(words, frozenset(alphabet)), size=vocab_size - len(style.tokens))
    for token in style.tokens:
        scores.pop(token, None)
    learned = sorted(scores, key=lambda piece: (-scores[piece], piece))
    vocab = [(token, scores.get(token, 0.0)) for token in style.arrange(learned)]
    unk = next(i for i, (token, _) in enumerate(vocab) if token == style.roles["unk"])
    library = Library(models.Unigram(vocab, unk_id=unk, byte_fallback=False))
    library.normalizer = normalizer
    library.pre_tokenizer = cut
    library.decoder = decoders.Metaspace(replacement=SPACE, prepend_scheme="always", split=True)
    return Tokenizer.finish(library, style=style, asked=vocab_size)


@cache
def _sort_of(character: str) -> str:
    """L letters and marks, N digits, S the space mark, O the rest."""
    if character == SPACE:
        return "S"
    category = unicodedata.category(character)[0]
    return {"L": "L", "M": "L", "N": "N"}.get(category, "O")


def _runs(words: Mapping[str, int], alphabet: frozenset[str]) -> dict[str, int]:
    """The stretches of a word that one piece may cover, cut to `MAX_LENGTH` characters, counted."""
    counts: Counter[str] = Counter()
    for word, count in words.items():
        mark = ""
        for (known, sort), run in groupby(word, lambda c: (c in alphabet, _sort_of(c))):
            text = mark + "".join(run)
            mark = ""
            if known and sort == "S":
                mark, text = text[-1:], text[:-1]
            if known:
                for i in range(0, len(text), MAX_LENGTH):
                    counts[text[i : i + MAX_LENGTH]] += count
        if mark:
            counts[mark] += count
    return dict(sorted(counts.items()))


def learn(runs: Mapping[str, int], *, size: int) -> dict[str, float]:
    """Log-probability (nats) of `size` pieces, or of fewer if there are no more seeds.

    Args:
        runs: strings of at most `MAX_LENGTH` characters with their counts, in a fixed order; all
            their characters become pieces.
        size: pieces wanted, no fewer than there are characters.
    """
    letters = np.array(sorted({ord(c) for run in runs for c in run}), dtype=np.int64)
    strings = Strings.of(list(runs), letters)
    weights = np.array(list(runs.values()), dtype=np.float64)
    trie = build_trie(strings, weights, letters, longest=LONGEST_PIECE)
    spelling = _spell(trie)
    kept = _seeds(trie, spelling, size=size)
    single = np.arange(len(kept)) < len(letters)  # the trie's first level
    lattice = Lattice.of(strings, trie)
    seeds = np.flatnonzero(kept)
    inner = Lattice.of(Strings.of([spelling[i] for i in seeds], letters), trie)
    itself = seeds[inner.owner[inner.start]] == inner.piece
    inner = inner.only(~itself | single[inner.piece])
    counts = np.where(kept, trie.counts, 0.0)
    while True:
        lattice = lattice.only(kept[lattice.piece])
        for _ in range(EM_STEPS):
            probability = _normalised(counts, single)
            counts, _ = lattice.expected(probability, weights)
        num_kept = int(kept.sum())
        if num_kept <= size:
            break
        inner = inner.only(kept[inner.piece])
        probability, instead = _normalised(counts, single), np.zeros(len(kept))
        instead[seeds] = inner.best(probability)
        worth = np.where(single, np.inf, _worth(probability, counts, instead))
        worth[~kept] = -np.inf
        kept = np.zeros(len(kept), dtype=np.bool_)
        kept[np.argsort(-worth, kind="stable")[: max(size, int(SHRINK * num_kept))]] = True
        counts = np.where(kept, counts, 0.0)
    probability = _normalised(np.where(kept, np.maximum(counts, _LEAST), 0.0), single)
    # Rounded: the last bits of a logarithm differ from machine to machine.
    return {spelling[i]: round(math.log(probability[i]), 8) for i in np.flatnonzero(kept)}


def _normalised(counts: Floats, single: NDArray[np.bool_]) -> Floats:
    counts = np.where(single, np.maximum(counts, _LEAST), counts)
    return counts / counts.sum()


def _spell(trie: Trie) -> list[str]:
    """The string of every node."""
    spelling: list[str] = []
    for level, keys in enumerate(trie.keys):
        prefixes, letters = np.divmod(keys, len(trie.letters))
        last = map(chr, trie.letters[letters].tolist())
        if level == 0:
            spelling.extend(last)
        else:
            spelling.extend([spelling[p] + c for p, c in zip(prefixes.tolist(), last, strict=True)])
    return spelling


def _seeds(trie: Trie, spelling: list[str], *, size: int) -> NDArray[np.bool_]:
    """All characters, and the substrings that cover most text."""
    lengths = np.array([len(s) for s in spelling], dtype=np.float64)
    single = lengths == 1
    cover = np.where(single, np.inf, np.where(trie.maximal, trie.counts * lengths, 0.0))
    order = np.argsort(-cover, kind="stable")[: int(single.sum()) + SEEDS * size]
    kept = np.zeros(len(spelling), dtype=np.bool_)
    kept[order] = cover[order] > 0
    return kept


def _worth(probability: Floats, counts: Floats, instead: Floats) -> Floats:
    """Likelihood in nats that the text loses without each piece, spelled `instead` [pieces]."""
    used = (counts > 0) & (instead > 0)
    worth = np.zeros(len(counts))
    worth[used] = counts[used] * np.log(probability[used] / instead[used])
    return worth
