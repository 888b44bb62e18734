"""The joint loop for ELECTRA that transformers' classes allow; they have no trainer for it.

Dynamic padding to the longest of the batch, SDPA attention, fused AdamW, embeddings shared, samples
from torch.multinomial. The classes are either called whole, or the generator is taken apart so that
its head runs at the masked tokens alone (task "replaced-token-gathered"), which ElectraForMaskedLM
does not offer.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from bench.rows import Row
from bench.samples import examples_of, sizes_of
from bench.worker import Blocks
from foretext.models import electra
from foretext.shards.store import Shards
from foretext.tokenizers import Tokenizer

os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")


def batches(row: Row, shards: Shards) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Padded ids, segments, special-token mask (True at padding too) and attention mask."""
    examples, draws = list(examples_of(row, shards)), np.random.default_rng(0)
    while True:
        order = draws.permutation(len(examples))
        for start in range(0, len(order) - row.batch_size + 1, row.batch_size):
            ids, segments, special = zip(
                *(examples[i] for i in order[start : start + row.batch_size]), strict=True
            )

            def pad(rows: tuple[Tensor, ...], value: int) -> Tensor:
                return torch.nn.utils.rnn.pad_sequence(
                    list(rows), batch_first=True, padding_value=value
                )

            mask = pad(tuple(torch.ones_like(i) for i in ids), 0)
            yield pad(ids, 0), pad(segments, 0), pad(special, 1), mask


class Pair(torch.nn.Module):
    """ElectraForMaskedLM and ElectraForPreTraining over one embedding."""

    def __init__(self, row: Row, config: electra.ElectraConfig, mask_id: int) -> None:
        import transformers as hf

        super().__init__()

        def made(cls: Any, sizes: electra.ElectraConfig) -> Any:
            return cls(hf.ElectraConfig(**electra.to_hf(sizes, cls.__name__)))

        self.mask_id = mask_id
        self.gathered = row.task.endswith("gathered")
        self.discriminator = made(hf.ElectraForPreTraining, config)
        self.generator = made(hf.ElectraForMaskedLM, config.generator)
        self.generator.electra.embeddings = self.discriminator.electra.embeddings
        table = self.discriminator.electra.embeddings.word_embeddings.weight
        self.generator.generator_lm_head.weight = table

    def forward(self, ids: Tensor, segments: Tensor, special: Tensor, mask: Tensor) -> Tensor:
        """The joint loss."""
        target = (torch.rand(ids.shape) < 0.15) & ~special.bool()
        hidden = target & (torch.rand(ids.shape) < 0.85)
        masked = ids.masked_fill(hidden, self.mask_id)
        inputs = {"token_type_ids": segments, "attention_mask": mask}
        if self.gathered:
            states = self.generator.electra(masked, **inputs)[0][target]
            scores = self.generator.generator_lm_head(self.generator.generator_predictions(states))
            mlm = F.cross_entropy(scores, ids[target])
        else:
            labels = ids.masked_fill(~target, -100)
            out = self.generator(masked, labels=labels, **inputs)
            mlm, scores = out.loss, out.logits[target]
        drawn = torch.multinomial(scores.detach().softmax(-1), 1)[:, 0]
        seen = ids.masked_scatter(target, drawn)
        logits = self.discriminator(seen, **inputs).logits
        real = mask.bool()
        fake = (seen != ids).float()
        return mlm + 50 * F.binary_cross_entropy_with_logits(logits[real], fake[real])


def run(row: Row, shards: Shards, blocks: Blocks) -> None:
    """Train for ever, a block whenever it is told to."""
    torch.manual_seed(0)
    mask_id = Tokenizer.load(shards.tokenizer_folder).special.mask
    assert mask_id is not None
    model = Pair(row, sizes_of(row, shards)[1], mask_id).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    source = batches(row, shards)
    for block in count():
        blocks.begin()
        tokens = 0
        for _ in range(row.steps if block else row.warmup):
            ids, segments, special, mask = next(source)
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=row.precision == "bf16"):
                loss = model(ids, segments, special, mask)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            tokens += int(mask.sum())
        blocks.end(tokens=tokens)
