"""The lattice against enumeration."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np

from foretext.tokenizers.lattice import Lattice, Strings, build_trie
from foretext.tokenizers.unigram import _spell, learn


def segmentations(text: str) -> list[list[str]]:
    """All ways to cut a text."""
    result = []
    for n in range(len(text)):
        for cuts in combinations(range(1, len(text)), n):
            borders = [0, *cuts, len(text)]
            result.append([text[a:b] for a, b in pairwise(borders)])
    return result


def test_expected_counts_are_those_of_enumeration() -> None:
    """Kudo 2018, section 3.2: expectation over all segmentations."""
    words, weights = ["abab", "ba", "babb", "a"], np.array([2.0, 3.0, 1.0, 4.0])
    letters = np.array([ord("a"), ord("b")])
    strings = Strings.of(words, letters)
    trie = build_trie(strings, weights, letters, longest=3)
    pieces = _spell(trie)
    probability = np.random.default_rng(0).random(len(pieces))
    given = dict(zip(pieces, probability, strict=True))
    expected, likelihood, best = dict.fromkeys(pieces, 0.0), 0.0, []
    for word, weight in zip(words, weights, strict=True):
        ways = [way for way in segmentations(word) if all(piece in given for piece in way)]
        chances = [float(np.prod([given[piece] for piece in way])) for way in ways]
        for way, chance in zip(ways, chances, strict=True):
            for piece in way:
                expected[piece] += weight * chance / sum(chances)
        likelihood += weight * np.log(sum(chances))
        best.append(max(chances))
    lattice = Lattice.of(strings, trie)
    counts, found = lattice.expected(probability, weights)
    np.testing.assert_allclose(counts, list(expected.values()), rtol=1e-12)
    np.testing.assert_allclose(found, likelihood, rtol=1e-12)
    np.testing.assert_allclose(lattice.best(probability), best, rtol=1e-12)


def test_fewer_edges_count_as_a_lattice_built_with_them() -> None:
    """Lattice.only keeps the order that the sums need."""
    words, weights = ["abcab", "cab", "bca"], np.ones(3) * 2
    letters = np.array([ord(c) for c in "abc"])
    strings = Strings.of(words, letters)
    trie = build_trie(strings, weights, letters, longest=3)
    probability = np.random.default_rng(0).random(len(trie.counts))
    kept = np.arange(len(trie.counts)) % 3 != 1
    kept[:3] = True
    lattice = Lattice.of(strings, trie)
    some = lattice.only(kept[lattice.piece])
    counts, _ = some.expected(probability, weights)
    same, _ = lattice.expected(np.where(kept, probability, 0.0), weights)
    np.testing.assert_array_equal(counts, same)


def test_trie_counts_are_those_of_str_count() -> None:
    """build_trie: weighted, overlapping occurrences; those below 2 left out but for letters."""
    words, weights = ["aaab", "ab", "cb"], np.array([2.0, 1.0, 1.0])
    letters = np.array([ord(c) for c in "abc"])
    trie = build_trie(Strings.of(words, letters), weights, letters, longest=4)
    counts = dict(zip(_spell(trie), trie.counts.tolist(), strict=True))
    assert counts == {
        "a": 7.0,
        "b": 4.0,
        "c": 1.0,
        "aa": 4.0,
        "ab": 3.0,
        "aaa": 2.0,
        "aab": 2.0,
        "aaab": 2.0,
    }
    # "aaa" always goes on to "aaab": no seed.
    assert not trie.maximal[list(counts).index("aaa")]
    assert trie.maximal[list(counts).index("aaab")]


def test_frequent_words_become_pieces_and_probabilities_sum_to_one() -> None:
    runs = {"▁the": 50, "▁cat": 30, "▁that": 5, "▁heat": 3}
    scores = learn(dict(sorted(runs.items())), size=9)
    assert len(scores) == 9
    assert {"▁the", "▁cat"} <= scores.keys()
    assert abs(sum(np.exp(list(scores.values()))) - 1) < 1e-6
