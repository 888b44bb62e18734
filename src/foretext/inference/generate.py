"""Generation: greedy, sampled or by beam search; whole or as a stream; on, or from a source.

A prompt's result does not depend on what else is in the batch: sequences are ragged, and the number
that draws a token is a function of (seed, prompt, sample, position).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, TypeVar

import torch
from torch import Tensor

from foretext.core import rng
from foretext.core.errors import ConfigError
from foretext.inference import decoding
from foretext.inference.beam import beam_search
from foretext.inference.config import Generation, GenerationConfig
from foretext.inference.reader import Prompt, Reader, SourceReader, evaluating, reader_for
from foretext.tokenizers import Tokenizer

T = TypeVar("T")


@dataclass(kw_only=True)
class _Row:
    """One sequence as it grows."""

    prompt: Prompt
    sample: int
    ids: list[int] = field(default_factory=list)
    logprob: float = 0.0
    finish_reason: str = ""

    def result(self) -> Generation:
        return Generation(
            text=self.prompt.continuation.text(self.ids),
            ids=tuple(self.ids),
            logprob=self.logprob,
            finish_reason=self.finish_reason,
        )


def generate(
    model: Any,
    tokenizer: Tokenizer,
    prompts: Sequence[str],
    *,
    config: GenerationConfig,
    batch_size: int = 32,
    first_prompt: int = 0,
) -> list[list[Generation]]:
    """Continue each prompt, or write the target of each source.

    Args:
        model: a left-to-right model, or one from source to target.
        tokenizer: the model's.
        prompts: texts; an empty one starts from the begin-of-text token.
        config: what and how much to generate.
        batch_size: sequences read at once; it bounds the memory and changes no result.
        first_prompt: number of the first prompt, for whoever cuts a list of prompts into calls:
            sampling depends on it.

    Returns:
        For each prompt its num_samples results; those of beam search best first (fewer where so
        many do not exist).

    Raises:
        ConfigError: the model cannot generate, or an empty prompt has no token to start from.
        DataError: a prompt is longer than the model's positions.
    """
    reader = reader_for(model, tokenizer, config)
    return _results(reader, reader.prompts(prompts, first_prompt), batch_size)


def write(
    model: Any,
    tokenizer: Tokenizer,
    sources: Sequence[list[int]],
    *,
    config: GenerationConfig,
    batch_size: int = 32,
) -> list[list[Generation]]:
    """Targets for sources of token ids, each ended by the end-of-text token; as generate's.

    Args:
        model: from source to target.
        sources: ids of each.
    """
    reader = SourceReader(model, tokenizer, config)
    return _results(reader, reader.sources(sources, 0), batch_size)


def _results(reader: Reader, read: list[Prompt], batch_size: int) -> list[list[Generation]]:
    """The results of each prompt, in order."""
    config = reader.config
    place = {prompt.number: i for i, prompt in enumerate(read)}
    results: list[list[Generation]] = [[] for _ in read]
    ordered = sorted(read, key=lambda prompt: len(prompt.ids))  # equal lengths share a tensor
    with evaluating(reader.model):
        if config.num_beams > 1:
            for part in _chunks(ordered, max(1, batch_size // config.num_beams)):
                for prompt, found in zip(part, beam_search(reader, part), strict=True):
                    results[place[prompt.number]] = found
            return results
        rows = [_Row(prompt=p, sample=s) for p in ordered for s in range(config.num_samples)]
        for chunk in _chunks(rows, batch_size):
            for _ in _steps(reader, chunk):
                pass
            for row in chunk:
                results[place[row.prompt.number]].append(row.result())
    return results


def stream(
    model: Any,
    tokenizer: Tokenizer,
    prompt: str,
    *,
    config: GenerationConfig,
    first_prompt: int = 0,
) -> Iterator[str]:
    """Continue one prompt and yield its text as it grows.

    The pieces are whole characters, never part of a stop text, and add up to what `generate` gives.

    Args: as generate's.

    Raises:
        ConfigError: also, beams or several samples are asked for, which have no text until the end.
        DataError: as generate.
    """
    if config.num_beams > 1 or config.num_samples > 1:
        raise ConfigError(
            f"num_beams={config.num_beams} and num_samples={config.num_samples} cannot be "
            "streamed; set both to 1, or use generate"
        )
    reader = reader_for(model, tokenizer, config)
    (read,) = reader.prompts([prompt], first_prompt)
    return _pieces(reader, read)


def _pieces(reader: Reader, prompt: Prompt) -> Iterator[str]:
    row, shown = _Row(prompt=prompt, sample=0), 0
    steps = _steps(reader, [row])
    while True:
        with evaluating(reader.model):  # not while the caller has control
            if next(steps, None) is None:
                break
        whole = prompt.continuation
        text = whole.text(row.ids) if row.finish_reason else whole.settled(row.ids)
        if len(text) > shown:
            yield text[shown:]
            shown = len(text)


def _chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _steps(reader: Reader, rows: Sequence[_Row]) -> Iterator[int]:
    """Grow all rows by a token a step until each is finished; yields the number of steps done."""
    runs = [list(run) for _, run in groupby(rows, lambda row: row.prompt.number)]
    cache, logits = reader.begin([run[0].prompt for run in runs])
    copies = [number for number, run in enumerate(runs) for _ in run]
    if len(copies) > len(runs):  # samples of one prompt read it once
        cache.select(copies)
        logits = logits[copies]
    active, length = list(rows), 0
    while active:
        tokens, logprobs = _choose(reader, active, logits, length)
        length += 1
        for row, token, logprob in zip(active, tokens, logprobs, strict=True):
            row.ids.append(token)
            row.logprob += logprob
            if token in reader.stop_ids or row.prompt.continuation.stopped(row.ids):
                row.finish_reason = "stop"
            elif length == row.prompt.budget:
                row.finish_reason = "length"
        yield length
        going = [number for number, row in enumerate(active) if not row.finish_reason]
        if len(going) < len(active):
            cache.select(going)
            active = [active[number] for number in going]
        if active:
            logits = reader.read(cache, [row.ids[-1:] for row in active])


def _choose(
    reader: Reader, rows: Sequence[_Row], logits: Tensor, length: int
) -> tuple[list[int], list[float]]:
    """The next token of each row and its log-probability under the model."""
    config = reader.config
    penalised = config.repetition_penalty != 1
    present = [[*row.prompt.written, *row.ids] for row in rows] if penalised else []
    scores = reader.constrain(logits, present, length)
    if config.temperature == 0:
        tokens = scores.argmax(-1)
    else:
        scores = decoding.apply_temperature(scores, config.temperature)
        scores = decoding.top_p(decoding.top_k(scores, config.top_k), config.top_p)
        numbers = rng.uniform(
            rng.key(config.seed, "generate"),
            [row.prompt.number for row in rows],
            [row.sample for row in rows],
            length,
        )
        tokens = decoding.draw(scores, torch.from_numpy(numbers))
    chosen = logits.gather(1, tokens[:, None]).squeeze(1) - logits.logsumexp(-1)
    return tokens.tolist(), chosen.tolist()
