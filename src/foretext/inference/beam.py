"""Beam search: the likeliest continuations, a fixed number of candidates at a time.

Papers: Wu et al. 2016, https://arxiv.org/abs/1609.08144, section 7 (length penalty); Brown et al.
2020 (GPT-3), section 2.4 (4 beams, alpha 0.6). As in tensor2tensor: of twice as many candidates as
beams, those that end are kept apart, and a search goes on while a beam could still overtake the
results. Deviation: an unfinished beam counts as a result when there is no more room, which is
Hugging Face's rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from foretext.inference.config import Generation
from foretext.inference.decoding import OUT, length_penalty
from foretext.inference.reader import Prompt, Reader


@dataclass(frozen=True, kw_only=True)
class _Beam:
    ids: list[int]
    total: float  # sum of constrained log-probabilities: what is compared
    logprob: float  # sum of the model's own
    row: int  # where its parent lies in the cache


@dataclass(kw_only=True)
class _Search:
    """One prompt's search."""

    prompt: Prompt
    alive: list[_Beam]
    results: list[tuple[float, Generation]] = field(default_factory=list)  # best first


def beam_search(reader: Reader, prompts: Sequence[Prompt]) -> list[list[Generation]]:
    """The num_samples best continuations of each prompt, best first."""
    searches = [
        _Search(prompt=prompt, alive=[_Beam(ids=[], total=0.0, logprob=0.0, row=row)])
        for row, prompt in enumerate(prompts)
    ]
    cache = reader.model.new_cache()
    logits = reader.read(cache, [prompt.ids for prompt in prompts])
    active, length = searches, 0
    while active:
        present = [[]] if reader.config.repetition_penalty == 1 else _present(active)
        scores = logits.log_softmax(-1)
        constrained = reader.constrain(scores, present, length)
        first = 0
        for search in active:
            last = first + len(search.alive)
            _grow(reader, search, scores[first:last], constrained[first:last], first)
            first = last
        length += 1
        active = [search for search in active if not _is_over(reader, search)]
        beams = [beam for search in active for beam in search.alive]
        if beams:
            cache.select([beam.row for beam in beams])
            logits = reader.read(cache, [beam.ids[-1:] for beam in beams])
    return [[generation for _, generation in search.results] for search in searches]


def _present(active: list[_Search]) -> list[list[int]]:
    return [search.prompt.ids + beam.ids for search in active for beam in search.alive]


def _grow(reader: Reader, search: _Search, scores: Tensor, constrained: Tensor, first: int) -> None:
    """One more token for each beam: the best go on, those that end become results.

    Args:
        scores, constrained: [beams, vocab] log-probabilities, of the model and to compare.
        first: row of the first beam in the cache.
    """
    config, vocab = reader.config, scores.shape[1]
    totals = constrained + constrained.new_tensor([[beam.total] for beam in search.alive])
    wanted = config.num_beams * (1 + max(1, len(reader.stop_ids)))
    best = totals.flatten().topk(min(wanted, totals.numel()))
    own = scores.flatten()[best.indices].tolist()
    grown: list[_Beam] = []
    for total, index, logprob in zip(best.values.tolist(), best.indices.tolist(), own, strict=True):
        parent, token = divmod(index, vocab)
        if total == OUT:
            break
        before = search.alive[parent]
        beam = _Beam(
            ids=[*before.ids, token],
            total=total,
            logprob=before.logprob + logprob,
            row=first + parent,
        )
        if token in reader.stop_ids or search.prompt.continuation.stopped(beam.ids):
            _finish(reader, search, beam, "stop")
        elif len(beam.ids) == search.prompt.budget:
            _finish(reader, search, beam, "length")
        elif len(grown) < config.num_beams:
            grown.append(beam)
    search.alive = grown


def _finish(reader: Reader, search: _Search, beam: _Beam, reason: str) -> None:
    score = beam.total / length_penalty(len(beam.ids), reader.config.length_penalty)
    generation = Generation(
        text=search.prompt.continuation.text(beam.ids),
        ids=tuple(beam.ids),
        logprob=beam.logprob,
        finish_reason=reason,
    )
    search.results.append((score, generation))
    search.results.sort(key=lambda result: -result[0])
    del search.results[reader.config.num_samples :]


def _is_over(reader: Reader, search: _Search) -> bool:
    """Is there no beam left that could overtake the last of the results?"""
    if not search.alive:
        return True
    if len(search.results) < reader.config.num_samples:
        return False
    # A log-probability only falls; the penalty is monotonic in the length.
    alpha, total = reader.config.length_penalty, search.alive[0].total
    lengths = (len(search.alive[0].ids) + 1, search.prompt.budget)
    bound = max(total / length_penalty(length, alpha) for length in lengths)
    return bound <= search.results[-1][0]
