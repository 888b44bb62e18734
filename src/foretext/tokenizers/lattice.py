"""The ways to cut strings into known pieces, all strings at once, in numpy.

Nodes are the borders between characters, edges the pieces that fit between two of them. Sums run in
a fixed order and use products and sums of probabilities alone, so that the same input gives the
same bits; strings are short enough (`MAX_LENGTH`) for plain floating point.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MAX_LENGTH = 24  # characters of a string; probabilities above 1e-10 then stay above 1e-240

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Trie:
    """Every substring that occurs twice or more; level L-1 holds those of L characters.

    Attributes:
        letters: code points, sorted.
        keys: of each level, node of the prefix * len(letters) + last letter, sorted.
        first: number of the first node of each level.
        counts: occurrences of each node, weighted. [nodes]
        maximal: False if it always goes on with the same letter. [nodes]
    """

    letters: Ints
    keys: list[Ints]
    first: list[int]
    counts: Floats
    maximal: NDArray[np.bool_]


@dataclass(frozen=True)
class Strings:
    """Strings one after another: letters [characters], first character and length of each."""

    letters: Ints
    begin: Ints
    length: Ints

    @classmethod
    def of(cls, strings: Sequence[str], letters: Ints) -> Strings:
        length = np.array([len(s) for s in strings], dtype=np.int64)
        points = np.frombuffer("".join(strings).encode("utf-32-le"), dtype=np.uint32)
        begin = np.concatenate([[0], np.cumsum(length)[:-1]]).astype(np.int64)
        return cls(np.searchsorted(letters, points.astype(np.int64)), begin, length)

    def remaining(self) -> Ints:
        """Characters from each one to the end of its string, itself included."""
        ends = np.repeat(self.begin + self.length, self.length)
        return ends - np.arange(len(self.letters))

    def owner(self) -> Ints:
        """Number of the string of each character."""
        return np.repeat(np.arange(len(self.length)), self.length)


def build_trie(strings: Strings, weights: Floats, letters: Ints, *, longest: int) -> Trie:
    """Count all substrings of up to `longest` characters, weighted; those below 2 are left out."""
    keys: list[Ints] = []
    first: list[int] = []
    counts: list[Floats] = []
    maximal: list[NDArray[np.bool_]] = []
    remaining, weight = strings.remaining(), weights[strings.owner()]
    at = np.arange(len(strings.letters))
    prefix = np.zeros(len(at), dtype=np.int64)
    for length in range(1, longest + 1):
        inside = remaining[at] >= length
        at, prefix = at[inside], prefix[inside]
        key = prefix * len(letters) + strings.letters[at + length - 1]
        found, number = np.unique(key, return_inverse=True)
        count = np.bincount(number, weights=weight[at], minlength=len(found)).astype(float)
        frequent = (count >= 2) | (length == 1)
        if not frequent.any():
            break
        if counts:
            most = np.zeros(len(counts[-1]))
            np.maximum.at(most, found // len(letters) - first[-1], count)
            maximal[-1] = most < counts[-1]
        first.append(first[-1] + len(counts[-1]) if first else 0)
        keys.append(found[frequent])
        counts.append(count[frequent])
        maximal.append(np.ones(int(frequent.sum()), dtype=np.bool_))
        stays = frequent[number]
        at = at[stays]
        prefix = first[-1] + (np.cumsum(frequent) - 1)[number[stays]]
    return Trie(letters, keys, first, np.concatenate(counts), np.concatenate(maximal))


class Lattice:
    """Edges of all strings: from node, to node, trie node of the piece between them."""

    def __init__(self, strings: Strings, start: Ints, stop: Ints, piece: Ints) -> None:
        self.strings = strings
        owner = np.arange(len(strings.length))
        self.first_node = strings.begin + owner
        self.last_node = self.first_node + strings.length
        self.num_nodes = int(strings.length.sum()) + len(owner)
        self.depth = np.arange(self.num_nodes) - np.repeat(self.first_node, strings.length + 1)
        self.owner = np.repeat(owner, strings.length + 1)
        order = np.lexsort((stop, self.depth[stop]))
        self._set(start[order], stop[order], piece[order])
        self._set_levels(np.lexsort((self.start, self.depth[self.start])))

    def _set(self, start: Ints, stop: Ints, piece: Ints) -> None:
        self.start, self.stop, self.piece = start, stop, piece

    def _set_levels(self, backward: Ints) -> None:
        """Group the edges by depth: forward in their own order, by where they stop, and `backward`
        by where they start."""
        self._order = backward
        self._forward = self._levels(self.stop, np.arange(len(self.stop)))
        self._backward = self._levels(self.start[backward], backward)[::-1]

    def _levels(self, node: Ints, edges: Ints) -> list[tuple[Ints, Ints, Ints]]:
        """Of each depth: its edges, where among them those of a node begin, the nodes."""
        cuts = np.flatnonzero(np.diff(self.depth[node])) + 1
        levels = []
        for part, nodes in zip(np.split(edges, cuts), np.split(node, cuts), strict=True):
            begins = np.flatnonzero(np.diff(nodes, prepend=-1))
            levels.append((part, begins, nodes[begins]))
        return levels

    @classmethod
    def of(cls, strings: Strings, trie: Trie) -> Lattice:
        """All trie nodes as pieces, found in the strings."""
        remaining, owner = strings.remaining(), strings.owner()
        at = np.arange(len(strings.letters))
        prefix = np.zeros(len(at), dtype=np.int64)
        edges: list[tuple[Ints, Ints, Ints]] = []
        for length, (keys, first) in enumerate(zip(trie.keys, trie.first, strict=True), start=1):
            inside = remaining[at] >= length
            at, prefix = at[inside], prefix[inside]
            key = prefix * len(trie.letters) + strings.letters[at + length - 1]
            where = np.minimum(np.searchsorted(keys, key), len(keys) - 1)
            known = keys[where] == key
            at, prefix = at[known], first + where[known]
            start = at + owner[at]
            edges.append((start, start + length, prefix))
        start, stop, piece = (np.concatenate(parts) for parts in zip(*edges, strict=True))
        return cls(strings, start, stop, piece)

    def only(self, edges: NDArray[np.bool_]) -> Lattice:
        """The same strings with some of the edges."""
        result = copy(self)
        result._set(self.start[edges], self.stop[edges], self.piece[edges])
        renumbered = np.cumsum(edges) - 1
        result._set_levels(renumbered[self._order[edges[self._order]]])
        return result

    def expected(self, probability: Floats, weights: Floats) -> tuple[Floats, float]:
        """Expected count of each piece [pieces], and the log-likelihood in nats.

        Args:
            probability: of each piece [pieces].
            weights: how often each string counts [strings].
        """
        p = probability[self.piece]
        alpha, beta = np.zeros(self.num_nodes), np.zeros(self.num_nodes)
        alpha[self.first_node] = beta[self.last_node] = 1.0
        for edges, begins, nodes in self._forward:
            alpha[nodes] = np.add.reduceat(alpha[self.start[edges]] * p[edges], begins)
        for edges, begins, nodes in self._backward:
            beta[nodes] = np.add.reduceat(beta[self.stop[edges]] * p[edges], begins)
        total = alpha[self.last_node]
        share = (weights / total)[self.owner[self.start]]
        posterior = alpha[self.start] * p * beta[self.stop] * share
        counts = np.bincount(self.piece, weights=posterior, minlength=len(probability)).astype(
            float
        )
        return counts, float(np.dot(weights, np.log(total)))

    def best(self, probability: Floats) -> Floats:
        """Probability of the best way to cut each string [strings]."""
        p = probability[self.piece]
        alpha = np.zeros(self.num_nodes)
        alpha[self.first_node] = 1.0
        for edges, begins, nodes in self._forward:
            alpha[nodes] = np.maximum.reduceat(alpha[self.start[edges]] * p[edges], begins)
        return alpha[self.last_node]
