"""Beam search: the likeliest continuations, a fixed number of candidates at a time.

Papers: Wu et al. 2016, https://arxiv.org/abs/1609.08144, section 7 (length penalty); Brown et al.
2020 (GPT-3), section 2.4 (4 beams, alpha 0.6). As in tensor2tensor: of twice as many candidates as
beams, those that end are kept apart, and a search goes on while a beam could still overtake the
results. Deviation: an unfinished beam counts as a result when there is no more room, which is
Hugging Face's rule. With length_rule=length the search is Hugging Face's: the penalty is length **
alpha, of the candidates the best num_beams alone may end, as many results are held, and a beam is
judged by the length that it has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from foretext.inference.config import Generation, GenerationConfig
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
    cache, logits = reader.begin(prompts)
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
    wanted = reader.config.num_samples
    return [[generation for _, generation in search.results[:wanted]] for search in searches]


def _present(active: list[_Search]) -> list[list[int]]:
    return [[*search.prompt.written, *beam.ids] for search in active for beam in search.alive]


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
    rows = zip(best.values.tolist(), best.indices.tolist(), own, strict=True)
    for rank, (total, index, logprob) in enumerate(rows):
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
        stops = token in reader.stop_ids or search.prompt.continuation.stopped(beam.ids)
        if stops or len(beam.ids) == search.prompt.budget:
            if config.length_rule == "gnmt" or rank < config.num_beams:
                _finish(reader, search, beam, "stop" if stops else "length")
        elif len(grown) < config.num_beams:
            grown.append(beam)
    search.alive = grown


def _finish(reader: Reader, search: _Search, beam: _Beam, reason: str) -> None:
    score = beam.total / _penalty(reader.config, len(beam.ids))
    generation = Generation(
        text=search.prompt.continuation.text(beam.ids),
        ids=tuple(beam.ids),
        logprob=beam.logprob,
        finish_reason=reason,
    )
    search.results.append((score, generation))
    search.results.sort(key=lambda result: -result[0])
    del search.results[_kept(reader.config) :]


def _kept(config: GenerationConfig) -> int:
    """Results that a search holds; Hugging Face's, which looks no further ahead, holds more."""
    return config.num_samples if config.length_rule == "gnmt" else config.num_beams


def _penalty(config: GenerationConfig, length: int) -> float:
    if config.length_rule == "gnmt":
        return length_penalty(length, config.length_penalty)
    return float(length**config.length_penalty)


def _is_over(reader: Reader, search: _Search) -> bool:
    """Is there no beam left that could overtake the last of the results?"""
    if not search.alive:
        return True
    config = reader.config
    if len(search.results) < _kept(config):
        return False
    # A log-probability only falls; the penalty is monotonic in the length.
    total, length = search.alive[0].total, len(search.alive[0].ids)
    ahead = (length + 1, search.prompt.budget) if config.length_rule == "gnmt" else (length,)
    bound = max(total / _penalty(config, n) for n in ahead)
    return bound <= search.results[-1][0]
