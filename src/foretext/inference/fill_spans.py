"""What a model trained by span corruption puts in place of sentinels.

    The <extra_id_0> walks in <extra_id_1> park.   ->   <extra_id_0> cute dog <extra_id_1> the

Paper: Raffel et al. 2020, section 3.1.4 and figure 2. A gap may take any number of tokens, so the
candidates are those of a beam search over whole targets, and a score is a share of their
probability, not of all texts'.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from foretext.core.errors import ConfigError, DataError
from foretext.inference.config import Generation, GenerationConfig
from foretext.inference.fill import Filled, fill
from foretext.inference.generate import generate
from foretext.inference.reader import Translator
from foretext.tokenizers import Tokenizer

_TOKENS_A_GAP = 10  # at most on average, the sentinel included
_BEAMS = 4  # at least


def fill_spans(
    model: Any, tokenizer: Tokenizer, texts: Sequence[str], *, top_k: int = 5
) -> list[list[list[Filled]]]:
    """The likeliest texts for every sentinel.

    Args:
        model: from source to target.
        tokenizer: the model's.
        texts: each with <extra_id_0>, and perhaps <extra_id_1>, ... in order.
        top_k: candidates for each sentinel, fewer where the search finds fewer.

    Returns:
        For each text, for each of its sentinels, the candidates, likeliest first; `token` is the
        first of a candidate's, the end-of-text token's id where it is empty.

    Raises:
        ConfigError: the tokenizer has no sentinels, or top_k is below 1.
        DataError: a text without sentinel, or with others than the first ones in order.
    """
    if not tokenizer.sentinel_ids:
        raise ConfigError(
            "this tokenizer has no sentinels <extra_id_0>, ..., so its model cannot fill gaps; use "
            "a model that was trained by span corruption"
        )
    if top_k < 1:
        raise ConfigError(f"top_k={top_k} must be at least 1; raise it")
    results = []
    beams = max(top_k, _BEAMS)
    for number, text in enumerate(texts, 1):
        ids = tokenizer.encode(text)
        gaps = _gaps(tokenizer, ids, number)
        config = GenerationConfig(
            max_new_tokens=_TOKENS_A_GAP * (gaps + 1), num_beams=beams, num_samples=beams
        )
        (found,) = generate(model, tokenizer, [text], config=config)
        results.append([_candidates(tokenizer, ids, gap, found)[:top_k] for gap in range(gaps)])
    return results


def fill_gaps(
    model: Any,
    tokenizer: Tokenizer,
    texts: Sequence[str],
    *,
    top_k: int = 5,
    targets: Sequence[str] | None = None,
) -> list[list[list[Filled]]]:
    """As fill for a masked language model, and as fill_spans for a model from source to target.

    Raises:
        ConfigError: also, words to choose from are given to the latter.
    """
    if not isinstance(model, Translator):
        return fill(model, tokenizer, texts, top_k=top_k, targets=targets)
    if targets is not None:
        raise ConfigError(
            f"this model writes what is missing in its own words; leave out {', '.join(targets)}"
        )
    return fill_spans(model, tokenizer, texts, top_k=top_k)


def _gaps(tokenizer: Tokenizer, ids: Sequence[int], number: int) -> int:
    sentinels = tokenizer.sentinel_ids
    found = [sentinels.index(i) for i in ids if i in sentinels]
    if not found:
        raise DataError(
            f"text {number} has no {tokenizer.token(sentinels[0])}; write it where something is "
            "missing"
        )
    if found != list(range(len(found))):
        said = ", ".join(tokenizer.token(sentinels[i]) for i in found[:5])
        raise DataError(
            f"text {number} has the sentinels {said}; number them from 0 in the order in which "
            "they stand"
        )
    return len(found)


def spans_of(tokenizer: Tokenizer, ids: Sequence[int]) -> dict[int, list[int]]:
    """What a target says of each sentinel, by its number; the first time that it is named."""
    sentinels = {token: number for number, token in enumerate(tokenizer.sentinel_ids)}
    spans: dict[int, list[int]] = {}
    current: list[int] = []
    for token in ids:
        if token == tokenizer.special.eos:
            break
        if token in sentinels:
            number, current = sentinels[token], []
            spans.setdefault(number, current)
        else:
            current.append(token)
    return spans


def _candidates(
    tokenizer: Tokenizer, ids: list[int], gap: int, found: Sequence[Generation]
) -> list[Filled]:
    """The different fillings of one gap; targets that agree on it add up."""
    shares = torch.tensor([one.logprob for one in found], dtype=torch.float64).softmax(0).tolist()
    totals: dict[tuple[int, ...], float] = {}
    others: dict[tuple[int, ...], dict[int, list[int]]] = {}
    for one, share in zip(found, shares, strict=True):
        spans = spans_of(tokenizer, one.ids)
        mine = tuple(spans.get(gap, ()))
        totals[mine] = totals.get(mine, 0.0) + share
        others.setdefault(mine, spans)
    ranked = sorted(totals.items(), key=lambda item: -item[1])
    return [
        Filled(
            score=score,
            token=mine[0] if mine else tokenizer.special.eos or 0,
            token_str=tokenizer.decode(mine),
            sequence=tokenizer.decode(_filled(tokenizer, ids, others[mine])),
        )
        for mine, score in ranked
    ]


def _filled(tokenizer: Tokenizer, ids: Sequence[int], spans: dict[int, list[int]]) -> list[int]:
    sentinels = {token: number for number, token in enumerate(tokenizer.sentinel_ids)}
    filled: list[int] = []
    for token in ids:
        filled += spans.get(sentinels[token], []) if token in sentinels else [token]
    return filled
