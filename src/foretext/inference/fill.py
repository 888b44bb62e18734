"""What a masked language model puts into a gap, and how likely it finds a text.

Papers: Devlin et al. 2019, section 3.1; Salazar et al. 2020, https://arxiv.org/abs/1910.14659
(pseudo-log-likelihood: each token's log-probability with it alone masked, added up).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from foretext.core.batch import Batch
from foretext.core.errors import ConfigError, DataError
from foretext.inference.reader import evaluating
from foretext.tokenizers import Tokenizer

_TOKENS = 4096  # tokens of a batch; it bounds the memory and changes no result


@dataclass(frozen=True, kw_only=True)
class Filled:
    """One candidate for one mask; the fields of Hugging Face's fill-mask."""

    score: float  # probability, of the whole vocabulary
    token: int
    token_str: str
    sequence: str  # the text with the candidate in place; other masks stay, with [CLS] and [SEP]


@dataclass(frozen=True, kw_only=True)
class PseudoLikelihood:
    """How likely a text is, a token at a time."""

    ids: tuple[int, ...]  # without [CLS] and [SEP]
    logprobs: tuple[float, ...]  # nats, of each token given all others

    @property
    def total(self) -> float:
        """The pseudo-log-likelihood, in nats."""
        return math.fsum(self.logprobs)


def fill(
    model: Any,
    tokenizer: Tokenizer,
    texts: Sequence[str],
    *,
    top_k: int = 5,
    targets: Sequence[str] | None = None,
) -> list[list[list[Filled]]]:
    """The likeliest tokens for every mask.

    Args:
        model: a masked language model (models.bert).
        tokenizer: the model's.
        texts: each with at least one mask token, written as the tokenizer spells it.
        top_k: candidates for each mask.
        targets: words to choose from, each one token; None is the whole vocabulary.

    Returns:
        For each text, for each of its masks, the candidates, likeliest first. Each mask is filled
        by itself, while the others stay masked.

    Raises:
        ConfigError: the tokenizer has no mask token, or top_k is below 1.
        DataError: a text without mask or longer than the model's positions, or a target that is
            not one token.
    """
    mask = _mask_id(tokenizer)
    if top_k < 1:
        raise ConfigError(f"top_k={top_k} must be at least 1; raise it")
    allowed = None if targets is None else [_target_id(tokenizer, word) for word in targets]
    sequences = _framed(model, tokenizer, texts)
    for number, ids in enumerate(sequences):
        if mask not in ids:
            raise DataError(
                f"text {number + 1} has no {tokenizer.token(mask)}; write it where one is missing"
            )
    results: list[list[list[Filled]]] = [[] for _ in sequences]
    order = sorted(range(len(sequences)), key=lambda i: len(sequences[i]))
    jobs = ((i, sequences[i], [p for p, t in enumerate(sequences[i]) if t == mask]) for i in order)
    for i, places, logits in _scored(model, tokenizer, jobs):
        best = _best(logits.softmax(-1), top_k, allowed)
        results[i] = [
            [_filled(tokenizer, sequences[i], place, *candidate) for candidate in candidates]
            for place, candidates in zip(places, best, strict=True)
        ]
    return results


def pseudo_log_likelihood(
    model: Any, tokenizer: Tokenizer, texts: Sequence[str]
) -> list[PseudoLikelihood]:
    """Log-probability of each token of each text, with that token alone masked.

    Costs one reading of a text for each of its tokens; memory does not grow with the texts.

    Args:
        model: a masked language model (models.bert).
        tokenizer: the model's.
        texts: a text without tokens has the total 0.

    Raises:
        ConfigError: the tokenizer has no mask token.
        DataError: a text is longer than the model's positions.
    """
    mask = _mask_id(tokenizer)
    sequences = _framed(model, tokenizer, texts)
    start = int(tokenizer.special.cls is not None)
    stop = int(tokenizer.special.sep is not None)
    logprobs: list[list[float]] = [[] for _ in sequences]

    def jobs() -> Iterator[tuple[int, list[int], list[int]]]:
        for i, ids in enumerate(sequences):
            for place in range(start, len(ids) - stop):
                yield i, [*ids[:place], mask, *ids[place + 1 :]], [place]

    for i, (place,), logits in _scored(model, tokenizer, jobs()):
        logprobs[i].append(float(logits[0].log_softmax(-1)[sequences[i][place]]))
    return [
        PseudoLikelihood(ids=tuple(ids[start : len(ids) - stop]), logprobs=tuple(values))
        for ids, values in zip(sequences, logprobs, strict=True)
    ]


def pseudo_perplexity(results: Iterable[PseudoLikelihood]) -> float:
    """exp of the mean negative log-probability of a token (Salazar et al. 2020, section 2.3).

    Raises:
        DataError: there is no token.
    """
    values = [value for result in results for value in result.logprobs]
    if not values:
        raise DataError("the texts hold no token to score; give at least one word")
    return math.exp(-math.fsum(values) / len(values))


def _mask_id(tokenizer: Tokenizer) -> int:
    if tokenizer.special.mask is None:
        raise ConfigError(
            "this tokenizer has no mask token, so its model cannot fill gaps; use a masked "
            "language model (BERT), or `foretext generate`"
        )
    return tokenizer.special.mask


def _framed(model: Any, tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """Ids of each text between [CLS] and [SEP]."""
    special, limit = tokenizer.special, model.config.max_position_embeddings
    before = [] if special.cls is None else [special.cls]
    after = [] if special.sep is None else [special.sep]
    frame = len(before + after)
    sequences = [[*before, *ids, *after] for ids in tokenizer.encode_batch(texts)]
    for number, ids in enumerate(sequences):
        if len(ids) > limit:
            raise DataError(
                f"text {number + 1} has {len(ids)} tokens, {frame} of them special, but the model "
                f"has {limit} positions; shorten or split it"
            )
    return sequences


def _target_id(tokenizer: Tokenizer, word: str) -> int:
    known = tokenizer.id_of(word)
    if known is not None:
        return known
    ids = tokenizer.encode(word)  # lower case and the like may make it a token
    if len(ids) != 1 or ids[0] == tokenizer.special.unk:
        pieces = " ".join(tokenizer.token(i) for i in ids)
        raise DataError(
            f"target {word!r} is not one token of this tokenizer, but {pieces or 'none'}; "
            "choose a word of its vocabulary"
        )
    return ids[0]


def _scored(
    model: Any, tokenizer: Tokenizer, jobs: Iterable[tuple[int, list[int], list[int]]]
) -> Iterator[tuple[int, list[int], Tensor]]:
    """Read sequences in ragged batches; logits [places, vocab] at the places asked for.

    Args:
        jobs: (label, ids, places).

    Yields:
        (label, places, logits).
    """
    device = next(model.parameters()).device
    for part in _batches(jobs):
        with evaluating(model):
            batch = Batch.of([ids for _, ids, _ in part]).to(device)
            first = batch.offsets.tolist()
            rows = [first[n] + p for n, (_, _, places) in enumerate(part) for p in places]
            hidden = model(batch)[torch.tensor(rows, device=device)]
            logits = model.logits(hidden)[:, : tokenizer.vocab_size].float()
        sizes = [len(places) for _, _, places in part]
        for (label, _, places), scores in zip(part, logits.split(sizes), strict=True):
            yield label, places, scores


def _batches(
    jobs: Iterable[tuple[int, list[int], list[int]]],
) -> Iterator[list[tuple[int, list[int], list[int]]]]:
    part: list[tuple[int, list[int], list[int]]] = []
    held = 0
    for job in jobs:
        if part and held + len(job[1]) > _TOKENS:
            yield part
            part, held = [], 0
        part.append(job)
        held += len(job[1])
    if part:
        yield part


def _best(scores: Tensor, top_k: int, allowed: list[int] | None) -> list[list[tuple[float, int]]]:
    """(probability, id) of the top_k tokens of each row, likeliest first."""
    ids = torch.arange(scores.shape[1]) if allowed is None else torch.tensor(sorted(set(allowed)))
    ids = ids.to(scores.device)
    values, columns = scores[:, ids].topk(min(top_k, len(ids)))
    pairs = zip(values.tolist(), ids[columns].tolist(), strict=True)
    return [list(zip(v, i, strict=True)) for v, i in pairs]


def _filled(tokenizer: Tokenizer, ids: list[int], place: int, score: float, token: int) -> Filled:
    single = ids.count(ids[place]) == 1  # with further masks they must be seen
    return Filled(
        score=score,
        token=token,
        token_str=tokenizer.decode([token], skip_special=False),
        sequence=tokenizer.decode([*ids[:place], token, *ids[place + 1 :]], skip_special=single),
    )
