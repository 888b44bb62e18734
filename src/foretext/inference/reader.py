"""What all ways of generating share: prompts as ids, the model read step by step, its scores."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from foretext.core.batch import Batch
from foretext.core.errors import CheckpointError, ConfigError, DataError
from foretext.core.layout import Layout
from foretext.inference import decoding
from foretext.inference.config import GenerationConfig
from foretext.inference.text import Continuation
from foretext.nn.cache import KeyValueCache
from foretext.tokenizers import Tokenizer


@runtime_checkable
class Generator(Protocol):
    """A left-to-right model; what generation asks of it."""

    config: Any  # with max_position_embeddings

    def new_cache(self) -> KeyValueCache: ...

    def __call__(self, batch: Batch, cache: KeyValueCache | None = None) -> Tensor: ...

    def logits(self, hidden: Tensor) -> Tensor: ...


@runtime_checkable
class Translator(Protocol):
    """A model that writes a target for a source; what generation asks of it."""

    def new_cache(self) -> KeyValueCache: ...

    def encode(self, source: Batch) -> Tensor: ...

    def decode(
        self,
        target: Batch,
        states: Tensor | None,
        source: Layout | None,
        cache: KeyValueCache | None = None,
    ) -> Tensor: ...

    def logits(self, hidden: Tensor) -> Tensor: ...


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """One prompt, ready to be read."""

    number: int  # in the caller's list; randomness depends on it
    ids: list[int]
    budget: int  # tokens it may get
    continuation: Continuation
    written: tuple[int, ...]  # what the result goes on with: the prompt itself, or a start token


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Without dropout and gradients; the model's modes are put back."""
    modes = [(module, module.training) for module in model.modules() if module.training]
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        for module, mode in modes:
            module.training = mode


class Reader:
    """A model, its tokenizer and the rules of one call.

    Raises:
        ConfigError: the model does not generate, or a token id of the rules does not exist.
    """

    def __init__(self, model: Any, tokenizer: Tokenizer, config: GenerationConfig) -> None:
        self._check_model(model)
        self.model = model
        self.tokenizer = tokenizer
        self.config = config
        eos = tokenizer.special.eos
        self.stop_ids = frozenset([*config.stop_tokens, *([] if eos is None else [eos])])
        parameter = next(model.parameters())
        self.device: torch.device = parameter.device
        self._check_ids()

    def _check_model(self, model: Any) -> None:
        if not isinstance(model, Generator):
            raise ConfigError(
                f"{type(model).__name__} does not read from left to right, so it cannot generate; "
                "use a GPT, or `foretext fill` for a masked language model"
            )

    def _check_ids(self) -> None:
        size = self.tokenizer.vocab_size
        for name in ("stop_tokens", "forbidden"):
            for i in getattr(self.config, name):
                if not 0 <= i < size:
                    raise ConfigError(f"{name} holds id {i}, which is not in 0..{size - 1}")
        never = set(self.config.forbidden)
        if self.config.min_new_tokens:
            never |= self.stop_ids
        if len(never) >= size:
            raise ConfigError(f"all {size} tokens are forbidden; allow at least one")

    def prompts(self, texts: Sequence[str], first: int) -> list[Prompt]:
        """Texts as prompts; an empty one starts from the begin-of-text token.

        Args:
            texts: of the prompts.
            first: number of the first one.

        Raises:
            ConfigError: begin-of-text is needed, but the tokenizer has none.
            DataError: a prompt has more tokens than the model has positions.
        """
        prompts = []
        limit: int = self.model.config.max_position_embeddings
        for number, ids in enumerate(self.tokenizer.encode_batch(texts), first):
            if not ids or self.config.begin:
                ids = [self._bos(number), *ids]  # noqa: PLW2901
            if len(ids) > limit:
                raise DataError(
                    f"prompt {number} has {len(ids)} tokens, but the model has {limit} "
                    "positions; shorten the prompt"
                )
            # The last token need not be read, so it needs no position.
            budget = min(self.config.max_new_tokens, limit + 1 - len(ids))
            prompts.append(
                Prompt(
                    number=number,
                    ids=ids,
                    budget=budget,
                    continuation=Continuation(self.tokenizer, ids, self.config.stop),
                    written=tuple(ids),
                )
            )
        return prompts

    def _bos(self, number: int) -> int:
        bos = self.tokenizer.special.bos
        if bos is None:
            raise ConfigError(
                f"prompt {number} is empty or begin is set, but this tokenizer has no "
                "begin-of-text token to start from; give a prompt of at least one token"
            )
        return bos

    def begin(self, prompts: Sequence[Prompt]) -> tuple[KeyValueCache, Tensor]:
        """Read the prompts: what further tokens go on from, and the scores of the first of them."""
        cache = self.model.new_cache()
        return cache, self.read(cache, [prompt.ids for prompt in prompts])

    def read(self, cache: KeyValueCache, ids: Sequence[Sequence[int]]) -> Tensor:
        """Read further tokens of each sequence; scores of what follows, [sequences, vocab] fp32.

        Raises:
            CheckpointError: the scores are not finite.
        """
        batch = cache.batch(ids, self.device)
        return self._scores(self._states(batch, cache), batch)

    def _states(self, batch: Batch, cache: KeyValueCache) -> Tensor:
        return self.model(batch, cache=cache)

    def _scores(self, hidden: Tensor, batch: Batch) -> Tensor:
        if hidden.shape[0] > batch.num_sequences:
            hidden = hidden[batch.last]
        # A table may have rows that no token uses (padded to a round number).
        logits = self.model.logits(hidden)[:, : self.tokenizer.vocab_size].float()
        if not math.isfinite(float(logits.sum())):
            raise CheckpointError(
                "the model's scores are not finite numbers; its weights are damaged or its "
                "training diverged, take an earlier checkpoint"
            )
        return logits

    def constrain(self, scores: Tensor, present: list[list[int]], length: int) -> Tensor:
        """Scores [rows, vocab] after the rules that hold for drawing and for beams.

        Args:
            scores: logits, or log-probabilities in beam search (as Hugging Face has it).
            present: ids of each row's sequence; read only where repetition is penalised.
            length: tokens generated so far.
        """
        config = self.config
        scores = decoding.penalise_repetition(scores, present, config.repetition_penalty)
        scores = decoding.suppress(scores, config.forbidden)
        return decoding.min_length(scores, length, config.min_new_tokens, sorted(self.stop_ids))


class SourceReader(Reader):
    """A model that writes targets: the prompts are sources, read once."""

    def _check_model(self, model: Any) -> None:
        assert isinstance(model, Translator)

    def prompts(self, texts: Sequence[str], first: int) -> list[Prompt]:
        """Texts as sources, each ended by the end-of-text token; the target begins with padding's.

        Args:
            texts: of the prompts.
            first: number of the first one.

        Raises:
            ConfigError: the tokenizer lacks one of the two tokens.
        """
        eos = self.tokenizer.special.eos
        if eos is None or self.tokenizer.special.pad is None:
            raise ConfigError(
                "a source ends with the end-of-text token and a target begins with the one for "
                "padding, and this tokenizer lacks one of them; use the model's own"
            )
        return self.sources([[*ids, eos] for ids in self.tokenizer.encode_batch(texts)], first)

    def sources(self, several: Sequence[list[int]], first: int) -> list[Prompt]:
        """Sources as prompts; each ends with the end-of-text token."""
        return [
            Prompt(
                number=number,
                ids=ids,
                budget=self.config.max_new_tokens,
                continuation=Continuation(self.tokenizer, [], self.config.stop),
                written=(self.tokenizer.special.pad or 0,),
            )
            for number, ids in enumerate(several, first)
        ]

    def begin(self, prompts: Sequence[Prompt]) -> tuple[KeyValueCache, Tensor]:
        """Read the sources, and the start token of their targets."""
        source = Batch.of([prompt.ids for prompt in prompts]).to(self.device)
        cache = self.model.new_cache()
        target = cache.batch([prompt.written for prompt in prompts], self.device)
        states = self.model.decode(target, self.model.encode(source), source.layout, cache)
        return cache, self._scores(states, target)

    def _states(self, batch: Batch, cache: KeyValueCache) -> Tensor:
        return self.model.decode(batch, None, None, cache)


def reader_for(model: Any, tokenizer: Tokenizer, config: GenerationConfig) -> Reader:
    """The reader of a model that generates; arguments and errors as of Reader."""
    kind = SourceReader if isinstance(model, Translator) else Reader
    return kind(model, tokenizer, config)
