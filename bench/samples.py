"""What both sides of a pre-training row train: the model's sizes, and the samples' objective."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
from torch import Tensor

from bench.rows import Row
from foretext.models import family_of, for_tokenizer
from foretext.objectives.base import SampleBatch, Vocabulary
from foretext.objectives.masked_lm import MaskedLM, MaskedLMConfig
from foretext.objectives.packed_masked_lm import PackedMaskedLM, PackedMaskedLMConfig
from foretext.objectives.replaced_token import ReplacedToken, ReplacedTokenConfig
from foretext.shards.store import Shards
from foretext.tokenizers import Tokenizer


def sizes_of(row: Row, shards: Shards) -> tuple[ModuleType, Any]:
    """A row's family and its config; the vocabulary is the preset's, or the text's if larger."""
    family, tokenizer = family_of(row.preset), Tokenizer.load(shards.tokenizer_folder)
    preset = family.presets[row.preset]
    size = max(preset.vocab_size, tokenizer.vocab_size)
    config = for_tokenizer(preset, vocab_size=size, pad_id=tokenizer.special.pad)
    return family, replace(config, dropout=row.dropout, attention_dropout=row.dropout)


def objective_of(row: Row, shards: Shards) -> MaskedLM:
    """The objective of a pre-training row."""
    vocabulary = Vocabulary.of(Tokenizer.load(shards.tokenizer_folder))
    places: dict[str, Any] = {"vocabulary": vocabulary, "max_length": row.max_length}
    if row.task.startswith("replaced-token"):
        return ReplacedToken(config=ReplacedTokenConfig(), **places)
    if row.task == "packed-masked-lm":
        return PackedMaskedLM(config=PackedMaskedLMConfig(), **places)
    return MaskedLM(config=MaskedLMConfig(), **places)


def examples_of(row: Row, shards: Shards) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Ids, segments and special-token mask of each of foretext's samples, not yet corrupted."""
    objective = objective_of(row, shards)
    for rows in objective.plan(shards, 0):
        for start in range(0, len(rows), 1024):
            part = rows[start : start + 1024]
            numbers = np.arange(len(part))
            picked = SampleBatch(rows=part, epochs=numbers, samples=numbers)
            batch = objective.collate(shards, picked)
            ids = batch.input_ids.index_copy(0, batch.targets, batch.labels)
            lengths = batch.offsets.diff().tolist()
            parts = (ids, batch.token_type_ids, batch.special_mask)
            yield from zip(*(p.split(lengths) for p in parts), strict=True)
