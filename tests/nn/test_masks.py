"""Masks, written out position by position."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from foretext.core.layout import Layout
from foretext.core.masks import Causal, Full, Mask, Order, Prefix, RightToLeft

QUERIES, KEYS = [3, 1, 5, 5], [7, 4, 5, 5]  # fewer queries than keys in the first two
LAYOUT = Layout.of_lengths(QUERIES, KEYS)
RANKS = [*[0, 0, 5, 1, 3, 2, 4], *[2, 1, 0, 3], *[0, 3, 1, 2, 0], *[4, 3, 2, 1, 0]]
PREFIXES = [5, 0, 2, 5]
Rule = Callable[[int, int, int], bool]  # sequence, query's position, key's position -> seen


def rank(sequence: int, position: int) -> int:
    return RANKS[sum(KEYS[:sequence]) + position]


CASES: list[tuple[Mask, Rule]] = [
    (Full(), lambda *_: True),
    (Causal(), lambda _, q, k: k <= q),
    (Causal(2), lambda _, q, k: q - 2 < k <= q),
    (RightToLeft(), lambda _, q, k: k >= q),
    (Prefix(torch.tensor(PREFIXES)), lambda s, q, k: k < PREFIXES[s] or k <= q),
    (Order(torch.tensor(RANKS), sees_itself=True), lambda s, q, k: rank(s, k) <= rank(s, q)),
    (Order(torch.tensor(RANKS), sees_itself=False), lambda s, q, k: rank(s, k) < rank(s, q)),
]


@pytest.mark.parametrize(("mask", "rule"), CASES, ids=lambda case: type(case).__name__)
def test_a_mask_is_its_rule_at_every_pair_of_positions(mask: Mask, rule: Rule) -> None:
    """The queries are the last of the keys; one sequence at a time, and a stack at once."""
    found = [mask.dense(LAYOUT, sequence) for sequence in range(len(KEYS))]
    for sequence, (queries, keys) in enumerate(zip(QUERIES, KEYS, strict=True)):
        expected = [
            [rule(sequence, keys - queries + q, k) for k in range(keys)] for q in range(queries)
        ]
        assert found[sequence].tolist() == expected
    stack = LAYOUT.stacks[-1]
    together = mask.dense_stack(stack, torch.device("cpu")).expand(2, 5, 5)
    assert torch.equal(together, torch.stack(found[2:]))


def test_queries_elsewhere_have_ranks_of_their_own() -> None:
    """XLNet, section 2.3: queries of the predicted tokens alone."""
    layout = Layout.of_lengths([2, 1], [3, 2])
    mask = Order(
        torch.tensor([2, 0, 1, 0, 1]), sees_itself=False, query_ranks=torch.tensor([2, 0, 1])
    )
    assert mask.dense(layout, 0).tolist() == [[False, True, True], [False, False, False]]
    assert mask.dense(layout, 1).tolist() == [[True, False]]


def test_a_prefix_of_all_or_nothing_is_full_or_causal() -> None:
    layout = Layout.of_lengths([4, 6])
    for lengths, other in (([4, 6], Full()), ([0, 0], Causal()), ([1, 1], Causal())):
        mask = Prefix(torch.tensor(lengths))
        for sequence in range(2):
            assert torch.equal(mask.dense(layout, sequence), other.dense(layout, sequence))


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (Prefix(torch.tensor([1])), r"prefixes of shape \[1\], but the batch has 4 sequences"),
        (Order(torch.tensor([1]), sees_itself=True), r"shape \[1\], but the batch has 21 keys"),
        (
            Order(torch.tensor(RANKS), sees_itself=True, query_ranks=torch.tensor([0, 1])),
            r"shape \[2\], but the batch has 14 queries",
        ),
    ],
)
def test_a_mask_of_other_sequences_is_an_error(mask: Mask, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mask.check(LAYOUT)


@pytest.mark.parametrize("mask", [Causal(), RightToLeft(), Prefix(torch.tensor([1]))])
def test_more_queries_than_keys_have_no_positions(mask: Mask) -> None:
    """Cross-attention to a shorter source takes a full mask, or ranks of the queries."""
    layout = Layout.of_lengths([3], [2])
    with pytest.raises(
        ValueError, match=f"3 queries, but 2 keys; with the mask {type(mask).__name__}"
    ):
        mask.check(layout)
    Full().check(layout)


def test_a_window_of_no_token_is_an_error() -> None:
    with pytest.raises(ValueError, match="window=0 must be at least 1"):
        Causal(0)
